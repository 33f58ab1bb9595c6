package train

import (
	"bytes"
	"cmp"
	"encoding/binary"
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
	record int // bytes of one
	seed   uint64
	memory *memory
	dir    string

	filling []byte
	sealed  int // bytes of records in runs
	runs    []run
	file    *spill
	taken   int64
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
	if size := int64(len(sorted)); s.memory.take(size) {
		s.taken += size
		r.data = sorted
	} else if err := s.spill(&r, sorted); err != nil {
		return err
	}
	s.runs = append(s.runs, r)
	return nil
}

func (s *shuffler) spill(r *run, sorted []byte) error {
	if s.file == nil {
		file, err := newSpill(s.dir, "shuffle")
		if err != nil {
			return err
		}
		s.file = file
	}
	r.pieces = make([]piece, buckets)
	for b := range r.pieces {
		at, err := s.file.write(sorted[r.bounds[b]:r.bounds[b+1]])
		if err != nil {
			return err
		}
		r.pieces[b] = at
	}
	return nil
}

// key returns the shuffle key of a record.
func (s *shuffler) key(record []byte) uint64 {
	return shuffleKey(binary.LittleEndian.Uint64(record), s.seed)
}

// bucket returns the bucket of a record.
func (s *shuffler) bucket(record []byte) int { return int(s.key(record) >> 56) }

// emit passes all records on in shuffled order. A record is valid until yield
// returns.
func (s *shuffler) emit(yield func(record []byte) error) error {
	if err := s.seal(); err != nil {
		return err
	}
	type entry struct {
		key uint64
		at  int
	}
	var gathered []byte
	var order []entry
	for b := range buckets {
		gathered, order = gathered[:0], order[:0]
		for i := range s.runs {
			r := &s.runs[i]
			if r.pieces == nil {
				gathered = append(gathered, r.data[r.bounds[b]:r.bounds[b+1]]...)
				continue
			}
			from := len(gathered)
			gathered = slices.Grow(gathered, r.pieces[b].size)[:from+r.pieces[b].size]
			if err := s.file.read(r.pieces[b], gathered[from:]); err != nil {
				return err
			}
		}
		for at := 0; at < len(gathered); at += s.record {
			order = append(order, entry{key: s.key(gathered[at:]), at: at})
		}
		slices.SortFunc(order, func(x, y entry) int {
			if c := cmp.Compare(x.key, y.key); c != 0 {
				return c
			}
			// Two rows with one hash: rare, and settled by what they hold.
			return bytes.Compare(gathered[x.at:x.at+s.record], gathered[y.at:y.at+s.record])
		})
		for _, e := range order {
			if err := yield(gathered[e.at : e.at+s.record]); err != nil {
				return err
			}
		}
	}
	return nil
}

// close gives back memory and disk.
func (s *shuffler) close() {
	s.memory.give(s.taken)
	s.taken, s.runs, s.filling = 0, nil, nil
	s.file.close()
	s.file = nil
}
