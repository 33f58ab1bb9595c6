package feature

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

// listColumns are a list of each type, and a label.
var listColumns = table.Schema{Columns: []table.Column{
	{Name: "v", Type: table.Float64List, Nullable: true},
	{Name: "n", Type: table.Int64List, Nullable: true},
	{Name: "b", Type: table.BoolList, Nullable: true},
	{Name: "y", Type: table.Bool, Nullable: true},
}}

// list is a feature as Compile makes it; length 0: not declared.
func list(column string, length int, o pipeline.FeatureOptions) pipeline.Feature {
	f := number(column, o)
	f.Name, f.Type, f.Options.Encoder = "l_"+column, listType, pipeline.Choice{Name: "elements", Options: new(Elements)}
	if length > 0 {
		f.Options.Length = &length
	}
	return f
}

func everyList() *pipeline.Plan {
	return planOf(list("v", 2, pipeline.FeatureOptions{Normalization: "zscore"}), list("v", 0, pipeline.FeatureOptions{Normalization: "log1p"}),
		list("n", 0, pipeline.FeatureOptions{Normalization: "minmax", MissingValueStrategy: fillWithConst, FillValue: -3}), list("b", 3, pipeline.FeatureOptions{}))
}

type l = []any

func listBatch(rows ...[]any) arrow.Record {
	return tabletest.Batch(memory.DefaultAllocator, listColumns, 0, rows...)
}

// vectors is rows of v, with the label true.
func vectors(lists ...any) arrow.Record {
	rows := make([][]any, len(lists))
	for i, v := range lists {
		rows[i] = []any{v, nil, nil, true}
	}
	return listBatch(rows...)
}

func listTraining() arrow.Record {
	return listBatch(
		[]any{l{0.5, 1.0}, l{int64(1), int64(2), int64(3)}, l{true, false, nil}, true},
		[]any{l{-7.0, nil}, l{}, nil, false},
		[]any{nil, nil, l{true}, true},
		[]any{l{}, l{nil, int64(20), int64(30)}, l{false, false, true}, true},
		[]any{l{2.0, math.NaN()}, l{int64(7), int64(-2), int64(9)}, l{}, false})
}

func listRowBits(b *kernel.Block, i int) (out []uint32) {
	for _, column := range b.Lists {
		n := len(column) / b.Rows
		for _, x := range column[i*n : (i+1)*n] {
			out = append(out, math.Float32bits(x))
		}
	}
	return out
}

func TestListsInBatchAndStreamGiveTheSameBits(t *testing.T) {
	tr := fit(t, everyList(), listTraining())
	rapid.Check(t, func(rt *rapid.T) {
		rec := tabletest.Draw(rt, memory.DefaultAllocator, listColumns, 40)
		whole, wholeReport := apply(t, tr, rec)
		a, b, rep := tr.NewApplier(), new(kernel.Block), new(pipeline.Report)
		row := 0
		for _, piece := range tabletest.Split(rt, rec) {
			if err := a.Apply(piece, b, rep); err != nil {
				rt.Fatal(err)
			}
			for i := range b.Rows {
				if got, want := listRowBits(b, i), listRowBits(whole, row); !slices.Equal(got, want) {
					rt.Fatalf("row %d is %v in its piece, %v in the whole", row, got, want)
				}
				row++
			}
		}
		if diff := cmp.Diff(wholeReport, rep); diff != "" {
			rt.Fatalf("counts differ (-whole +pieces):\n%s", diff)
		}
		for _, column := range whole.Lists {
			for i, x := range column {
				if !(x >= -MaxNumber && x <= MaxNumber) {
					rt.Fatalf("element %d is %v", i, x)
				}
			}
		}
	})
}

func TestBatchBoundariesDoNotChangeAPartialOfLists(t *testing.T) {
	plan := planOf(list("v", 2, pipeline.FeatureOptions{Normalization: "zscore"}), list("n", 3, pipeline.FeatureOptions{Normalization: "minmax", MissingValueStrategy: dropRow}),
		list("b", 1, pipeline.FeatureOptions{Normalization: "log1p"}))
	rapid.Check(t, func(rt *rapid.T) {
		rec := tabletest.Draw(rt, memory.DefaultAllocator, listColumns, 60)
		partialOf := func(batches ...arrow.Record) string {
			f := NewFitter(plan)
			for _, b := range batches {
				if err := f.Observe(b, make([]uint8, b.NumRows())); err != nil {
					if !errors.As(err, new(*table.RowError)) {
						rt.Fatal(err)
					}
					return "refused" // for a number that is too large: which one is met first depends on the batches
				}
			}
			p, err := f.Partial()
			return fmt.Sprint(string(p), err)
		}
		if got, want := partialOf(tabletest.Split(rt, rec)...), partialOf(rec); got != want {
			rt.Fatalf("in pieces\n%s\nas a whole\n%s", got, want)
		}
	})
}

// TestAnElementIsANumberByItself holds the elements of lists against number features
// of columns that have the same values.
func TestAnElementIsANumberByItself(t *testing.T) {
	for _, o := range []pipeline.FeatureOptions{{Normalization: "zscore"}, {Normalization: "minmax"}, {Normalization: "log1p"}, {},
		{Normalization: "zscore", MissingValueStrategy: fillWithConst, FillValue: 4}} {
		rapid.Check(t, func(rt *rapid.T) {
			value := func() any {
				if rapid.IntRange(0, 5).Draw(rt, "null") == 0 {
					return nil
				}
				return rapid.OneOf(rapid.Float64Range(-5, 5), rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), 1e20})).Draw(rt, "value")
			}
			var lists []any
			columns := [2][]any{}
			for range rapid.IntRange(1, 20).Draw(rt, "rows") {
				a, b := value(), value()
				lists, columns[0], columns[1] = append(lists, l{a, b}), append(columns[0], a), append(columns[1], b)
			}
			tr := fit(t, planOf(list("v", 2, o)), vectors(lists...))
			block, _ := apply(t, tr, vectors(lists...))
			for k, values := range columns {
				single, _ := apply(t, fit(t, planOf(number("f", o)), column("f", values...)), column("f", values...))
				for i := range values {
					if got, want := block.Lists[0][2*i+k], single.Numbers[0][i]; math.Float32bits(got) != math.Float32bits(want) {
						rt.Fatalf("element %d of row %d is %v, as a number %v", k, i, got, want)
					}
				}
			}
		})
	}
}

func TestAListOfAnotherLengthCountsAsMissingAndIsCounted(t *testing.T) {
	rows := vectors(l{1.0, 10.0}, l{3.0, 30.0}, l{5.0}, l{7.0, 70.0, 700.0}, l{}, nil, l{2.0, nil})
	tr := fit(t, planOf(list("v", 2, pipeline.FeatureOptions{})), rows)
	data := tr.Features()[0].List
	if data.Length != 2 || data.Other != 3 || data.Missing != 1 || data.Elements[0].Statistics.Mean != 2 || data.Elements[1].Statistics.Mean != 20 || data.Elements[1].Statistics.Missing != 1 {
		t.Errorf("learnt %+v", data)
	}
	block, rep := apply(t, tr, rows)
	check(t, "elements", block.Lists[0], []float32{1, 10, 3, 30, 2, 20, 2, 20, 2, 20, 2, 20, 2, 20})
	check(t, "filled", rep.Filled, map[string]int64{"l_v": 2})
	check(t, "of another length", rep.Unknown, map[string]int64{"l_v": 3})

	plan := planOf(list("v", 2, pipeline.FeatureOptions{MissingValueStrategy: dropRow}))
	tr = fit(t, plan, rows)
	if n := tr.Label().Statistics.Count; n != 2 {
		t.Errorf("%d rows are learnt from", n)
	}
	kept, err := tr.Keep(rows, nil)
	if err != nil || kept.NumRows() != 2 {
		t.Errorf("%d rows are kept: %v", kept.NumRows(), err)
	}
}

func TestTheLengthIsLearntFromTheTrainingRows(t *testing.T) {
	plan := planOf(list("v", 0, pipeline.FeatureOptions{Normalization: "log1p"}))
	empty, three := vectors(nil, l{}), vectors(l{}, l{1.0, 2.0, 3.0}, nil)
	for name, shards := range map[string][]arrow.Record{"one shard": {three}, "after a shard without": {empty, three, empty}} {
		if tr := fit(t, plan, shards...); tr.Features()[0].List.Length != 3 || !cmp.Equal(tr.Shape().Lists, [][]int{{3}}) {
			t.Errorf("%s: %+v", name, tr.Features()[0].List)
		}
	}
	f := NewFitter(plan)
	if err := f.Observe(vectors(l{1.0}, l{1.0, 2.0}), []uint8{0, 1}); err != nil {
		t.Errorf("a list of the validation rows: %v", err)
	}
	for name, c := range map[string]struct {
		shards [][]byte
		want   string
	}{
		"lengths that differ in shards": {[][]byte{partial(t, plan, three), partial(t, plan, vectors(l{1.0}))}, "training rows have lists of 3 elements and of 1: invalid (write length: 3;"},
		"no list at all":                {[][]byte{partial(t, plan, empty)}, "no training row has a list"},
	} {
		if _, err := Finish(plan, c.shards); !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), "feature l_v") || !strings.Contains(err.Error(), strings.Split(c.want, ": invalid")[0]) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for want, rec := range map[string]arrow.Record{
		"lists of 1 elements and of 2": vectors(l{1.0}, l{1.0, 2.0}),
		"a list of 4097 elements":      vectors(slices.Repeat(l{0.5}, pipeline.MaxListLength+1)),
	} {
		for what, err := range map[string]error{"fit": NewFitter(plan).Observe(rec, make([]uint8, rec.NumRows())), "check": NewFitter(plan).Check(rec)} {
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "feature l_v") {
				t.Errorf("%s: %v, want %s", what, err, want)
			}
		}
	}
}

func TestTheElementsOfAllListFeaturesAreBounded(t *testing.T) {
	plan := planOf(list("v", 4096, pipeline.FeatureOptions{}), list("v", 4096, pipeline.FeatureOptions{}), list("v", 1, pipeline.FeatureOptions{}))
	if err := NewFitter(plan).Observe(vectors(nil), []uint8{0}); !thalweg.Is(err, thalweg.Exhausted) || !strings.Contains(err.Error(), "8192 elements") {
		t.Error(err)
	}
}

func TestATransformOfListsIsLoadedAsItWas(t *testing.T) {
	plan := everyList()
	tr := fit(t, plan, listTraining())
	back, err := Load(plan, tr.canonical)
	if err != nil || back.Hash() != tr.Hash() {
		t.Fatal(err)
	}
	want, _ := apply(t, tr, listTraining())
	got, _ := apply(t, back, listTraining())
	check(t, "block", got, want)
	good := string(tr.canonical)
	for name, change := range map[string][2]string{
		"another length":  {`"length":2`, `"length":3`},
		"no elements":     {`"list":{`, `"lists":{`},
		"a wrong element": {`"shift":-1.5`, `"shift":-1.50`},
		"negative counts": {`"other":1`, `"other":-1`},
	} {
		data := strings.Replace(good, change[0], change[1], 1)
		if data == good {
			t.Fatalf("%s: nothing was changed in\n%s", name, good)
		}
		if _, err := Load(plan, []byte(data)); !thalweg.Is(err, thalweg.Corrupt) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for name, change := range map[string][2]string{
		"another length": {`"length":2`, `"length":1`},
		"a list of none": {`"elements":[`, `"elements":[{},`},
	} {
		data := strings.Replace(string(partial(t, plan, listTraining())), change[0], change[1], 1)
		if _, err := Finish(plan, [][]byte{[]byte(data)}); !thalweg.Is(err, thalweg.Corrupt) {
			t.Errorf("a partial of %s: got %v", name, err)
		}
	}
	if !bytes.Equal(partial(t, plan, listTraining()), partial(t, plan, listTraining())) {
		t.Error("a partial differs from itself")
	}
}
