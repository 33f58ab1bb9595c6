package feature

import (
	"math"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

func TestUnknownAndMissingCategoriesAreExplicitAndCounted(t *testing.T) {
	tr := fit(t, planOf(category("s", pipeline.FeatureOptions{})), column("s", "a", "a", "b", "b", "b", nil))
	b, rep := apply(t, tr, column("s", "a", "b", "c", nil, ""))
	check(t, "ids", b.Categories[0], []uint32{2, 1, 0, 3, 0})
	check(t, "unknown", rep.Unknown, map[string]int64{"c_s": 2})
	check(t, "filled", rep.Filled, map[string]int64{"c_s": 1})

	// Where training missed no value, a missing one is unknown.
	tr = fit(t, planOf(category("s", pipeline.FeatureOptions{})), column("s", "a"))
	b, rep = apply(t, tr, column("s", nil))
	check(t, "ids", b.Categories[0], []uint32{0})
	check(t, "unknown", rep.Unknown, map[string]int64{"c_s": 1})
	check(t, "filled", rep.Filled, map[string]int64{"c_s": 1})
}

func TestIntegerCategories(t *testing.T) {
	for name, train := range map[string][]any{
		"by table": {int64(5), int64(5), int64(9), int64(-4)},
		"by map":   {int64(5), int64(5), int64(9), int64(math.MinInt64), int64(math.MaxInt64)},
	} {
		tr := fit(t, planOf(category("i", pipeline.FeatureOptions{FillValue: 9})), column("i", train...))
		e := tr.encodings[0].(*oneHot)
		if (e.table == nil) != (name == "by map") {
			t.Errorf("%s: the other way was taken", name)
		}
		rec := append(train, nil, int64(6), int64(math.MaxInt64-1), int64(math.MinInt64+1))
		b, _ := apply(t, tr, column("i", rec...))
		for i, x := range rec {
			want := uint32(0)
			switch x := x.(type) {
			case nil:
				want = e.ids["9"]
			case int64:
				text, _ := fillText(x)
				want = e.ids[text]
			}
			if b.Categories[0][i] != want {
				t.Errorf("%s: %v has id %d, want %d", name, x, b.Categories[0][i], want)
			}
		}
	}
}

func TestTextThatOnlyLooksLikeAnIntegerIsNotOne(t *testing.T) {
	tr := fit(t, planOf(category("i", pipeline.FeatureOptions{FillValue: "007"})), column("i", nil, nil, int64(7)))
	b, _ := apply(t, tr, column("i", int64(7), nil))
	check(t, "ids", b.Categories[0], []uint32{2, 1})
}

func TestBytesThatAreNotUTF8AreOneCategory(t *testing.T) {
	tr := fit(t, planOf(category("s", pipeline.FeatureOptions{})), column("s", "a\xff", "a\xfe", "b"))
	check(t, "values", tr.Features()[0].Category.Values, []string{"a\uFFFD", "b"})
	b, _ := apply(t, tr, column("s", "a\xf0", "a\uFFFD", "b"))
	check(t, "ids", b.Categories[0], []uint32{1, 1, 2})
}

func TestAnApplierSeesThatTheDictionaryChanged(t *testing.T) {
	tr := fit(t, planOf(category("s", pipeline.FeatureOptions{})), column("s", "a", "a", "b"))
	a, block := tr.NewApplier(), new(kernel.Block)
	withEntries := func(entries ...string) arrow.Record {
		mem := memory.DefaultAllocator
		s := tabletest.Strings(mem, entries, entries[0], entries[1])
		row := tabletest.Column(mem, table.Int64, int64(0), int64(1))
		schema := table.Schema{Columns: []table.Column{{Name: "s", Type: table.String}}}
		return array.NewRecord(schema.Arrow(), []arrow.Array{s, row}, 2)
	}
	first := withEntries("a", "b", "unused")
	for _, tc := range []struct {
		rec  arrow.Record
		want []uint32
	}{
		{first, []uint32{1, 2}}, {first, []uint32{1, 2}}, {first.NewSlice(1, 2), []uint32{2}},
		{withEntries("b", "a"), []uint32{2, 1}}, {withEntries("x", "b"), []uint32{0, 2}}, {first, []uint32{1, 2}},
	} {
		if err := a.Apply(tc.rec, block, nil); err != nil {
			t.Fatal(err)
		}
		check(t, "ids", block.Categories[0], tc.want)
	}
}
