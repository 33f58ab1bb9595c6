package boosting

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model"
)

// However large a loss's own derivatives are, those of the rows that weigh most have room.
func TestDerivativesOfTheHeaviestRowsAreWhole(t *testing.T) {
	const most = 40
	classes := model.Labels{Type: model.Category, Classes: []string{"a", "b", "c"}, Counts: []int64{50, 30, 1}}
	binary := model.Labels{Type: model.Binary, Mean: 0.01}
	heavy := &model.CrossEntropy{PositiveClassWeight: 500}
	smoothed := &model.CrossEntropy{PositiveClassWeight: 500, LabelSmoothing: new(0.1)}
	focal := 10.0
	for name, of := range map[string]struct {
		loss   any
		labels model.Labels
		label  float32
		outs   []float32
	}{
		"poisson":              {new(model.Poisson), model.Labels{Type: model.Count, Mean: 3, Most: 1000}, 1000, []float32{1, 6.9, 7.5}},
		"cross_entropy":        {heavy, binary, 1, []float32{-9, 0}},
		"smoothed":             {smoothed, binary, 1, []float32{-9, 0}},
		"classes":              {&model.CrossEntropy{ClassWeights: pipeline.ClassWeights{"c": 500}}, classes, 2, []float32{5, 0, -5}},
		"focal":                {&model.Focal{Gamma: &focal, ClassWeights: pipeline.ClassWeights{"c": 500}}, classes, 2, []float32{3, 1, 0.1}},
		"squared":              {new(model.Squared), model.Labels{Type: model.Number}, 100, []float32{0, 90, 101}},
		"huber":                {&model.Huber{Delta: 3}, model.Labels{Type: model.Number, Deviation: 0.1, Constants: []float64{0}}, 100, []float32{0, 90, 101}},
		"classes without more": {new(model.CrossEntropy), classes, 2, []float32{5, 0, -5}},
	} {
		bound, err := model.Bind(pipeline.Choice{Name: name, Options: of.loss}, of.labels)
		if err != nil {
			t.Fatal(err)
		}
		loss := bound.Options.(model.Loss)
		b := newBoosted(t, model.Trees{Trees: 1, MaxLeaves: 2, MaxDepth: 1, LearningRate: 1, MinChildRows: 1}, loss, nil)
		n := len(of.outs)
		first, second, labels, weights := make([]int32, n), make([]int32, n), make([]float32, n/loss.Outputs()), make([]float32, n)
		for i := range labels {
			labels[i] = of.label
		}
		for i := range weights {
			weights[i] = most
		}
		b.loss.Newton(append([]float32(nil), of.outs...), labels, first, second)
		weighed := b.Weigh(most).(*boosting)
		wholeFirst, wholeSecond := append([]int32(nil), first...), append([]int32(nil), second...)
		weighed.weigh(weights, first, second)
		for i := range first {
			f := most * weighed.unit
			if math.Abs(float64(first[i])-f*float64(wholeFirst[i])) > 1 || math.Abs(float64(second[i])-f*float64(wholeSecond[i])) > 1 {
				t.Errorf("%s, output %v: %d and %d of weight %v are %d and %d", name, of.outs[i], wholeFirst[i], wholeSecond[i], f, first[i], second[i])
			}
		}
	}
}

// What holds splits of categories back is in the unit of the rows' weights.
func TestTheUnitOfWeightsChangesNoSplitOfCategories(t *testing.T) {
	plain := newBoosted(t, model.Trees{Trees: 1, MaxLeaves: 2, MaxDepth: 1, LearningRate: 1, MinChildRows: 1}, new(model.CrossEntropy), nil).boosting
	weighed := plain.Weigh(8 * maxRowWeight).(*boosting)
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 100 {
		var all, eighths sums
		cells, less := make([]int64, 12*cell), make([]int64, 12*cell)
		for id := range 12 {
			s := sums{8 * (random.Int64N(8*kernel.NewtonUnit) - 4*kernel.NewtonUnit), 8 * (1 + random.Int64N(4*kernel.NewtonUnit)), 10 + random.Int64N(50)}
			e := sums{s.first / 8, s.second / 8, s.rows}
			copy(cells[id*cell:], []int64{s.first, s.second, s.rows})
			copy(less[id*cell:], []int64{e.first, e.second, e.rows})
			all, eighths = all.plus(s), eighths.plus(e)
		}
		var want, got split
		plain.pick(&want, 1, cells, all)
		weighed.pick(&got, 1, less, eighths)
		if got.set != want.set || math.Abs(got.gain*8-want.gain) > 1e-9*want.gain {
			t.Fatalf("round %d: gain %v of %v, ids %v, want %v", round, got.gain*8, want.gain, got.set, want.set)
		}
	}
}
