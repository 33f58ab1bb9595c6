package train

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"
)

const (
	// buckets cut the shuffled order by the first byte of the rows' IDs. One
	// bucket at a time is sorted in memory: a 256th of a replica's rows.
	buckets = 256
	// parts are what a chunk is kept in, and given back in, of so many buckets each: large
	// enough that a spilled part is worth a read, small enough that one of each chunk does not count.
	parts = 32
	// chunkBytes is the size of a chunk but for very long records, of which it has chunkRows: what
	// is dealt fits into the second-level cache. Where many are filled at once chunks are smaller,
	// but none than leastRows.
	chunkBytes = 512 << 10
	chunkRows  = 256
	leastRows  = 8
	// fillingBytes bounds all chunks that are being filled, as does a fillingShare of the memory
	// bound where that is more. Below leastChunk fewer shards are read at a time instead: what is
	// kept of each chunk would count.
	fillingBytes = 64 << 20
	fillingShare = 16
	leastChunk   = 64 << 10
	// maxWords is the size up to which a record is copied faster in words of 8 bytes than by
	// copy.
	maxWords = 64
)

// shuffler puts records in the order of their rows' IDs, in memory or on
// disk. They come in chunks, each of which is dealt to buckets by the IDs' first bytes; then one
// bucket after the other is gathered from all chunks, sorted and passed on, and what it took is
// given back. The order depends on the records only: not on the order in which they came, nor on
// which were spilled.
type shuffler struct {
	space
	layout  *layout // of the records
	records int
	chunks  []chunk
	idle    []*filling // chunks that nobody fills
}

// chunk is records that came one after the other, by bucket.
type chunk struct {
	ends   [buckets]uint32 // of each bucket's records, in bytes
	parts  [][]byte        // in memory
	pieces []piece         // else on disk
}

// filling is a chunk that a reader fills.
type filling struct {
	records []byte
	rows    int
}

// fillingSize returns how many shards may be read at a time, and the size of a chunk, where each
// reader fills one for each replica and has one that is dealt.
func fillingSize(l *layout, limit int64, replicas, readers int) (_, size int) {
	bound := int(max(limit/fillingShare, fillingBytes))
	readers = max(min(readers, bound/leastChunk/(replicas+1)), 1)
	return readers, min(max(chunkBytes, chunkRows*l.record), bound/(replicas+1)/readers)
}

// open returns a chunk to fill.
func (s *shuffler) open() *filling {
	if n := len(s.idle); n > 0 {
		f := s.idle[n-1]
		s.idle = s.idle[:n-1]
		return f
	}
	return new(filling)
}

// room is for how many more records a chunk of some size has room, if their tails are like those
// that it has.
func (f *filling) room(l *layout, size int) int {
	record := l.record
	if l.head > idBytes {
		if f.rows == 0 {
			return leastRows
		}
		record = len(f.records) / f.rows
	}
	return max((size-len(f.records))/record, leastRows-f.rows, 0)
}

// deal orders a chunk's records by bucket: they are in dealt then, which it returns, and f is
// empty. It also returns where each bucket ends.
func (f *filling) deal(l *layout, dealt []byte) (_ []byte, ends [buckets]uint32) {
	dealt = slices.Grow(dealt[:0], len(f.records))[:len(f.records)]
	size, tails := l.record, l.head > idBytes
	for records := f.records; len(records) >= idBytes; records = records[size:] {
		if tails {
			size = l.size(records)
		}
		ends[records[idBytes-1]] += uint32(size) // IDs are little-endian
	}
	total := uint32(0)
	for b, n := range ends {
		ends[b] = total
		total += n
	}
	for records := f.records; len(records) >= idBytes; records = records[size:] {
		if tails {
			size = l.size(records)
		}
		head := records[idBytes-1]
		at := ends[head]
		ends[head] = at + uint32(size)
		copyRecord(dealt[at:][:size], records[:size])
	}
	f.records, f.rows = f.records[:0], 0
	return dealt, ends
}

// copyRecord copies a record: the last word first, which may overlap with others. A record has at
// least one.
func copyRecord(to, from []byte) {
	if len(from) > maxWords {
		copy(to, from)
		return
	}
	binary.LittleEndian.PutUint64(to[len(to)-8:], binary.LittleEndian.Uint64(from[len(from)-8:]))
	for ; len(from) > 8 && len(to) > 8; to, from = to[8:], from[8:] {
		binary.LittleEndian.PutUint64(to, binary.LittleEndian.Uint64(from))
	}
}

// add keeps a chunk, of which dealt has the records and ends says where each bucket ends, in
// memory as far as the bound allows, else on disk.
func (s *shuffler) add(dealt []byte, ends [buckets]uint32, rows int) (err error) {
	s.records += rows
	c := chunk{ends: ends}
	var cuts [parts]int
	for i := range cuts {
		cuts[i] = int(ends[(i+1)*buckets/parts-1])
	}
	if s.reserve(int64(len(dealt) + chunkOverhead)) {
		from := 0
		for _, to := range cuts {
			c.parts = append(c.parts, append([]byte(nil), dealt[from:to]...))
			from = to
		}
	} else if c.pieces, err = s.writeParts(dealt, cuts[:]); err != nil {
		return err
	}
	s.chunks = append(s.chunks, c)
	return nil
}

// chunkOverhead is what a chunk in memory takes beside its records.
const chunkOverhead = 4*buckets + 24*(parts+2)

// start returns where a bucket begins.
func (c *chunk) start(bucket int) int {
	if bucket == 0 {
		return 0
	}
	return int(c.ends[bucket-1])
}

// complete adds what fillings hold, whose readers have ended.
func (s *shuffler) complete() error {
	var dealt []byte
	for _, f := range s.idle {
		if rows := f.rows; rows > 0 {
			var ends [buckets]uint32
			dealt, ends = f.deal(s.layout, dealt)
			if err := s.add(dealt, ends, rows); err != nil {
				return err
			}
		}
	}
	s.idle = nil
	return nil
}

// each calls yield with the records of each bucket, and with where they lie in
// shuffled order; both are valid until yield returns. The shuffler is complete, and empty then.
func (s *shuffler) each(yield func(records []byte, sorted []int) error) (err error) {
	var gathered []byte
	sorter := sorter{layout: s.layout}
	read := make([][]byte, len(s.chunks))
	for part := range parts {
		for i := range s.chunks {
			if read[i], err = s.take(&s.chunks[i], part, read[i]); err != nil {
				return err
			}
		}
		for b := part * buckets / parts; b < (part+1)*buckets/parts; b++ {
			gathered = gathered[:0]
			for i := range s.chunks {
				c := &s.chunks[i]
				first := c.start(part * buckets / parts)
				gathered = append(gathered, read[i][c.start(b)-first:int(c.ends[b])-first]...)
			}
			if err := yield(gathered, sorter.sort(gathered)); err != nil {
				return err
			}
		}
	}
	for _, c := range s.chunks {
		if c.parts != nil {
			s.release(chunkOverhead)
		}
	}
	s.chunks = nil
	return nil
}

// take returns a part of a chunk, and gives back what it takes of the memory bound. A spilled part
// is read into buf.
func (s *shuffler) take(c *chunk, i int, buf []byte) ([]byte, error) {
	if c.parts != nil {
		part := c.parts[i]
		c.parts[i] = nil
		s.release(int64(len(part)))
		return part, nil
	}
	at := c.pieces[i]
	buf = slices.Grow(buf[:0], at.size)[:at.size]
	return buf, s.read(at, buf)
}

// sorter sorts the records of one bucket by ID. The IDs are hashes that agree
// in their first byte, so dealing them out by the bits that follow leaves a few
// to compare.
type sorter struct {
	layout       *layout
	places       []int    // where each record lies, if they have tails
	items, dealt []uint64 // the bits of an ID after its first byte; the last ones are the record's number instead
	ends         []uint32
	sorted       []int
}

// sort returns where the records lie in the order of their IDs.
func (s *sorter) sort(gathered []byte) []int {
	n := len(gathered) / s.layout.record
	if s.layout.head > idBytes {
		s.places = s.places[:0]
		for at := 0; at < len(gathered); at += s.layout.size(gathered[at:]) {
			s.places = append(s.places, at)
		}
		n = len(s.places)
	}
	if n == 0 {
		return nil
	}
	number := uint64(1)<<bits.Len(uint(n-1)) - 1
	// One or two records in each of 2^width heaps.
	width := max(bits.Len(uint(n))-1, 1)
	shift := 64 - width
	items, ends := slices.Grow(s.items[:0], n)[:n], slices.Grow(s.ends[:0], 1<<width)[:1<<width]
	clear(ends)
	if s.layout.head > idBytes {
		for i, at := range s.places {
			items[i] = binary.LittleEndian.Uint64(gathered[at:])<<8&^number | uint64(i)
		}
	} else {
		size, records := s.layout.record, gathered
		for i := range items {
			items[i] = binary.LittleEndian.Uint64(records)<<8&^number | uint64(i)
			records = records[min(size, len(records)):]
		}
	}
	for _, item := range items {
		ends[item>>(shift&63)]++
	}
	total, most := uint32(0), uint32(0)
	for h, n := range ends {
		ends[h] = total
		total += n
		most = max(most, n)
	}
	dealt := slices.Grow(s.dealt[:0], n)[:n]
	for _, item := range items {
		h := item >> (shift & 63)
		at := ends[h]
		dealt[at] = item
		ends[h] = at + 1
	}
	s.items, s.ends, s.dealt = items, ends, dealt
	alike := most > 32
	if !alike {
		order(dealt)
	}
	s.sorted = slices.Grow(s.sorted[:0], n)[:n]
	before := ^number
	for i, item := range dealt {
		alike = alike || (item^before)&^number == 0
		before = item
		s.sorted[i] = int(item&number) * s.layout.record
	}
	if alike {
		s.settle(gathered, number)
	}
	if s.layout.head > idBytes || alike {
		for i, item := range dealt {
			s.sorted[i] = s.place(item & number)
		}
	}
	return s.sorted
}

// order sorts items none of which is far from its place.
func order(items []uint64) {
	for i := 1; i < len(items); i++ {
		item, at := items[i], i
		for ; at > 0 && items[at-1] > item; at-- {
			items[at] = items[at-1]
		}
		items[at] = item
	}
}

// place returns where a record lies.
func (s *sorter) place(record uint64) int {
	if s.layout.head > idBytes {
		return s.places[record]
	}
	return int(record) * s.layout.record
}

// settle sorts items some of which have the same bits of their IDs: by the whole ID, and where
// two rows have one by what they hold.
func (s *sorter) settle(gathered []byte, number uint64) {
	slices.SortFunc(s.dealt, func(x, y uint64) int {
		a, b := gathered[s.place(x&number):], gathered[s.place(y&number):]
		if c := cmp.Compare(binary.LittleEndian.Uint64(a), binary.LittleEndian.Uint64(b)); c != 0 {
			return c
		}
		return bytes.Compare(a[:s.layout.size(a)], b[:s.layout.size(b)])
	})
}
