package table_test

import (
	"fmt"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

var allTypes = table.Schema{Columns: []table.Column{
	{Name: "s", Type: table.String, Nullable: true},
	{Name: "i", Type: table.Int64, Nullable: true},
	{Name: "f", Type: table.Float64, Nullable: true},
	{Name: "b", Type: table.Bool, Nullable: true},
	{Name: "t", Type: table.Timestamp, Nullable: true},
	{Name: "li", Type: table.Int64List, Nullable: true},
	{Name: "lf", Type: table.Float64List, Nullable: true},
	{Name: "lb", Type: table.BoolList, Nullable: true},
}}

func TestSelectKeepsExactlyTheMarkedRows(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
		defer mem.AssertSize(t, 0)
		batch := tabletest.Draw(rt, mem, allTypes, 200)
		defer batch.Release()
		n := int(batch.NumRows())
		keep := table.NewMask(n)
		var want [][]any
		of10 := rapid.SampledFrom([]int{0, 1, 5, 9, 10}).Draw(rt, "keep of 10")
		for i := range n {
			if rapid.IntRange(1, 10).Draw(rt, "keep") <= of10 {
				keep.Set(i)
				want = append(want, tabletest.Row(batch, i))
			}
		}
		got, err := table.Select(mem, batch, keep)
		if err != nil {
			t.Fatal(err)
		}
		defer got.Release()
		if diff := cmp.Diff(want, tabletest.Rows(got), equateEmpty); diff != "" {
			rt.Fatalf("selected rows (-want +got):\n%s", diff)
		}
		for i, c := range got.Columns() {
			nulls := 0
			for r := range c.Len() {
				if c.IsNull(r) {
					nulls++
				}
			}
			if nulls != c.NullN() {
				rt.Fatalf("column %d says %d nulls, has %d", i, c.NullN(), nulls)
			}
		}
		if keep.Count() != len(want) || keep.Not().Count() != n-len(want) {
			rt.Fatalf("mask counts %d and %d of %d rows, want %d marked", keep.Count(), keep.Not().Count(), n, len(want))
		}
	})
}

var equateEmpty = cmp.Comparer(func(a, b [][]any) bool {
	if len(a) == 0 && len(b) == 0 {
		return true
	}
	return fmt.Sprint(a) == fmt.Sprint(b) && len(a) == len(b)
})

func TestSelectSharesMemoryWhereItCan(t *testing.T) {
	batch := tabletest.Batch(memory.DefaultAllocator, allTypes, 0,
		[]any{"a", int64(1), 1.5, true, int64(0), []any{}, nil, nil}, []any{"b", nil, nil, nil, nil, nil, nil, nil}, []any{"c", int64(3), 2.5, false, int64(9), nil, nil, nil})
	defer batch.Release()
	data := func(r arrow.Record) *int64 { return &r.Column(1).(*array.Int64).Int64Values()[:1][0] }
	for name, rows := range map[string][]int{"all": {0, 1, 2}, "neighbours": {0, 1}} {
		keep := table.NewMask(3)
		for _, r := range rows {
			keep.Set(r)
		}
		got, err := table.Select(memory.DefaultAllocator, batch, keep)
		if err != nil {
			t.Fatal(err)
		}
		if data(got) != data(batch) {
			t.Errorf("%s: the values were copied", name)
		}
		got.Release()
	}
}

func TestTrueLeavesOutNullsAtAnyOffset(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		schema := table.Schema{Columns: []table.Column{{Name: "b", Type: table.Bool}}}
		batch := tabletest.Draw(rt, memory.DefaultAllocator, schema, 150)
		defer batch.Release()
		b := batch.Column(0).(*array.Boolean)
		m, valid := table.True(b), table.Valid(b)
		var rows []int64
		for i := range b.Len() {
			want := b.IsValid(i) && b.Value(i)
			if m.Has(i) != want || valid.Has(i) != b.IsValid(i) {
				rt.Fatalf("row %d: marked %v valid %v, want %v %v", i, m.Has(i), valid.Has(i), want, b.IsValid(i))
			}
			if want {
				rows = append(rows, batch.Column(1).(*array.Int64).Value(i))
			}
		}
		if diff := cmp.Diff(rows, table.RowNumbers(nil, batch, m)); diff != "" {
			rt.Fatal(diff)
		}
	})
}

func TestSelectNamesAColumnOfAForeignType(t *testing.T) {
	b := array.NewInt8Builder(memory.DefaultAllocator)
	b.AppendValues([]int8{1, 2, 3}, nil)
	a := b.NewArray()
	rec := array.NewRecord(arrow.NewSchema([]arrow.Field{{Name: "tiny", Type: a.DataType()}}, nil), []arrow.Array{a}, 3)
	keep := table.NewMask(3)
	keep.Set(0)
	keep.Set(2)
	_, err := table.Select(memory.DefaultAllocator, rec, keep)
	if err == nil || err.Error() != "select rows: column tiny: int8 is not a canonical type" {
		t.Fatalf("got %v", err)
	}
}

func BenchmarkSelect(b *testing.B) {
	const rows = 1 << 16
	batch := flights(rows)
	for _, every := range []int{2, 10, 100} {
		keep := table.NewMask(rows)
		for i := range rows {
			if i*7919%every != 0 {
				keep.Set(i)
			}
		}
		b.Run(fmt.Sprintf("drop 1 of %d", every), func(b *testing.B) {
			for b.Loop() {
				out, err := table.Select(memory.DefaultAllocator, batch, keep)
				if err != nil {
					b.Fatal(err)
				}
				out.Release()
			}
			b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
		})
	}
}

// flights returns a batch of the columns of a flight.
func flights(n int) arrow.Record {
	schema := table.Schema{Columns: []table.Column{{Name: "date", Type: table.Timestamp}, {Name: "delay", Type: table.Int64},
		{Name: "distance", Type: table.Int64}, {Name: "origin", Type: table.String}, {Name: "destination", Type: table.String}}}
	rows := make([][]any, n)
	for i := range rows {
		rows[i] = []any{int64(i), int64(i), int64(i), "JFK", "LAX"}
	}
	return tabletest.Batch(memory.DefaultAllocator, schema, 0, rows...)
}
