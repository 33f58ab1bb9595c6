package boosting

import (
	gocmp "cmp"
	"encoding/binary"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/optim"
)

// boosted is a job of trees over rows that one or more replicas hold.
type boosted struct {
	*boosting
	replicas []*boostedReplica
	state    optim.State
	rows     int
	model    *model.Model
}

// boostedReplica is the batches of one replica.
type boostedReplica struct {
	blocks []*kernel.Block
	memos  []any
}

// rowsOf makes rows whose labels depend on an ordered slot with gaps and missing
// values, and on a category, each with the other.
func rowsOf(random *rand.Rand, n int) *kernel.Block {
	b := &kernel.Block{Rows: n, Octets: [][]uint8{make([]uint8, 8*n)}, Labels: make([]float32, n)}
	for i := range n {
		x, c, noise := random.IntN(20), random.IntN(12), random.IntN(3)
		copy(b.Octets[0][8*i:], []uint8{uint8(x), uint8(c), uint8(noise)})
		z := math.Sin(float64(x)) + float64(c%4)*0.5 - 0.7
		if x > 10 {
			z -= float64(c % 3)
		}
		if z+random.NormFloat64()*0.5 > 0 {
			b.Labels[i] = 1
		}
	}
	return b
}

// classLoss is the loss of so many classes.
func classLoss(t *testing.T, n int) model.Loss {
	t.Helper()
	labels := model.Labels{Type: model.Category}
	for k := range n {
		labels.Classes, labels.Counts = append(labels.Classes, string(rune('a'+k))), append(labels.Counts, int64(1+k))
	}
	bound, err := model.Bind(pipeline.Choice{Name: "cross_entropy", Options: new(model.CrossEntropy)}, labels)
	if err != nil {
		t.Fatal(err)
	}
	return bound.Options.(model.Loss)
}

// quantileLoss is the loss of three levels of a number.
func quantileLoss(t *testing.T) model.Loss {
	t.Helper()
	bound, err := model.Bind(pipeline.Choice{Name: "quantile", Options: &model.Quantile{Levels: []float64{0.1, 0.5, 0.9}}},
		model.Labels{Type: model.Number, Mean: 0, Deviation: 1, Constants: []float64{0, 0, 1}})
	if err != nil {
		t.Fatal(err)
	}
	return bound.Options.(model.Loss)
}

func newBoosted(t *testing.T, options model.Trees, loss model.Loss, blocks [][]*kernel.Block) *boosted {
	t.Helper()
	m, err := options.New(loss, kernel.Shape{Cardinalities: []int{20, 12, 3}, Ordered: []int{0}, CategoryNames: []string{"x", "c", "noise"}})
	if err != nil {
		t.Fatal(err)
	}
	a, err := new(Spec).New(m, &pipeline.Trainer{Regularization: pipeline.Regularization{L2: 1}})
	if err != nil {
		t.Fatal(err)
	}
	b := &boosted{boosting: a.(*boosting), state: optim.State{Vector: make([]float32, m.Size())}, model: m}
	m.Init(b.state.Vector, 1, 0.4)
	for _, part := range blocks {
		b.replicas = append(b.replicas, &boostedReplica{blocks: part, memos: make([]any, len(part))})
		for _, block := range part {
			b.rows += block.Rows
		}
	}
	return b
}

// keysOf returns what rows are sampled by, which are the same for equal rows.
func keysOf(b *kernel.Block) (keys []uint32) {
	for i := range b.Rows {
		keys = append(keys, uint32(kernel.Mix(binary.LittleEndian.Uint64(b.Octets[0][8*i:])^uint64(math.Float32bits(b.Labels[i]))<<32)))
	}
	return keys
}

func (r *boostedReplica) replica(params int) *optim.Replica {
	steps := func(_, _, _ int) iter.Seq2[optim.Step, error] {
		return func(yield func(optim.Step, error) bool) {
			for i, block := range r.blocks {
				if !yield(optim.Step{Block: block, Memo: &r.memos[i], Label: func() {}, Keys: keysOf(block)}, nil) {
					return
				}
			}
		}
	}
	return &optim.Replica{Steps: steps, Again: steps, Gradient: make([]float32, params)}
}

// round makes one round, and with forget as if all replicas had moved before it.
func (b *boosted) round(t *testing.T, at optim.Round, forget bool) {
	t.Helper()
	sum := b.Zeros(&b.state, at)
	for _, r := range b.replicas {
		if forget {
			clear(r.memos)
		}
		v, _, err := b.Contribute(r.replica(b.params), &b.state, at)
		if err != nil {
			t.Fatal(err)
		}
		for i, x := range v.Int64 {
			sum.Int64[i] += x
		}
	}
	if _, err := b.Apply(&b.state, at, sum); err != nil {
		t.Fatal(err)
	}
}

func (b *boosted) epoch(t *testing.T, epoch int, forget func() bool) {
	t.Helper()
	count := b.Schedule(0).Rounds
	for i := range count {
		b.round(t, optim.Round{Epoch: epoch, Index: i, Count: count}, forget())
	}
}

func never() bool { return false }

// leafWise grows the first tree one leaf at a time, looking at all rows for each
// split: what all the rounds must come to.
func (b *boosted) leafWise(block *kernel.Block) *model.Tree {
	first, second := make([]int32, block.Rows), make([]int32, block.Rows)
	out := slices.Repeat([]float32{b.state.Vector[b.params-1]}, block.Rows)
	b.loss.Newton(out, block.Labels, first, second)
	type leaf struct {
		rows  []int
		depth int
		all   sums
		split
	}
	grow := func(rows []int, depth int) *leaf {
		l := &leaf{rows: rows, depth: depth}
		cells := make([]int64, b.cells*cell)
		for _, i := range rows {
			s := sums{int64(first[i]), int64(second[i]), 1}
			l.all = l.all.plus(s)
			for slot := range b.at {
				c := cells[(b.at[slot]+int(block.Octets[0][8*i+slot]))*cell:]
				c[0], c[1], c[2] = c[0]+s.first, c[1]+s.second, c[2]+1
			}
		}
		if l.split = b.best(0, 0, &node{sums: l.all}, cells); depth == b.options.MaxDepth {
			l.gain = 0
		}
		return l
	}
	all := make([]int, block.Rows)
	for i := range all {
		all[i] = i
	}
	leaves := []*leaf{grow(all, 0)}
	t := &model.Tree{Values: []float32{0}}
	for len(leaves) < b.options.MaxLeaves {
		best := slices.MaxFunc(leaves, func(x, y *leaf) int { // the first of equal ones
			return int(math.Copysign(1, x.gain-y.gain)) * map[bool]int{true: 0, false: 1}[x.gain == y.gain]
		})
		if best.gain == 0 {
			break
		}
		var left, right []int
		for _, i := range best.rows {
			if best.set.Has(int(block.Octets[0][8*i+best.slot])) {
				left = append(left, i)
			} else {
				right = append(right, i)
			}
		}
		at := slices.Index(leaves, best)
		leaves[at] = grow(left, best.depth+1)
		leaves = append(leaves, grow(right, best.depth+1))
		t.Splits = append(t.Splits, model.Split{Slot: best.slot, Set: best.set})
	}
	t.Values = t.Values[:0]
	for _, l := range leaves {
		t.Values = append(t.Values, float32(b.options.LearningRate*b.value(l.all, unbounded)))
	}
	return t
}

func TestATreeIsGrownBestLeafFirst(t *testing.T) {
	for seed := range uint64(150) {
		random := rand.New(rand.NewPCG(seed, 1))
		block := rowsOf(random, 3000)
		options := model.Trees{Trees: 1, MaxLeaves: 2 + random.IntN(40), MaxDepth: 12, LearningRate: 0.3, MinChildRows: 1 + random.IntN(30)}
		if seed%3 > 0 { // as many rounds as the tree needs, and no more
			options.MaxDepth = 2 + random.IntN(6)
		}
		if seed%3 > 1 { // splits that gain little, above others that gain much
			for i := range block.Labels {
				ids := block.Octets[0][8*i:]
				block.Labels[i] = float32(kernel.Mix(uint64(ids[0])/5<<16|uint64(ids[1])/3<<8|uint64(ids[2])) % 2)
			}
		}
		b := newBoosted(t, options, new(model.CrossEntropy), [][]*kernel.Block{{block}})
		want := b.leafWise(block)
		b.epoch(t, 0, never)
		got := b.forest.Tree(b.state.Vector, 0)
		if len(got.Splits) != len(want.Splits) {
			t.Fatalf("seed %d: %d splits, want %d", seed, len(got.Splits), len(want.Splits))
		}
		for i := range got.Splits { // in the order in which they were made
			if got.Splits[i].Slot != want.Splits[i].Slot || got.Splits[i].Set != want.Splits[i].Set {
				t.Fatalf("seed %d: split %d is %+v, want %+v", seed, i, got.Splits[i], want.Splits[i])
			}
		}
		if diff := cmp.Diff(slices.Sorted(slices.Values(want.Values)), slices.Sorted(slices.Values(got.Values))); diff != "" {
			t.Errorf("seed %d: values (-want +got):\n%s", seed, diff)
		}
	}
}

// treeCases are what trees can be grown for, and how.
func treeCases(t *testing.T) map[string]struct {
	options model.Trees
	loss    model.Loss
} {
	options := model.Trees{Trees: 12, MaxLeaves: 15, MaxDepth: 6, LearningRate: 0.2, MinChildRows: 10}
	forest := model.Trees{Boosting: "forest", Trees: 12, MaxLeaves: 63, MaxDepth: 8, LearningRate: 1, MinChildRows: 3, Subsample: 0.632, ColumnSample: 0.6}
	return map[string]struct {
		options model.Trees
		loss    model.Loss
	}{
		"binary":             {options, new(model.CrossEntropy)},
		"classes":            {options, classLoss(t, 3)},
		"sampled":            {model.Trees{Trees: 12, MaxLeaves: 15, MaxDepth: 6, LearningRate: 0.2, MinChildRows: 10, Subsample: 0.5, ColumnSample: 0.6}, classLoss(t, 3)},
		"monotone":           {model.Trees{Trees: 12, MaxLeaves: 15, MaxDepth: 6, LearningRate: 0.2, MinChildRows: 10, Monotone: map[string]int{"x": 1}}, new(model.CrossEntropy)},
		"quantiles":          {options, quantileLoss(t)},
		"forest":             {forest, new(model.CrossEntropy)},
		"forest of classes":  {forest, classLoss(t, 3)},
		"forest of a number": {forest, new(model.Squared)},
		"many classes":       {options, classLoss(t, maxGroup+3)},
	}
}

// labelled returns rows with labels that a loss is for.
func labelled(b *kernel.Block, loss model.Loss) *kernel.Block {
	out := *b
	if n := loss.Outputs(); loss.For() == model.Category {
		out.Labels = make([]float32, b.Rows)
		for i := range out.Labels {
			out.Labels[i] = float32((int(b.Octets[0][8*i])/3 + int(b.Octets[0][8*i+1])%4) % n)
		}
	}
	if loss.For() == model.Number {
		out.Labels = make([]float32, b.Rows)
		for i := range out.Labels {
			out.Labels[i] = b.Labels[i] + float32(b.Octets[0][8*i]%7) + float32(kernel.Mix(uint64(i))%100)/100
		}
	}
	return &out
}

// The trees are the same whatever replicas and batches rows are in, and when
// replicas move in the midst of a tree.
func TestTreesDoNotDependOnReplicasBatchesOrMoves(t *testing.T) {
	for name, c := range treeCases(t) {
		t.Run(name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(9, 9))
			whole := labelled(rowsOf(random, 1200), c.loss)
			part := func(from, to int) *kernel.Block {
				return &kernel.Block{Rows: to - from, Labels: whole.Labels[from:to], Octets: [][]uint8{whole.Octets[0][8*from : 8*to]}}
			}
			var want []float32
			for name, blocks := range map[string][][]*kernel.Block{
				"one":      {{whole}},
				"batches":  {{part(0, 1), part(1, 500), part(500, 1200)}},
				"replicas": {{part(1000, 1200)}, {part(0, 700)}, {}, {part(700, 1000)}},
			} {
				for _, forget := range []func() bool{never, func() bool { return random.IntN(3) == 0 }} {
					b := newBoosted(t, c.options, c.loss, blocks)
					for epoch := range 2 {
						b.epoch(t, epoch, forget)
					}
					if b.state.Converged != b.forest.Averages() {
						t.Errorf("%s: converged is %v", name, b.state.Converged)
					}
					if n := b.forest.Count(b.state.Vector); n != 12*c.loss.Outputs() {
						t.Fatalf("%d trees", n)
					}
					if want == nil {
						want = b.state.Vector
					}
					if !slices.Equal(b.state.Vector, want) {
						t.Errorf("%s: other trees", name)
					}
				}
			}
			if before, after := lossAt(t, c.options, c.loss, whole, make([]float32, len(want))), lossAt(t, c.options, c.loss, whole, want); after > 0.9*before {
				t.Errorf("the loss is %v after trees, %v before", after, before)
			}
		})
	}
}

// lossAt returns the loss of a block by parameters.
func lossAt(t *testing.T, options model.Trees, loss model.Loss, block *kernel.Block, params []float32) float64 {
	b := newBoosted(t, options, loss, nil)
	return b.model.LossOf(b.model.NewWorkspace(), params, block)
}

// The prediction never falls, or never rises, with a number that has a direction,
// whatever the other features are, and is of use all the same.
func TestPredictionsKeepTheDirectionOfAFeature(t *testing.T) {
	block := rowsOf(rand.New(rand.NewPCG(4, 5)), 5000) // the label does not keep any
	for _, direction := range []int{1, -1} {
		for _, loss := range []model.Loss{new(model.CrossEntropy), new(model.Squared)} {
			options := model.Trees{Trees: 20, MaxLeaves: 31, MaxDepth: 8, LearningRate: 0.3, MinChildRows: 5, Monotone: map[string]int{"x": direction}}
			b := newBoosted(t, options, loss, [][]*kernel.Block{{block}})
			for epoch := range 2 {
				b.epoch(t, epoch, never)
			}
			splits := 0
			for _, f := range b.model.Importance(b.state.Vector) {
				splits += map[string]int{"x": f.Splits}[f.Feature]
			}
			if splits == 0 {
				t.Errorf("%s, direction %d: no split of the feature is left", loss.Type(), direction)
			}
			for c := range 12 {
				for noise := range 3 {
					ids := &kernel.Block{Rows: 19, Octets: [][]uint8{make([]uint8, 8*19)}}
					for x := range 19 {
						copy(ids.Octets[0][8*x:], []uint8{uint8(x + 1), uint8(c), uint8(noise)})
					}
					out := make([]float32, 19)
					b.model.Predict(b.model.NewWorkspace(), b.state.Vector, ids, out)
					for x := range 18 {
						if float32(direction)*(out[x+1]-out[x]) < 0 {
							t.Fatalf("%s, direction %d, category %d, %d: from %v at %d to %v", loss.Type(), direction, c, noise, out[x], x+1, out[x+1])
						}
					}
				}
			}
		}
	}
}

// A tree is grown from its share of the rows and of the features, another tree from
// others.
func TestTreesSampleRowsAndFeatures(t *testing.T) {
	block := rowsOf(rand.New(rand.NewPCG(1, 2)), 6000)
	for i := range block.Labels {
		block.Octets[0][8*i+3] = uint8(i) // so that rows differ
	}
	options := model.Trees{Trees: 12, MaxLeaves: 15, MaxDepth: 4, LearningRate: 0.2, MinChildRows: 1, Subsample: 0.25, ColumnSample: 0.5}
	b := newBoosted(t, options, new(model.CrossEntropy), [][]*kernel.Block{{block}})
	count := b.Schedule(0).Rounds
	first := make(map[int64]bool)
	for tree := range 10 {
		for i := range options.MaxDepth {
			b.round(t, optim.Round{Index: tree*options.MaxDepth + i, Count: count}, false)
			if i > 0 {
				continue
			}
			root := nodesOf(b.state.Integers[0])[0]
			if share := float64(root.rows) / float64(block.Rows); math.Abs(share-0.25) > 0.03 {
				t.Errorf("tree %d has %v of the rows", tree, share)
			}
			first[root.first] = true
		}
	}
	if len(first) < 9 {
		t.Errorf("ten trees have %d samples", len(first))
	}
	used := make(map[string]bool)
	for tree := range 10 {
		slots := make([]byte, 3)
		for _, s := range b.forest.Tree(b.state.Vector, tree).Splits {
			slots[s.Slot] = 1
		}
		if slices.Max(slots) != 1 || slots[0]+slots[1]+slots[2] > 2 {
			t.Errorf("tree %d splits features %v, not two of three at most", tree, slots)
		}
		used[string(slots)] = true
	}
	if len(used) < 2 {
		t.Error("all trees have the same features")
	}
}

// A leaf of a quantile has the label of one of its rows, that of the level's rank, above
// what the rows had before.
func TestLeavesOfQuantilesHaveThoseOfTheirRows(t *testing.T) {
	loss := quantileLoss(t)
	block := labelled(rowsOf(rand.New(rand.NewPCG(6, 7)), 3000), loss)
	for i := range block.Labels {
		block.Labels[i] -= 3 // of both signs
	}
	b := newBoosted(t, model.Trees{Trees: 1, MaxLeaves: 12, MaxDepth: 5, LearningRate: 1, MinChildRows: 20}, loss, [][]*kernel.Block{{block}})
	start := slices.Clone(b.forest.Bias(b.state.Vector))
	b.epoch(t, 0, never)
	for k, level := range []float64{0.1, 0.5, 0.9} {
		tree := b.forest.Tree(b.state.Vector, k)
		rows := make([][]float32, len(tree.Values)) // by leaf, what they lack
		for i, y := range block.Labels {
			node := 0
			for node >= 0 {
				s := &tree.Splits[node]
				if node = s.Right; s.Set.Has(int(block.Octets[0][8*i+s.Slot])) {
					node = s.Left
				}
			}
			rows[^node] = append(rows[^node], y-start[k])
		}
		if len(rows) < 5 {
			t.Fatalf("level %v: %d leaves", level, len(rows))
		}
		for leaf, lacks := range rows {
			slices.Sort(lacks)
			if want := lacks[int(level*float64(len(lacks)))]; tree.Values[leaf] != want {
				t.Errorf("level %v, leaf %d of %d rows: %v, want %v", level, leaf, len(lacks), tree.Values[leaf], want)
			}
		}
	}
}

// Values that a node has none of, and those that are missing where training had
// none, go with most of its rows.
func TestWhatTrainingNeverMetGoesWithTheLargerSide(t *testing.T) {
	most, other := []uint8{1, 5}, []uint8{9, 2}
	for slot := range 2 {
		only := &kernel.Block{Rows: 300, Octets: [][]uint8{make([]uint8, 8*300)}, Labels: make([]float32, 300)}
		for i := range 300 {
			only.Octets[0][8*i+slot] = most[slot]
			if i < 100 {
				only.Octets[0][8*i+slot], only.Labels[i] = other[slot], 1
			}
		}
		b := newBoosted(t, model.Trees{Trees: 1, MaxLeaves: 2, MaxDepth: 2, LearningRate: 1, MinChildRows: 1}, new(model.CrossEntropy), [][]*kernel.Block{{only}})
		b.epoch(t, 0, never)
		tree := b.forest.Tree(b.state.Vector, 0)
		if len(tree.Splits) != 1 || tree.Splits[0].Slot != slot {
			t.Fatalf("tree %+v", tree)
		}
		if s := tree.Splits[0]; s.Set.Has(0) != s.Set.Has(int(most[slot])) {
			t.Errorf("slot %d: the missing go with the smaller side", slot)
		}
	}
}

// What is missing can stand alone, also where the number has one value beside.
func TestMissingValuesCanBeSplitFromAllOthers(t *testing.T) {
	for name, values := range map[string][]uint8{"one value": {3}, "several": {1, 7, 19}} {
		b := &kernel.Block{Rows: 300, Octets: [][]uint8{make([]uint8, 8*300)}, Labels: make([]float32, 300)}
		for i := range 300 {
			if b.Octets[0][8*i] = values[i%len(values)]; i < 90 {
				b.Octets[0][8*i], b.Labels[i] = 0, 1
			}
		}
		grown := newBoosted(t, model.Trees{Trees: 1, MaxLeaves: 2, MaxDepth: 1, LearningRate: 1, MinChildRows: 1}, new(model.CrossEntropy), [][]*kernel.Block{{b}})
		grown.epoch(t, 0, never)
		tree := grown.forest.Tree(grown.state.Vector, 0)
		if len(tree.Splits) != 1 || tree.Splits[0].Slot != 0 || tree.Splits[0].Set.Has(0) || !tree.Splits[0].Set.Has(int(values[0])) || !tree.Splits[0].Set.Has(int(values[len(values)-1])) {
			t.Errorf("%s: %+v", name, tree)
		}
	}
}

func TestABatchOfTreesHasNoMoreRowsThanAHistogramHolds(t *testing.T) {
	for given, want := range map[pipeline.Count]pipeline.Count{0: treeBatch, 100: 100, treeBatch + 1: treeBatch, 1 << 20: treeBatch} {
		got := optim.Resolve(pipeline.Trainer{BatchSize: given, Optimizer: pipeline.Choice{Name: "boosting", Options: new(Spec)}}, pipeline.Choice{Name: "trees", Options: new(model.Trees)}, kernel.Shape{}, 1000).BatchSize
		if got != want || want > kernel.HistogramRows {
			t.Errorf("batch_size %d: %d, want %d", given, got, want)
		}
	}
}

// Few ids and many are ranked by the same rule, however close their derivatives are.
func TestIDsAreRankedByTheirDerivatives(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 8))
	for round := range 300 {
		cells := make([]int64, cell*(1+random.IntN(model.MaxIDs)))
		at := func(id int) float64 {
			return float64(cells[id*cell]) / (float64(cells[id*cell+1]) + categoryRows*kernel.NewtonUnit)
		}
		var want []int
		for id := range len(cells) / cell {
			first := random.Int64N(1<<40) - 1<<39
			switch round % 3 {
			case 1:
				first = 1<<50 + random.Int64N(5)
			case 2:
				first = random.Int64N(7) - 3
			}
			copy(cells[id*cell:], []int64{first, kernel.NewtonUnit * random.Int64N(3), 5 + random.Int64N(50)})
			if cells[id*cell+2] >= categoryRows {
				want = append(want, id)
			}
		}
		slices.SortStableFunc(want, func(x, y int) int { return gocmp.Compare(at(x), at(y)) })
		var memory ranking
		var got []int
		for _, x := range memory.of(cells, categoryRows*kernel.NewtonUnit) {
			got = append(got, x.id())
		}
		if !slices.Equal(got, want) {
			t.Fatalf("round %d: %v, want %v", round, got, want)
		}
	}
}
