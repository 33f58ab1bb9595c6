package encode

import (
	"math"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/parquet-go/parquet-go/format"

	"github.com/thalweg/thalweg/storage/parquet/encoding"
)

// floats writes floating-point numbers as they are.
type floats[T float32 | float64] struct{ numbers[T] }

func (s *floats[T]) plan() (format.Encoding, []byte, int) { return format.Plain, nil, 0 }

func (s *floats[T]) page(dst []byte, from, to int) []byte { return appendPlain(dst, s.v[from:to]...) }

// bounds leaves NaNs out, as the format demands, and gives none if there is
// nothing else. A zero bound counts as the zero of the sign that includes both.
func (s *floats[T]) bounds() (least, greatest []byte) {
	lo, hi := T(math.Inf(1)), T(math.Inf(-1))
	for _, v := range s.v {
		if v < lo {
			lo = v
		}
		if v > hi {
			hi = v
		}
	}
	if lo > hi {
		return nil, nil
	}
	if lo == 0 {
		lo = T(math.Copysign(0, -1))
	}
	if hi == 0 {
		hi = 0
	}
	return appendPlain(nil, lo), appendPlain(nil, hi)
}

// bools writes booleans, a bit each.
type bools struct{ v encoding.Bitmap }

func (s *bools) append(a arrow.Array, from, to int, rows present) error {
	data := a.Data()
	for from, to := range rows.runs(from, to) {
		s.v.Copy(data.Buffers()[1].Bytes(), data.Offset()+from, to-from)
	}
	return nil
}

func (s *bools) size() int { return 0 }

func (s *bools) plan() (format.Encoding, []byte, int) { return format.Plain, nil, 0 }

func (s *bools) page(dst []byte, from, to int) []byte {
	return appendBits(dst, &s.v, from, to)
}

func (s *bools) bounds() (least, greatest []byte) {
	least, greatest = []byte{1}, []byte{0}
	if s.v.Zeros() > 0 {
		least[0] = 0
	}
	if s.v.Zeros() < s.v.Len() {
		greatest[0] = 1
	}
	return least, greatest
}

func (s *bools) reset() { s.v.Reset() }
