package model

import (
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// The suite holds every model and loss of the catalog to the contract; so must
// a new layer or loss be, by a call of checkModel or checkLoss.

// step is the distance of a numeric slope. The loss is summed in float64 of
// values rounded to float32, so that a smaller one measures roundings.
const step = 1.0 / 128

// near reports whether a gradient is the slope, as far as the step can tell: less
// exactly where the slope has corners within it.
func near(l Loss, gradient float32, slope float64) bool {
	bound := 3e-4
	switch l.(type) {
	case *hinge, *huber, *quantile:
		bound = 2e-3
	}
	return math.Abs(float64(gradient)-slope) < bound*(1+math.Abs(slope))
}

// lossRows is of how many rows losses are checked, sampleClasses how many classes
// their labels have.
const (
	lossRows      = 40
	sampleClasses = 3
)

// sample returns rows of a shape, with labels that a loss can take.
func sample(shape kernel.Shape, label string, rows int) *kernel.Block {
	random := rand.New(rand.NewPCG(uint64(rows), 1))
	normal := func(n int) []float32 {
		column := make([]float32, n)
		for i := range column {
			column[i] = float32(random.NormFloat64())
		}
		return column
	}
	b := &kernel.Block{Rows: rows, Labels: normal(rows)}
	for range shape.Numbers {
		b.Numbers = append(b.Numbers, normal(rows))
	}
	for _, n := range shape.Cardinalities {
		ids := make([]uint32, rows)
		for i := range ids {
			ids[i] = random.Uint32N(uint32(n))
		}
		b.Categories = append(b.Categories, ids)
	}
	for _, dimensions := range shape.Lists {
		b.Lists = append(b.Lists, normal(rows*kernel.Elements(dimensions)))
	}
	for _, n := range shape.Terms {
		column := make([][]kernel.Term, rows)
		for i := range column {
			for id := range uint32(n) {
				if random.IntN(3) == 0 {
					column[i] = append(column[i], kernel.Term{ID: id, Weight: float32(random.NormFloat64())})
				}
			}
		}
		b.Terms = append(b.Terms, column)
	}
	for i := range b.Labels {
		switch label {
		case Binary:
			b.Labels[i] = float32(random.IntN(2))
		case Count:
			b.Labels[i] = float32(random.IntN(4))
		case Category:
			b.Labels[i] = float32(random.IntN(sampleClasses))
		}
	}
	return b
}

// labelsOf returns what is known of sample labels of a type.
func labelsOf(label string, loss any) Labels {
	l := Labels{Type: label, Deviation: 1}
	rows := sample(kernel.Shape{}, label, lossRows).Labels
	if label == Category {
		l.Classes, l.Counts = []string{"a", "b", "c"}, make([]int64, sampleClasses)
	}
	var sorted []float64
	for _, y := range rows {
		if label == Category {
			l.Counts[int(y)]++
		}
		sorted = append(sorted, float64(y))
		if label == Binary {
			l.Mean += float64(y) / lossRows
		}
	}
	slices.Sort(sorted)
	if s, ok := loss.(pipeline.Sampled); ok {
		l.Constants = s.Constants(sorted)
	}
	return l
}

// variants are losses with options, besides those of the catalog.
func variants() []pipeline.Choice {
	no := false
	return []pipeline.Choice{
		{Name: "cross_entropy weighted", Options: &CrossEntropy{PositiveClassWeight: 3.5}},
		{Name: "cross_entropy balanced", Options: &CrossEntropy{PositiveClassWeight: pipeline.AutoFactor}},
		{Name: "cross_entropy smoothed", Options: &CrossEntropy{LabelSmoothing: new(0.2)}},
		{Name: "cross_entropy smoothed and weighted", Options: &CrossEntropy{LabelSmoothing: new(0.2), PositiveClassWeight: 3.5}},
		{Name: "cross_entropy of classes that weigh", Options: &CrossEntropy{ClassWeights: pipeline.ClassWeights{"a": 3, "c": pipeline.AutoFactor}}},
		{Name: "cross_entropy of balanced classes, smoothed", Options: &CrossEntropy{LabelSmoothing: new(0.1), ClassWeights: pipeline.ClassWeights{"": pipeline.AutoFactor}}},
		{Name: "focal with alpha", Options: &Focal{Gamma: new(0.7), Alpha: 0.25}},
		{Name: "focal of classes that weigh", Options: &Focal{ClassWeights: pipeline.ClassWeights{"a": 3}}},
		{Name: "focal without gamma", Options: &Focal{Gamma: new(0.0)}},
		{Name: "hinge rounded", Options: &Hinge{Squared: &no, PositiveClassWeight: pipeline.AutoFactor}},
		{Name: "hinge light", Options: &Hinge{Squared: &no, PositiveClassWeight: 0.2}},
		{Name: "huber", Options: &Huber{Delta: 0.4}},
		{Name: "quantiles", Options: &Quantile{Levels: []float64{0.1, 0.5, 0.75}}},
	}
}

// losses yields every loss of the catalog, made for each type of label that it is for.
func losses(t *testing.T) iter.Seq2[string, Loss] {
	return func(yield func(string, Loss) bool) {
		all := variants()
		for _, e := range Losses() {
			if e.Name != "quantile" { // which has no levels without defaults
				all = append(all, pipeline.Choice{Name: e.Name, Options: e.Options})
			}
		}
		for _, e := range all {
			types := []string{e.Options.(pipeline.Typed).For()}
			if many, ok := e.Options.(pipeline.TypedMany); ok {
				types = append(types, many.AlsoFor()...)
			}
			for _, label := range types {
				if w, ok := e.Options.(pipeline.Weighing); ok {
					by := w.Weighs()
					if label != Binary && (by == "positive_class_weight" || by == "alpha") || label == Binary && by == "class_weights" {
						continue
					}
				}
				bound, err := Bind(e, labelsOf(label, e.Options))
				if err != nil {
					t.Fatal(err)
				}
				if !yield(e.Name+" of "+label, bound.Options.(Loss)) {
					return
				}
			}
		}
	}
}

// rows returns rows [from, to) of a block.
func rows(b *kernel.Block, shape kernel.Shape, from, to int) *kernel.Block {
	part := &kernel.Block{Rows: to - from, Labels: b.Labels[from:to]}
	for _, column := range b.Numbers {
		part.Numbers = append(part.Numbers, column[from:to])
	}
	for _, column := range b.Categories {
		part.Categories = append(part.Categories, column[from:to])
	}
	for l, column := range b.Lists {
		n := kernel.Elements(shape.Lists[l])
		part.Lists = append(part.Lists, column[from*n:to*n])
	}
	for _, column := range b.Terms {
		part.Terms = append(part.Terms, column[from:to])
	}
	return part
}

func equalBits(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}

// checkLoss holds a loss to its contract: the gradient is the slope of the loss
// of each row, times the weight, and what is predicted of the labels' scale comes
// back from it.
func checkLoss(t *testing.T, l Loss) {
	t.Helper()
	const n = lossRows
	out := make([]float32, n*l.Outputs())
	for i := range out {
		out[i] = float32(math.Sin(float64(i)*1.3)) * 2
	}
	labels := sample(kernel.Shape{}, l.For(), n).Labels
	grad := slices.Clone(out)
	total := l.Gradient(grad, labels, 0.25)
	var sum float64
	for i := range n {
		row := func(o int, h float32) float64 {
			moved := slices.Clone(out[i*l.Outputs() : (i+1)*l.Outputs()])
			moved[o] += h
			return l.Gradient(moved, labels[i:i+1], 1)
		}
		sum += row(0, 0)
		for o := range l.Outputs() {
			if slope := (row(o, step) - row(o, -step)) / (2 * step); !near(l, grad[i*l.Outputs()+o]*4, slope) {
				t.Errorf("row %d, output %d: gradient %v, slope %v", i, o, grad[i*l.Outputs()+o]*4, slope)
			}
		}
	}
	if math.Abs(total/sum-1) > 1e-5 {
		t.Errorf("the loss of all rows is %v, of each %v", total, sum)
	}
	weights, heavy := make([]float32, n), slices.Clone(out)
	sum = 0
	for i := range weights {
		weights[i] = float32(i%5) + 0.5
		sum += float64(weights[i]) * l.Gradient(slices.Clone(out[i*l.Outputs():(i+1)*l.Outputs()]), labels[i:i+1], 1)
	}
	if got := WeightedGradient(l, heavy, labels, weights, 0.25); math.Abs(got/sum-1) > 1e-5 {
		t.Errorf("the loss of weighed rows is %v, of each times its weight %v", got, sum)
	}
	for i, g := range heavy {
		if want := float64(weights[i/l.Outputs()]) * float64(grad[i]); math.Abs(float64(g)-want) > 1e-6*(1+math.Abs(want)) {
			t.Errorf("gradient %d of weighed rows is %v, want %v", i, g, want)
		}
	}
	// From Start, no output is better higher or lower.
	start, moved := make([]float32, n*l.Outputs()), make([]float32, n*l.Outputs())
	var mean float64
	for _, y := range labels {
		mean += float64(y) / n
	}
	for i := range start {
		start[i] = float32(l.Start(mean)[i%l.Outputs()])
	}
	least := l.Gradient(slices.Clone(start), labels, 1)
	for o := range l.Outputs() {
		for _, h := range []float32{-0.3, 0.3} {
			for i := range moved {
				if moved[i] = start[i]; i%l.Outputs() == o {
					moved[i] += h
				}
			}
			if loss := l.Gradient(moved, labels, 1); loss < least-1e-6*math.Abs(least) {
				t.Errorf("output %d: the loss is %v at the start, %v beside it by %v", o, least, loss, h)
			}
		}
	}
	if s := l.Scale(250, 40); s != (Scale{}) {
		if got := s.Apply(make([]float32, 1), []float32{float32(s.Mean + 2*s.Deviation)}); got[0] != 2 {
			t.Errorf("two deviations above the mean are learned as %v", got)
		}
		if d := l.Scale(250, 0).Deviation; !(d > 0) {
			t.Errorf("equal labels have the scale %v", d)
		}
	}
}

// checkModel holds a model to its contract. Layers are checked by it too: the
// gradient of a model is right only if that of each of its layers is.
func checkModel(t *testing.T, m *Model) {
	t.Helper()
	w := m.NewWorkspace()
	b := sample(m.Shape(), m.Loss().For(), chunkRows+88)
	params, again := make([]float32, m.Size()), make([]float32, m.Size())
	m.Init(params, 5, 0.3)
	m.Init(again, 5, 0.3)
	if !equalBits(params, again) {
		t.Error("one seed gives two sets of parameters")
	}
	for i := range params {
		params[i] += float32(math.Sin(float64(i)*1.7)) * 0.2
	}
	next := 0
	for _, v := range m.Views() {
		if v.Offset != next {
			t.Errorf("view %s begins at %d, not %d", v.Name, v.Offset, next)
		}
		next += v.Size()
	}
	if next != m.Size() {
		t.Errorf("the views hold %d of %d parameters", next, m.Size())
	}

	// The gradient is the slope of the loss, whatever was in grad before.
	const seed = 11
	grad, spare := make([]float32, m.Size()), make([]float32, m.Size())
	loss := m.Gradient(w, params, b, seed, grad)
	for i := range params {
		p := params[i]
		at := func(h float32) float64 {
			params[i] = p + h
			return m.Gradient(w, params, b, seed, spare)
		}
		rise := at(step) - at(-step)
		if m.Deep() { // and so curved that the next term of the slope's series counts
			rise = (8*rise - (at(2*step) - at(-2*step))) / 6
		}
		params[i] = p
		if slope := rise / (2 * step) / float64(b.Rows); !near(m.Loss(), grad[i], slope) {
			t.Errorf("parameter %d of %v: gradient %v, slope %v", i, m.Views(), grad[i], slope)
		}
	}
	if repeated := m.Gradient(m.NewWorkspace(), params, b, seed, spare); repeated != loss || !equalBits(grad, spare) {
		t.Error("the same step gives other bits the second time")
	}

	// A row's prediction does not depend on its block.
	whole := make([]float32, b.Rows*m.Outputs())
	m.Predict(w, params, b, whole)
	for _, size := range []int{1, 7, chunkRows, b.Rows - 1} {
		for from := 0; from < b.Rows; from += size {
			part := rows(b, m.Shape(), from, min(from+size, b.Rows))
			out := make([]float32, part.Rows*m.Outputs())
			if m.Predict(w, params, part, out); !equalBits(out, whole[from*m.Outputs():][:len(out)]) {
				t.Fatalf("rows from %d have other predictions in blocks of %d", from, size)
			}
		}
	}
	if n := testing.AllocsPerRun(5, func() {
		m.Gradient(w, params, b, seed, grad)
		m.Predict(w, params, b, whole)
	}); n != 0 {
		t.Errorf("%v allocations a step", n)
	}
}

// everySlot is a shape with slots of each kind.
var everySlot = kernel.Shape{Numbers: 2, NumberNames: []string{"a", "b"}, Cardinalities: []int{3, 2, 4}, CategoryNames: []string{"c", "d", "e"},
	Lists: [][]int{{5}, {2, 2}}, ListNames: []string{"l", "m"}, Terms: []int{6, 1}, TermNames: []string{"t", "u"}}

func TestEveryLossKeepsTheContract(t *testing.T) {
	for name, l := range losses(t) {
		t.Run(name, func(t *testing.T) { checkLoss(t, l) })
	}
}

// Networks of each normalization, and with embeddings.
func TestNetworksKeepTheContract(t *testing.T) {
	shape := everySlot
	shape.Embeddings = []int{0, 2}
	for _, o := range []MLP{{Normalization: "layer"}, {Normalization: "batch"}, {Normalization: "batch", Dropout: 0.3}, {NumberEmbedding: "periodic"}} {
		o.Hidden, o.Activation = []int{5, 4}, "tanh"
		m, err := o.New(new(CrossEntropy), shape)
		if err != nil {
			t.Fatal(err)
		}
		checkModel(t, m)
	}
}

func TestEveryModelKeepsTheContractWithEachLoss(t *testing.T) {
	for _, e := range Catalog() {
		switch e.Options.(type) {
		case *Trees, *KNN:
			continue // they have no gradient, and tests of their own
		case *CNN:
			continue // it reads lists alone
		case *FM:
			e.Options = &FM{Factors: 2}
		case *MLP: // relu has corners, which a slope blurs
			e.Options = &MLP{Hidden: []int{3, 2}, Activation: "tanh", Dropout: 0.2}
		}
		for name, l := range losses(t) {
			for _, shape := range []kernel.Shape{everySlot, {Numbers: 1, NumberNames: []string{"a"}}, {Cardinalities: []int{3}, CategoryNames: []string{"c"}}} {
				t.Run(fmt.Sprintf("%s %s %d", e.Name, name, shape.Numbers), func(t *testing.T) {
					m, err := e.Options.(Spec).New(l, shape)
					if err != nil {
						t.Fatal(err)
					}
					checkModel(t, m)
				})
			}
		}
	}
}

// A model smooths labels where the loss does not say how much: what it says counts, 0 too.
func TestAModelSmoothsLabelsUnlessTheLossSaysHowMuch(t *testing.T) {
	binary := Labels{Type: Binary, Mean: 0.5}
	several := Labels{Type: Category, Classes: []string{"a", "b"}, Counts: []int64{1, 1}}
	for name, of := range map[string]struct {
		loss      CrossEntropy
		smoothing float64
		reported  string
	}{
		"the model's": {CrossEntropy{}, 0.2, "log_loss"},
		"none":        {CrossEntropy{LabelSmoothing: new(0.0)}, 0, "log_loss"},
		"the loss's":  {CrossEntropy{LabelSmoothing: new(0.3)}, 0.3, ""},
	} {
		for _, labels := range []Labels{binary, several} {
			labels.Smoothing = 0.2
			bound, err := of.loss.Bind(labels)
			if err != nil {
				t.Fatal(err)
			}
			out := []float32{40, -40}[:bound.Outputs()] // as sure as can be
			truth := float32(1)
			if labels.Type == Category {
				truth = 0
			}
			bound.Gradient(out, []float32{truth}, 1)
			if got := math.Abs(float64(out[0])); math.Abs(got-of.smoothing/2) > 1e-6 {
				t.Errorf("%s, %s: the slope of a sure answer is %v", name, labels.Type, got)
			}
			if _, reported := bound.Reported(1); reported != of.reported {
				t.Errorf("%s, %s: it reports %q", name, labels.Type, reported)
			}
		}
	}
}
