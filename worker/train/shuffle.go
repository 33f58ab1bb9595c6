package train

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"
)

const (
	// buckets cut the shuffled order by the first byte of the rows' keys. One
	// bucket at a time is sorted in memory: a 256th of a replica's rows.
	buckets = 256
	// chunkMost is the most that a bucket takes at a time: large enough that a spilled
	// chunk is worth a read, small enough that the chunks being filled do not count.
	// chunkLeast is the least, but for a larger record.
	chunkMost  = 16 << 10
	chunkLeast = 1 << 10
	// maxWords is the size up to which a record is copied faster in words of 8 bytes than by
	// copy.
	maxWords = 64
)

// shuffler puts records in the order of their shuffle keys, in memory or on
// disk. Each goes to the bucket of its key's first byte; then one bucket after the
// other is gathered, sorted and passed on, and what it took is given back. The order
// depends on the records only: not on the order in which they came, nor on which were
// spilled.
type shuffler struct {
	space
	layout  *layout // of the records
	seed    uint64
	records int
	buckets [buckets]bucket
}

// bucket is the records whose keys begin with one byte.
type bucket struct {
	open   []byte // the chunk that is being filled
	filled int    // bytes of it
	kept   bool   // memory was reserved for it; else it is written when it is full
	size   int    // bytes of the chunks that are full
	chunks [][]byte
	pieces []piece
}

// add takes a record and its shuffle key. The record is copied.
func (s *shuffler) add(record []byte, key uint64) error {
	b, size := &s.buckets[key>>56], s.layout.size(record)
	if b.filled+size > len(b.open) {
		if err := s.extend(b, size); err != nil {
			return err
		}
	}
	to, from := b.open[b.filled:b.filled+size], record[:size]
	if size > maxWords {
		copy(to, from)
	} else { // the last word first, which may overlap with others: a record has at least one
		binary.LittleEndian.PutUint64(to[size-8:], binary.LittleEndian.Uint64(from[size-8:]))
		for ; len(from) > 8; to, from = to[8:], from[8:] {
			binary.LittleEndian.PutUint64(to, binary.LittleEndian.Uint64(from))
		}
	}
	b.filled += size
	s.records++
	return nil
}

// rows returns how many records were added.
func (s *shuffler) rows() int { return s.records }

// extend makes room for a record of some bytes in a bucket. Chunks grow with it, so that little of
// them stays empty.
func (s *shuffler) extend(b *bucket, record int) error {
	b.size += b.filled
	switch {
	case b.kept:
		b.chunks = append(b.chunks, b.open[:b.filled])
	case b.filled > 0:
		at, err := s.write(b.open[:b.filled])
		if err != nil {
			return err
		}
		b.pieces = append(b.pieces, at)
	}
	b.filled = 0
	whole := func(bytes int) int { return max(bytes/record, 1) * record }
	size := whole(max(min(b.size/2, chunkMost), chunkLeast))
	switch {
	case s.reserve(int64(size)):
		b.open, b.kept = make([]byte, size), true
	case b.kept || record > len(b.open):
		b.open, b.kept = make([]byte, whole(chunkMost)), false
	}
	return nil
}

// take appends the records of a bucket to dst and gives back what they took.
func (s *shuffler) take(b *bucket, dst []byte) ([]byte, error) {
	dst = append(dst, b.open[:b.filled]...)
	if b.kept {
		s.release(int64(len(b.open)))
	}
	for _, chunk := range b.chunks {
		dst = append(dst, chunk...)
		s.release(int64(cap(chunk)))
	}
	for _, at := range b.pieces {
		from := len(dst)
		dst = slices.Grow(dst, at.size)[:from+at.size]
		if err := s.read(at, dst[from:]); err != nil {
			return nil, err
		}
	}
	*b = bucket{}
	return dst, nil
}

// key returns the shuffle key of a record.
func (s *shuffler) key(record []byte) uint64 {
	return shuffleKey(binary.LittleEndian.Uint64(record), s.seed)
}

// entry is a record of the bucket being sorted.
type entry struct {
	key uint64
	at  int // in the bucket's records
}

// each calls yield with the records of each bucket, and with where they lie in
// shuffled order; both are valid until yield returns. The shuffler is empty then.
func (s *shuffler) each(yield func(records []byte, sorted []entry) error) (err error) {
	var gathered []byte
	var sorter sorter
	for i := range s.buckets {
		if gathered, err = s.take(&s.buckets[i], gathered[:0]); err != nil {
			return err
		}
		sorter.entries = sorter.entries[:0]
		for at := 0; at < len(gathered); at += s.layout.size(gathered[at:]) {
			sorter.entries = append(sorter.entries, entry{key: s.key(gathered[at:]), at: at})
		}
		if err := yield(gathered, sorter.sort(gathered, s.layout)); err != nil {
			return err
		}
	}
	return nil
}

// sorter sorts the entries of one bucket by key. The keys are hashes that agree
// in their first byte, so dealing them out by the bits that follow leaves a few
// to compare.
type sorter struct {
	entries, dealt []entry
	ends           []uint32
}

func (s *sorter) sort(gathered []byte, layout *layout) []entry {
	// About one entry in each of 2^width heaps.
	width := bits.Len(uint(len(s.entries)))
	heap := func(e entry) uint64 { return e.key << 8 >> (64 - width) }
	s.ends = append(s.ends[:0], make([]uint32, 1<<width)...)
	for _, e := range s.entries {
		s.ends[heap(e)]++
	}
	total, most := uint32(0), uint32(0)
	for h, n := range s.ends {
		s.ends[h] = total
		total += n
		most = max(most, n)
	}
	s.dealt = slices.Grow(s.dealt[:0], len(s.entries))[:len(s.entries)]
	for _, e := range s.entries {
		h := heap(e)
		s.dealt[s.ends[h]] = e
		s.ends[h]++
	}
	compare := func(x, y entry) int {
		if c := cmp.Compare(x.key, y.key); c != 0 {
			return c
		}
		// Two rows with one hash: rare, and settled by what they hold.
		a, b := gathered[x.at:], gathered[y.at:]
		return bytes.Compare(a[:layout.size(a)], b[:layout.size(b)])
	}
	if most > 32 {
		slices.SortFunc(s.dealt, compare)
		return s.dealt
	}
	for i := 1; i < len(s.dealt); i++ { // heaps follow each other, so that none moves far
		e, at := s.dealt[i], i
		for ; at > 0 && (s.dealt[at-1].key > e.key || s.dealt[at-1].key == e.key && compare(s.dealt[at-1], e) > 0); at-- {
			s.dealt[at] = s.dealt[at-1]
		}
		s.dealt[at] = e
	}
	return s.dealt
}
