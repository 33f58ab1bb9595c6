//go:build !linux

package train

// beforePage, advise and collapse do nothing where memory has one size of page.
func beforePage([]byte) int { return 0 }
func advise([]byte)         {}
func collapse([]byte)       {}
