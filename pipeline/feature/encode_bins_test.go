package feature

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

// binnedFeature is a number cut into at most count bins.
func binnedFeature(column string, count int, o pipeline.FeatureOptions) pipeline.Feature {
	f := number(column, o)
	f.Options.Encoder = pipeline.Choice{Name: "bins", Options: &Bins{Count: count}}
	if f.Options.MissingValueStrategy == "" {
		f.Options.MissingValueStrategy = ownBin
	}
	return f
}

func TestANumberOfFewValuesHasABinForEach(t *testing.T) {
	plan := planOf(binnedFeature("i", 4, pipeline.FeatureOptions{}), binnedFeature("f", 4, pipeline.FeatureOptions{}), binnedFeature("b", 4, pipeline.FeatureOptions{}))
	tr := fit(t, plan, batch([]any{nil, int64(7), 0.5, true}, []any{nil, int64(7), -1.0, false}, []any{nil, int64(9), 0.5, true},
		[]any{nil, int64(-3), nil, nil}, []any{nil, nil, math.Inf(1), nil}))
	b, rep := apply(t, tr, batch([]any{nil, int64(-3), -1.0, false}, []any{nil, int64(7), 0.5, true}, []any{nil, int64(9), nil, nil}, []any{nil, nil, math.NaN(), nil},
		[]any{nil, int64(8), 1e300, true}, []any{nil, int64(math.MinInt64), math.Inf(-1), false}))
	check(t, "ids of i", b.Categories[0], []uint32{1, 2, 3, 0, 2, 1})
	check(t, "ids of f", b.Categories[1], []uint32{1, 2, 0, 0, 2, 0})
	check(t, "ids of b", b.Categories[2], []uint32{1, 2, 0, 0, 2, 1})
	check(t, "cardinalities", tr.Shape().Cardinalities, []int{4, 3, 3})
	check(t, "ordered slots", tr.Shape().Ordered, []int{0, 1, 2})
	check(t, "missing values of f", rep.Filled["n_f"], int64(3))
}

func TestAMissingNumberHasTheBinOfWhatItIsFilledWith(t *testing.T) {
	plan := planOf(binnedFeature("f", 3, pipeline.FeatureOptions{MissingValueStrategy: fillWithMean}),
		binnedFeature("i", 3, pipeline.FeatureOptions{MissingValueStrategy: fillWithConst, FillValue: 100}))
	tr := fit(t, plan, batch([]any{nil, int64(1), 0.0, nil}, []any{nil, int64(2), 2.0, nil}, []any{nil, int64(3), 1.0, nil}))
	b, _ := apply(t, tr, batch([]any{nil, nil, nil, nil}))
	check(t, "ids", []uint32{b.Categories[0][0], b.Categories[1][0]}, []uint32{2, 3})
}

// Bins hold about as many rows each, ids follow the order of the numbers, and
// values that are equal, however many, are in one bin.
func TestBinsAreInOrderAndAboutAsFull(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for name, draw := range map[string]func() float64{
		"normal":       random.NormFloat64,
		"heavy tail":   func() float64 { return math.Exp(5 * random.NormFloat64()) },
		"many zeros":   func() float64 { return max(0, random.NormFloat64()) },
		"whole":        func() float64 { return float64(random.IntN(1000)) },
		"at the limit": func() float64 { return math.MaxFloat64 * (2*random.Float64() - 1) },
	} {
		for _, count := range []int{2, 16, 255} {
			values := make([]float64, 9000)
			for i := range values {
				values[i] = draw()
			}
			e := &bins{cuts: cuts(values, count)}
			if len(e.cuts) != count-1 {
				t.Errorf("%s: %d cuts of %d bins", name, len(e.cuts), count)
			}
			rows := make([]int, count+1)
			last := uint32(0)
			for i, x := range slices.Sorted(slices.Values(values)) {
				id := e.id(x)
				if id < last || i > 0 && id == 0 {
					t.Fatalf("%s: %v has bin %d after %d", name, x, id, last)
				}
				rows[id]++
				last = id
			}
			for id, n := range rows[1:] {
				if n == 0 || n > 2*len(values)/count+1 && name != "many zeros" {
					t.Errorf("%s: bin %d of %d has %d rows", name, id+1, count, n)
				}
			}
		}
	}
}

// A sample depends on the rows alone: not on shards, batches, nor the order in
// which they are merged.
func TestASampleIsTheSameInWhateverOrderItIsMerged(t *testing.T) {
	plan := planOf(binnedFeature("f", 255, pipeline.FeatureOptions{}))
	random := rand.New(rand.NewPCG(2, 2))
	const shards, rows = 4, 12_000 // more than a sample has
	var whole, backwards [][]byte
	var cuts []float64
	for shard := range shards {
		all := make([][]any, rows)
		for i := range all {
			all[i] = []any{nil, nil, random.NormFloat64() + float64(shard), nil, true}
		}
		one := tabletest.Batch(memory.DefaultAllocator, everyType, int64(shard)*rows, all...)
		whole = append(whole, partial(t, plan, one))
		if cut := partial(t, plan, one.NewSlice(0, 100), one.NewSlice(100, 9000), one.NewSlice(9000, rows)); !bytes.Equal(cut, whole[shard]) {
			t.Error("other batches give another partial")
		}
	}
	backwards = slices.Clone(whole)
	slices.Reverse(backwards)
	for _, partials := range [][][]byte{whole, backwards} {
		tr, err := Finish(plan, partials)
		if err != nil {
			t.Fatal(err)
		}
		have := tr.Features()[0].Bins.Cuts
		if cuts != nil {
			check(t, "cuts", have, cuts)
		}
		cuts = have
	}
	if len(cuts) != 254 {
		t.Errorf("%d cuts", len(cuts))
	}
	for id, c := range cuts { // of the mixture of four, to 2 %
		rank := 0.0
		for shard := range shards {
			rank += math.Erfc(-(c-float64(shard))/math.Sqrt2) / 2 / shards
		}
		if want := float64(id+1) / 255; math.Abs(rank-want) > 0.02 {
			t.Errorf("cut %d has rank %.3f, want %.3f", id, rank, want)
		}
	}
}

func TestBinsThatFitDidNotMakeAreRefused(t *testing.T) {
	plan := planOf(binnedFeature("i", 4, pipeline.FeatureOptions{}))
	good := fit(t, plan, batch([]any{nil, int64(7), nil, nil}, []any{nil, int64(9), nil, nil}, []any{nil, int64(12), nil, nil}))
	if back, err := Load(plan, good.canonical); err != nil || back.Hash() != good.Hash() {
		t.Fatalf("%v: %v", good.canonical, err)
	}
	for _, change := range [][2]string{{`"cuts":[8,10.5]`, `"cuts":[8,8]`}, {`"cuts":[8,10.5]`, `"cuts":[10.5,8]`}, {`"bins":{`, `"number":{`}} {
		data := bytes.Replace(good.canonical, []byte(change[0]), []byte(change[1]), 1)
		if bytes.Equal(data, good.canonical) {
			t.Fatalf("nothing was changed in\n%s", data)
		}
		if _, err := Load(plan, data); !thalweg.Is(err, thalweg.Corrupt) {
			t.Errorf("%s: error %v", change[1], err)
		}
	}
	sampled := partial(t, plan, batch([]any{nil, int64(7), nil, nil}))
	if _, err := Finish(plan, [][]byte{bytes.Replace(sampled, []byte(`"values":[7]`), []byte(`"values":[]`), 1)}); !thalweg.Is(err, thalweg.Corrupt) {
		t.Errorf("a damaged sample: %v", err)
	}
}
