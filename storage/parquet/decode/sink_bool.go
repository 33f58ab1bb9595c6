package decode

import (
	"errors"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/bitutil"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/parquet-go/parquet-go/format"

	"github.com/thalweg/thalweg/storage/parquet/encoding"
)

// boolSink builds arrays of booleans.
type boolSink struct {
	mem     memory.Allocator
	dec     encoding.Bits
	rows    encoding.Bitmap // of the batch
	present encoding.Bitmap // the last values appended, until they are spread
	pending bool
}

func (s *boolSink) reset()                                 {}
func (s *boolSink) dictionary([]byte, int) error           { return errNoDictionaries }
func (s *boolSink) indexed(*encoding.Hybrid, int) error    { return errNoDictionaries }
func (s *boolSink) page(e format.Encoding, d []byte) error { return s.dec.Reset(e, d) }

func (s *boolSink) begin(int) {
	s.rows.Reset()
	s.pending = false
}

// settle appends values that had no nulls among them.
func (s *boolSink) settle() {
	if !s.pending {
		return
	}
	s.pending = false
	if s.present.Zeros() == 0 {
		s.rows.Repeat(true, s.present.Len())
		return
	}
	s.rows.Copy(s.present.Bits(), 0, s.present.Len())
}

func (s *boolSink) plain(n int) error {
	s.settle()
	s.present.Reset()
	s.pending = true
	return s.dec.Read(&s.present, n)
}

func (s *boolSink) spread(valid *encoding.Bitmap, from, rows, present int) {
	if present == 0 {
		s.settle()
		s.rows.Repeat(false, rows)
		return
	}
	s.pending = false
	allOnes := s.present.Zeros() == 0
	next := 0
	for i := range rows {
		v := false
		if valid.Get(from + i) {
			v = allOnes || s.present.Get(next)
			next++
		}
		s.rows.Repeat(v, 1)
	}
}

func (s *boolSink) finish(valid *encoding.Bitmap) arrow.Array {
	s.settle()
	buf := memory.NewResizableBuffer(s.mem)
	buf.Resize((s.rows.Len() + 7) / 8)
	if s.rows.Zeros() == 0 {
		bitutil.SetBitsTo(buf.Bytes(), 0, int64(s.rows.Len()), true)
	} else {
		copy(buf.Bytes(), s.rows.Bits())
	}
	return newArray(s.mem, arrow.FixedWidthTypes.Boolean, s.rows.Len(), valid, buf, nil)
}

func (s *boolSink) discard() {}

var errNoDictionaries = errors.New("a dictionary of booleans")
