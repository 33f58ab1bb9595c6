package dataset_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/encoding"
)

// kind is a type of column that parquet-go writes: how to make a random value,
// and what text the Reader's value has.
type kind struct {
	name      string
	node      func() parquet.Node
	value     func(rng *rand.Rand) (parquet.Value, string)
	encodings []encoding.Encoding
}

var (
	plainOnly = []encoding.Encoding{&parquet.Plain}
	dictOrNot = []encoding.Encoding{&parquet.Plain, &parquet.RLEDictionary}
	forInts   = []encoding.Encoding{&parquet.Plain, &parquet.RLEDictionary, &parquet.DeltaBinaryPacked, &parquet.ByteStreamSplit}
	forFloats = []encoding.Encoding{&parquet.Plain, &parquet.RLEDictionary, &parquet.ByteStreamSplit}
	forBytes  = []encoding.Encoding{&parquet.Plain, &parquet.RLEDictionary, &parquet.DeltaLengthByteArray, &parquet.DeltaByteArray}
	forFixed  = []encoding.Encoding{&parquet.Plain, &parquet.RLEDictionary, &parquet.DeltaByteArray, &parquet.ByteStreamSplit}
)

func leaf(t parquet.Type) func() parquet.Node { return func() parquet.Node { return parquet.Leaf(t) } }

// magnitude returns integers of every size, and often the same.
func magnitude(rng *rand.Rand) int64 { return rng.Int64() >> rng.IntN(64) << rng.IntN(2) }

func asInt32(rng *rand.Rand) (parquet.Value, string) {
	v := int32(magnitude(rng))
	return parquet.Int32Value(v), fmt.Sprint(v)
}

func asInt64(rng *rand.Rand) (parquet.Value, string) {
	v := magnitude(rng)
	return parquet.Int64Value(v), fmt.Sprint(v)
}

func asText(rng *rand.Rand) (parquet.Value, string) {
	v := randomText(rng)
	return parquet.ByteArrayValue([]byte(v)), fmt.Sprintf("%q", v)
}

func fixedBytes(n int) func(rng *rand.Rand) []byte {
	return func(rng *rand.Rand) []byte {
		v := make([]byte, n)
		for i := range v {
			v[i] = byte(rng.IntN(3)) // shared prefixes, repeated values
		}
		return v
	}
}

// decimalText is how text renders a decimal of so many digits after the point.
func decimalText(v int64, scale int) string { return fmt.Sprintf("%de-%d", v, scale) }

var kinds = []kind{
	{"bool", leaf(parquet.BooleanType), func(rng *rand.Rand) (parquet.Value, string) {
		v := rng.IntN(3) == 0
		return parquet.BooleanValue(v), fmt.Sprint(v)
	}, []encoding.Encoding{&parquet.Plain, &parquet.RLE}},
	{"int32", leaf(parquet.Int32Type), asInt32, forInts},
	{"int64", leaf(parquet.Int64Type), asInt64, forInts},
	{"int8", func() parquet.Node { return parquet.Int(8) }, func(rng *rand.Rand) (parquet.Value, string) {
		v := int32(int8(rng.Uint32()))
		return parquet.Int32Value(v), fmt.Sprint(v)
	}, forInts},
	{"uint16", func() parquet.Node { return parquet.Uint(16) }, func(rng *rand.Rand) (parquet.Value, string) {
		v := int32(uint16(rng.Uint32()))
		return parquet.Int32Value(v), fmt.Sprint(v)
	}, forInts},
	{"uint64", func() parquet.Node { return parquet.Uint(64) }, func(rng *rand.Rand) (parquet.Value, string) {
		v := magnitude(rng)
		return parquet.Int64Value(v), fmt.Sprint(uint64(v))
	}, dictOrNot},
	{"int96", leaf(parquet.Int96Type), func(rng *rand.Rand) (parquet.Value, string) {
		days, nanos := int64(rng.IntN(40_000)), rng.Int64N(86_400_000_000_000)
		v := deprecated.Int96{uint32(nanos), uint32(nanos >> 32), uint32(2_440_588 + days)}
		return parquet.Int96Value(v), time.Unix(days*86_400, nanos/1000*1000).UTC().Format(time.RFC3339Nano)
	}, plainOnly},
	{"float", leaf(parquet.FloatType), func(rng *rand.Rand) (parquet.Value, string) {
		v := float32(rng.IntN(50)) / 4
		return parquet.FloatValue(v), fmt.Sprint(v)
	}, forFloats},
	{"double", leaf(parquet.DoubleType), func(rng *rand.Rand) (parquet.Value, string) {
		v := float64(rng.IntN(5000)) / 8
		return parquet.DoubleValue(v), fmt.Sprint(v)
	}, forFloats},
	{"string", parquet.String, asText, forBytes},
	{"enum", parquet.Enum, asText, dictOrNot},
	{"json", parquet.JSON, asText, dictOrNot},
	{"uuid", parquet.UUID, func(rng *rand.Rand) (parquet.Value, string) {
		v := fixedBytes(16)(rng)
		s := hex.EncodeToString(v)
		return parquet.FixedLenByteArrayValue(v), `"` + s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:] + `"`
	}, forFixed},
	{"date", parquet.Date, func(rng *rand.Rand) (parquet.Value, string) {
		v := int32(rng.IntN(30_000))
		return parquet.Int32Value(v), time.Unix(int64(v)*86_400, 0).UTC().Format("2006-01-02")
	}, forInts},
	{"timestamp", func() parquet.Node { return parquet.TimestampAdjusted(parquet.Millisecond, false) }, func(rng *rand.Rand) (parquet.Value, string) {
		v := rng.Int64N(4_000_000_000_000)
		return parquet.Int64Value(v), time.UnixMilli(v).UTC().Format(time.RFC3339Nano)
	}, forInts},
	{"decimal32", func() parquet.Node { return parquet.Decimal(2, 9, parquet.Int32Type) }, func(rng *rand.Rand) (parquet.Value, string) {
		v := int32(rng.IntN(2_000_000) - 1_000_000)
		return parquet.Int32Value(v), decimalText(int64(v), 2)
	}, dictOrNot},
	{"decimal64", func() parquet.Node { return parquet.Decimal(4, 18, parquet.Int64Type) }, func(rng *rand.Rand) (parquet.Value, string) {
		v := magnitude(rng) % 1_000_000_000_000
		return parquet.Int64Value(v), decimalText(v, 4)
	}, dictOrNot},
	{"decimalFixed", func() parquet.Node { return parquet.Decimal(3, 20, parquet.FixedLenByteArrayType(9)) }, func(rng *rand.Rand) (parquet.Value, string) {
		v := magnitude(rng)
		b := binary.BigEndian.AppendUint64([]byte{byte(v >> 63)}, uint64(v))
		return parquet.FixedLenByteArrayValue(b), decimalText(v, 3)
	}, dictOrNot},
	{"decimalWide", func() parquet.Node { return parquet.Decimal(3, 60, parquet.FixedLenByteArrayType(26)) }, func(rng *rand.Rand) (parquet.Value, string) {
		v := magnitude(rng)
		b := binary.BigEndian.AppendUint64(bytes.Repeat([]byte{byte(v >> 63)}, 18), uint64(v))
		return parquet.FixedLenByteArrayValue(b), decimalText(v, 3)
	}, dictOrNot},
	{"decimalBytes", func() parquet.Node { return parquet.Decimal(3, 20, parquet.ByteArrayType) }, func(rng *rand.Rand) (parquet.Value, string) {
		v := int64(int16(rng.Uint32()))
		b := binary.BigEndian.AppendUint16(nil, uint16(v))
		if v == int64(int8(v)) {
			b = b[1:]
		}
		return parquet.ByteArrayValue(b), decimalText(v, 3)
	}, dictOrNot},
}

var codecs = map[string]compress.Codec{"none": &parquet.Uncompressed, "snappy": &parquet.Snappy, "gzip": &parquet.Gzip, "brotli": &parquet.Brotli,
	"zstd": &parquet.Zstd, "lz4raw": &parquet.Lz4Raw}

// byParquetGo writes a file with a column for every kind and encoding, and
// returns what is in it.
func byParquetGo(t testing.TB, rng *rand.Rand, rows int, nulls float64, codec compress.Codec, opts ...parquet.WriterOption) ([]byte, table) {
	t.Helper()
	group := parquet.Group{}
	makers := make(map[string]kind)
	for _, k := range kinds {
		for _, e := range k.encodings {
			for _, optional := range []bool{false, true} {
				node := parquet.Encoded(k.node(), e)
				name := k.name + " " + e.Encoding().String()
				if optional {
					node, name = parquet.Optional(node), name+" optional"
				}
				group[name], makers[name] = parquet.Compressed(node, codec), k
			}
		}
	}
	var buf bytes.Buffer
	schema := parquet.NewSchema("test", group)
	w := parquet.NewWriter(&buf, append(opts, schema)...)
	want := make(table)
	var last parquet.Row
	for range rows {
		row := make(parquet.Row, 0, len(group))
		repeat := last != nil && rng.IntN(4) == 0
		for c, path := range schema.Columns() {
			name := path[0]
			k := makers[name]
			def := 0
			if group[name].Optional() {
				def = 1
			}
			switch {
			case repeat:
				row = append(row, last[c])
				want[name] = append(want[name], want[name][len(want[name])-1])
			case def == 1 && rng.Float64() < nulls:
				row = append(row, parquet.Value{}.Level(0, 0, c))
				want[name] = append(want[name], "null")
			default:
				v, s := k.value(rng)
				row = append(row, v.Level(0, def, c))
				want[name] = append(want[name], s)
			}
		}
		if _, err := w.WriteRows([]parquet.Row{row}); err != nil {
			t.Fatal(err)
		}
		last = row
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes(), want
}

func TestEveryKindEncodingAndCodecAsParquetGoWritesThem(t *testing.T) {
	t.Parallel()
	seed := uint64(0)
	for _, name := range slices.Sorted(maps.Keys(codecs)) {
		for version := 1; version <= 2; version++ {
			for i := range 2 * *more {
				nulls := []float64{0.3, float64(seed % 2)}[i%2]
				seed++
				rng := rand.New(rand.NewPCG(seed, 11))
				t.Run(fmt.Sprintf("%s/v%d/nulls=%v/seed=%d", name, version, nulls, seed), func(t *testing.T) {
					// Compressors of many tiny pages take their time.
					rows, pages := 1+rng.IntN(120), []int{100, 1500, 1 << 20}
					if name == "brotli" || name == "gzip" || name == "zstd" {
						rows, pages = 1+rng.IntN(30), pages[1:]
					}
					data, want := byParquetGo(t, rng, rows, nulls, codecs[name], parquet.DataPageVersion(version),
						parquet.PageBufferSize(pages[rng.IntN(len(pages))]), parquet.MaxRowsPerRowGroup(int64(20+rng.IntN(100))),
						parquet.DictionaryMaxBytes([]int64{0, 200}[rng.IntN(2)]))
					got := readAll(t, data, nil, []int{1, 33, 1 << 16}[rng.IntN(3)])
					sameValues(t, got, want)
				})
			}
		}
	}
}
