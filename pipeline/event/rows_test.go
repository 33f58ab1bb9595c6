package event

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/thalweg/thalweg/pipeline/table"
)

// record is columns of JSON arrays, in the order of fields.
func record(t testing.TB, fields []arrow.Field, columns ...string) arrow.Record {
	t.Helper()
	arrays := make([]arrow.Array, len(fields))
	for i, f := range fields {
		var err error
		if arrays[i], _, err = array.FromJSON(memory.DefaultAllocator, f.Type, strings.NewReader(columns[i])); err != nil {
			t.Fatal(err)
		}
	}
	return array.NewRecord(arrow.NewSchema(fields, nil), arrays, int64(arrays[0].Len()))
}

func rowOffsets(n int) (offsets []int64) {
	for i := range n {
		offsets = append(offsets, int64(100+i))
	}
	return offsets
}

// placesOfBytes are what rows of records have not.
var placesOfBytes = regexp.MustCompile(`,? at byte \d+`)

// TestListsOfRecordsAreThoseOfEvents, of whatever kind and elements they are.
func TestListsOfRecordsAreThoseOfEvents(t *testing.T) {
	t.Parallel()
	kinds := []func(arrow.DataType) arrow.DataType{
		func(e arrow.DataType) arrow.DataType { return arrow.ListOf(e) },
		func(e arrow.DataType) arrow.DataType { return arrow.LargeListOf(e) },
		func(e arrow.DataType) arrow.DataType { return arrow.FixedSizeListOf(2, e) },
	}
	numbers := []arrow.DataType{arrow.PrimitiveTypes.Float64, arrow.PrimitiveTypes.Float32, arrow.PrimitiveTypes.Int8, arrow.PrimitiveTypes.Uint64, arrow.Null}
	bools := []arrow.DataType{arrow.FixedWidthTypes.Boolean, arrow.Null}
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 5).Draw(rt, "rows")
		fields := []arrow.Field{{Name: "x", Type: arrow.PrimitiveTypes.Int64, Nullable: true}}
		cells := [][]string{make([]string, n)}
		for i := range n {
			cells[0][i] = rapid.SampledFrom([]string{"1", "null"}).Draw(rt, "x")
		}
		for _, name := range []string{"v", "n", "b"} {
			elements := numbers
			values := []string{"0", "3", "7", "null"}
			if name == "b" {
				elements, values = bools, []string{"true", "false", "null"}
			}
			element := rapid.SampledFrom(elements).Draw(rt, "element")
			switch element.ID() {
			case arrow.NULL:
				values = []string{"null"}
			case arrow.FLOAT64, arrow.FLOAT32:
				values = append(values, "0.5")
			case arrow.UINT64:
				values = append(values, "9223372036854775808")
			}
			list := rapid.SampledFrom(kinds).Draw(rt, "kind")(element)
			column := make([]string, n)
			for i := range column {
				size := 2
				if list.ID() != arrow.FIXED_SIZE_LIST {
					size = rapid.IntRange(0, 3).Draw(rt, "size")
				}
				column[i] = "null"
				if rapid.IntRange(0, 4).Draw(rt, "null") > 0 {
					column[i] = "[" + strings.Join(rapid.SliceOfN(rapid.SampledFrom(values), size, size).Draw(rt, "list"), ",") + "]"
				}
			}
			fields, cells = append(fields, arrow.Field{Name: name, Type: list, Nullable: true}), append(cells, column)
		}
		var columns, events []string
		for _, c := range cells {
			columns = append(columns, "["+strings.Join(c, ",")+"]")
		}
		for i := range n {
			events = append(events, fmt.Sprintf(`{"x":%s,"v":%s,"n":%s,"b":%s}`, cells[0][i], cells[1][i], cells[2][i], cells[3][i]))
		}
		want, rejected := decode(t, lists, Config{}, events...)
		d, err := NewDecoder(lists, Config{})
		if err != nil {
			t.Fatal(err)
		}
		rec, rejects, err := d.DecodeRows(record(t, fields, columns...), rowOffsets(n))
		if err != nil {
			rt.Fatal(err)
		}
		reasons := func(of []Reject) (all []string) {
			for _, r := range of {
				all = append(all, placesOfBytes.ReplaceAllString(fmt.Sprint(r.Row, r.Reason), ""))
			}
			return all
		}
		if diff := cmp.Diff(want, render(rec)); diff != "" || !slices.Equal(reasons(rejects), reasons(rejected)) {
			rt.Errorf("%v: rows (-events +record):\n%s\nrejects %q, of events %q", fields, diff, reasons(rejects), reasons(rejected))
		}
	})
}

// TestWhatABatchLeftIsNotOfTheNext: rows that cannot be read leave nothing behind.
func TestWhatABatchLeftIsNotOfTheNext(t *testing.T) {
	t.Parallel()
	schema := table.Schema{Columns: []table.Column{{Name: "s", Type: table.String}}}
	d, err := NewDecoder(schema, Config{})
	if err != nil {
		t.Fatal(err)
	}
	words := record(t, []arrow.Field{{Name: "s", Type: arrow.BinaryTypes.String}}, `["a"]`).Column(0)
	index := record(t, []arrow.Field{{Name: "s", Type: arrow.PrimitiveTypes.Int32}}, `[null,7]`).Column(0)
	bad := array.NewDictionaryArray(&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.String}, index, words)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("an index beyond the words can be read")
			}
		}()
		_, _, _ = d.DecodeRows(array.NewRecord(arrow.NewSchema([]arrow.Field{{Name: "s", Type: bad.DataType(), Nullable: true}}, nil), []arrow.Array{bad}, 2), rowOffsets(2))
	}()
	rec, rejects, err := d.DecodeRows(record(t, []arrow.Field{{Name: "s", Type: arrow.BinaryTypes.String}}, `["b"]`), rowOffsets(1))
	if err != nil || len(rejects) > 0 || rec.NumRows() != 1 {
		t.Errorf("%v, %v: %v", rec, rejects, err)
	}
}

// TestARowHasNoMoreBytesThanAnEvent may have, in however many columns.
func TestARowHasNoMoreBytesThanAnEvent(t *testing.T) {
	t.Parallel()
	schema := table.Schema{Columns: []table.Column{{Name: "a", Type: table.String}, {Name: "b", Type: table.String}, {Name: "l", Type: table.BoolList}}}
	d, err := NewDecoder(schema, Config{MaxEventBytes: 20})
	if err != nil {
		t.Fatal(err)
	}
	fields := []arrow.Field{{Name: "a", Type: arrow.BinaryTypes.String}, {Name: "b", Type: arrow.BinaryTypes.String}, {Name: "l", Type: arrow.ListOf(arrow.Null)}}
	rec, rejects, err := d.DecodeRows(record(t, fields, `["1234567890","1234567890","123456789012345678901"]`, `["1234567890","12345678901","1"]`, `[[],[],[]]`), rowOffsets(3))
	want := []Reject{{Row: 101, Index: 1, Reason: "the event has 21 bytes, the bound is 20", Cause: "event too large"}, {Row: 102, Index: 2, Reason: "the event has 22 bytes, the bound is 20", Cause: "event too large"}}
	if err != nil || rec.NumRows() != 1 {
		t.Errorf("%v: %v", rec, err)
	}
	if diff := cmp.Diff(want, rejects); diff != "" {
		t.Error(diff)
	}
	_, rejects, err = d.DecodeRows(record(t, fields, `[""]`, `[""]`, `[[`+strings.Repeat("null,", 10)+`null]]`), rowOffsets(1))
	if err != nil || len(rejects) != 1 || rejects[0].Cause != "event too large" {
		t.Errorf("a list of 11 elements: %v, %v", rejects, err)
	}
}
