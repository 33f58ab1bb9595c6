package dataset_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage/dataset"
)

// streamOf is record batches of one column, named s, of so many rows each.
func streamOf(t testing.TB, rows int, columns ...arrow.Array) []byte {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{{Name: "s", Type: columns[0].DataType(), Nullable: true}}, nil)
	var out bytes.Buffer
	w := ipc.NewWriter(&out, ipc.WithSchema(schema), ipc.WithZstd())
	for _, c := range columns {
		if err := w.Write(array.NewRecord(schema, []arrow.Array{c}, int64(rows))); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// shared is views of a text of so many bytes, all of the same ones.
func shared(rows, size int) arrow.Array {
	text := strings.Repeat("x", size)
	headers := make([]arrow.ViewHeader, rows)
	for i := range headers {
		headers[i].SetString(text)
		headers[i].SetIndexOffset(0, 0)
	}
	return array.NewStringViewData(array.NewData(arrow.BinaryTypes.StringView, rows, []*memory.Buffer{nil, memory.NewBufferBytes(arrow.ViewHeaderTraits.CastToBytes(headers)), memory.NewBufferBytes([]byte(text))}, nil, 0, 0))
}

// within is what a stream of a test may take.
var within = dataset.ArrowBounds{Columns: 100, Bytes: 4 << 20, Rows: 1 << 20}

func everything(string) bool { return true }

func readStream(stream []byte, bounds dataset.ArrowBounds) (rows int64, err error) {
	err = dataset.ReadArrow(stream, bounds, everything, func(rec arrow.Record) error { rows += rec.NumRows(); return nil })
	return rows, err
}

// TestFewBytesOfArrowDoNotBecomeMany: whatever a stream is made of, what it takes is bounded
// before it is allocated.
func TestFewBytesOfArrowDoNotBecomeMany(t *testing.T) {
	t.Parallel()
	zeros := array.NewInt64Data(array.NewData(arrow.PrimitiveTypes.Int64, 200_000, []*memory.Buffer{nil, memory.NewBufferBytes(make([]byte, 1_600_000))}, nil, 0, 0))
	nulls := array.NewListData(array.NewData(arrow.ListOf(arrow.Null), 1, []*memory.Buffer{nil, memory.NewBufferBytes(arrow.Int32Traits.CastToBytes([]int32{0, 1 << 30}))}, []arrow.ArrayData{array.NewNull(1 << 30).Data()}, 0, 0))
	ones := array.NewInt8Data(array.NewData(arrow.PrimitiveTypes.Int8, 1<<20, []*memory.Buffer{nil, memory.NewBufferBytes(make([]byte, 1<<20))}, nil, 0, 0))
	bytesOf := array.NewListData(array.NewData(arrow.ListOf(arrow.PrimitiveTypes.Int8), 1, []*memory.Buffer{nil, memory.NewBufferBytes(arrow.Int32Traits.CastToBytes([]int32{0, 1 << 20}))}, []arrow.ArrayData{ones.Data()}, 0, 0))
	views := shared(65_536, 1<<20)
	words := array.NewDictionaryArray(&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.StringView}, array.NewInt8Data(array.NewData(arrow.PrimitiveTypes.Int8, 1, []*memory.Buffer{nil, memory.NewBufferBytes([]byte{0})}, nil, 0, 0)), views)
	for name, stream := range map[string][]byte{
		"views":                  streamOf(t, 65_536, views),
		"views as words":         streamOf(t, 1, words),
		"batches, together":      streamOf(t, 200_000, zeros, zeros, zeros),
		"elements without bytes": streamOf(t, 1, nulls),
		"elements of a byte":     streamOf(t, 1, bytesOf),
	} {
		if rows, err := readStream(stream, within); !thalweg.Is(err, thalweg.Exhausted) {
			t.Errorf("%s: %d rows, %v", name, rows, err)
		}
	}
	if rows, err := readStream(streamOf(t, 200_000, zeros, zeros), within); err != nil || rows != 400_000 {
		t.Errorf("%d rows within bounds: %v", rows, err)
	}
	if rows, err := readStream(streamOf(t, 1000, shared(1000, 1<<10)), within); err != nil || rows != 1000 {
		t.Errorf("%d views within bounds: %v", rows, err)
	}
	full := within
	full.Reserve = func(bytes int64) bool { return bytes < 1<<20 }
	if _, err := readStream(streamOf(t, 200_000, zeros), full); !thalweg.Is(err, thalweg.Throttled) {
		t.Errorf("without room: %v", err)
	}
	if _, err := readStream(streamOf(t, 1<<21, array.NewNull(1<<21)), within); !thalweg.Is(err, thalweg.Exhausted) {
		t.Errorf("rows of nulls: %v", err)
	}
}

// Objects have the same bound on what their batches become.
func TestAnObjectOfSharedViewsIsRefused(t *testing.T) {
	t.Parallel()
	schema := arrow.NewSchema([]arrow.Field{{Name: "v", Type: arrow.BinaryTypes.StringView, Nullable: true}}, nil)
	var object bytes.Buffer
	w := ipc.NewWriter(&object, ipc.WithSchema(schema))
	if err := errors.Join(w.Write(array.NewRecord(schema, []arrow.Array{shared(65_536, 1<<20)}, 65_536)), w.Close()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := readArrow(t.Context(), object.Bytes(), dataset.DiscoverConfig{}); !thalweg.Is(err, thalweg.Exhausted) {
		t.Error(err)
	}
}

// TestColumnsThatNobodyWantsCostNothing: it is seen that there are some.
func TestColumnsThatNobodyWantsCostNothing(t *testing.T) {
	t.Parallel()
	var fields []arrow.Field
	var columns []arrow.Array
	for range 99 {
		fields, columns = append(fields, arrow.Field{Name: "other", Type: arrow.Null, Nullable: true}), append(columns, array.NewNull(3))
	}
	fields, columns = append(fields, arrow.Field{Name: "s", Type: arrow.Null, Nullable: true}), append(columns, array.NewNull(3))
	schema := arrow.NewSchema(fields, nil)
	var out bytes.Buffer
	w := ipc.NewWriter(&out, ipc.WithSchema(schema))
	if err := errors.Join(w.Write(array.NewRecord(schema, columns, 3)), w.Close()); err != nil {
		t.Fatal(err)
	}
	var got []string
	err := dataset.ReadArrow(out.Bytes(), within, func(name string) bool { return name == "s" }, func(rec arrow.Record) error {
		for i := range int(rec.NumCols()) {
			got = append(got, rec.ColumnName(i))
		}
		return nil
	})
	if err != nil || len(got) != 33 || got[32] != "s" {
		t.Errorf("%d columns are kept of a hundred: %v", len(got), err)
	}
	few := within
	few.Columns = 99
	if _, err := readStream(out.Bytes(), few); !thalweg.Is(err, thalweg.Invalid) {
		t.Errorf("a column too many: %v", err)
	}
}

// TestWordsThatAreNullAreNone: a value whose word is null is null, as one whose index is.
func TestWordsThatAreNullAreNone(t *testing.T) {
	t.Parallel()
	words := array.NewStringBuilder(memory.DefaultAllocator)
	words.Append("a")
	words.AppendNull()
	index := array.NewInt8Builder(memory.DefaultAllocator)
	index.AppendValues([]int8{0, 1, 0}, []bool{true, true, false})
	column := array.NewDictionaryArray(&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}, index.NewArray(), words.NewArray())
	err := dataset.ReadArrow(streamOf(t, 3, column), within, everything, func(rec arrow.Record) error {
		if c := rec.Column(0); c.IsNull(0) || !c.IsNull(1) || !c.IsNull(2) {
			t.Errorf("%v", c)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
