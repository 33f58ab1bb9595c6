package encode

import (
	"unsafe"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg/storage/parquet/encoding"
)

// number is what Arrow keeps integers, timestamps and floating-point numbers in.
type number interface {
	int32 | int64 | float32 | float64
}

// numbers gathers numbers, in the form that both Arrow and PLAIN have.
type numbers[T number] struct{ v []T }

func (s *numbers[T]) append(a arrow.Array, from, to int, rows present) error {
	if from == to {
		return nil // an empty array may have no memory
	}
	v := encoding.Words[T](a.Data().Buffers()[1].Bytes())[a.Data().Offset():]
	s.v = reserve(s.v, to-from)
	for from, to := range rows.runs(from, to) {
		s.v = append(s.v, v[from:to]...)
	}
	return nil
}

func (s *numbers[T]) size() int { return 0 }

func (s *numbers[T]) reset() { s.v = s.v[:0] }

// appendPlain appends values as PLAIN has them: little-endian, like the machine.
func appendPlain[T number](dst []byte, v ...T) []byte {
	return append(dst, unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), len(v)*int(unsafe.Sizeof(T(0))))...)
}
