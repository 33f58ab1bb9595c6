package dataset_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/decimal128"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// more multiplies the random cases of the tests that compare and damage files.
var more = flag.Int("more", 1, "how many times as many random cases to try")

// texts are the strings that random columns are made of: short and long, ASCII
// and not, the empty one among them.
var texts = []string{"", "a", "ATL", "ATLANTA", "Zürich", "東京", strings.Repeat("long ", 30), "ATL-1", "ATL-2", "ATLAS"}

// randomArray returns rows values of type t, each null with probability nulls
// where the field may be. Runs of equal values occur, so that run-length
// encodings have something to do.
func randomArray(rng *rand.Rand, t arrow.DataType, rows int, nulls float64) arrow.Array {
	b := array.NewBuilder(memory.DefaultAllocator, t)
	defer b.Release()
	for left := rows; left > 0; {
		run := 1
		if rng.IntN(8) == 0 {
			run = min(left, 1+rng.IntN(40))
		}
		seed := rng.Uint64()
		null := rng.Float64() < nulls
		for range run {
			if null {
				b.AppendNull()
			} else {
				appendRandom(rand.New(rand.NewPCG(seed, 1)), b, nulls)
			}
		}
		left -= run
	}
	return b.NewArray()
}

func appendRandom(rng *rand.Rand, b array.Builder, nulls float64) {
	v := rng.Int64() >> rng.IntN(63) // every magnitude
	switch b := b.(type) {
	case *array.NullBuilder:
		b.AppendNull()
	case *array.BooleanBuilder:
		b.Append(v&1 == 0)
	case *array.Int8Builder:
		b.Append(int8(v))
	case *array.Int16Builder:
		b.Append(int16(v))
	case *array.Int32Builder:
		b.Append(int32(v))
	case *array.Int64Builder:
		b.Append(v)
	case *array.Uint8Builder:
		b.Append(uint8(v))
	case *array.Uint16Builder:
		b.Append(uint16(v))
	case *array.Uint32Builder:
		b.Append(uint32(v))
	case *array.Uint64Builder:
		b.Append(uint64(v))
	case *array.Float32Builder:
		b.Append(float32(rng.NormFloat64()))
	case *array.Float64Builder:
		b.Append(rng.NormFloat64())
	case *array.StringBuilder:
		b.Append(randomText(rng))
	case *array.BinaryDictionaryBuilder:
		if err := b.AppendString(randomText(rng)); err != nil {
			panic(err)
		}
	case *array.Date32Builder:
		b.Append(arrow.Date32(int32(v) % 100_000))
	case *array.Time32Builder:
		b.Append(arrow.Time32(rng.IntN(86_400_000)))
	case *array.Time64Builder:
		b.Append(arrow.Time64(rng.Int64N(86_400_000_000)))
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(v % 4_000_000_000_000_000))
	case *array.Decimal128Builder:
		p := b.Type().(*arrow.Decimal128Type).Precision
		d := decimal128.FromI64(v)
		if p > 18 {
			d = d.Mul(decimal128.FromI64(rng.Int64() >> 10)) // at most 117 bits, 36 digits
		} else {
			limit := int64(1)
			for range p {
				limit *= 10
			}
			d = decimal128.FromI64(v % limit)
		}
		b.Append(d)
	case *array.ListBuilder:
		b.Append(true)
		if !b.Type().(*arrow.ListType).ElemField().Nullable {
			nulls = 0
		}
		for range rng.IntN(4) {
			appendRandomOrNull(rng, b.ValueBuilder(), nulls)
		}
	default:
		panic(fmt.Sprintf("no random values for %T", b))
	}
}

func appendRandomOrNull(rng *rand.Rand, b array.Builder, nulls float64) {
	if rng.Float64() < nulls {
		b.AppendNull()
		return
	}
	appendRandom(rng, b, nulls)
}

func randomText(rng *rand.Rand) string {
	s := texts[rng.IntN(len(texts))]
	if rng.IntN(3) == 0 {
		return fmt.Sprint(s, rng.IntN(1000))
	}
	return s
}

// randomRecord returns a record of random columns; those of fields that are not
// nullable have no nulls.
func randomRecord(rng *rand.Rand, schema *arrow.Schema, rows int, nulls float64) arrow.Record {
	cols := make([]arrow.Array, schema.NumFields())
	for i, f := range schema.Fields() {
		rate := nulls
		if !f.Nullable {
			rate = 0
		}
		cols[i] = randomArray(rng, f.Type, rows, rate)
		defer cols[i].Release()
	}
	return array.NewRecord(schema, cols, int64(rows))
}
