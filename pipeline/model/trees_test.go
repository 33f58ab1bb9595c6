package model

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// treesShape has ordered and unordered slots, one of all ids there can be.
var treesShape = kernel.Shape{Cardinalities: []int{5, MaxIDs, 2}, Ordered: []int{0}, CategoryNames: []string{"a", "b", "c"}}

// randomTree splits random leaves at random.
func randomTree(random *rand.Rand, leaves int) *Tree {
	t := &Tree{Values: []float32{float32(random.NormFloat64())}}
	replace := func(leaf, split int) {
		for i := range t.Splits[:split] {
			s := &t.Splits[i]
			if s.Left == ^leaf {
				s.Left = split
			} else if s.Right == ^leaf {
				s.Right = split
			}
		}
	}
	defer func() {
		for range t.Values {
			t.Rows = append(t.Rows, float32(random.IntN(1000)))
		}
	}()
	for len(t.Values) < leaves {
		leaf := random.IntN(len(t.Values))
		s := Split{Slot: random.IntN(3), Left: ^leaf, Right: ^len(t.Values), Gain: random.Float32()}
		for id := range treesShape.Cardinalities[s.Slot] {
			if random.IntN(2) == 0 {
				s.Set.Add(id)
			}
		}
		t.Splits = append(t.Splits, s)
		replace(leaf, len(t.Splits)-1)
		t.Values = append(t.Values, float32(random.NormFloat64()))
	}
	return t
}

// treesBlock returns random rows, with ids as uint32s or as octets.
func treesBlock(random *rand.Rand, rows int, asOctets bool) *kernel.Block {
	b := &kernel.Block{Rows: rows, Labels: make([]float32, rows)}
	octets := make([]uint8, 8*rows)
	for slot, n := range treesShape.Cardinalities {
		ids := make([]uint32, rows)
		for i := range ids {
			ids[i] = uint32(random.IntN(n))
			octets[8*i+slot] = uint8(ids[i])
		}
		b.Categories = append(b.Categories, ids)
	}
	if asOctets {
		b.Categories, b.Octets = nil, [][]uint8{octets}
	}
	return b
}

// walk follows a row from the root.
func walk(t *Tree, b *kernel.Block, row int) float32 {
	node := 0
	if len(t.Splits) == 0 {
		node = ^0
	}
	for node >= 0 {
		s := &t.Splits[node]
		var id int
		if b.Octets != nil {
			id = int(b.Octets[0][8*row+s.Slot])
		} else {
			id = int(b.Categories[s.Slot][row])
		}
		if node = s.Right; s.Set.Has(id) {
			node = s.Left
		}
	}
	return t.Values[^node]
}

func TestARouterFindsTheLeafThatAWalkFromTheRootFinds(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, leaves := range []int{1, 2, 3, 31, 63, 64, 65, 128, 200, 1024} {
		tree := randomTree(random, leaves)
		for _, asOctets := range []bool{false, true} {
			b := treesBlock(random, 700, asOctets)
			out := make([]float32, 600)
			routerOf(treesShape, tree).addValues(b, 100, 700, out, 1)
			for i, got := range out {
				if want := walk(tree, b, 100+i); got != want {
					t.Fatalf("%d leaves, row %d: %v, want %v", leaves, i, got, want)
				}
			}
		}
	}
}

func newTrees(t *testing.T, trees int) *Model {
	t.Helper()
	m, err := (&Trees{Trees: trees, MaxLeaves: 40, MaxDepth: 10, LearningRate: 0.1, MinChildRows: 1}).New(new(CrossEntropy), treesShape)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestTreesComeBackFromTheirParameters(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	m := newTrees(t, 5)
	f, params := m.Forest(), make([]float32, m.Size())
	m.Init(params, 1, 0.25)
	var trees []*Tree
	for i, leaves := range []int{40, 1, 17} {
		trees = append(trees, randomTree(random, leaves))
		f.Put(params, i, trees[i])
	}
	if err := m.CheckParams(params); err != nil || f.Count(params) != 3 {
		t.Fatalf("%v, %d trees", err, f.Count(params))
	}
	for i, want := range trees {
		got := f.Tree(params, i)
		if diff := gocmp.Diff(*want, got); diff != "" {
			t.Errorf("tree %d (-want +got):\n%s", i, diff)
		}
	}
	b := treesBlock(random, 900, false)
	out, w := make([]float32, b.Rows), m.NewWorkspace()
	m.Predict(w, params, b, out)
	for i, p := range out {
		z := params[len(params)-1]
		for _, tree := range trees {
			z += walk(tree, b, i)
		}
		if want := 1 / (1 + math.Exp(-float64(z))); math.Abs(float64(p)-want) > 1e-6 {
			t.Fatalf("row %d: %v, want %v", i, p, want)
		}
	}
	// Others' bits do not depend on the block, nor on what the workspace kept.
	for _, size := range []int{1, 7, 300} {
		part := &kernel.Block{Rows: size}
		for _, column := range b.Categories {
			part.Categories = append(part.Categories, column[5:5+size])
		}
		got := make([]float32, size)
		m.Predict(w, params, part, got)
		if !equalBits(got, out[5:5+size]) {
			t.Errorf("a block of %d has other predictions", size)
		}
	}
	other := make([]float32, m.Size())
	m.Predict(w, other, b, out)
	if out[0] != 0.5 {
		t.Errorf("no trees predict %v", out[0])
	}
}

func TestAForestPredictsTheMeanOfItsTrees(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 9))
	for _, loss := range []Loss{new(Squared), new(CrossEntropy)} {
		m, err := (&Trees{Boosting: "forest", Trees: 9, MaxLeaves: 40, MaxDepth: 10, LearningRate: 1, MinChildRows: 1}).New(loss, treesShape)
		if err != nil {
			t.Fatal(err)
		}
		params := make([]float32, m.Size())
		m.Init(params, 1, 0.25)
		var trees []*Tree
		for i := range 4 {
			tree := randomTree(random, 20)
			for k := range tree.Values {
				tree.Values[k] = float32(random.IntN(5)-2) / 10
			}
			trees = append(trees, tree)
			m.Forest().Put(params, i, tree)
		}
		b := treesBlock(random, 600, false)
		out := make([]float32, b.Rows)
		m.Predict(m.NewWorkspace(), params, b, out)
		for i, got := range out {
			want := 0.25
			for _, tree := range trees {
				want += float64(walk(tree, b, i)) / 4
			}
			if math.Abs(float64(got)-want) > 1e-5 {
				t.Fatalf("%s, row %d: %v, want %v", loss.Type(), i, got, want)
			}
		}
	}
	weighted, err := Bind(pipeline.Choice{Name: "cross_entropy", Options: &CrossEntropy{PositiveClassWeight: 3}}, Labels{Type: Binary, Mean: 0.25})
	if err != nil {
		t.Fatal(err)
	}
	for _, loss := range []Loss{new(Poisson), weighted.Options.(Loss)} {
		if _, err := (&Trees{Boosting: "forest", Trees: 1, MaxLeaves: 2}).New(loss, treesShape); err == nil {
			t.Errorf("a forest minimises %T", loss)
		}
	}
}

func TestImportanceIsTheGainAndTheCountOfSplits(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	m := newTrees(t, 3)
	params := make([]float32, m.Size())
	want := []Importance{{Feature: "a"}, {Feature: "b"}, {Feature: "c"}}
	for i := range 3 {
		tree := randomTree(random, 20)
		for k := range tree.Splits {
			s := &tree.Splits[k]
			s.Gain = float32(1 + s.Slot) // the last is the most important
			want[s.Slot].Gain += float64(s.Gain)
			want[s.Slot].Splits++
		}
		m.Forest().Put(params, i, tree)
	}
	slices.SortFunc(want, func(x, y Importance) int { return cmp.Compare(y.Gain, x.Gain) })
	if diff := gocmp.Diff(want, m.Importance(params)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	linear, err := new(Linear).New(new(CrossEntropy), treesShape)
	if err != nil || linear.Importance(make([]float32, linear.Size())) != nil {
		t.Error("a linear model has the importance of trees")
	}
}

func TestParametersThatAreNoTreesAreRefused(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	m := newTrees(t, 2)
	f, good := m.Forest(), make([]float32, m.Size())
	f.Put(good, 0, randomTree(random, 12))
	if err := m.CheckParams(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(p []float32){
		"too many leaves":   func(p []float32) { f.views[viewLeaves].Of(p)[0] = 41 },
		"half a leaf":       func(p []float32) { f.views[viewLeaves].Of(p)[0] = 2.5 },
		"a slot too far":    func(p []float32) { f.views[viewSlots].Of(p)[1] = 3 },
		"a split of itself": func(p []float32) { f.views[viewLeft].Of(p)[0] = 0 },
		"a leaf reached twice": func(p []float32) {
			f.views[viewLeft].Of(p)[10], f.views[viewRight].Of(p)[10] = ^0, ^0
		},
		"a split that none leads to": func(p []float32) {
			left := f.views[viewLeft].Of(p)
			for left[0] >= 0 {
				left[0] = left[int(left[0])]
			}
		},
		"a split that is not there": func(p []float32) { f.views[viewRight].Of(p)[3] = 20 },
		"a leaf that is not there":  func(p []float32) { f.views[viewRight].Of(p)[3] = -30 },
		"a gain that is none":       func(p []float32) { f.views[viewGains].Of(p)[2] = -1 },
		"a set of other bits":       func(p []float32) { f.views[viewSets].Of(p)[0] = 1 << 24 },
	} {
		p := append([]float32(nil), good...)
		change(p)
		if err := m.CheckParams(p); err == nil {
			t.Errorf("%s is taken for trees", name)
		}
	}
	// Whatever is not refused can be used.
	for range 3000 {
		p := append([]float32(nil), good...)
		for range 1 + random.IntN(3) {
			p[random.IntN(len(p))] = float32(random.IntN(60) - 20)
		}
		if m.CheckParams(p) == nil {
			m.Predict(m.NewWorkspace(), p, treesBlock(random, 3, false), make([]float32, 3))
		}
	}
}

func TestTreesSayWhatTheyCannotSplit(t *testing.T) {
	for want, shape := range map[string]kernel.Shape{
		`number "x" needs the encoder bins`: {Numbers: 1, NumberNames: []string{"x"}},
		`"many" has 257 ids`:                {Cardinalities: []int{MaxIDs + 1}, CategoryNames: []string{"many"}},
		`no terms such as those of "t"`:     {Terms: []int{3}, TermNames: []string{"t"}},
		`no lists such as "l"`:              {Lists: [][]int{{3}}, ListNames: []string{"l"}},
	} {
		_, err := new(Trees).New(new(CrossEntropy), shape)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// Newton's derivatives are the slopes of the loss and of its gradient.
func TestNewtonDerivativesAreSlopes(t *testing.T) {
	for name, loss := range losses(t) {
		l, ok := loss.(NewtonLoss)
		if !ok {
			continue
		}
		t.Run(name, func(t *testing.T) {
			out, labels := []float32{-30, -2, -0.5, 0, 0.3, 1.5, 30}, []float32{1, 0, 1, 0, 1, 1, 0}
			caution := 1.0 // of the second derivative
			switch l.(type) {
			case *Poisson:
				out[0], out[6], caution = -3, 3, math.Exp(0.7)
			case *huber:
				caution = 0 // one for all
			}
			f, own := l.(*focal)
			s, several := l.(*softmax)
			approximate := own && f.gamma > 0 || several && s.of != nil && s.of.Gamma > 0 // its own may be negative
			outputs := l.Outputs()
			if outputs > 1 {
				out, labels = []float32{-2, 1, 0.1, 0.5, 0.5, 0.5, 3, -1, 20, 0, 0.25, -4}, []float32{0, 2, 1, 2}
				caution = float64(outputs) / float64(outputs-1)
			}
			exact := 1e-4 // of the loss
			if _, ok := l.(*quantile); ok {
				caution, exact = 0, 1e-2 // for gradients its corner is rounded off
			}
			first, second := make([]int32, len(out)), make([]int32, len(out))
			total := l.Newton(append([]float32(nil), out...), labels, first, second)
			var sum float64
			for i, z := range out {
				row, k := i/outputs, i%outputs
				at := func(z float32) (loss, slope float64) {
					g := append([]float32(nil), out[row*outputs:(row+1)*outputs]...)
					g[k] = z
					loss = l.Gradient(g, labels[row:row+1], 1)
					return loss, float64(g[k])
				}
				loss, slope := at(z)
				if k == 0 {
					sum += loss
				}
				const h = 1.0 / 64
				_, up := at(z + h)
				_, down := at(z - h)
				first, second := first[k*len(labels)+row], second[k*len(labels)+row]
				if g := float64(first) / kernel.NewtonUnit; math.Abs(g-slope) > 1e-6 {
					t.Errorf("row %d, output %d: first derivative %v, slope %v", row, k, g, slope)
				}
				if g := float64(second) / kernel.NewtonUnit; approximate && g < 0 {
					t.Errorf("row %d, output %d: second derivative %v of a first one", row, k, g)
				} else if approximate {
					continue
				} else if caution > 0 && math.Abs(g/caution-(up-down)/(2*h)) > 2e-3 || caution == 0 && g != 1 {
					t.Errorf("row %d, output %d: second derivative %v, slope %v", row, k, g, (up-down)/(2*h))
				}
			}
			if math.Abs(total-sum) > exact*sum {
				t.Errorf("loss %v, want %v", total, sum)
			}
		})
	}
}

func TestABlockThatIsPredictedAgainHasTheSameBits(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for _, outputs := range []int{1, 3} {
		f := newForest(&Trees{Trees: 6, MaxLeaves: 9}, treesShape, outputs)
		params := make([]float32, f.views[viewBias].Offset+outputs)
		copy(f.Bias(params), []float32{0.3, -1, 2})
		b := treesBlock(random, 700, true)
		var memo, keep any
		check := func(what string) {
			t.Helper()
			params = slices.Clone(params)
			want, got := make([]float32, 700*outputs), make([]float32, 700*outputs)
			var other any
			f.Forward(&Chunk{Block: b, To: 700, Keep: &other}, params, want)
			f.forwardAgain(&keep, params, b, got, &memo)
			if !slices.Equal(want, got) {
				t.Errorf("%d outputs, %s: other predictions", outputs, what)
			}
		}
		check("no tree")
		for n := range 5 {
			f.Put(params, n, randomTree(random, 9))
			check(fmt.Sprintf("%d trees", n+1))
		}
		f.row(params, viewValues, 1)[0]++
		check("an early tree is another")
		f.Bias(params)[outputs-1]--
		check("another bias")
		f.views[viewLeaves].Of(params)[3] = 0
		check("fewer trees")
	}
}

// Scoring by many trees of many classes would take gigabytes a scorer: it is refused
// before the first is grown.
func TestTreesWhoseScoringHasNoBoundAreRefused(t *testing.T) {
	shape := kernel.Shape{}
	for i := range 20 {
		shape.Cardinalities = append(shape.Cardinalities, 255)
		shape.CategoryNames = append(shape.CategoryNames, fmt.Sprint("x", i))
	}
	classes := make([]string, 1000)
	for i := range classes {
		classes[i] = fmt.Sprint(i)
	}
	options := &Trees{Trees: 100, MaxLeaves: 31, MaxDepth: 8, LearningRate: 0.1, MinChildRows: 20}
	for n, refused := range map[int]bool{3: false, 1000: true} {
		_, err := options.New(&softmax{classes: classes[:n]}, shape)
		if (err != nil) != refused || refused && !strings.Contains(err.Error(), "lower trees or max_leaves") {
			t.Errorf("%d classes: %v", n, err)
		}
	}
}
