package table_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/google/go-cmp/cmp"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

// natural returns an array of type t of JSON values.
func natural(t testing.TB, typ arrow.DataType, json string) arrow.Array {
	t.Helper()
	if typ.ID() == arrow.UINT64 {
		return uint64s(t, json)
	}
	if list, ok := typ.(*arrow.ListType); ok && list.Elem().ID() == arrow.UINT64 {
		return lists(t, json)
	}
	a, _, err := array.FromJSON(memory.DefaultAllocator, typ, strings.NewReader(json))
	if err != nil {
		t.Fatalf("%s of %s: %v", typ, json, err)
	}
	return a
}

// uint64s reads what FromJSON would round to a float64.
func uint64s(t testing.TB, text string) arrow.Array {
	var parsed []*uint64
	if err := json.Unmarshal([]byte(text), &parsed); err != nil {
		t.Fatal(err)
	}
	b := array.NewUint64Builder(memory.DefaultAllocator)
	for _, v := range parsed {
		if v == nil {
			b.AppendNull()
		} else {
			b.Append(*v)
		}
	}
	return b.NewArray()
}

// lists is uint64s for lists.
func lists(t testing.TB, text string) arrow.Array {
	var parsed []json.RawMessage
	if err := json.Unmarshal([]byte(text), &parsed); err != nil {
		t.Fatal(err)
	}
	b := array.NewListBuilder(memory.DefaultAllocator, arrow.PrimitiveTypes.Uint64)
	for _, v := range parsed {
		if string(v) == "null" {
			b.AppendNull()
			continue
		}
		b.Append(true)
		elements := uint64s(t, string(v)).(*array.Uint64)
		for i := range elements.Len() {
			if elements.IsNull(i) {
				b.ValueBuilder().AppendNull()
			} else {
				b.ValueBuilder().(*array.Uint64Builder).Append(elements.Value(i))
			}
		}
	}
	return b.NewArray()
}

// oneColumn returns a record with the column c.
func oneColumn(a arrow.Array) arrow.Record {
	schema := arrow.NewSchema([]arrow.Field{{Name: "c", Type: a.DataType(), Nullable: true}}, nil)
	return array.NewRecord(schema, []arrow.Array{a}, int64(a.Len()))
}

// bind binds column c as what FromArrow says of it.
func bind(t testing.TB, a arrow.Array, first int64) (arrow.Record, error) {
	t.Helper()
	rec := oneColumn(a)
	schema := table.FromArrow(rec.Schema())
	b, err := table.NewBinder(schema, rec.Schema())
	if err != nil {
		t.Fatal(err)
	}
	return b.Bind(rec, first)
}

func values(a arrow.Array) []any {
	out := make([]any, a.Len())
	for i := range out {
		out[i] = tabletest.Value(a, i)
	}
	return out
}

var dictOf = func(index, value arrow.DataType) arrow.DataType {
	return &arrow.DictionaryType{IndexType: index, ValueType: value}
}

func TestBindCarriesEachNaturalType(t *testing.T) {
	const day = int64(24 * 3600 * 1e6)
	for _, c := range []struct {
		typ  arrow.DataType
		json string
		want table.Type
		rows []any
	}{
		{arrow.PrimitiveTypes.Int8, `[null,-128,127]`, table.Int64, []any{nil, int64(-128), int64(127)}},
		{arrow.PrimitiveTypes.Int16, `[-5,null]`, table.Int64, []any{int64(-5), nil}},
		{arrow.PrimitiveTypes.Int32, `[2147483647]`, table.Int64, []any{int64(math.MaxInt32)}},
		{arrow.PrimitiveTypes.Int64, `[-9223372036854775808,null]`, table.Int64, []any{int64(math.MinInt64), nil}},
		{arrow.PrimitiveTypes.Uint8, `[255]`, table.Int64, []any{int64(255)}},
		{arrow.PrimitiveTypes.Uint16, `[65535]`, table.Int64, []any{int64(65535)}},
		{arrow.PrimitiveTypes.Uint32, `[4294967295,null]`, table.Int64, []any{int64(math.MaxUint32), nil}},
		{arrow.PrimitiveTypes.Uint64, `[9223372036854775807,null]`, table.Int64, []any{int64(math.MaxInt64), nil}},
		{arrow.FixedWidthTypes.Float16, `[1.5,null]`, table.Float64, []any{1.5, nil}},
		{arrow.PrimitiveTypes.Float32, `[0.1,null]`, table.Float64, []any{float64(float32(0.1)), nil}},
		{arrow.PrimitiveTypes.Float64, `[0.1]`, table.Float64, []any{0.1}},
		{&arrow.Decimal128Type{Precision: 38, Scale: 1}, `["0.3",null,"-12345678901234567890.5"]`, table.Float64, []any{0.3, nil, -12345678901234567890.5}},
		{&arrow.Decimal256Type{Precision: 50, Scale: 2}, `["0.07",null]`, table.Float64, []any{0.07, nil}},
		{arrow.FixedWidthTypes.Date32, `["1970-01-02","1969-12-31",null]`, table.Timestamp, []any{day, -day, nil}},
		{arrow.FixedWidthTypes.Date64, `["1970-01-02"]`, table.Timestamp, []any{day}},
		{&arrow.TimestampType{Unit: arrow.Second}, `["1970-01-01T00:00:01"]`, table.Timestamp, []any{int64(1e6)}},
		{&arrow.TimestampType{Unit: arrow.Millisecond, TimeZone: "Europe/Paris"}, `["1970-01-01T00:00:01.002"]`, table.Timestamp, []any{int64(1002000)}},
		{&arrow.TimestampType{Unit: arrow.Microsecond}, `["1970-01-01T00:00:01.000002",null]`, table.Timestamp, []any{int64(1000002), nil}},
		{arrow.FixedWidthTypes.Timestamp_us, `["1970-01-01T00:00:01.000002"]`, table.Timestamp, []any{int64(1000002)}},
		{&arrow.TimestampType{Unit: arrow.Nanosecond}, `["1970-01-01T00:00:00.000001999","1969-12-31T23:59:59.999999999"]`, table.Timestamp, []any{int64(1), int64(-1)}},
		{arrow.FixedWidthTypes.Time32s, `["00:00:02"]`, table.Int64, []any{int64(2e6)}},
		{arrow.FixedWidthTypes.Time32ms, `["00:00:00.003",null]`, table.Int64, []any{int64(3000), nil}},
		{arrow.FixedWidthTypes.Time64us, `["00:00:00.000004"]`, table.Int64, []any{int64(4)}},
		{arrow.FixedWidthTypes.Time64ns, `["00:00:00.000004999"]`, table.Int64, []any{int64(4)}},
		{arrow.BinaryTypes.String, `["b","a",null,"b","b"]`, table.String, []any{"b", "a", nil, "b", "b"}},
		{arrow.BinaryTypes.LargeString, `[null,"","x"]`, table.String, []any{nil, "", "x"}},
		{dictOf(arrow.PrimitiveTypes.Int32, arrow.BinaryTypes.String), `["x",null,"y"]`, table.String, []any{"x", nil, "y"}},
		{dictOf(arrow.PrimitiveTypes.Uint8, arrow.BinaryTypes.String), `["x",null,"y","x"]`, table.String, []any{"x", nil, "y", "x"}},
		{&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.String, Ordered: true}, `["x"]`, table.String, []any{"x"}},
		{arrow.FixedWidthTypes.Boolean, `[true,null,false]`, table.Bool, []any{true, nil, false}},
		{arrow.ListOf(arrow.PrimitiveTypes.Float32), `[[0.5,null],null,[],[2]]`, table.Float64List, []any{[]any{0.5, nil}, nil, []any{}, []any{2.0}}},
		{arrow.ListOfNonNullable(arrow.PrimitiveTypes.Float64), `[[0.1],[]]`, table.Float64List, []any{[]any{0.1}, []any{}}},
		{arrow.ListOf(&arrow.Decimal128Type{Precision: 9, Scale: 1}), `[["0.3"]]`, table.Float64List, []any{[]any{0.3}}},
		{arrow.ListOf(arrow.PrimitiveTypes.Int8), `[[],[-1,null,2]]`, table.Int64List, []any{[]any{}, []any{int64(-1), nil, int64(2)}}},
		{arrow.ListOf(arrow.PrimitiveTypes.Int64), `[null,[3]]`, table.Int64List, []any{nil, []any{int64(3)}}},
		{arrow.ListOf(arrow.FixedWidthTypes.Boolean), `[[true,false,null],[true]]`, table.BoolList, []any{[]any{true, false, nil}, []any{true}}},
	} {
		t.Run(c.typ.String(), func(t *testing.T) {
			a := natural(t, c.typ, c.json)
			whole, err := bind(t, a, 7)
			if err != nil {
				t.Fatal(err)
			}
			checkBound(t, whole, c.want, c.rows, 7)
			// A slice begins in the middle of its buffers.
			part, err := bind(t, array.NewSlice(a, 1, int64(a.Len())), 8)
			if err != nil {
				t.Fatal(err)
			}
			checkBound(t, part, c.want, c.rows[1:], 8)
			empty, err := bind(t, array.NewSlice(a, 0, 0), 0)
			if err != nil {
				t.Fatal(err)
			}
			checkBound(t, empty, c.want, []any{}, 0)
		})
	}
}

func checkBound(t *testing.T, rec arrow.Record, want table.Type, rows []any, first int64) {
	t.Helper()
	if got := rec.Column(0).DataType(); !arrow.TypeEqual(got, want.ArrowType()) {
		t.Errorf("bound to %s, want %s", got, want)
	}
	if diff := cmp.Diff(rows, values(rec.Column(0))); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
	if rec.ColumnName(1) != table.RowColumn {
		t.Errorf("last column is %s", rec.ColumnName(1))
	}
	for i, v := range rec.Column(1).(*array.Int64).Int64Values() {
		if v != first+int64(i) {
			t.Errorf("row %d is numbered %d", i, v)
		}
	}
}

func TestBindReadsTimesWithoutAZoneInThatOfTheSchema(t *testing.T) {
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	var want []any
	// Around both changes of 2001, the hour that appears twice and the one that
	// never is among them.
	for _, from := range []time.Time{time.Date(2001, 4, 1, 0, 0, 0, 0, time.UTC), time.Date(2001, 10, 28, 0, 0, 0, 0, time.UTC)} {
		for half := range 12 {
			at := from.Add(time.Duration(half) * 30 * time.Minute)
			texts = append(texts, strconv.Quote(at.Format("2006-01-02T15:04:05")))
			want = append(want, time.Date(at.Year(), at.Month(), at.Day(), at.Hour(), at.Minute(), 0, 0, zone).UnixMicro())
		}
	}
	json := "[" + strings.Join(texts, ",") + ",null]"
	want = append(want, nil)
	schema := table.Schema{Columns: []table.Column{{Name: "c", Type: table.Timestamp, Nullable: true}}, Timezone: zone.String()}
	for _, unit := range []arrow.TimeUnit{arrow.Second, arrow.Microsecond, arrow.Nanosecond} {
		for zoned, want := range map[string][]any{"": want, "UTC": nil} {
			rec := oneColumn(natural(t, &arrow.TimestampType{Unit: unit, TimeZone: zoned}, json))
			b, err := table.NewBinder(schema, rec.Schema())
			if err != nil {
				t.Fatal(err)
			}
			out, err := b.Bind(rec, 0)
			if err != nil {
				t.Fatal(err)
			}
			if want == nil { // named zones are as they are
				want = append(want, time.Date(2001, 4, 1, 0, 0, 0, 0, time.UTC).UnixMicro())
			}
			if diff := cmp.Diff(want, values(out.Column(0))[:len(want)]); diff != "" {
				t.Errorf("unit %s zone %q (-want +got):\n%s", unit, zoned, diff)
			}
		}
	}
	schema.Timezone = "Atlantis"
	if _, err := table.NewBinder(schema, arrow.NewSchema(nil, nil)); !thalweg.Is(err, thalweg.Invalid) {
		t.Errorf("error %v", err)
	}
}

func TestBindSharesMemoryWhereTypesAgree(t *testing.T) {
	for _, typ := range []arrow.DataType{
		&arrow.TimestampType{Unit: arrow.Microsecond}, arrow.FixedWidthTypes.Timestamp_us, arrow.PrimitiveTypes.Int64,
		dictOf(arrow.PrimitiveTypes.Int32, arrow.BinaryTypes.String),
	} {
		json := `[1,2]`
		if typ.ID() == arrow.DICTIONARY {
			json = `["a","b"]`
		}
		a := natural(t, typ, json)
		got, err := bind(t, a, 0)
		if err != nil {
			t.Fatal(err)
		}
		if &got.Column(0).Data().Buffers()[1].Bytes()[0] != &a.Data().Buffers()[1].Bytes()[0] {
			t.Errorf("%s was copied", typ)
		}
	}
}

func TestBindTurnsNullDictionaryEntriesIntoNullRows(t *testing.T) {
	entries := natural(t, arrow.BinaryTypes.String, `["a",null,"b"]`)
	rows := natural(t, arrow.PrimitiveTypes.Int32, `[2,1,null,0]`)
	a := array.NewDictionaryArray(dictOf(arrow.PrimitiveTypes.Int32, arrow.BinaryTypes.String), rows, entries)
	got, err := bind(t, a, 0)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]any{"b", nil, nil, "a"}, values(got.Column(0))); diff != "" {
		t.Error(diff)
	}
	if n := got.Column(0).(*array.Dictionary).Dictionary().NullN(); n != 0 || got.Column(0).NullN() != 2 {
		t.Errorf("%d null entries and %d null rows", n, got.Column(0).NullN())
	}
}

func TestBindNamesColumnAndRowOfWhatCannotBeCarried(t *testing.T) {
	for _, c := range []struct {
		typ  arrow.DataType
		json string
		want string
	}{
		{arrow.PrimitiveTypes.Uint64, `[1,null,18446744073709551615]`, "column c, row 102: is 18446744073709551615, past the largest int64"},
		{&arrow.TimestampType{Unit: arrow.Second}, `[null,9223372036854]`, ""},
		{&arrow.TimestampType{Unit: arrow.Second}, `[null,9223372036855]`, "column c, row 101: lies past the years"},
		{arrow.FixedWidthTypes.Date32, `[-2147483648]`, "column c, row 100: lies past the years"},
		{arrow.ListOf(arrow.PrimitiveTypes.Uint64), `[null,[],[7],[1,null,18446744073709551615,2],[3]]`, "column c, row 103: element 2 is 18446744073709551615, past the largest int64"},
	} {
		_, err := bind(t, natural(t, c.typ, c.json), 100)
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", c.json, err)
			}
			continue
		}
		if !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%s of %s: error %v, want %q", c.typ, c.json, err, c.want)
		}
	}
}

func TestBindRefusesNullsWhereNoneAreDeclared(t *testing.T) {
	rec := oneColumn(natural(t, arrow.PrimitiveTypes.Int64, `[1,2,null,4,null]`))
	b, err := table.NewBinder(table.Schema{Columns: []table.Column{{Name: "c", Type: table.Int64}}}, rec.Schema())
	if err != nil {
		t.Fatal(err)
	}
	if _, err = b.Bind(rec, 10); err == nil || !strings.Contains(err.Error(), "column c, row 12: is null") {
		t.Errorf("error %v", err)
	}
	if _, err = b.Bind(rec.NewSlice(0, 2), 10); err != nil {
		t.Errorf("rows without nulls: %v", err)
	}
}

func TestNewBinderNamesWhatDoesNotFit(t *testing.T) {
	have := arrow.NewSchema([]arrow.Field{
		{Name: "delay", Type: arrow.PrimitiveTypes.Int32}, {Name: "raw", Type: arrow.BinaryTypes.Binary},
		{Name: "twice", Type: arrow.PrimitiveTypes.Int64}, {Name: "twice", Type: arrow.PrimitiveTypes.Int64},
	}, nil)
	for _, c := range []struct {
		column table.Column
		want   string
	}{
		{table.Column{Name: "dealy", Type: table.Int64}, "column dealy: is not there (did you mean delay?)"},
		{table.Column{Name: "delay", Type: table.String}, "column delay: holds int32, which does not become string (declare it as int64 and use a cast step)"},
		{table.Column{Name: "raw", Type: table.String}, "column raw: holds binary, which does not become string"},
		{table.Column{Name: "twice", Type: table.Int64}, "column twice: occurs more than once"},
	} {
		_, err := table.NewBinder(table.Schema{Columns: []table.Column{c.column}}, have)
		if !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
}

func TestBindRefusesARecordOfAnotherSchema(t *testing.T) {
	rec := oneColumn(natural(t, arrow.PrimitiveTypes.Int64, `[1]`))
	schema := table.FromArrow(rec.Schema())
	b, err := table.NewBinder(schema, rec.Schema())
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range []arrow.Record{
		oneColumn(natural(t, arrow.PrimitiveTypes.Int32, `[1]`)),
		array.NewRecord(arrow.NewSchema(nil, nil), nil, 1),
	} {
		if _, err := b.Bind(other, 0); !thalweg.Is(err, thalweg.Invalid) {
			t.Errorf("error %v", err)
		}
	}
}

func TestBindReleasesWhatItMakes(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	for typ, json := range map[arrow.DataType]string{
		arrow.PrimitiveTypes.Uint64: `[1,null,18446744073709551615]`, arrow.BinaryTypes.String: `["a",null]`,
		arrow.PrimitiveTypes.Float32: `[1,null]`, dictOf(arrow.PrimitiveTypes.Int8, arrow.BinaryTypes.String): `["a",null]`,
		&arrow.TimestampType{Unit: arrow.Second}: `[9223372036855]`,
	} {
		rec := oneColumn(natural(t, typ, json))
		schema := table.FromArrow(rec.Schema())
		b, err := table.NewBinder(schema, rec.Schema())
		if err != nil {
			t.Fatal(err)
		}
		b.UseAllocator(mem)
		if out, err := b.Bind(rec, 0); err == nil {
			out.Release()
		}
	}
}

func TestFromArrowListsUnsupportedColumnsApart(t *testing.T) {
	got := table.FromArrow(arrow.NewSchema([]arrow.Field{
		{Name: "a", Type: arrow.PrimitiveTypes.Int8, Nullable: true},
		{Name: "raw", Type: arrow.BinaryTypes.Binary},
		{Name: "list", Type: arrow.ListOf(arrow.ListOf(arrow.PrimitiveTypes.Int64))},
		{Name: "coded", Type: dictOf(arrow.PrimitiveTypes.Int8, arrow.PrimitiveTypes.Int64)},
		{Name: "b", Type: arrow.BinaryTypes.LargeString},
	}, nil))
	want := table.Schema{
		Columns: []table.Column{{Name: "a", Type: table.Int64, Nullable: true}, {Name: "b", Type: table.String}},
		Unsupported: []table.UnsupportedColumn{{Name: "raw", Type: "binary"}, {Name: "list", Type: "list<list<int64>>"},
			{Name: "coded", Type: "dictionary of int64"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("schema (-want +got):\n%s", diff)
	}
}

func TestAColumnOfNullsIsOfAnyTypeThatMayBeNull(t *testing.T) {
	have := arrow.NewSchema([]arrow.Field{{Name: "v", Type: arrow.Null, Nullable: true}}, nil)
	rec := array.NewRecord(have, []arrow.Array{array.NewNull(70)}, 70)
	if u := table.FromArrow(have).Unsupported; len(u) != 1 || u[0].Type != table.AllNull {
		t.Errorf("unsupported: %v", u)
	}
	for _, typ := range []table.Type{table.String, table.Int64, table.Float64, table.Bool, table.Timestamp} {
		want := table.Schema{Columns: []table.Column{{Name: "v", Type: typ, Nullable: true}}}
		b, err := table.NewBinder(want, have)
		if err != nil {
			t.Fatal(err)
		}
		mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
		b.UseAllocator(mem)
		out, err := b.Bind(rec, 0)
		if err != nil {
			t.Fatal(err)
		}
		if a := out.Column(0); a.NullN() != 70 || table.TypeOf(a.DataType()) != typ {
			t.Errorf("%s: %v", typ, a)
		}
		out.Release()
		mem.AssertSize(t, 0)
		want.Columns[0].Nullable = false
		if _, err := table.NewBinder(want, have); !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), "column v") || !strings.Contains(err.Error(), "nullable: true") {
			t.Errorf("%s without nulls: %v", typ, err)
		}
	}
}

func TestColumnsWhoseNamesCannotBeToldMatterToNobodyElse(t *testing.T) {
	var fields []arrow.Field
	for _, name := range []string{"a", "twice", "", table.RowColumn, "twice", "b"} {
		fields = append(fields, arrow.Field{Name: name, Type: arrow.PrimitiveTypes.Int8})
	}
	got := table.FromArrow(arrow.NewSchema(fields, nil))
	want := table.Schema{
		Columns: []table.Column{{Name: "a", Type: table.Int64}, {Name: "b", Type: table.Int64}},
		Unsupported: []table.UnsupportedColumn{{Name: "twice", Type: "int8 whose name occurs twice"}, {Type: "int8 without a name"},
			{Name: table.RowColumn, Type: "int8 whose name is taken by the row's position"}, {Name: "twice", Type: "int8 whose name occurs twice"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("schema (-want +got):\n%s", diff)
	}
}

func BenchmarkBind(b *testing.B) {
	const rows = 1 << 16
	for _, typ := range []arrow.DataType{&arrow.TimestampType{Unit: arrow.Microsecond}, &arrow.TimestampType{Unit: arrow.Nanosecond},
		arrow.PrimitiveTypes.Int32, arrow.BinaryTypes.String} {
		b.Run(typ.String(), func(b *testing.B) {
			build := array.NewBuilder(memory.DefaultAllocator, typ)
			for i := range rows {
				if err := build.AppendValueFromString(map[bool]string{true: fmt.Sprint(i % 300), false: "2020-01-01T00:00:00"}[typ.ID() != arrow.TIMESTAMP]); err != nil {
					b.Fatal(err)
				}
			}
			rec := oneColumn(build.NewArray())
			schema := table.FromArrow(rec.Schema())
			binder, err := table.NewBinder(schema, rec.Schema())
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				out, err := binder.Bind(rec, 0)
				if err != nil {
					b.Fatal(err)
				}
				out.Release()
			}
			b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
		})
	}
}

// An object of integers is bound to numbers where each is one exactly.
func TestIntegersAreNumbersWhereTheyAreExact(t *testing.T) {
	want := table.Schema{Columns: []table.Column{{Name: "c", Type: table.Float64, Nullable: true}}}
	for _, c := range []struct {
		typ  arrow.DataType
		json string
		want any
	}{
		{arrow.PrimitiveTypes.Int64, `[1,null,-9007199254740992,1152921504606846976,"-9223372036854775808"]`, []any{1.0, nil, -0x1p53, 0x1p60, -0x1p63}},
		{arrow.PrimitiveTypes.Uint8, `[255,null]`, []any{255.0, nil}},
		{arrow.PrimitiveTypes.Int64, `[null,"9007199254740993"]`, "column c, row 8: is 9007199254740993, which is no float64"},
		{arrow.PrimitiveTypes.Int64, `["9223372036854775807"]`, "column c, row 7: is 9223372036854775807, which is no float64"},
		{arrow.FixedWidthTypes.Boolean, `[true]`, "does not become float64"},
		{arrow.FixedWidthTypes.Time64us, `["10:00:00"]`, "does not become float64"},
	} {
		rec := oneColumn(natural(t, c.typ, c.json))
		var got any
		b, err := table.NewBinder(want, rec.Schema())
		if err == nil {
			var out arrow.Record
			if out, err = b.Bind(rec, 7); err == nil {
				var values []any
				for i := range int(out.NumRows()) {
					values = append(values, tabletest.Value(out.Column(0), i))
				}
				got = values
			}
		}
		if text, failed := c.want.(string); failed && (err == nil || !strings.Contains(err.Error(), text)) {
			t.Errorf("%s: error %v, want %s", c.json, err, text)
		} else if !failed && (err != nil || !cmp.Equal(got, c.want)) {
			t.Errorf("%s: %v %v, want %v", c.json, got, err, c.want)
		}
	}
}

// In a column that nobody reads, what does not fit is null: a type that became another,
// and single values.
func TestWhatDoesNotFitInAColumnThatNobodyReadsIsNull(t *testing.T) {
	for _, c := range []struct {
		typ    arrow.DataType
		values string
		want   table.Type
		out    string
	}{
		{arrow.PrimitiveTypes.Float64, `[1.5, 2]`, table.Int64, `[null,null]`},
		{arrow.PrimitiveTypes.Uint64, `[7, 18446744073709551615, null, 18446744073709551614, 9]`, table.Int64, `[7,null,null,null,9]`},
		{arrow.ListOf(arrow.PrimitiveTypes.Uint64), `[[7], [18446744073709551615]]`, table.Int64List, `[null,null]`},
		{&arrow.TimestampType{Unit: arrow.Second}, `["2026-01-01"]`, table.Int64, `[null]`},
		{arrow.BinaryTypes.String, `["a"]`, table.Bool, `[null]`},
	} {
		for _, nullable := range []bool{true, false} {
			have := arrow.NewSchema([]arrow.Field{{Name: "a", Type: c.typ, Nullable: true}}, nil)
			want := table.Schema{Timezone: "Europe/Paris", Columns: []table.Column{{Name: "a", Type: c.want, Nullable: nullable}}, Unread: []string{"a"}}
			b, err := table.NewBinder(want, have)
			var out arrow.Record
			if err == nil {
				values := natural(t, c.typ, c.values)
				out, err = b.Bind(array.NewRecord(have, []arrow.Array{values}, int64(values.Len())), 0)
			}
			if !nullable {
				if !thalweg.Is(err, thalweg.Invalid) {
					t.Errorf("%s to %s: %v, and it has no nulls", c.typ, c.want, err)
				}
				continue
			}
			if err != nil {
				t.Fatalf("%s to %s: %v", c.typ, c.want, err)
			}
			if got, err := out.Column(0).MarshalJSON(); err != nil || strings.Join(strings.Fields(string(got)), "") != c.out {
				t.Errorf("%s to %s: %s, %v, want %s", c.typ, c.want, got, err, c.out)
			}
		}
	}
}
