package feature

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"pgregory.net/rapid"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

func TestBatchBoundariesDoNotChangeAPartial(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		plan := drawPlan(rt)
		rec := drawBatch(rt, 60)
		whole := partial(t, plan, rec)
		var pieces []arrow.Record
		for _, p := range tabletest.Split(rt, rec) {
			if rapid.Bool().Draw(rt, "reencode") {
				p = reencode(p)
			}
			pieces = append(pieces, p)
		}
		if got := partial(t, plan, pieces...); !bytes.Equal(got, whole) {
			rt.Fatalf("in pieces\n%s\nas a whole\n%s", got, whole)
		}
	})
}

func TestAPartialKeepsNothingOfItsBatches(t *testing.T) {
	plan := planOf(category("s", pipeline.FeatureOptions{}), category("i", pipeline.FeatureOptions{}))
	in := func(mem memory.Allocator) string {
		f := NewFitter(plan)
		for _, values := range [][]any{{"aa", "bb", "bb"}, {"bb", "cc", "aa"}, {"aa", "aa", "dd"}} {
			var rows [][]any
			for i, v := range values {
				rows = append(rows, []any{v, int64(i), float64(i), true, true})
			}
			batch := tabletest.Batch(mem, everyType, 0, rows...)
			if err := f.Observe(batch, make([]uint8, len(rows))); err != nil {
				t.Fatal(err)
			}
			batch.Release()
		}
		data, err := f.Partial()
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	if got, want := in(tabletest.Recycling{Allocator: memory.NewGoAllocator()}), in(memory.NewGoAllocator()); got != want {
		t.Errorf("where memory is used again\n%s, else\n%s", got, want)
	}
}

func TestManyValuesInAnyPortionsGiveTheSameMoments(t *testing.T) {
	values := make([]float64, 5000)
	x := uint64(1)
	for i := range values {
		x = x*6364136223846793005 + 1442695040888963407
		values[i] = 1e6 + float64(x>>40)/1000
	}
	var whole, portions gatherer
	gatherAll(&whole, values...)
	for i, v := range values {
		gatherAll(&portions, v)
		if i%700 == 0 {
			portions.moments() // looking does not change what follows
		}
	}
	check(t, "moments", portions.moments(), whole.moments())

	// The reference runs in 300 bits.
	mean, m2 := new(big.Float).SetPrec(300), new(big.Float).SetPrec(300)
	for _, v := range values {
		mean.Add(mean, big.NewFloat(v))
	}
	mean.Quo(mean, big.NewFloat(float64(len(values))))
	for _, v := range values {
		d := new(big.Float).SetPrec(300).Sub(big.NewFloat(v), mean)
		m2.Add(m2, d.Mul(d, d))
	}
	wantMean, _ := mean.Float64()
	wantM2, _ := m2.Float64()
	got := whole.moments()
	if math.Abs(got.Mean/wantMean-1) > 1e-15 || math.Abs(got.M2/wantM2-1) > 1e-13 {
		t.Errorf("mean %v and m2 %v, want %v and %v", got.Mean, got.M2, wantMean, wantM2)
	}
}

func gatherAll(g *gatherer, values ...float64) {
	gather(g, values, table.NewMask(len(values)).Not())
}

func TestMergingShardsIsLikeOneShard(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64Range(-100, 100), 2, 30).Draw(rt, "values")
		cut := rapid.IntRange(0, len(values)).Draw(rt, "cut")
		var a, b, all gatherer
		gatherAll(&all, values...)
		gatherAll(&a, values[:cut]...)
		gatherAll(&b, values[cut:]...)
		got, want := a.moments(), all.moments()
		got.merge(b.moments())
		if got.Count != want.Count || got.Min != want.Min || got.Max != want.Max ||
			math.Abs(got.Mean-want.Mean) > 1e-12 || math.Abs(got.M2-want.M2) > 1e-9*(1+want.M2) {
			rt.Fatalf("merged %+v, whole %+v", got, want)
		}
	})
}

func TestOnlyTrainingRowsWithALabelAreObserved(t *testing.T) {
	plan := planOf(number("i", pipeline.FeatureOptions{}), category("s", pipeline.FeatureOptions{}))
	rec := tabletest.Batch(memory.DefaultAllocator, everyType, 0,
		[]any{"train", int64(1), nil, nil, true},
		[]any{"validation", int64(100), nil, nil, true},
		[]any{"test", int64(1000), nil, nil, false},
		[]any{"unlabelled", int64(10000), nil, nil, nil},
		[]any{nil, nil, nil, nil, false})
	f := NewFitter(plan)
	if err := f.Observe(rec, []uint8{0, 1, 2, 0, 0}); err != nil {
		t.Fatal(err)
	}
	p, err := f.Partial()
	if err != nil {
		t.Fatal(err)
	}
	tr, err := Finish(plan, [][]byte{p})
	if err != nil {
		t.Fatal(err)
	}
	check(t, "number", tr.Features()[0].Number.Statistics, Moments{Count: 1, Missing: 1, Mean: 1, Min: 1, Max: 1})
	check(t, "values", tr.Features()[1].Category.Values, []string{"<MISSING>", "train"})
	check(t, "label", tr.Label().Statistics, Moments{Count: 2, Missing: 1, Mean: 0.5, M2: 0.5, Min: 0, Max: 1})
}

func TestRowsThatAFeatureDropsCountForNoFeature(t *testing.T) {
	plan := planOf(
		number("i", pipeline.FeatureOptions{}),
		number("f", pipeline.FeatureOptions{MissingValueStrategy: dropRow}),
		category("s", pipeline.FeatureOptions{MissingValueStrategy: dropRow}))
	tr := fit(t, plan, batch([]any{"a", int64(1), 1.0, nil}, []any{"b", int64(5), math.Inf(1), nil}, []any{nil, int64(9), 2.0, nil}))
	check(t, "number", tr.Features()[0].Number.Statistics, Moments{Count: 1, Mean: 1, Min: 1, Max: 1})
	check(t, "values", tr.Features()[2].Category.Values, []string{"a"})
}

func TestIdsFollowFallingCountThenValue(t *testing.T) {
	most, least := 2, 2
	rec := column("s", "d", "b", "b", "a", "a", "c", "c", "c", nil, nil, nil, nil)
	for _, tc := range []struct {
		name     string
		options  pipeline.FeatureOptions
		values   []string
		counts   []int64
		unknown  int64
		distinct int64
	}{
		{"own category for missing", pipeline.FeatureOptions{}, []string{"<MISSING>", "c", "a", "b", "d"}, []int64{4, 3, 2, 2, 1}, 0, 5},
		{"missing counts as b", pipeline.FeatureOptions{FillValue: "b"}, []string{"b", "c", "a", "d"}, []int64{6, 3, 2, 1}, 0, 4},
		{"missing counts as the mode", pipeline.FeatureOptions{MissingValueStrategy: fillWithMode}, []string{"c", "a", "b", "d"}, []int64{7, 2, 2, 1}, 0, 4},
		{"dropped", pipeline.FeatureOptions{MissingValueStrategy: dropRow}, []string{"c", "a", "b", "d"}, []int64{3, 2, 2, 1}, 0, 4},
		{"most common", pipeline.FeatureOptions{MostCommon: &most}, []string{"<MISSING>", "c"}, []int64{4, 3}, 5, 5},
		{"min count", pipeline.FeatureOptions{MinCount: &least}, []string{"<MISSING>", "c", "a", "b"}, []int64{4, 3, 2, 2}, 1, 5},
	} {
		c := fit(t, planOf(category("s", tc.options)), rec).Features()[0].Category
		check(t, tc.name+": values", c.Values, tc.values)
		check(t, tc.name+": counts", c.Counts, tc.counts)
		check(t, tc.name+": unknown", c.Unknown, tc.unknown)
		check(t, tc.name+": distinct", c.Distinct, tc.distinct)
	}
}

func TestIntegersAndBoolsGoByTheirText(t *testing.T) {
	tr := fit(t, planOf(category("i", pipeline.FeatureOptions{}), category("b", pipeline.FeatureOptions{})),
		batch([]any{nil, int64(-7), nil, true}, []any{nil, int64(1 << 40), nil, false}, []any{nil, int64(3), nil, nil}))
	check(t, "integers", tr.Features()[0].Category.Values, []string{"-7", "1099511627776", "3"})
	check(t, "bools", tr.Features()[1].Category.Values, []string{"<MISSING>", "false", "true"})
}

func TestTooManyCategoriesAreAnErrorThatNamesTheFeature(t *testing.T) {
	f := NewFitter(planOf(category("i", pipeline.FeatureOptions{}), category("s", pipeline.FeatureOptions{})))
	if got, want := f.features[0].category.bounds, featureBounds; got != want {
		t.Errorf("a counter has the bounds %v, not %v", got, want)
	}
	f.features[0].category.bounds.values = 3
	if err := f.Observe(column("i", int64(1), int64(1<<40), int64(2<<40), int64(3<<40)), make([]uint8, 4)); err != nil {
		t.Fatal(err) // small integers have room of their own
	}
	err := f.Observe(column("i", int64(4<<40)), make([]uint8, 1))
	if want := "fit: feature c_i: more than 3 distinct values or 65536 KiB of them"; !thalweg.Is(err, thalweg.Exhausted) || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, again := f.Partial(); again == nil {
		t.Error("a fitter that failed gave a partial")
	}

	f = NewFitter(planOf(category("s", pipeline.FeatureOptions{})))
	f.features[0].category.bounds.bytes = 5
	if err := f.Observe(column("s", "abc", "de", "abc"), make([]uint8, 3)); err != nil {
		t.Fatal(err)
	}
	if err := f.Observe(column("s", "f"), make([]uint8, 1)); !thalweg.Is(err, thalweg.Exhausted) {
		t.Errorf("too much text: got %v", err)
	}
}

func TestTooManyCategoriesInAllShardsAreAnError(t *testing.T) {
	parts := []Counts{{Values: []string{"a", "b"}, Counts: []int64{1, 1}}, {Values: []string{"b", "c"}, Counts: []int64{1, 1}}}
	if _, err := mergeCounts("feature c_i", parts, bounds{values: 3, bytes: 3}); err != nil {
		t.Errorf("within the bounds: %v", err)
	}
	for _, b := range []bounds{{values: 2, bytes: 3}, {values: 3, bytes: 2}} {
		if _, err := mergeCounts("feature c_i", parts, b); !thalweg.Is(err, thalweg.Exhausted) {
			t.Errorf("bounds %v: got %v", b, err)
		}
	}
}

// The first number that the moments cannot have beside others is named by its row, also
// where it came in an earlier batch, and between shards by the shard.
func TestNumbersThatOverflowTheirVarianceAreAnErrorWithTheirRow(t *testing.T) {
	plan := planOf(number("f", pipeline.FeatureOptions{}))
	f := NewFitter(plan)
	if err := f.Observe(column("f", 1.0, math.Inf(1), math.NaN()), []uint8{0, 0, 0}); err != nil || f.TooLarge() != nil {
		t.Fatal(err, f.TooLarge())
	}
	err := f.Observe(column("f", 2.0, -1e300, 1e308), []uint8{0, 0, 0})
	var bad *table.RowError
	if !errors.As(err, &bad) || bad.Row != 1 || bad.What != "feature n_f" || !strings.Contains(err.Error(), "-1e+300 is beyond ±1e+144") || !thalweg.Is(err, thalweg.Invalid) {
		t.Errorf("got %v", err)
	}
	f = NewFitter(plan)
	if err := f.Observe(column("f", 1e300, 1e300), []uint8{1, 0}); err != nil { // a constant has a variance
		t.Fatal(err)
	}
	if err := f.TooLarge(); !errors.As(err, &bad) || bad.Row != 1 {
		t.Errorf("got %v", err)
	}
	if err := f.Observe(column("f", 1.0), []uint8{0}); !errors.As(err, &bad) || bad.Row != 1 {
		t.Errorf("a batch later: %v", err)
	}
	for _, at := range []int{0, 1, 2} {
		parts := [][]byte{partial(t, plan, column("f", 1.0)), partial(t, plan, column("f", 3.0)), partial(t, plan, column("f", 2.0))}
		parts[at] = partial(t, plan, column("f", -1e300))
		_, err = Finish(plan, parts)
		if of := new(ShardError); !errors.As(err, &of) || of.Shard != at || !strings.Contains(err.Error(), "from -1e+300 to ") {
			t.Errorf("shard %d: %v", at, err)
		}
	}
}

func TestFinishRefusesPartialsOfAnotherPlan(t *testing.T) {
	plan := planOf(number("i", pipeline.FeatureOptions{}))
	good := partial(t, plan, column("i", int64(1)))
	another := category("s", pipeline.FeatureOptions{})
	another.Name = "n_i"
	for name, p := range map[string][]byte{
		"another feature":  partial(t, planOf(number("f", pipeline.FeatureOptions{})), column("f", 1.0)),
		"another type":     partial(t, planOf(another), column("s", "a")),
		"another scale":    partial(t, planOf(number("i", pipeline.FeatureOptions{Normalization: "log1p"})), column("i", int64(1))),
		"another version":  bytes.Replace(good, []byte(`"version":1`), []byte(`"version":2`), 1),
		"negative count":   bytes.Replace(good, []byte(`"count":1`), []byte(`"count":-1`), 1),
		"an unknown field": bytes.Replace(good, []byte(`"count":1`), []byte(`"size":1`), 1),
		"cut short":        good[:len(good)-1],
		"more after":       append(bytes.Clone(good), "{}"...),
	} {
		if bytes.Equal(p, good) {
			t.Fatalf("%s: the partial was not changed", name)
		}
		if _, err := Finish(plan, [][]byte{good, p}); !thalweg.Is(err, thalweg.Corrupt) || !strings.Contains(err.Error(), "fit partial of shard 1") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestATransformOfNoRowsIsUsable(t *testing.T) {
	plan := everyFeature()
	tr := fit(t, plan, drawNothing())
	b, _ := apply(t, tr, column("s", "a"))
	for _, c := range b.Categories {
		if c[0] != 0 {
			t.Errorf("an id of %d where nothing was learnt", c[0])
		}
	}
}

func drawNothing() arrow.Record { return batch() }

func FuzzFinish(f *testing.F) {
	plan := everyFeature()
	f.Add(partial(f, plan, batch([]any{"a", int64(1), 1.5, true}, []any{nil, nil, nil, nil})))
	f.Add([]byte(`{"version":1,"features":[],"label":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		tr, err := Finish(plan, [][]byte{data})
		if err != nil {
			return
		}
		out, err := json.Marshal(tr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Load(plan, out); err != nil {
			t.Fatalf("what Finish made is refused: %v", err)
		}
	})
}
