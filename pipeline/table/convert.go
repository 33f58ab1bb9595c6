package table

import (
	"fmt"
	"math"
	"math/big"
	"math/bits"
	"strconv"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/decimal128"
	"github.com/apache/arrow/go/v15/arrow/decimal256"
	"github.com/apache/arrow/go/v15/arrow/float16"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// conversion yields the canonical form of an array, shared or in memory of mem.
// A value without one is a *badValue.
type conversion func(mem memory.Allocator, a arrow.Array) (arrow.Array, error)

// canonical returns the canonical type that carries values of t, and how they get
// there; "" where none does.
func canonical(t arrow.DataType) (Type, conversion) {
	switch t := t.(type) {
	case *arrow.Int8Type:
		return Int64, widen[int8](Int64, arrow.Int64Traits)
	case *arrow.Int16Type:
		return Int64, widen[int16](Int64, arrow.Int64Traits)
	case *arrow.Int32Type:
		return Int64, widen[int32](Int64, arrow.Int64Traits)
	case *arrow.Int64Type:
		return Int64, share
	case *arrow.Uint8Type:
		return Int64, widen[uint8](Int64, arrow.Int64Traits)
	case *arrow.Uint16Type:
		return Int64, widen[uint16](Int64, arrow.Int64Traits)
	case *arrow.Uint32Type:
		return Int64, widen[uint32](Int64, arrow.Int64Traits)
	case *arrow.Uint64Type:
		return Int64, fromUint64
	case *arrow.Time32Type:
		return Int64, scaled[arrow.Time32](Int64, microseconds(t.Unit))
	case *arrow.Time64Type:
		return Int64, scaled[arrow.Time64](Int64, microseconds(t.Unit))
	case *arrow.Date32Type:
		return Timestamp, scaled[arrow.Date32](Timestamp, ratio{mul: 24 * 3600 * 1e6, div: 1})
	case *arrow.Date64Type:
		return Timestamp, scaled[arrow.Date64](Timestamp, microseconds(arrow.Millisecond))
	case *arrow.TimestampType:
		if t.Unit == arrow.Microsecond {
			return Timestamp, relabel
		}
		return Timestamp, scaled[arrow.Timestamp](Timestamp, microseconds(t.Unit))
	case *arrow.Float16Type:
		return Float64, fromFloat16
	case *arrow.Float32Type:
		return Float64, widen[float32](Float64, arrow.Float64Traits)
	case *arrow.Float64Type:
		return Float64, share
	case *arrow.Decimal128Type:
		return Float64, fromDecimal128
	case *arrow.Decimal256Type:
		return Float64, fromDecimal256
	case *arrow.StringType, *arrow.LargeStringType:
		return String, fromText
	case *arrow.DictionaryType:
		if of, _ := canonical(t.ValueType); of == String {
			return String, fromDictionary
		}
	case *arrow.BooleanType:
		return Bool, share
	case *arrow.ListType:
		of, convert := canonical(t.Elem())
		if list := ListOf(of); list != "" {
			return list, convertLists(list, convert)
		}
	}
	return "", nil
}

// nulls converts to a column of type t without a value.
func nulls(t Type) conversion {
	return func(mem memory.Allocator, a arrow.Array) (arrow.Array, error) {
		return array.MakeArrayOfNull(mem, t.ArrowType(), a.Len()), nil
	}
}

func share(_ memory.Allocator, a arrow.Array) (arrow.Array, error) {
	a.Retain()
	return a, nil
}

// Values returns the values of a fixed-width array, those under nulls too; T may be
// another type of the same width.
func Values[T arrow.FixedWidthType](a arrow.Array) []T {
	data := a.Data()
	if data.Len() == 0 {
		return nil
	}
	return arrow.GetValues[T](data, 1)
}

// like returns the column of type t that has values in place of those of a, and
// the nulls of a. It takes over the buffer.
func like(mem memory.Allocator, t Type, a arrow.Array, values *memory.Buffer) arrow.Array {
	var valid Mask
	if a.NullN() > 0 {
		valid = Valid(a)
	}
	return NewColumn(mem, t, a.Len(), values, valid)
}

// widen converts to a type that has all values of the natural one.
func widen[S int8 | int16 | int32 | uint8 | uint16 | uint32 | float32, D int64 | float64](t Type, traits Traits[D]) conversion {
	return func(mem memory.Allocator, a arrow.Array) (arrow.Array, error) {
		buf, out := Alloc(mem, a.Len(), traits)
		for i, v := range Values[S](a) {
			out[i] = D(v)
		}
		return like(mem, t, a, buf), nil
	}
}

// nearest converts values to the float64 that f has for them.
func nearest[S any](mem memory.Allocator, a arrow.Array, values []S, f func(S) float64) (arrow.Array, error) {
	buf, out := Alloc(mem, a.Len(), arrow.Float64Traits)
	for i, v := range values {
		out[i] = f(v)
	}
	return like(mem, Float64, a, buf), nil
}

func fromUint64(mem memory.Allocator, a arrow.Array) (arrow.Array, error) {
	buf, out := Alloc(mem, a.Len(), arrow.Int64Traits)
	var seen uint64
	values := Values[uint64](a)
	for i, v := range values {
		out[i] = int64(v)
		seen |= v
	}
	if seen > math.MaxInt64 {
		for i, v := range values {
			if v > math.MaxInt64 && a.IsValid(i) {
				buf.Release()
				return nil, &badValue{row: i, what: fmt.Sprintf("is %d, past the largest int64", v)}
			}
		}
	}
	return like(mem, Int64, a, buf), nil
}

// exactly converts what is Int64 by another conversion to the same values as Float64.
func exactly(toInt64 conversion) conversion {
	return func(mem memory.Allocator, a arrow.Array) (arrow.Array, error) {
		whole, err := toInt64(mem, a)
		if err != nil {
			return nil, err
		}
		defer whole.Release()
		buf, out := Alloc(mem, a.Len(), arrow.Float64Traits)
		for i, v := range Values[int64](whole) {
			out[i] = float64(v)
			if (out[i] >= 1<<63 || int64(out[i]) != v) && whole.IsValid(i) {
				buf.Release()
				return nil, &badValue{row: i, what: fmt.Sprintf("is %d, which is no float64: other objects have numbers in this column, so that integers must be exact as such", v)}
			}
		}
		return like(mem, Float64, whole, buf), nil
	}
}

// ratio is the step from one unit to another: times mul, or divided by div
// toward negative infinity; one of them is 1.
type ratio struct{ mul, div int64 }

func microseconds(from arrow.TimeUnit) ratio {
	switch from {
	case arrow.Second:
		return ratio{1e6, 1}
	case arrow.Millisecond:
		return ratio{1e3, 1}
	case arrow.Nanosecond:
		return ratio{1, 1e3}
	}
	return ratio{1, 1}
}

// scaled converts counts of one unit of time to microseconds.
func scaled[T arrow.Date32 | arrow.Date64 | arrow.Time32 | arrow.Time64 | arrow.Timestamp](t Type, r ratio) conversion {
	return func(mem memory.Allocator, a arrow.Array) (arrow.Array, error) {
		buf, out := Alloc(mem, a.Len(), arrow.Int64Traits)
		limit := math.MaxInt64 / r.mul
		for i, v := range Values[T](a) {
			v := int64(v)
			if (v > limit || v < -limit) && a.IsValid(i) {
				buf.Release()
				return nil, &badValue{row: i, what: "lies past the years that microseconds can count"}
			}
			out[i] = FloorDiv(v*r.mul, r.div)
		}
		return like(mem, t, a, buf), nil
	}
}

// FloorDiv is v / by rounded toward negative infinity, for by > 0.
func FloorDiv(v, by int64) int64 {
	q := v / by
	return q + (v-q*by)>>63
}

// relabel reads the same microseconds as timestamps in UTC.
func relabel(_ memory.Allocator, a arrow.Array) (arrow.Array, error) {
	if arrow.TypeEqual(a.DataType(), arrow.FixedWidthTypes.Timestamp_us) {
		a.Retain()
		return a, nil
	}
	from := a.Data()
	data := array.NewData(arrow.FixedWidthTypes.Timestamp_us, from.Len(), from.Buffers(), nil, a.NullN(), from.Offset())
	defer data.Release()
	return array.NewTimestampData(data), nil
}

func fromFloat16(mem memory.Allocator, a arrow.Array) (arrow.Array, error) {
	return nearest(mem, a, a.(*array.Float16).Values(), func(v float16.Num) float64 { return float64(v.Float32()) })
}

func fromDecimal128(mem memory.Allocator, a arrow.Array) (arrow.Array, error) {
	scale := a.DataType().(*arrow.Decimal128Type).Scale
	return nearest(mem, a, a.(*array.Decimal128).Values(), func(v decimal128.Num) float64 {
		if low := int64(v.LowBits()); low>>63 == v.HighBits() {
			return decimal(low, scale)
		}
		return decimalText(v.BigInt().String(), scale)
	})
}

func fromDecimal256(mem memory.Allocator, a arrow.Array) (arrow.Array, error) {
	scale := a.DataType().(*arrow.Decimal256Type).Scale
	return nearest(mem, a, a.(*array.Decimal256).Values(), func(v decimal256.Num) float64 {
		return decimalText(v.BigInt().String(), scale)
	})
}

// decimal returns the float64 nearest to unscaled / 10^scale. Both are exact
// up to 2^53 and 10^22, and then so is the one rounding of their quotient.
func decimal(unscaled int64, scale int32) float64 {
	const exactBits, exactPower = 53, 22
	if scale >= 0 && scale <= exactPower && bits.Len64(uint64(max(unscaled, -unscaled))) <= exactBits {
		return float64(unscaled) / powersOf10[scale]
	}
	return decimalText(strconv.FormatInt(unscaled, 10), scale)
}

var powersOf10 = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
	1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// maxDecimalBytes are those of the largest decimals that Parquet and Arrow have.
const maxDecimalBytes = 32

// Decimal returns the float64 nearest to unscaled / 10^scale, of a whole number in
// two's complement, the highest byte first. ok is false where there are no bytes,
// more than Parquet's decimals have, or no finite number.
func Decimal(unscaled []byte, scale int) (v float64, ok bool) {
	if n := len(unscaled); n == 0 || n > maxDecimalBytes || scale < 0 || scale > 1<<20 {
		return 0, false
	}
	if len(unscaled) <= 8 {
		low := int64(int8(unscaled[0]))
		for _, b := range unscaled[1:] {
			low = low<<8 | int64(b)
		}
		return decimal(low, int32(scale)), true
	}
	n := new(big.Int).SetBytes(unscaled)
	if unscaled[0] >= 0x80 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(unscaled))))
	}
	v = decimalText(n.String(), int32(scale))
	return v, !math.IsInf(v, 0)
}

// decimalText does the same for any number of digits. Out of range it is an
// infinity, as ParseFloat says.
func decimalText(unscaled string, scale int32) float64 {
	v, _ := strconv.ParseFloat(unscaled+"e"+strconv.Itoa(-int(scale)), 64)
	return v
}
