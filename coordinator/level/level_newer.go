//go:build newer

// Package level says which commands and forms of the log this build knows.
package level

// Known is one more than that of this build, so that tests can upgrade to the next.
const Known = 2
