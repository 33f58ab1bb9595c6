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
	present encoding.Bitmap // values being spread
}

func (s *boolSink) reset()                                 {}
func (s *boolSink) dictionary([]byte, int) error           { return errNoDictionaries }
func (s *boolSink) indexed(*encoding.Hybrid, int) error    { return errNoDictionaries }
func (s *boolSink) page(e format.Encoding, d []byte) error { return s.dec.Reset(e, d) }

func (s *boolSink) begin(int)         { s.rows.Reset() }
func (s *boolSink) plain(n int) error { return s.dec.Read(&s.rows, n) }

func (s *boolSink) spread(valid *encoding.Bitmap, from, rows, present int) {
	s.present.Reset()
	s.rows.MoveLast(present, &s.present)
	next := 0
	for i := range rows {
		v := valid.Get(from + i)
		if v {
			v = s.present.Zeros() == 0 || s.present.Get(next)
			next++
		}
		s.rows.Repeat(v, 1)
	}
}

func (s *boolSink) finish(valid *encoding.Bitmap) arrow.Array {
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
