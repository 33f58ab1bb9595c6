package profile

import (
	"math/bits"

	"github.com/thalweg/thalweg/pipeline/kernel"
)

// counter counts keys: a hash table of a power of two, at most half full.
type counter struct {
	slots []counted
	used  int
}

// counted is a key and how often it was there; free where it never was.
type counted struct {
	key uint64
	n   int64
}

// add counts a key n times and reports whether it is a new one.
func (c *counter) add(key uint64, n int64) bool {
	if 2*(c.used+1) > len(c.slots) {
		old := *c
		c.slots, c.used = make([]counted, max(64, 2*len(old.slots))), 0
		for _, s := range old.slots {
			if s.n > 0 {
				c.add(s.key, s.n)
			}
		}
	}
	mask := uint64(len(c.slots) - 1)
	for i := key * kernel.Golden >> bits.LeadingZeros64(mask); ; i++ {
		at := &c.slots[i&mask]
		switch {
		case at.n == 0:
			*at = counted{key, n}
			c.used++
			return true
		case at.key == key:
			at.n += n
			return false
		}
	}
}

// get returns how often a key was there.
func (c *counter) get(key uint64) int64 {
	if c.used == 0 {
		return 0
	}
	mask := uint64(len(c.slots) - 1)
	for i := key * kernel.Golden >> bits.LeadingZeros64(mask); ; i++ {
		if at := &c.slots[i&mask]; at.n == 0 || at.key == key {
			return at.n
		}
	}
}

// each calls fn for all keys, in no order: in that of the slots, another table that
// grows would get them in heaps.
func (c *counter) each(fn func(key uint64, n int64)) {
	const stride = kernel.Golden >> 32 // odd: each slot once
	for i := range c.slots {
		if s := c.slots[i*stride&(len(c.slots)-1)]; s.n > 0 {
			fn(s.key, s.n)
		}
	}
}

// keep leaves the keys that are wanted.
func (c *counter) keep(wanted func(key uint64) bool) {
	old := *c
	*c = counter{}
	old.each(func(key uint64, n int64) {
		if wanted(key) {
			c.add(key, n)
		}
	})
}

// sampleRows is how many different rows are told apart.
const sampleRows = 1 << 16

// rowSample counts whole rows by their hashes: all while at most sampleRows are
// different, and of more those whose hashes begin with as many zeros as leave no more
// than that. Each is counted from its first time on, in whatever order rows come.
type rowSample struct {
	counter
	zeros uint
}

func (s *rowSample) observe(hash uint64, n int64) {
	if hash>>(64-s.zeros) != 0 {
		return
	}
	for s.add(hash, n); s.used > sampleRows; {
		s.zeros++
		s.keep(s.wants)
	}
}

func (s *rowSample) wants(hash uint64) bool { return hash>>(64-s.zeros) == 0 }

func (s *rowSample) merge(o *rowSample) {
	if s.zeros < o.zeros {
		s.zeros = o.zeros
		s.keep(s.wants)
	}
	o.each(s.observe)
}

// share returns the share of rows that repeat an earlier one.
func (s *rowSample) share() float64 {
	var rows int64
	s.each(func(_ uint64, n int64) { rows += n })
	if rows == 0 {
		return 0
	}
	return float64(rows-int64(s.used)) / float64(rows)
}
