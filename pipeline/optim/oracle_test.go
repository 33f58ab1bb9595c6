package optim

import (
	_ "embed"
	"encoding/json"
	"iter"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/schedule"
)

//go:embed testdata/steps.json
var stepsOfOthers []byte

// readOracle returns what PyTorch and Keras have made of a few batches: see make.py.
func readOracle(t *testing.T) (o struct {
	Rows   [][][4]float64
	Start  []float64
	Cases  map[string][]float64
	Metric []float64
	Rates  []float64
}) {
	t.Helper()
	if err := json.Unmarshal(stepsOfOthers, &o); err != nil {
		t.Fatal(err)
	}
	return o
}

// A training comes to the weights that PyTorch and Keras come to, rule by rule, with
// the schedules, the penalties and the clipping that they have too.
func TestTrainingEndsWherePyTorchAndKerasEnd(t *testing.T) {
	oracle := readOracle(t)
	var batches []*kernel.Block
	for _, rows := range oracle.Rows {
		b := &kernel.Block{Rows: len(rows), Numbers: make([][]float32, 3)}
		for _, r := range rows {
			for k := range b.Numbers {
				b.Numbers[k] = append(b.Numbers[k], float32(r[k]))
			}
			b.Labels = append(b.Labels, float32(r[3]))
		}
		batches = append(batches, b)
	}
	m, err := new(model.Linear).New(new(model.CrossEntropy), kernel.Shape{Numbers: 3, NumberNames: []string{"a", "b", "c"}})
	if err != nil {
		t.Fatal(err)
	}
	sgd, adam := &SGD{LearningRate: 0.1}, Adam{LearningRate: 0.02, Betas: []float64{0.9, 0.99}, Epsilon: 1e-8}
	cases := map[string]struct {
		rule     Optimizer
		l2       float64
		schedule schedule.Schedule
		clipping *pipeline.GradientClipping
	}{
		"sgd":             {rule: sgd},
		"sgd, l2":         {rule: sgd, l2: 0.05},
		"momentum":        {rule: &Momentum{LearningRate: 0.02, Momentum: 0.9}},
		"nesterov":        {rule: &Nesterov{Momentum{LearningRate: 0.02, Momentum: 0.9}}},
		"adagrad":         {rule: &Adagrad{LearningRate: 0.1, Epsilon: 1e-10}},
		"decayed_adagrad": {rule: &DecayedAdagrad{LearningRate: 0.01, Decay: 0.95, Epsilon: 1e-6}},
		"rmsprop":         {rule: &RMSProp{LearningRate: 0.01, Alpha: 0.99, Momentum: 0.5, Epsilon: 1e-8}},
		"adadelta":        {rule: &AdaDelta{LearningRate: 1, Rho: 0.9, Epsilon: 1e-6}},
		"adam":            {rule: &adam},
		"adam, l2":        {rule: &adam, l2: 0.05},
		"adamw":           {rule: &AdamW{Adam: adam, WeightDecay: 0.1}},
		"adamw, cosine":   {rule: &AdamW{Adam: adam, WeightDecay: 0.1}, schedule: &schedule.Cosine{WarmUp: schedule.WarmUp{WarmupSteps: 10}}},
		"step":            {rule: sgd, schedule: &schedule.Step{DecayRate: 0.5, DecaySteps: 7}},
		"exponential":     {rule: sgd, schedule: &schedule.Exponential{DecayRate: 0.96, DecaySteps: 7}},
		"inverse":         {rule: sgd, schedule: &schedule.Inverse{DecayRate: 3, DecaySteps: 7}},
		"clipped values":  {rule: sgd, clipping: &pipeline.GradientClipping{Value: 0.1}},
		"clipped norm":    {rule: sgd, clipping: &pipeline.GradientClipping{GlobalNorm: 0.2}},
		"ftrl":            {rule: &FTRL{LearningRate: 0.5, Beta: 1}},
		"ftrl, l1, l2":    {rule: &FTRL{LearningRate: 0.5, Beta: 1, L1: 2, L2: 0.5}},
	}
	for name, want := range oracle.Cases {
		c, ok := cases[name]
		if !ok {
			t.Errorf("%s is not tried", name)
			continue
		}
		const rows = 480
		trainer := &pipeline.Trainer{BatchSize: 8, Epochs: 1, GradientClipping: c.clipping,
			LearningRateScheduler: pipeline.Choice{Options: c.schedule}, Regularization: pipeline.Regularization{L2: c.l2 * rows},
			Distributed: pipeline.DistributedSpec{SyncEvery: 1000}}
		a, err := newAveraging(m, trainer, c.rule)
		if err != nil {
			t.Fatal(name, err)
		}
		r := Replica{Workspace: m.NewWorkspace(), Rows: rows, Batches: len(batches), Gradient: make([]float32, m.Size()),
			Steps: func(_, _, _ int) iter.Seq2[Step, error] {
				return func(yield func(Step, error) bool) {
					for _, b := range batches {
						if !yield(Step{Block: b}, nil) {
							return
						}
					}
				}
			}}
		s := State{Vector: make([]float32, a.Size())}
		if !strings.HasPrefix(name, "ftrl") {
			for i, w := range oracle.Start {
				s.Vector[i] = float32(w)
			}
		}
		v, _, err := a.Contribute(&r, &s, Round{Count: 1})
		if err != nil {
			t.Fatal(name, err)
		}
		for i, w := range want {
			if got := float64(v.Float32[i]); math.Abs(got-w) > 2e-6*(1+math.Abs(w)) || w == 0 != (got == 0) {
				t.Errorf("%s: %v, want %v", name, v.Float32[:4], want)
				break
			}
		}
	}
	for name := range cases {
		if oracle.Cases[name] == nil {
			t.Errorf("%s has no oracle", name)
		}
	}
}

func TestPlateausReduceTheRateWherePyTorchDoes(t *testing.T) {
	oracle := readOracle(t)
	plateau := &schedule.ReduceOnPlateau{Factor: 0.5, Patience: 2, Minimum: 0.1}
	a, s, stale, best := averaging{schedule: plateau}, State{}, 0, math.Inf(1)
	var rates []float64
	for _, v := range oracle.Metric {
		if stale++; v < best {
			best, stale = v, 0
		}
		a.Evaluated(&s, stale)
		rates = append(rates, schedule.Factor(plateau, schedule.At{Epoch: 1, All: 1, Reductions: s.Reductions}))
	}
	if !slices.EqualFunc(rates, oracle.Rates, func(x, y float64) bool { return math.Abs(x-y) < 1e-12 }) {
		t.Errorf("rates %v, want %v", rates, oracle.Rates)
	}
}
