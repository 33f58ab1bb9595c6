package encode

import (
	"unsafe"

	"github.com/parquet-go/parquet-go/format"
)

// maxSpread bounds the distance between the least and the greatest of integers
// that become dictionary entries: their table is an array over that range.
const maxSpread = 1 << 16

// integers writes integers and timestamps: by a dictionary where they lie close
// together, by DELTA_BINARY_PACKED otherwise.
type integers[T int32 | int64] struct {
	numbers[T]
	least, greatest T
	dictionary      bool
	ids             []uint32 // dictionary entries of v
	entries         []byte
	count           int
	table           []uint32 // entry+1 by value-least
}

func (s *integers[T]) plan() (format.Encoding, []byte, int) {
	s.dictionary = false
	if len(s.v) == 0 {
		return format.Plain, nil, 0
	}
	s.least, s.greatest = s.v[0], s.v[0]
	for _, v := range s.v {
		s.least, s.greatest = min(s.least, v), max(s.greatest, v)
	}
	// The table must be worth clearing, too.
	spread := uint64(int64(s.greatest)) - uint64(int64(s.least))
	if spread < min(maxSpread, 4*uint64(len(s.v))) {
		s.enter(int(spread) + 1)
		width := int(unsafe.Sizeof(s.least))
		if s.count*width+len(s.v)*int(bitWidth(s.count))/8 < len(s.v)*width {
			s.dictionary = true
			return format.RLEDictionary, s.entries, s.count
		}
	}
	return format.DeltaBinaryPacked, nil, 0
}

// enter numbers the distinct values in the order of their first appearance.
func (s *integers[T]) enter(size int) {
	if cap(s.table) < size {
		s.table = make([]uint32, size)
	}
	s.table = s.table[:size]
	clear(s.table)
	s.ids, s.entries, s.count = reserve(s.ids[:0], len(s.v)), s.entries[:0], 0
	for _, v := range s.v {
		id := s.table[v-s.least]
		if id == 0 {
			s.count++
			id = uint32(s.count)
			s.table[v-s.least] = id
			s.entries = appendPlain(s.entries, v)
		}
		s.ids = append(s.ids, id-1)
	}
}

func (s *integers[T]) page(dst []byte, from, to int) []byte {
	if s.dictionary {
		return appendIndices(dst, s.ids[from:to], s.count)
	}
	return appendDelta(dst, s.v[from:to])
}

func (s *integers[T]) bounds() (least, greatest []byte) {
	return appendPlain(nil, s.least), appendPlain(nil, s.greatest)
}
