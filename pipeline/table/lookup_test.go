package table_test

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/google/go-cmp/cmp"

	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

var lookupColumns = []table.Column{{Name: "code", Type: table.String}, {Name: "day", Type: table.Timestamp}, {Name: "state", Type: table.String},
	{Name: "n", Type: table.Int64}, {Name: "mean", Type: table.Float64}, {Name: "open", Type: table.Bool}, {Name: "since", Type: table.Timestamp}}

var lookupRows = [][]any{
	{"JFK", int64(2), "NY", int64(math.MinInt64), 0.1, true, int64(-5)},
	{"JFK", int64(1), "NY", nil, math.Inf(-1), nil, nil},
	{"a\xff", int64(1), nil, int64(7), math.NaN(), false, int64(0)},
	{"", int64(1), "", int64(0), math.Copysign(0, -1), false, int64(9)},
	{nil, int64(1), "lost", int64(1), 1.0, true, int64(1)},
	{"LAX", nil, "lost", int64(1), 1.0, true, int64(1)},
}

func lookupOf(t testing.TB, columns []table.Column, keys int, batches ...[][]any) (*table.Lookup, error) {
	t.Helper()
	b := table.NewLookupBuilder("airports", columns, keys)
	for _, rows := range batches {
		rec := tabletest.Batch(memory.DefaultAllocator, table.Schema{Columns: columns}, 0, rows...)
		err := b.Add(rec)
		rec.Release()
		if err != nil {
			return nil, err
		}
	}
	return b.Finish()
}

func TestATableIsTheSameInWhateverOrderItsRowsCome(t *testing.T) {
	one, err := lookupOf(t, lookupColumns, 2, lookupRows)
	if err != nil {
		t.Fatal(err)
	}
	turned := slices.Clone(lookupRows)
	slices.Reverse(turned)
	other, err := lookupOf(t, lookupColumns, 2, turned[:3], nil, turned[3:])
	if err != nil || one.SHA256() != other.SHA256() || one.Rows != 4 {
		t.Fatalf("%v: %s and %s, %d rows", err, one.SHA256(), other.SHA256(), one.Rows)
	}
	text, err := json.Marshal(one)
	back := new(table.Lookup)
	if err != nil || json.Unmarshal(text, back) != nil || back.SHA256() != one.SHA256() {
		t.Errorf("%v, as JSON it is %s", err, text)
	}
}

// valueOf is a value as tabletest has it.
func valueOf(a arrow.Array, i int) any {
	switch a := a.(type) {
	case *array.Dictionary:
		if a.IsValid(i) {
			return a.Dictionary().(*array.String).Value(a.GetValueIndex(i))
		}
	case *array.Int64:
		if a.IsValid(i) {
			return a.Value(i)
		}
	case *array.Float64:
		if a.IsValid(i) {
			return a.Value(i)
		}
	case *array.Boolean:
		if a.IsValid(i) {
			return a.Value(i)
		}
	case *array.Timestamp:
		if a.IsValid(i) {
			return int64(a.Value(i))
		}
	}
	return nil
}

func TestRowsGetTheValuesOfTheirKey(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	l, err := lookupOf(t, lookupColumns, 2, lookupRows)
	if err != nil {
		t.Fatal(err)
	}
	x, err := table.OpenLookup(l)
	if err != nil {
		t.Fatal(err)
	}
	for _, pad := range []int{0, 9} { // batches that are smaller than the table, and larger
		keys := [][]any{{"JFK", int64(1)}, {"JFK", nil}, {nil, int64(1)}, {"a\uFFFD", int64(1)}, {"LAX", int64(1)}, {"JFK", int64(2)}, {"JFK", int64(3)}, {"", int64(1)}}
		for range pad {
			keys = append(keys, []any{"nowhere", int64(0)})
		}
		batch := tabletest.Batch(mem, table.Schema{Columns: lookupColumns[:2]}, 0, keys...)
		rows := x.Find(batch.Column(0), batch.Column(1))
		var got [5][]any
		for k := range got {
			a := x.Take(mem, 2+k, rows)
			for i := range 8 {
				got[k] = append(got[k], valueOf(a, i))
			}
			a.Release()
		}
		batch.Release()
		want := [5][]any{
			{"NY", nil, nil, nil, nil, "NY", nil, ""},
			{nil, nil, nil, int64(7), nil, int64(math.MinInt64), nil, int64(0)},
			{math.Inf(-1), nil, nil, nil, nil, 0.1, nil, math.Copysign(0, -1)},
			{nil, nil, nil, false, nil, true, nil, false},
			{nil, nil, nil, int64(0), nil, int64(-5), nil, int64(9)},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestAKeyThatTwoRowsHaveIsNamed(t *testing.T) {
	for _, tc := range []struct {
		keys int
		rows [][]any
		want string
	}{
		{1, lookupRows[:2], `has two rows of the key code "JFK"`},
		{2, [][]any{lookupRows[0], lookupRows[2], lookupRows[0]}, `has two rows of the key code "JFK", day 1970-01-01T00:00:00.000002Z`},
	} {
		if _, err := lookupOf(t, lookupColumns, tc.keys, tc.rows); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%v, not %s", err, tc.want)
		}
	}
}

func TestALargeTableIsRefused(t *testing.T) {
	columns := []table.Column{{Name: "k", Type: table.Int64}, {Name: "v", Type: table.String}}
	rows := make([][]any, table.MaxLookupRows+1)
	for i := range rows {
		rows[i] = []any{int64(i), nil}
	}
	if _, err := lookupOf(t, columns, 1, rows); err == nil || !strings.Contains(err.Error(), "more than 200000 rows") {
		t.Errorf("so many rows: %v", err)
	}
	wide := [][]any{{int64(1), strings.Repeat("a", table.MaxLookupBytes)}}
	if _, err := lookupOf(t, columns, 1, wide); err == nil || !strings.Contains(err.Error(), "4 MiB") {
		t.Errorf("so many bytes: %v", err)
	}
	wide[0][1] = strings.Repeat("\x01", table.MaxLookupBytes/2) // six times as long in JSON
	if _, err := lookupOf(t, columns, 1, wide); err == nil || !strings.Contains(err.Error(), "4 MiB") {
		t.Errorf("so many escapes: %v", err)
	}
}

func FuzzTablesOfAnyBytes(f *testing.F) {
	l, err := lookupOf(f, lookupColumns, 2, lookupRows)
	if err != nil {
		f.Fatal(err)
	}
	good, err := json.Marshal(l)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(strings.Replace(string(good), "NY", "JFK", 1)))
	f.Add([]byte(`{"columns":[{"name":"k","type":"int64"}],"keys":1,"rows":2,"cells":[["1","1"]]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		l := new(table.Lookup)
		if json.Unmarshal(data, l) != nil {
			return
		}
		x, err := table.OpenLookup(l)
		if err != nil {
			return
		}
		rows := make([]int32, 0, x.Rows+1)
		for i := range x.Rows {
			rows = append(rows, int32(i))
		}
		for k := x.Keys; k < len(x.Columns); k++ {
			x.Take(memory.DefaultAllocator, k, append(rows, -1)).Release()
		}
	})
}
