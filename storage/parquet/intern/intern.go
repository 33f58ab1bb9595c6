// Package intern numbers distinct byte strings.
package intern

import (
	"bytes"
	"hash/maphash"
)

// minSlots is the size of a new table.
const minSlots = 64

// Set is a set of byte strings, numbered in the order in which they were first
// looked up; so the numbers do not depend on the hash, which differs from
// process to process. Its memory is reused by Reset, which a new Set needs. The
// entries together must stay below 2 GiB.
type Set struct {
	seed    maphash.Seed
	values  []byte
	offsets []int32  // of the entries, then the end of the last one
	hashes  []uint32 // of the entries
	slots   []int32  // entry+1 by hash, linear probing; a power of two long
}

// Reset empties the set.
func (s *Set) Reset() {
	if s.slots == nil {
		s.seed = maphash.MakeSeed()
		s.slots = make([]int32, minSlots)
	}
	clear(s.slots)
	s.values, s.hashes = s.values[:0], s.hashes[:0]
	s.offsets = append(s.offsets[:0], 0)
}

// Len returns the number of entries.
func (s *Set) Len() int { return len(s.hashes) }

// Bytes returns the sum of the entries' lengths.
func (s *Set) Bytes() int { return len(s.values) }

// Value returns entry i, valid until the next Index or Reset.
func (s *Set) Value(i int) []byte { return s.values[s.offsets[i]:s.offsets[i+1]] }

// Values returns all entries, one after the other, and the offset of each in
// them, with the end of the last one.
func (s *Set) Values() ([]byte, []int32) { return s.values, s.offsets }

// Index returns the number of v, entering a copy of it if it is new.
func (s *Set) Index(v []byte) int {
	hash := uint32(maphash.Bytes(s.seed, v))
	mask := uint32(len(s.slots) - 1)
	at := hash & mask
	for ; s.slots[at] != 0; at = (at + 1) & mask {
		i := s.slots[at] - 1
		if s.hashes[i] == hash && bytes.Equal(s.Value(int(i)), v) {
			return int(i)
		}
	}
	i := len(s.hashes)
	s.slots[at] = int32(i + 1)
	s.values = append(s.values, v...)
	s.offsets = append(s.offsets, int32(len(s.values)))
	s.hashes = append(s.hashes, hash)
	if 2*len(s.hashes) > len(s.slots) {
		s.grow()
	}
	return i
}

func (s *Set) grow() {
	s.slots = make([]int32, 2*len(s.slots))
	mask := uint32(len(s.slots) - 1)
	for i, hash := range s.hashes {
		at := hash & mask
		for s.slots[at] != 0 {
			at = (at + 1) & mask
		}
		s.slots[at] = int32(i + 1)
	}
}
