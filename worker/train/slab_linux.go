package train

import (
	"syscall"
	"unsafe"
)

// The advice of madvise(2) that package syscall does not name.
const (
	adviseHugePage = 14
	adviseCollapse = 25 // since Linux 6.1
)

// beforePage returns how many bytes of memory lie before the first page of 2 MiB.
func beforePage(memory []byte) int {
	return int(-uintptr(unsafe.Pointer(unsafe.SliceData(memory))) & (hugePage - 1))
}

// advise asks for pages of 2 MiB before memory, which begins at one, is written to. A system that
// has none serves it with others.
func advise(memory []byte) { madvise(memory, adviseHugePage) }

// collapse asks for those pages again: what was in use before as small pages is moved.
func collapse(memory []byte) { madvise(memory, adviseCollapse) }

// madvise gives advice on the whole pages of some memory. It may be refused, which changes no more
// than how fast it is read.
func madvise(memory []byte, advice int) {
	if whole := memory[:len(memory)&^(hugePage-1)]; len(whole) > 0 {
		_ = syscall.Madvise(whole, advice)
	}
}
