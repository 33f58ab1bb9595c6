package decode

import (
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/parquet-go/parquet-go/format"

	"github.com/thalweg/thalweg/storage/parquet/encoding"
	"github.com/thalweg/thalweg/storage/parquet/metadata"
)

// source decodes values of fixed width in their Arrow form: an encoding.Fixed
// where they are stored so.
type source interface {
	// Begin forgets the chunk before.
	Begin()
	Reset(enc format.Encoding, data []byte) error
	// Read decodes n values into dst.
	Read(dst []byte, n int) error
	// Fits reports whether so many PLAIN values can lie in so many bytes.
	Fits(values, bytes int) bool
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
	s := &fixedSink{dtype: t, mem: mem, width: t.(arrow.FixedWidthDataType).BitWidth() / 8}
	if n.Physical == format.ByteArray {
		s.src = &decimalSource{width: s.width}
		return s
	}
	fixed := fixedOf(n)
	if s.src = &fixed; converter(n, t) != nil {
		s.src = &convertedSource{Fixed: fixed, out: s.width, conv: converter(n, t)}
	}
	return s
}

// fixedOf returns the decoder of a leaf of fixed width.
func fixedOf(n *metadata.Node) encoding.Fixed {
	return encoding.Fixed{Physical: n.Physical, Width: width(n)}
}

func (s *fixedSink) reset() {
	s.entries = 0
	s.src.Begin()
}

func (s *fixedSink) dictionary(data []byte, entries int) error {
	if !s.src.Fits(entries, len(data)) {
		return fmt.Errorf("%d entries in %d bytes", entries, len(data))
	}
	if err := s.src.Reset(format.Plain, data); err != nil {
		return err
	}
	if size := entries * s.width; cap(s.dict) < size {
		s.dict = make([]byte, size)
	} else {
		s.dict = s.dict[:size]
	}
	s.entries = entries
	return s.src.Read(s.dict, entries)
}

func (s *fixedSink) page(enc format.Encoding, data []byte) error { return s.src.Reset(enc, data) }

func (s *fixedSink) begin(rows int) {
	release(s.buf)
	s.buf, s.n = memory.NewResizableBuffer(s.mem), 0
	s.buf.Resize(rows * s.width)
}

// room returns the memory of the next n values.
func (s *fixedSink) room(n int) []byte {
	from := s.n * s.width
	s.n += n
	if size := s.n * s.width; size > s.buf.Len() { // elements of lists
		s.buf.Resize(max(size, 2*s.buf.Len()))
	}
	return s.buf.Bytes()[from : from+n*s.width]
}

func (s *fixedSink) plain(n int) error { return s.src.Read(s.room(n), n) }

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
	a := newArray(s.mem, s.dtype, s.n, valid, s.buf, nil)
	s.buf = nil
	return a
}

func (s *fixedSink) discard() {
	release(s.buf)
	s.buf = nil
}

// convertedSource decodes values that are stored in another form of fixed width.
type convertedSource struct {
	encoding.Fixed
	out    int // bytes of a value in the array
	conv   convert
	stored []byte
}

func (s *convertedSource) Read(dst []byte, n int) error {
	if s.stored == nil {
		s.stored = make([]byte, stepRows*s.Width)
	}
	for n > 0 {
		m := min(n, stepRows)
		stored := s.stored[:m*s.Width]
		if err := s.Fixed.Read(stored, m); err != nil {
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
	encoding.Bytes
	width int
	data  []byte
	ends  [stepRows]int32
}

func (s *decimalSource) Read(dst []byte, n int) error {
	for n > 0 {
		m := min(n, stepRows)
		var err error
		if s.data, err = s.Append(m, s.data[:0], s.ends[:m], maxBatchBytes); err != nil {
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
