package decode

import (
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/parquet-go/parquet-go/format"

	"github.com/thalweg/thalweg/storage/parquet/encoding"
	"github.com/thalweg/thalweg/storage/parquet/intern"
	"github.com/thalweg/thalweg/storage/parquet/metadata"
)

// stringSink builds dictionary arrays of text.
//
// As long as a batch has only indices into the dictionary of its chunk, the
// array has these indices and shares that dictionary. The first value outside
// of it, from a page that is not dictionary-encoded, makes the batch switch to a
// dictionary of its own: the values so far are entered there, and from then on
// every value is looked up in it.
//
// Every index, that of a null too, lies within the dictionary, which therefore
// has at least one entry.
type stringSink struct {
	mem  memory.Allocator
	text textSource

	chunk *array.Data // the chunk's dictionary, nil if it has none
	view  *array.String

	buf      *memory.Buffer // of the batch: indices
	indices  []uint32
	n        int
	own      bool // the batch has a dictionary of its own
	table    intern.Set
	remapped []int32 // by entry of the chunk's dictionary: its entry in table + 1

	scratch []byte
	ends    [stepRows]int32
}

func newStringSink(n *metadata.Node, mem memory.Allocator) *stringSink {
	if n.Physical == format.FixedLenByteArray {
		return &stringSink{mem: mem, text: &uuidText{Fixed: fixedOf(n)}}
	}
	return &stringSink{mem: mem, text: &encoding.Bytes{}}
}

func (s *stringSink) reset() {
	s.text.Begin()
	if s.chunk != nil {
		s.view.Release()
		s.chunk.Release()
		s.chunk, s.view = nil, nil
	}
}

func (s *stringSink) dictionary(data []byte, count int) error {
	if !s.text.Fits(count, len(data)) {
		return fmt.Errorf("%d entries in %d bytes", count, len(data))
	}
	if err := s.text.Reset(format.Plain, data); err != nil {
		return err
	}
	offsets := make([]int32, count+1)
	values, err := s.text.Append(count, s.scratch[:0], offsets[1:], maxBatchBytes)
	if err != nil {
		return err
	}
	s.scratch = values
	s.chunk = s.newStrings(values, offsets)
	s.view = array.NewStringData(s.chunk)
	return nil
}

// newStrings returns an array of strings, made valid UTF-8, in fresh memory.
func (s *stringSink) newStrings(values []byte, offsets []int32) *array.Data {
	values, offsets = validText(values, offsets)
	v, o := memory.NewResizableBuffer(s.mem), memory.NewResizableBuffer(s.mem)
	v.Resize(len(values))
	copy(v.Bytes(), values)
	o.Resize(4 * len(offsets))
	copy(encoding.Words[int32](o.Bytes()), offsets)
	data := array.NewData(arrow.BinaryTypes.String, len(offsets)-1, []*memory.Buffer{nil, o, v}, nil, 0, 0)
	v.Release()
	o.Release()
	return data
}

func (s *stringSink) page(enc format.Encoding, data []byte) error { return s.text.Reset(enc, data) }

func (s *stringSink) begin(rows int) {
	release(s.buf)
	s.buf = memory.NewResizableBuffer(s.mem)
	s.buf.Resize(4 * rows)
	s.indices = encoding.Words[uint32](s.buf.Bytes())
	s.n, s.own = 0, false
}

func (s *stringSink) indexed(indices *encoding.Hybrid, n int) error {
	dst := s.indices[s.n : s.n+n]
	if err := indices.Read(dst); err != nil {
		return err
	}
	if int(highest(dst)) >= s.chunk.Len() {
		return errDictIndex
	}
	if s.own {
		s.move(dst)
	}
	s.n += n
	return nil
}

func (s *stringSink) plain(n int) error {
	if !s.own {
		s.own = true
		s.table.Reset()
		if s.chunk != nil && s.chunk.Len() > 0 {
			s.remapped = append(s.remapped[:0], make([]int32, s.chunk.Len())...)
			s.move(s.indices[:s.n])
		}
	}
	for n > 0 {
		m := min(n, stepRows)
		values, err := s.text.Append(m, s.scratch[:0], s.ends[:m], maxBatchBytes)
		if err != nil {
			return err
		}
		s.scratch = values
		start := int32(0)
		for i, end := range s.ends[:m] {
			s.indices[s.n+i] = uint32(s.table.Index(values[start:end]))
			start = end
		}
		if s.table.Bytes() > maxBatchBytes {
			return encoding.ErrTooLarge
		}
		s.n += m
		n -= m
	}
	return nil
}

// move turns indices into the chunk's dictionary into such of the batch's own.
func (s *stringSink) move(indices []uint32) {
	for i, j := range indices {
		to := s.remapped[j]
		if to == 0 {
			to = int32(s.table.Index([]byte(s.view.Value(int(j))))) + 1
			s.remapped[j] = to
		}
		indices[i] = uint32(to - 1)
	}
}

// highest returns the largest element of s, 0 if there is none. Four maxima at
// a time keep the processor's units busy.
func highest(s []uint32) uint32 {
	var a, b, c, d uint32
	for ; len(s) >= 4; s = s[4:] {
		a, b, c, d = max(a, s[0]), max(b, s[1]), max(c, s[2]), max(d, s[3])
	}
	for _, v := range s {
		a = max(a, v)
	}
	return max(a, b, c, d)
}

func (s *stringSink) spread(valid *encoding.Bitmap, from, rows, present int) {
	s.n -= present
	spread(s.buf.Bytes()[4*s.n:4*(s.n+rows)], 4, valid, from, rows, present)
	s.n += rows
}

func (s *stringSink) finish(valid *encoding.Bitmap) arrow.Array {
	dict := s.chunk
	switch {
	case s.own:
		dict = s.newStrings(s.table.Values())
		defer dict.Release()
	case dict == nil || dict.Len() == 0: // all null
		dict = s.newStrings(nil, []int32{0, 0})
		defer dict.Release()
	}
	a := newArray(s.mem, stringType, s.n, valid, s.buf, dict)
	s.buf, s.indices = nil, nil
	return a
}

func (s *stringSink) discard() {
	release(s.buf)
	s.buf = nil
	s.reset()
}
