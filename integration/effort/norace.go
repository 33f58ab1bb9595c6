//go:build !race

package effort

// Raced says that the race detector watches, with which the same work allocates more.
const Raced = false
