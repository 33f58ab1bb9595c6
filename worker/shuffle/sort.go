package shuffle

import (
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"math/bits"
	"slices"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/disk"
)

// Sorter sorts records in bounded memory: what there is no room for goes to a file, in runs
// that are merged at the end. It is for one goroutine.
type Sorter struct {
	// Texts bounds the bytes of different texts among values. Default MaxTextBytes.
	Texts int

	dir   string
	room  int // records in memory, of twice as many places
	rows  []Record
	other []Record // as long as rows, once they are sorted
	file  *disk.Temp
	runs  []run
	size  int64 // of the file
	bytes []byte
	texts texts // that values of records number
}

// run is a stretch of the file that is sorted, from and to which it is read.
type run struct{ at, end int64 }

const (
	// blockRows are the records of a block of the file, which has a checksum.
	blockRows  = 1 << 11
	sumBytes   = 4
	blockBytes = blockRows*RecordBytes + sumBytes
	// minRoom is what a Sorter holds whatever it is told.
	minRoom = 1 << 6
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// NewSorter returns a Sorter that holds at most so many bytes, beside a block of the file
// for each of its runs, and writes into a directory.
func NewSorter(dir string, memory int64) *Sorter {
	return &Sorter{Texts: MaxTextBytes, dir: dir, room: int(max(minRoom, memory/(2*RecordBytes)))}
}

// Add takes a record.
func (s *Sorter) Add(r Record) error {
	if len(s.rows) == s.room {
		if err := s.spill(); err != nil {
			return err
		}
	}
	s.rows = append(s.rows, r)
	return nil
}

// Spilled reports whether records are on disk.
func (s *Sorter) Spilled() bool { return len(s.runs) > 0 }

// Sorted yields all records in their order, once.
func (s *Sorter) Sorted(ctx context.Context) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		if len(s.runs) > 0 {
			s.merge(ctx, yield)
			return
		}
		s.sort()
		for i, r := range s.rows {
			if i%blockRows == 0 && ctx.Err() != nil {
				yield(r, ctx.Err())
				return
			}
			if !yield(r, nil) {
				return
			}
		}
	}
}

// Close gives disk and memory back.
func (s *Sorter) Close() {
	if s.file != nil {
		_ = s.file.Close() // nobody reads it any more
	}
	s.file, s.rows, s.other, s.bytes = nil, nil, nil, nil
}

// sort sorts the records in memory: first into buckets of the leading bits in which keys
// differ, then each bucket.
func (s *Sorter) sort() {
	rows := s.rows
	const few, perBucket, maxBuckets = 64, 4, 1 << 16
	if len(rows) < few {
		slices.SortFunc(rows, compare)
		return
	}
	least, most := rows[0].Key[0], rows[0].Key[0]
	for i := range rows {
		least, most = min(least, rows[i].Key[0]), max(most, rows[i].Key[0])
	}
	shift := max(0, bits.Len64(most-least)-bits.Len(uint(min(maxBuckets, len(rows)/perBucket)))+1)
	ends := make([]int, (most-least)>>shift+2)
	for i := range rows {
		ends[(rows[i].Key[0]-least)>>shift+1]++
	}
	for i := 1; i < len(ends); i++ {
		ends[i] += ends[i-1]
	}
	if cap(s.other) < len(rows) {
		s.other = make([]Record, cap(rows))
	}
	out := s.other[:len(rows)]
	for i := range rows {
		b := (rows[i].Key[0] - least) >> shift
		out[ends[b]] = rows[i]
		ends[b]++
	}
	from := 0
	for _, to := range ends[:len(ends)-1] {
		sortFew(out[from:to])
		from = to
	}
	s.rows, s.other = out, rows
}

// sortFew sorts a bucket.
func sortFew(rows []Record) {
	const most = 24
	if len(rows) > most {
		slices.SortFunc(rows, compare)
		return
	}
	for i := 1; i < len(rows); i++ {
		r, k := rows[i], i
		for ; k > 0 && compare(rows[k-1], r) > 0; k-- {
			rows[k] = rows[k-1]
		}
		rows[k] = r
	}
}

// spill writes the records in memory as a run.
func (s *Sorter) spill() (err error) {
	s.sort()
	if s.file == nil {
		if s.file, err = disk.NewTemp(opShuffle, s.dir, "thalweg-shuffle-*"); err != nil {
			return err
		}
	}
	from := s.size
	for rows := range slices.Chunk(s.rows, blockRows) {
		s.bytes = s.bytes[:0]
		for _, r := range rows {
			s.bytes = Append(s.bytes, r)
		}
		sum := crc32.Checksum(s.bytes, castagnoli)
		s.bytes = append(s.bytes, byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24))
		if _, err := s.file.WriteAt(s.bytes, s.size); err != nil {
			return err
		}
		s.size += int64(len(s.bytes))
	}
	s.runs = append(s.runs, run{from, s.size})
	s.rows = s.rows[:0]
	return nil
}

// read reads the next block of a run, io.EOF after its last.
func (s *Sorter) read(r *run, rows []Record) ([]Record, error) {
	n := min(blockBytes, r.end-r.at)
	if n <= sumBytes {
		return nil, io.EOF
	}
	s.bytes = slices.Grow(s.bytes[:0], blockBytes)[:n]
	if _, err := s.file.ReadAt(s.bytes, r.at); err != nil {
		return nil, &thalweg.Error{Op: opShuffle, Kind: thalweg.Unavailable, Subject: "spill file " + s.file.Name(), Err: err}
	}
	body, tail := s.bytes[:n-sumBytes], s.bytes[n-sumBytes:]
	if sum := crc32.Checksum(body, castagnoli); sum != uint32(tail[0])|uint32(tail[1])<<8|uint32(tail[2])<<16|uint32(tail[3])<<24 {
		return nil, &thalweg.Error{Op: opShuffle, Kind: thalweg.Corrupt, Subject: fmt.Sprintf("spill file %s at offset %d", s.file.Name(), r.at), Hint: "the worker's disk returns other bytes than were written"}
	}
	r.at += n
	for rows = rows[:0]; len(body) > 0; body = body[RecordBytes:] {
		rows = append(rows, decode(body))
	}
	return rows, nil
}

// merge yields the records of all runs.
func (s *Sorter) merge(ctx context.Context, yield func(Record, error) bool) {
	err := error(nil)
	if len(s.rows) > 0 {
		err = s.spill()
	}
	s.rows, s.other = nil, nil
	type head struct {
		run
		rows, buf []Record
	}
	// heads are a heap by their first record.
	heads := make([]*head, 0, len(s.runs))
	for _, r := range s.runs {
		h := &head{run: r}
		if err == nil {
			h.rows, err = s.read(&h.run, make([]Record, 0, blockRows))
		}
		h.buf, heads = h.rows, append(heads, h)
	}
	if err != nil {
		yield(Record{}, err)
		return
	}
	down := func(i int) {
		for {
			least := i
			for c := 2*i + 1; c <= 2*i+2 && c < len(heads); c++ {
				if compare(heads[c].rows[0], heads[least].rows[0]) < 0 {
					least = c
				}
			}
			if least == i {
				return
			}
			heads[i], heads[least] = heads[least], heads[i]
			i = least
		}
	}
	for i := len(heads) - 1; i >= 0; i-- {
		down(i)
	}
	for len(heads) > 0 {
		h := heads[0]
		if !yield(h.rows[0], nil) {
			return
		}
		if h.rows = h.rows[1:]; len(h.rows) == 0 {
			h.rows, err = s.read(&h.run, h.buf)
			if err == nil {
				err = ctx.Err()
			}
			switch {
			case err == io.EOF:
				heads[0] = heads[len(heads)-1]
				heads = heads[:len(heads)-1]
			case err != nil:
				yield(Record{}, err)
				return
			}
		}
		if len(heads) > 0 {
			down(0)
		}
	}
}
