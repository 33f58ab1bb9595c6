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
	// runBytes is how many bytes of records are put in bucket order at a time:
	// large enough that a bucket's part of a spilled run (16 KiB) is worth a read,
	// small enough that the run being filled does not count.
	runBytes = 4 << 20
)

// shuffler puts records in the order of their shuffle keys, in memory or on
// disk. Runs of records are kept in the order of buckets; a bucket is gathered
// from all runs, sorted and passed on. The order depends on the records only:
// not on the order in which they came, nor on which runs were spilled.
type shuffler struct {
	space
	record int // bytes of one
	seed   uint64

	filling []byte
	sealed  int // bytes of records in runs
	runs    []run
}

// run is records in the order of buckets: bucket b is [bounds[b], bounds[b+1])
// of data, or of pieces where the run is spilled.
type run struct {
	data   []byte
	bounds [buckets + 1]int
	pieces []piece
}

// add takes whole records. They are copied.
func (s *shuffler) add(records []byte) error {
	for len(records) > 0 {
		room := max((runBytes-len(s.filling))/s.record*s.record, 0)
		if room == 0 && len(s.filling) > 0 {
			if err := s.seal(); err != nil {
				return err
			}
			continue
		}
		n := min(max(room, s.record), len(records))
		s.filling = append(s.filling, records[:n]...)
		records = records[n:]
	}
	return nil
}

// rows returns how many records were added.
func (s *shuffler) rows() int { return (s.sealed + len(s.filling)) / s.record }

// seal makes a run of the records that came since the last one.
func (s *shuffler) seal() error {
	if len(s.filling) == 0 {
		return nil
	}
	var r run
	for at := 0; at < len(s.filling); at += s.record {
		r.bounds[s.bucket(s.filling[at:])+1] += s.record
	}
	for b := range buckets {
		r.bounds[b+1] += r.bounds[b]
	}
	next := r.bounds
	sorted := make([]byte, len(s.filling))
	for at := 0; at < len(s.filling); at += s.record {
		b := s.bucket(s.filling[at:])
		copy(sorted[next[b]:], s.filling[at:at+s.record])
		next[b] += s.record
	}
	s.filling = s.filling[:0]
	s.sealed += len(sorted)
	if s.reserve(int64(len(sorted))) {
		r.data = sorted
	} else {
		r.pieces = make([]piece, buckets)
		for b := range r.pieces {
			at, err := s.write(sorted[r.bounds[b]:r.bounds[b+1]])
			if err != nil {
				return err
			}
			r.pieces[b] = at
		}
	}
	s.runs = append(s.runs, r)
	return nil
}

// key returns the shuffle key of a record.
func (s *shuffler) key(record []byte) uint64 {
	return shuffleKey(binary.LittleEndian.Uint64(record), s.seed)
}

// bucket returns the bucket of a record.
func (s *shuffler) bucket(record []byte) int { return int(s.key(record) >> 56) }

// entry is a record of the bucket being sorted.
type entry struct {
	key uint64
	at  int // in gathered
}

// each calls yield with each record, in shuffled order. A record is valid until
// yield returns.
func (s *shuffler) each(yield func(record []byte) error) error {
	if err := s.seal(); err != nil {
		return err
	}
	var gathered []byte
	var sorter sorter
	for b := range buckets {
		gathered = gathered[:0]
		for i := range s.runs {
			r := &s.runs[i]
			if r.pieces == nil {
				gathered = append(gathered, r.data[r.bounds[b]:r.bounds[b+1]]...)
				continue
			}
			from := len(gathered)
			gathered = slices.Grow(gathered, r.pieces[b].size)[:from+r.pieces[b].size]
			if err := s.read(r.pieces[b], gathered[from:]); err != nil {
				return err
			}
		}
		sorter.entries = sorter.entries[:0]
		for at := 0; at < len(gathered); at += s.record {
			sorter.entries = append(sorter.entries, entry{key: s.key(gathered[at:]), at: at})
		}
		for _, e := range sorter.sort(gathered, s.record) {
			if err := yield(gathered[e.at : e.at+s.record]); err != nil {
				return err
			}
		}
	}
	return nil
}

// sorter sorts the entries of one bucket by key. The keys are hashes that agree
// in their first byte, so dealing them out by the bits that follow leaves a few
// to compare.
type sorter struct {
	entries, dealt []entry
	ends           []int
}

func (s *sorter) sort(gathered []byte, record int) []entry {
	// About four entries in each of 2^width heaps.
	width := max(bits.Len(uint(len(s.entries)))-2, 0)
	heap := func(e entry) int { return int(e.key << 8 >> (64 - width)) }
	s.ends = append(s.ends[:0], make([]int, 1<<width)...)
	for _, e := range s.entries {
		s.ends[heap(e)]++
	}
	total := 0
	for h, n := range s.ends {
		s.ends[h] = total
		total += n
	}
	s.dealt = slices.Grow(s.dealt[:0], len(s.entries))[:len(s.entries)]
	for _, e := range s.entries {
		h := heap(e)
		s.dealt[s.ends[h]] = e
		s.ends[h]++
	}
	from := 0
	for _, to := range s.ends {
		if to-from > 1 {
			slices.SortFunc(s.dealt[from:to], func(x, y entry) int {
				if c := cmp.Compare(x.key, y.key); c != 0 {
					return c
				}
				// Two rows with one hash: rare, and settled by what they hold.
				return bytes.Compare(gathered[x.at:x.at+record], gathered[y.at:y.at+record])
			})
		}
		from = to
	}
	return s.dealt
}
