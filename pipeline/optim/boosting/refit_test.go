package boosting

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model"
)

// refitting returns a job of the same options whose trees start as those of another.
func refitting(t *testing.T, options model.Trees, loss model.Loss, from *boosted, blocks ...*kernel.Block) *boosted {
	t.Helper()
	b := newBoosted(t, options, loss, [][]*kernel.Block{blocks})
	for k := range from.forest.Count(from.state.Vector) {
		tree := from.forest.Tree(from.state.Vector, k)
		b.forest.Put(b.state.Vector, k, &tree)
	}
	return b
}

func predictions(b *boosted, params []float32, block *kernel.Block) []float32 {
	out := make([]float32, block.Rows*b.outputs)
	b.model.Predict(b.model.NewWorkspace(), params, block, out)
	return out
}

// Trees that are refitted to the rows that they were grown from answer with the same bits.
func TestRefittedToTheirOwnRowsTreesStayAsTheyAre(t *testing.T) {
	block := rowsOf(rand.New(rand.NewPCG(5, 5)), 2000)
	gbdt := model.Trees{Trees: 10, MaxLeaves: 9, MaxDepth: 5, LearningRate: 0.3, MinChildRows: 10}
	monotone, forest, sampled := gbdt, gbdt, gbdt
	monotone.Monotone = map[string]int{"x": -1}
	forest.Boosting, forest.LearningRate = "forest", 1
	sampled.Subsample = 0.6
	for name, test := range map[string]struct {
		options model.Trees
		loss    model.Loss
	}{
		"binary": {gbdt, new(model.CrossEntropy)}, "monotone": {monotone, new(model.CrossEntropy)}, "classes": {gbdt, classLoss(t, 2)}, "quantiles": {gbdt, quantileLoss(t)},
		"forest": {forest, new(model.CrossEntropy)}, "sampled": {sampled, new(model.CrossEntropy)}, "squared": {gbdt, new(model.Squared)},
	} {
		grown := newBoosted(t, test.options, test.loss, [][]*kernel.Block{{block}})
		grown.epoch(t, 0, never)
		again := refitting(t, test.options, test.loss, grown, block)
		again.epoch(t, 0, func() bool { return true })
		if !slices.Equal(predictions(grown, grown.state.Vector, block), predictions(again, again.state.Candidate, block)) {
			t.Errorf("%s: other predictions", name)
		}
		if err := again.forest.Check(again.state.Candidate); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// By other rows leaves get the values of these, unless they have too few, and the splits
// stay; an epoch is judged by the trees that were refitted, and new ones follow the last.
func TestLeavesAreRefittedAndTreesFollow(t *testing.T) {
	random := rand.New(rand.NewPCG(6, 6))
	options := model.Trees{Trees: 25, MaxLeaves: 9, MaxDepth: 5, LearningRate: 0.3, MinChildRows: 30}
	grown := newBoosted(t, options, new(model.CrossEntropy), [][]*kernel.Block{{rowsOf(random, 3000)}})
	grown.epoch(t, 0, never)
	grown.epoch(t, 1, never)
	grown.forest.Cut(grown.state.Vector, 13)
	block := rowsOf(random, 300)
	for i := range block.Labels { // the opposite
		block.Labels[i] = 1 - block.Labels[i]
	}
	b := refitting(t, options, new(model.CrossEntropy), grown, block)
	b.epoch(t, 0, never)
	if n := b.forest.Count(b.state.Candidate); n != 10 {
		t.Errorf("the first epoch is judged by %d trees", n)
	}
	first, second := make([]int32, block.Rows), make([]int32, block.Rows)
	b.loss.Newton(slices.Repeat([]float32{b.forest.Bias(b.state.Vector)[0]}, block.Rows), block.Labels, first, second)
	one := func(params []float32) []float32 { // the first tree's values
		cut := slices.Clone(params)
		b.forest.Cut(cut, 1)
		clear(b.forest.Bias(cut))
		out := predictions(b, cut, block)
		for i, p := range out {
			out[i] = float32(math.Log(float64(p) / (1 - float64(p))))
		}
		return out
	}
	before, now := one(grown.state.Vector), one(b.state.Vector)
	leaves := make(map[float32][]int)
	for i, v := range before {
		leaves[v] = append(leaves[v], i)
	}
	kept, fitted := 0, 0
	for v, rows := range leaves {
		want := float64(v)
		if len(rows) >= options.MinChildRows {
			var s sums
			for _, i := range rows {
				s = s.plus(sums{int64(first[i]), int64(second[i]), 1})
			}
			want = options.LearningRate * b.value(s, unbounded)
			fitted++
		} else {
			kept++
		}
		for _, i := range rows {
			if math.Abs(float64(now[i])-want) > 1e-4 {
				t.Fatalf("a leaf of %d rows with %v has %v, want %v", len(rows), v, now[i], want)
			}
		}
	}
	if kept == 0 || fitted < 2 {
		t.Errorf("%d leaves kept, %d refitted", kept, fitted)
	}
	b.state.Candidate, b.state.Blended = nil, 0
	b.epoch(t, 1, never)
	if n := b.forest.Count(b.state.Candidate); n != 20 {
		t.Errorf("the second epoch is judged by %d trees", n)
	}
	splits := func(params []float32, k int) (n int) { return len(b.forest.Tree(params, k).Splits) }
	for k := range 13 {
		if splits(grown.state.Vector, k) != splits(b.state.Vector, k) {
			t.Errorf("tree %d has other splits", k)
		}
	}
}
