package train

import (
	"github.com/thalweg/thalweg/storage/parquet/encoding"
)

const (
	// slabBytes is how much memory is taken at once for the blocks of a matrix that has at least
	// slabLeast.
	slabBytes = 32 << 20
	slabLeast = 8 << 20
	// hugePage is the size of the pages that slabs ask for, and where they begin.
	hugePage = 2 << 20
	// lineBytes is a cache line, where each block begins.
	lineBytes = 64
)

// slab hands out the memory of a matrix's blocks, side by side in pages of 2 MiB where the system
// has them: blocks come in no order that could be guessed, and with pages of 4 KiB each begins with
// a walk of the page table. It is ordinary memory, collected when no block is used any more.
type slab struct {
	expected int // bytes that are still to be asked for
	free     []byte
	taken    [][]byte // whole slabs
}

// newSlab returns a slab for so many bytes, or nil where they are too few.
func newSlab(bytes int) *slab {
	if bytes < slabLeast {
		return nil
	}
	return &slab{expected: bytes}
}

// block returns memory for n float32s and then for some bytes, which is reserved in a space, or
// reports that the bound has no room.
func (s *slab) block(in *space, n, small int) ([]float32, []byte, bool) {
	size := 4*n + small
	if s == nil {
		if !in.reserve(int64(size)) {
			return nil, nil, false
		}
		return make([]float32, n), make([]byte, small), true
	}
	s.expected = max(s.expected-size, 0)
	room := (size + lineBytes - 1) / lineBytes * lineBytes
	if len(s.free) < room && !s.take(in, room) {
		return (*slab)(nil).block(in, n, small)
	}
	block := s.free[:size:size]
	s.free = s.free[room:]
	return encoding.Words[float32](block[: 4*n : 4*n]), block[4*n:], true
}

// take reserves another slab, of which the next block takes room: a smaller one where the bound
// has no room for a whole one.
func (s *slab) take(in *space, room int) bool {
	want := room + s.expected + s.expected/64
	if want > slabBytes {
		want = max(slabBytes/room, 1) * room
	}
	for !in.reserve(int64(want + hugePage)) {
		if want = want / 2 / room * room; want < slabLeast {
			return false
		}
	}
	s.free = aligned(want)
	s.taken = append(s.taken, s.free)
	return true
}

// filled tells the system that the slabs were filled.
func (s *slab) filled() {
	if s != nil {
		for _, whole := range s.taken {
			collapse(whole)
		}
		*s = slab{}
	}
}

// aligned returns n bytes that begin where a huge page does.
func aligned(n int) []byte {
	memory := make([]byte, n+hugePage)
	from := beforePage(memory)
	memory = memory[from : from+n : from+n]
	advise(memory)
	return memory
}
