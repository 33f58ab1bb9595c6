package decode

import (
	"errors"
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/parquet-go/parquet-go/format"

	"github.com/thalweg/thalweg/storage/parquet/encoding"
	"github.com/thalweg/thalweg/storage/parquet/metadata"
)

// source decodes values of fixed width in their Arrow form.
type source interface {
	// begin forgets the chunk before.
	begin()
	reset(enc format.Encoding, data []byte) error
	// read decodes n values into dst.
	read(dst []byte, n int) error
	// fits reports whether so many PLAIN values can lie in so many bytes.
	fits(values, bytes int) bool
}

// fixedSink builds arrays of values of one width.
type fixedSink struct {
	dtype arrow.DataType
	mem   memory.Allocator
	width int // bytes of a value in the array
	src   source

	dict    []byte // the chunk's entries, in the form of the array
	entries int

	buf *memory.Buffer // of the batch
	n   int            // rows in it
	idx [stepRows]uint32
}

func newFixedSink(n *metadata.Node, t arrow.DataType, mem memory.Allocator) *fixedSink {
	s := &fixedSink{dtype: t, mem: mem}
	if n.Physical == format.ByteArray {
		s.width = t.(arrow.FixedWidthDataType).BitWidth() / 8
		s.src = &decimalSource{width: s.width}
		return s
	}
	conv, w := converter(n, t)
	s.width = w
	s.src = &fixedSource{physical: n.Physical, in: width(n), out: w, conv: conv}
	return s
}

func (s *fixedSink) reset() {
	s.entries = 0
	s.src.begin()
}

func (s *fixedSink) dictionary(data []byte, entries int) error {
	if !s.src.fits(entries, len(data)) {
		return fmt.Errorf("%d entries in %d bytes", entries, len(data))
	}
	if err := s.src.reset(format.Plain, data); err != nil {
		return err
	}
	if size := entries * s.width; cap(s.dict) < size {
		s.dict = make([]byte, size)
	} else {
		s.dict = s.dict[:size]
	}
	s.entries = entries
	return s.src.read(s.dict, entries)
}

func (s *fixedSink) page(enc format.Encoding, data []byte) error { return s.src.reset(enc, data) }

func (s *fixedSink) begin(rows int) {
	release(s.buf)
	s.buf, s.n = memory.NewResizableBuffer(s.mem), 0
	s.buf.Resize(rows * s.width)
}

// room returns the memory of the next n values.
func (s *fixedSink) room(n int) []byte {
	from := s.n * s.width
	s.n += n
	return s.buf.Bytes()[from : from+n*s.width]
}

func (s *fixedSink) plain(n int) error { return s.src.read(s.room(n), n) }

func (s *fixedSink) indexed(indices *encoding.Hybrid, n int) error {
	dst := s.room(n)
	for n > 0 {
		idx := s.idx[:min(n, stepRows)]
		if err := indices.Read(idx); err != nil {
			return err
		}
		if !gather(dst, s.dict[:s.entries*s.width], idx, s.width) {
			return errDictIndex
		}
		dst = dst[len(idx)*s.width:]
		n -= len(idx)
	}
	return nil
}

// gather sets value i of dst to value idx[i] of dict. It reports whether all
// indices were in range.
func gather(dst, dict []byte, idx []uint32, width int) bool {
	switch width {
	case 4:
		return gatherWords(encoding.Words[uint32](dst), encoding.Words[uint32](dict), idx)
	case 8:
		return gatherWords(encoding.Words[uint64](dst), encoding.Words[uint64](dict), idx)
	}
	entries := len(dict) / width
	for i, j := range idx {
		if int(j) >= entries {
			return false
		}
		copy(dst[i*width:(i+1)*width], dict[int(j)*width:])
	}
	return true
}

func gatherWords[T uint32 | uint64](dst, dict []T, idx []uint32) bool {
	dst = dst[:len(idx)]
	for i, j := range idx {
		if int(j) >= len(dict) {
			return false
		}
		dst[i] = dict[j]
	}
	return true
}

func (s *fixedSink) spread(valid *encoding.Bitmap, from, rows, present int) {
	s.n -= present
	spread(s.room(rows), s.width, valid, from, rows, present)
}

func (s *fixedSink) finish(valid *encoding.Bitmap) arrow.Array {
	bits, nulls := validity(valid, s.mem)
	data := array.NewData(s.dtype, s.n, []*memory.Buffer{bits, s.buf}, nil, nulls, 0)
	release(bits)
	s.buf.Release()
	s.buf = nil
	defer data.Release()
	return array.MakeFromData(data)
}

func (s *fixedSink) discard() {
	release(s.buf)
	s.buf = nil
}

// fixedSource decodes values that are stored in fixed width.
type fixedSource struct {
	physical format.Type
	in, out  int
	conv     convert // nil if stored as in the array
	dec      encoding.Fixed
	stored   []byte
}

func (s *fixedSource) reset(enc format.Encoding, data []byte) error {
	return s.dec.Reset(enc, s.physical, s.in, data)
}

func (s *fixedSource) begin() { s.dec.Begin() }

func (s *fixedSource) fits(values, bytes int) bool { return values <= bytes/s.in }

func (s *fixedSource) read(dst []byte, n int) error {
	if s.conv == nil {
		return s.dec.Read(dst, n)
	}
	if s.stored == nil {
		s.stored = make([]byte, stepRows*s.in)
	}
	for n > 0 {
		m := min(n, stepRows)
		stored := s.stored[:m*s.in]
		if err := s.dec.Read(stored, m); err != nil {
			return err
		}
		if err := s.conv(dst[:m*s.out], stored); err != nil {
			return err
		}
		dst = dst[m*s.out:]
		n -= m
	}
	return nil
}

// decimalSource decodes decimals that are stored as big-endian byte arrays.
type decimalSource struct {
	width int
	dec   encoding.Bytes
	data  []byte
	ends  [stepRows]int32
}

func (s *decimalSource) reset(enc format.Encoding, data []byte) error {
	return s.dec.Reset(enc, data)
}

func (s *decimalSource) begin() { s.dec.Begin() }

func (s *decimalSource) fits(values, bytes int) bool { return values <= bytes/4 }

func (s *decimalSource) read(dst []byte, n int) error {
	for n > 0 {
		m := min(n, stepRows)
		var err error
		if s.data, err = s.dec.Append(m, s.data[:0], s.ends[:m], maxBatchBytes); err != nil {
			return err
		}
		start := int32(0)
		for i, end := range s.ends[:m] {
			if err := bigEndian(dst[i*s.width:(i+1)*s.width], s.data[start:end]); err != nil {
				return err
			}
			start = end
		}
		dst = dst[m*s.width:]
		n -= m
	}
	return nil
}

var errNoDictionaries = errors.New("a dictionary of booleans")
