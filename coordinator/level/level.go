//go:build !newer

// Package level says which commands and forms of the log this build knows.
package level

// Known is the newest level. Whoever adds a command, or a field whose zero value does not
// mean what its absence meant, raises it, and proposes neither while state.State.Level is
// below.
const Known = 1
