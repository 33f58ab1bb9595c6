package optim_test

import (
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/optim"
)

// specs are the rules with ordinary hyperparameters.
var specs = map[string]pipeline.Choice{
	"sgd":      {Name: "sgd", Options: &optim.SGD{LearningRate: 0.1}},
	"momentum": {Name: "momentum", Options: &optim.Momentum{LearningRate: 0.1, Momentum: 0.9}},
	"adam":     {Name: "adam", Options: &optim.Adam{LearningRate: 0.01, Betas: []float64{0.9, 0.999}, Epsilon: 1e-8}},
}

func build(t *testing.T, name string) optim.Optimizer {
	t.Helper()
	o := specs[name].Options.(optim.Optimizer)
	if err := o.Validate(); err != nil {
		t.Fatal(err)
	}
	return o
}

// reference is each rule in float64, one parameter, as its paper writes it:
// step is given the gradients so far.
var reference = map[string]func(w float64, gradients []float64, rate float64) float64{
	"sgd": func(w float64, g []float64, rate float64) float64 { return w - rate*g[len(g)-1] },
	"momentum": func(w float64, g []float64, rate float64) float64 {
		v := 0.0
		for _, x := range g {
			v = 0.9*v + x
		}
		return w - rate*v
	},
	"adam": func(w float64, g []float64, rate float64) float64 {
		m, v, t := 0.0, 0.0, float64(len(g))
		for _, x := range g {
			m = 0.9*m + 0.1*x
			v = 0.999*v + 0.001*x*x
		}
		m /= 1 - math.Pow(0.9, t)
		v /= 1 - math.Pow(0.999, t)
		return w - rate*m/(math.Sqrt(v)+1e-8)
	},
}

func TestStepsAreTheirReference(t *testing.T) {
	for name := range specs {
		o := build(t, name)
		const n, steps = 5, 300
		random := rand.New(rand.NewPCG(1, 2))
		params, grad, state := make([]float32, n), make([]float32, n), make([]float32, o.StateSize(n))
		want := make([]float64, n)
		history := make([][]float64, n)
		for i := range params {
			params[i] = float32(random.NormFloat64())
			want[i] = float64(params[i])
		}
		for step := range steps {
			for i := range grad {
				// Parameter 4 has a gradient once and never again.
				grad[i] = float32(random.NormFloat64() * math.Pow(10, float64(i-2)))
				if i == 4 && step > 0 {
					grad[i] = 0
				}
				history[i] = append(history[i], float64(grad[i]))
				want[i] = reference[name](want[i], history[i], reflect.ValueOf(specs[name].Options).Elem().FieldByName("LearningRate").Float())
			}
			o.Step(params, grad, state)
		}
		for i := range params {
			if math.Abs(float64(params[i])-want[i]) > 1e-4*(1+math.Abs(want[i])) {
				t.Errorf("%s: parameter %d is %v, want %v", name, i, params[i], want[i])
			}
		}
	}
}

func TestAveragedStateOfEqualReplicasChangesNothing(t *testing.T) {
	// Replicas that made unequal numbers of steps on a constant gradient agree on
	// the corrected moments, so the next step after averaging is that of one alone.
	o := build(t, "adam")
	run := func(steps int) (params, state []float32) {
		params, state = make([]float32, 1), make([]float32, o.StateSize(1))
		for range steps {
			o.Step(params, []float32{0.25}, state)
		}
		return params, state
	}
	_, few := run(3)
	_, many := run(90)
	mixed := make([]float32, len(few))
	for i := range mixed {
		mixed[i] = (few[i] + many[i]) / 2
	}
	params := []float32{0}
	o.Step(params, []float32{0.25}, mixed)
	if math.Abs(float64(params[0])+0.01) > 1e-6 {
		t.Errorf("a step on the averaged state moved by %v, want -0.01", params[0])
	}
}

func linear(t *testing.T) *model.Model {
	t.Helper()
	m, err := new(model.Linear).New(new(model.Squared), kernel.Shape{Numbers: 1, NumberNames: []string{"x"}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestNewRefusesBadHyperparameters(t *testing.T) {
	nan := math.NaN()
	for _, test := range []struct {
		spec pipeline.Choice
		kind thalweg.Kind
		says string
	}{
		{pipeline.Choice{Name: "ftrl"}, thalweg.Unsupported, `"ftrl"`},
		{pipeline.Choice{Name: "none", Options: new(optim.None)}, thalweg.Unsupported, "a linear model has to be trained"},
		{pipeline.Choice{Name: "sgd", Options: &optim.SGD{}}, thalweg.Invalid, "learning_rate is 0"},
		{pipeline.Choice{Name: "sgd", Options: &optim.SGD{LearningRate: nan}}, thalweg.Invalid, "learning_rate is NaN"},
		{pipeline.Choice{Name: "sgd", Options: &optim.SGD{LearningRate: math.Inf(1)}}, thalweg.Invalid, "learning_rate is +Inf"},
		{pipeline.Choice{Name: "momentum", Options: &optim.Momentum{LearningRate: 1, Momentum: 1}}, thalweg.Invalid, "momentum is 1"},
		{pipeline.Choice{Name: "momentum", Options: &optim.Momentum{LearningRate: 1, Momentum: nan}}, thalweg.Invalid, "momentum is NaN"},
		{pipeline.Choice{Name: "adam", Options: &optim.Adam{LearningRate: 1, Epsilon: 1}}, thalweg.Invalid, "betas has 0"},
		{pipeline.Choice{Name: "adam", Options: &optim.Adam{LearningRate: 1, Betas: []float64{0.9, 1}, Epsilon: 1}}, thalweg.Invalid, "beta is 1"},
		{pipeline.Choice{Name: "adam", Options: &optim.Adam{LearningRate: 1, Betas: []float64{0.9, 0.99}}}, thalweg.Invalid, "epsilon is 0"},
	} {
		_, err := optim.New(linear(t), &pipeline.Trainer{Optimizer: test.spec})
		if !thalweg.Is(err, test.kind) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%+v: error %v, want %v saying %q", test.spec, err, test.kind, test.says)
		}
	}
}

func TestStepPanicsOnUnequalVectors(t *testing.T) {
	for name := range specs {
		o := build(t, name)
		for _, lengths := range [][3]int{{3, 2, o.StateSize(3)}, {3, 3, o.StateSize(3) + 1}} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%s: lengths %v do not panic", name, lengths)
					}
				}()
				o.Step(make([]float32, lengths[0]), make([]float32, lengths[1]), make([]float32, lengths[2]))
			}()
		}
	}
}

func BenchmarkStep(b *testing.B) {
	const n = 4096
	for name, spec := range specs {
		o := spec.Options.(optim.Optimizer)
		b.Run(name, func(b *testing.B) {
			params, grad, state := make([]float32, n), make([]float32, n), make([]float32, o.StateSize(n))
			for i := range grad {
				grad[i] = float32(i%13) - 6
			}
			for b.Loop() {
				o.Step(params, grad, state)
			}
			b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds()/1e6, "Mparameters/s")
		})
	}
}
