//go:build !race

package effort

// Race is whether the race detector looks on, which makes tests about ten times
// slower.
const Race = false
