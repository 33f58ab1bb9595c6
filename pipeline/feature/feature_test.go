package feature

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

// everyType is the columns of the tests: one of each type, and a label.
var everyType = table.Schema{Columns: []table.Column{
	{Name: "s", Type: table.String, Nullable: true},
	{Name: "i", Type: table.Int64, Nullable: true},
	{Name: "f", Type: table.Float64, Nullable: true},
	{Name: "b", Type: table.Bool, Nullable: true},
	{Name: "y", Type: table.Bool, Nullable: true},
}}

// number is a feature as Compile makes it.
func number(column string, o pipeline.FeatureOptions) pipeline.Feature {
	if o.Normalization == "" {
		o.Normalization = "none"
	}
	o.Encoder = pipeline.Choice{Name: "none", Options: new(Scaled)}
	f := pipeline.Feature{Name: "n_" + column, Type: numberType, Column: column, Options: o}
	for _, e := range Normalizations() {
		if e.Name == o.Normalization {
			f.Normalization = e.Options
		}
	}
	return f
}

func category(column string, o pipeline.FeatureOptions) pipeline.Feature {
	if o.Encoder.Name == "" {
		o.Encoder = pipeline.Choice{Name: "onehot", Options: new(OneHot)}
	}
	return pipeline.Feature{Name: "c_" + column, Type: categoryType, Column: column, Options: o}
}

func planOf(features ...pipeline.Feature) *pipeline.Plan {
	return &pipeline.Plan{Input: everyType, Cleaned: everyType, Features: features,
		Label: pipeline.Label{Name: "late", Type: binaryLabel, Column: "y", Threshold: 0.5}}
}

// everyFeature is a plan with every type of column, normalisation and
// strategy that keeps rows.
func everyFeature() *pipeline.Plan {
	most, least := 3, 2
	raw := number("f", pipeline.FeatureOptions{})
	raw.Name = "raw"
	return planOf(
		number("i", pipeline.FeatureOptions{Normalization: "zscore"}),
		number("f", pipeline.FeatureOptions{Normalization: "log1p", MissingValueStrategy: fillWithConst, FillValue: -2}),
		number("b", pipeline.FeatureOptions{Normalization: "minmax"}),
		raw,
		category("s", pipeline.FeatureOptions{MostCommon: &most}),
		category("i", pipeline.FeatureOptions{MissingValueStrategy: fillWithMode, MinCount: &least}),
		category("b", pipeline.FeatureOptions{FillValue: true}),
	)
}

// drawPlan draws a plan with every type of feature, or one of hashes and crosses.
func drawPlan(rt *rapid.T) *pipeline.Plan {
	return rapid.SampledFrom([]func() *pipeline.Plan{everyFeature, crossed, encodedNumbers, encodedValues, everyText, someSets}).Draw(rt, "plan")()
}

// fit returns the transform of batches, one shard each, all rows in training.
func fit(t testing.TB, plan *pipeline.Plan, shards ...arrow.Record) *Transform {
	t.Helper()
	var partials [][]byte
	for _, rec := range shards {
		partials = append(partials, partial(t, plan, rec))
	}
	out, err := Finish(plan, partials)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// partial returns the statistics of one shard's batches, all rows in training.
func partial(t testing.TB, plan *pipeline.Plan, batches ...arrow.Record) []byte {
	t.Helper()
	f := NewFitter(plan)
	for _, rec := range batches {
		if err := f.Observe(rec, make([]uint8, rec.NumRows())); err != nil {
			t.Fatal(err)
		}
	}
	p, err := f.Partial()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// batch is rows of s, i, f, b with the label true.
func batch(rows ...[]any) arrow.Record {
	full := make([][]any, len(rows))
	for i, r := range rows {
		full[i] = append(slices.Clone(r), true)
	}
	return tabletest.Batch(memory.DefaultAllocator, everyType, 0, full...)
}

// column is rows with v in the named column and nulls in the others.
func column(name string, v ...any) arrow.Record {
	at, _, _ := everyType.Lookup(name)
	rows := make([][]any, len(v))
	for i, x := range v {
		rows[i] = make([]any, 4)
		rows[i][at] = x
	}
	return batch(rows...)
}

// rowBits are the bits of a row of a block.
func rowBits(b *kernel.Block, i int) []uint32 {
	var out []uint32
	for _, n := range b.Numbers {
		out = append(out, math.Float32bits(n[i]))
	}
	for _, c := range b.Categories {
		out = append(out, c[i])
	}
	for _, rows := range b.Terms {
		for _, term := range rows[i] {
			out = append(out, term.ID, math.Float32bits(term.Weight))
		}
		out = append(out, math.MaxUint32)
	}
	return out
}

func apply(t testing.TB, tr *Transform, rec arrow.Record) (*kernel.Block, *pipeline.Report) {
	t.Helper()
	b, rep := new(kernel.Block), new(pipeline.Report)
	if err := tr.NewApplier().Apply(rec, b, rep); err != nil {
		t.Fatal(err)
	}
	if problem := tr.Shape().Check(b); problem != "" {
		t.Fatal(problem)
	}
	return b, rep
}

func check(t testing.TB, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// reencode returns the same rows with other memory: dictionaries of the
// strings in use, in the order of the rows, as a decoder of events makes them.
func reencode(rec arrow.Record) arrow.Record {
	rows := tabletest.Rows(rec)
	first := int64(0)
	for i, r := range rows {
		for c, v := range r {
			if v == "NaN" {
				r[c] = math.NaN()
			}
		}
		if i == 0 {
			first = r[len(r)-1].(int64)
		}
	}
	return tabletest.Batch(memory.DefaultAllocator, everyType, first, rows...)
}

// isolate returns a batch whose float64 column has no value that would make
// its variance overflow.
func isolate(rec arrow.Record) arrow.Record {
	f := rec.Column(2).(*array.Float64)
	v := make([]any, f.Len())
	for i := range v {
		if f.IsValid(i) {
			v[i] = f.Value(i)
			if math.Abs(f.Value(i)) > 1e100 {
				v[i] = 1e100
			}
		}
	}
	columns := slices.Clone(rec.Columns())
	columns[2] = tabletest.Column(memory.DefaultAllocator, table.Float64, v...)
	return array.NewRecord(rec.Schema(), columns, rec.NumRows())
}

func drawBatch(rt *rapid.T, rows int) arrow.Record {
	return isolate(tabletest.Draw(rt, memory.DefaultAllocator, everyType, rows))
}

func TestBatchAndStreamGiveTheSameBits(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tr := fit(t, drawPlan(rt), drawBatch(rt, 40))
		rec := tabletest.Draw(rt, memory.DefaultAllocator, everyType, 40)
		whole, wholeReport := apply(t, tr, rec)

		a, b, rep := tr.NewApplier(), new(kernel.Block), new(pipeline.Report)
		row := 0
		for _, piece := range tabletest.Split(rt, rec) {
			if rapid.Bool().Draw(rt, "as events") {
				piece = reencode(piece)
			}
			if err := a.Apply(piece, b, rep); err != nil {
				rt.Fatal(err)
			}
			for i := range b.Rows {
				if got, want := rowBits(b, i), rowBits(whole, row); !slices.Equal(got, want) {
					rt.Fatalf("row %d is %v in its piece, %v in the whole", row, got, want)
				}
				row++
			}
		}
		if row != whole.Rows {
			rt.Fatalf("%d rows in pieces, %d in the whole", row, whole.Rows)
		}
		if diff := cmp.Diff(wholeReport, rep); diff != "" {
			rt.Fatalf("counts differ (-whole +pieces):\n%s", diff)
		}
	})
}

func TestOneTransformServesManyGoroutines(t *testing.T) {
	tr := fit(t, everyFeature(), batch(training()...))
	want, _ := apply(t, tr, batch(training()...))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			a, b, rec := tr.NewApplier(), new(kernel.Block), batch(training()...)
			for range 50 {
				if err := a.Apply(rec, b, nil); err != nil {
					t.Error(err)
				}
			}
			if diff := cmp.Diff(want, b); diff != "" {
				t.Error(diff)
			}
		})
	}
	wg.Wait()
}

func TestNoSlotIsEverOutOfRange(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tr := fit(t, drawPlan(rt), drawBatch(rt, 20))
		b, _ := apply(t, tr, tabletest.Draw(rt, memory.DefaultAllocator, everyType, 20))
		for k, column := range b.Numbers {
			for i, x := range column {
				if !(x >= -MaxNumber && x <= MaxNumber) {
					rt.Fatalf("number %s of row %d is %v", tr.Shape().NumberNames[k], i, x)
				}
			}
		}
		for j, column := range b.Categories {
			for i, id := range column {
				if int(id) >= tr.Shape().Cardinalities[j] {
					rt.Fatalf("category %s of row %d is %d of %d", tr.Shape().CategoryNames[j], i, id, tr.Shape().Cardinalities[j])
				}
			}
		}
	})
}

func TestABatchWithoutTheColumnIsRefusedByFeature(t *testing.T) {
	tr := fit(t, planOf(number("i", pipeline.FeatureOptions{})), column("i", int64(1)))
	rec := tabletest.Batch(memory.DefaultAllocator, table.Schema{}, 0)
	err := tr.NewApplier().Apply(rec, new(kernel.Block), nil)
	if want := "read: feature n_i: column i is not in the batch"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	wrong := planOf(number("s", pipeline.FeatureOptions{}))
	err = NewFitter(wrong).Observe(column("s", "a"), []uint8{0})
	if want := "read: feature n_s: string is not a type for it"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestMissingNumbersBecomeTheMedian of the training rows, of all shards together, in whichever
// form a number enters the model.
func TestMissingNumbersBecomeTheMedian(t *testing.T) {
	for _, f := range []pipeline.Feature{
		number("i", pipeline.FeatureOptions{MissingValueStrategy: fillWithMedian, Normalization: "none"}),
		number("i", pipeline.FeatureOptions{MissingValueStrategy: fillWithMedian, Normalization: "quantile"}),
		binnedFeature("i", 3, pipeline.FeatureOptions{MissingValueStrategy: fillWithMedian}),
	} {
		tr := fit(t, planOf(f), column("i", int64(9), nil, int64(1)), column("i", int64(2), int64(900), int64(3)), column("i", nil))
		b, _ := apply(t, tr, column("i", nil, int64(3), int64(9)))
		if missing, median, other := rowBits(b, 0), rowBits(b, 1), rowBits(b, 2); !slices.Equal(missing, median) || slices.Equal(missing, other) {
			t.Errorf("normalization %q: a missing value becomes %x, the median 3 %x, and 9 %x", f.Options.Normalization, missing, median, other)
		}
	}
	empty := number("i", pipeline.FeatureOptions{MissingValueStrategy: fillWithMedian, Normalization: "none"})
	b, _ := apply(t, fit(t, planOf(empty), column("i", nil)), column("i", nil, int64(0)))
	if !slices.Equal(rowBits(b, 0), rowBits(b, 1)) {
		t.Error("without a value in training a missing one is not 0")
	}
}

func TestUnknownOptionsAreRefusedByName(t *testing.T) {
	for want, f := range map[string]pipeline.Feature{
		`fit: feature n_i: normalization: "cube": not supported`:                                  number("i", pipeline.FeatureOptions{Normalization: "cube"}),
		`fit: feature c_s: encoder of a category: "hash": not supported`:                          category("s", pipeline.FeatureOptions{Encoder: pipeline.Choice{Name: "hash"}}),
		`fit: feature n_i: missing_value_strategy of a number: "fill_with_mode": not supported`:   number("i", pipeline.FeatureOptions{MissingValueStrategy: fillWithMode}),
		`fit: feature c_s: missing_value_strategy of a category: "fill_with_mean": not supported`: category("s", pipeline.FeatureOptions{MissingValueStrategy: "fill_with_mean"}),
		`fit: feature n_i: fit: fill_value x: invalid (a number feature needs a number)`:          number("i", pipeline.FeatureOptions{MissingValueStrategy: fillWithConst, FillValue: "x"}),
		`fit: feature c_s: fit: fill_value [1]: invalid (a category feature needs a scalar)`:      category("s", pipeline.FeatureOptions{FillValue: []any{1}}),
	} {
		plan := planOf(f)
		fitter := NewFitter(plan)
		err := fitter.Observe(column("i", int64(1)), []uint8{0})
		if err == nil {
			var p []byte
			if p, err = fitter.Partial(); err == nil {
				_, err = Finish(plan, [][]byte{p})
			}
		}
		if err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

func ExampleTransform_MarshalJSON() {
	plan := planOf(category("s", pipeline.FeatureOptions{}))
	f := NewFitter(plan)
	if err := f.Observe(column("s", "JFK", "LAX", "JFK"), make([]uint8, 3)); err != nil {
		panic(err)
	}
	p, err := f.Partial()
	if err != nil {
		panic(err)
	}
	t, err := Finish(plan, [][]byte{p})
	if err != nil {
		panic(err)
	}
	fmt.Printf("%+v\n", t.Features()[0].Category.Values)
	// Output: [JFK LAX]
}
