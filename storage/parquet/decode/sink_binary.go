package decode

import (
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/storage/parquet/encoding"
	"github.com/thalweg/thalweg/storage/parquet/metadata"
)

// binarySink builds arrays of byte strings that are not text.
type binarySink struct {
	mem memory.Allocator
	dec encoding.Bytes

	dict     []byte // the chunk's entries, one after the other
	dictEnds []int32

	data []byte // of the batch
	buf  *memory.Buffer
	ends []int32 // in buf, after its leading zero
	n    int
	idx  [stepRows]uint32
}

func (s *binarySink) reset() {
	s.dictEnds = s.dictEnds[:0]
	s.dec.Begin()
}

func (s *binarySink) dictionary(data []byte, entries int) error {
	if entries > len(data)/4 {
		return fmt.Errorf("%d entries in %d bytes", entries, len(data))
	}
	if err := s.dec.Reset(metadata.Plain, data); err != nil {
		return err
	}
	ends := make([]int32, entries)
	dict, err := s.dec.Append(entries, s.dict[:0], ends, maxBatchBytes)
	if err != nil {
		return err
	}
	s.dict, s.dictEnds = dict, ends
	return nil
}

func (s *binarySink) page(e metadata.Encoding, d []byte) error { return s.dec.Reset(e, d) }

func (s *binarySink) begin(rows int) {
	release(s.buf)
	s.buf = memory.NewResizableBuffer(s.mem)
	s.buf.Resize(4 * (rows + 1))
	s.n, s.data = 0, s.data[:0]
	encoding.Words[int32](s.buf.Bytes())[0] = 0
	s.grow(rows)
}

// grow makes room for n more values.
func (s *binarySink) grow(n int) {
	ensure(s.buf, 4*(s.n+n+1))
	s.ends = encoding.Words[int32](s.buf.Bytes())[1:]
}

func (s *binarySink) plain(n int) error {
	s.grow(n)
	data, err := s.dec.Append(n, s.data, s.ends[s.n:s.n+n], maxBatchBytes)
	if err != nil {
		return err
	}
	s.data = data
	s.n += n
	return nil
}

func (s *binarySink) indexed(indices *encoding.Hybrid, n int) error {
	s.grow(n)
	for n > 0 {
		idx := s.idx[:min(n, stepRows)]
		if err := indices.Read(idx); err != nil {
			return err
		}
		for _, j := range idx {
			if int(j) >= len(s.dictEnds) {
				return errDictIndex
			}
			start := int32(0)
			if j > 0 {
				start = s.dictEnds[j-1]
			}
			v := s.dict[start:s.dictEnds[j]]
			if len(v) > maxBatchBytes-len(s.data) {
				return encoding.ErrTooLarge
			}
			s.data = append(s.data, v...)
			s.ends[s.n] = int32(len(s.data))
			s.n++
		}
		n -= len(idx)
	}
	return nil
}

func (s *binarySink) spread(valid *encoding.Bitmap, from, rows, present int) {
	s.n -= present
	s.grow(rows)
	base := int32(0)
	if s.n > 0 {
		base = s.ends[s.n-1]
	}
	spreadEnds(s.ends[s.n:s.n+rows], base, valid, from, rows, present)
	s.n += rows
}

func (s *binarySink) finish(valid *encoding.Bitmap) arrow.Array {
	s.buf.Resize(4 * (s.n + 1))
	values := memory.NewResizableBuffer(s.mem)
	values.Resize(len(s.data))
	copy(values.Bytes(), s.data)
	bits, nulls := validity(valid, s.mem)
	data := array.NewData(arrow.BinaryTypes.Binary, s.n, []*memory.Buffer{bits, s.buf, values}, nil, nulls, 0)
	release(bits)
	values.Release()
	s.buf.Release()
	s.buf, s.ends = nil, nil
	defer data.Release()
	return array.NewBinaryData(data)
}

func (s *binarySink) discard() {
	release(s.buf)
	s.buf = nil
}
