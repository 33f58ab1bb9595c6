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
	"sgd":             {Name: "sgd", Options: &optim.SGD{LearningRate: 0.1}},
	"momentum":        {Name: "momentum", Options: &optim.Momentum{LearningRate: 0.1, Momentum: 0.9}},
	"nesterov":        {Name: "nesterov", Options: &optim.Nesterov{Momentum: optim.Momentum{LearningRate: 0.1, Momentum: 0.9}}},
	"adagrad":         {Name: "adagrad", Options: &optim.Adagrad{LearningRate: 0.1, Epsilon: 1e-10}},
	"decayed_adagrad": {Name: "decayed_adagrad", Options: &optim.DecayedAdagrad{LearningRate: 0.01, Decay: 0.95, Epsilon: 1e-6}},
	"rmsprop":         {Name: "rmsprop", Options: &optim.RMSProp{LearningRate: 0.01, Alpha: 0.99, Momentum: 0.5, Epsilon: 1e-8}},
	"adadelta":        {Name: "adadelta", Options: &optim.AdaDelta{LearningRate: 1, Rho: 0.9, Epsilon: 1e-6}},
	"adam":            {Name: "adam", Options: &optim.Adam{LearningRate: 0.01, Betas: []float64{0.9, 0.999}, Epsilon: 1e-8}},
	"ftrl":            {Name: "ftrl", Options: &optim.FTRL{LearningRate: 0.1, Beta: 1, L1: 0.5, L2: 0.25}},
}

func build(t *testing.T, name string) optim.Optimizer {
	t.Helper()
	o := specs[name].Options.(optim.Optimizer)
	if err := o.Validate(); err != nil {
		t.Fatal(err)
	}
	return o
}

// reference is each rule in float64 for one parameter, as its paper or PyTorch writes
// it: it returns the step number t, from 1, of a rule that begins at w.
var reference = map[string]func(start float64) func(t, w, g float64) float64{
	"sgd": func(float64) func(t, w, g float64) float64 {
		return func(_, w, g float64) float64 { return w - 0.1*g }
	},
	"momentum": func(float64) func(t, w, g float64) float64 {
		v := 0.0
		return func(_, w, g float64) float64 { v = 0.9*v + g; return w - 0.1*v }
	},
	"nesterov": func(float64) func(t, w, g float64) float64 {
		v := 0.0
		return func(_, w, g float64) float64 { v = 0.9*v + g; return w - 0.1*(g+0.9*v) }
	},
	"adagrad": func(float64) func(t, w, g float64) float64 {
		sum := 0.0
		return func(_, w, g float64) float64 { sum += g * g; return w - 0.1*g/(math.Sqrt(sum)+1e-10) }
	},
	"decayed_adagrad": func(float64) func(t, w, g float64) float64 {
		v := 0.0
		return func(_, w, g float64) float64 { v = 0.95*v + 0.05*g*g; return w - 0.01*g/(math.Sqrt(v)+1e-6) }
	},
	"rmsprop": func(float64) func(t, w, g float64) float64 {
		v, b := 0.0, 0.0
		return func(_, w, g float64) float64 {
			v = 0.99*v + 0.01*g*g
			b = 0.5*b + g/(math.Sqrt(v)+1e-8)
			return w - 0.01*b
		}
	},
	"adadelta": func(float64) func(t, w, g float64) float64 {
		v, u := 0.0, 0.0
		return func(_, w, g float64) float64 {
			v = 0.9*v + 0.1*g*g
			d := math.Sqrt(u+1e-6) / math.Sqrt(v+1e-6) * g
			u = 0.9*u + 0.1*d*d
			return w - d
		}
	},
	"adam": func(float64) func(t, w, g float64) float64 {
		m, v := 0.0, 0.0
		return func(t, w, g float64) float64 {
			m = 0.9*m + 0.1*g
			v = 0.999*v + 0.001*g*g
			return w - 0.01*m/(1-math.Pow(0.9, t))/(math.Sqrt(v/(1-math.Pow(0.999, t)))+1e-8)
		}
	},
	// The leader by its definition: the w that minimises
	// z*w + ((beta+sqrt(n))/alpha + l2)/2*w^2 + l1*|w|, searched for.
	"ftrl": func(start float64) func(t, w, g float64) float64 {
		n, sign := 0.0, 1.0
		if start < 0 {
			sign = -1
		}
		z := -(start*(1/0.1+0.25) + 0.5*sign)
		return func(_, w, g float64) float64 {
			z += g - (math.Sqrt(n+g*g)-math.Sqrt(n))/0.1*w
			n += g * g
			slope := func(w float64) float64 {
				return z + ((1+math.Sqrt(n))/0.1+0.25)*w + math.Copysign(0.5, w)
			}
			low, high := -1e3, 1e3 // the slope rises
			for range 200 {
				if mid := (low + high) / 2; slope(mid) > 0 {
					high = mid
				} else {
					low = mid
				}
			}
			if math.Abs(low) < 1e-12 {
				return 0
			}
			return low
		}
	},
}

func TestStepsAreTheirReference(t *testing.T) {
	for name := range specs {
		o := build(t, name)
		const n, steps = 5, 300
		random := rand.New(rand.NewPCG(1, 2))
		params, grad, state := make([]float32, n), make([]float32, n), make([]float32, o.StateSize(n))
		want := make([]float64, n)
		next := make([]func(t, w, g float64) float64, n)
		for i := range params {
			params[i] = float32(random.NormFloat64())
			want[i] = float64(params[i])
			next[i] = reference[name](want[i])
		}
		for step := range steps {
			for i := range grad {
				// Parameter 4 has a gradient once and never again.
				grad[i] = float32(random.NormFloat64() * math.Pow(10, float64(i-2)))
				if i == 4 && step > 0 {
					grad[i] = 0
				}
				want[i] = next[i](float64(step+1), want[i], float64(grad[i]))
			}
			o.Step(params, grad, state, 1)
		}
		for i := range params {
			if math.Abs(float64(params[i])-want[i]) > 1e-4*(1+math.Abs(want[i])) || want[i] == 0 != (params[i] == 0) {
				t.Errorf("%s: parameter %d is %v, want %v", name, i, params[i], want[i])
			}
		}
	}
}

// A schedule's factor and another learning rate are the same step.
func TestStepsOfAScaledRateAreThoseOfTheRate(t *testing.T) {
	for name, spec := range specs {
		if name == "ftrl" {
			continue // its rate falls by itself
		}
		slow := reflect.New(reflect.TypeOf(spec.Options).Elem())
		slow.Elem().Set(reflect.ValueOf(spec.Options).Elem())
		rate := slow.Elem().FieldByName("LearningRate")
		rate.SetFloat(rate.Float() / 4)
		run := func(o optim.Optimizer, scale float32) []float32 {
			params, state := []float32{1, -2}, make([]float32, o.StateSize(2))
			for range 10 {
				o.Step(params, []float32{0.5, 3}, state, scale)
			}
			return params
		}
		if got, want := run(build(t, name), 0.25), run(slow.Interface().(optim.Optimizer), 1); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
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
			o.Step(params, []float32{0.25}, state, 1)
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
	o.Step(params, []float32{0.25}, mixed, 1)
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
		{pipeline.Choice{Name: "none", Options: new(optim.None)}, thalweg.Unsupported, "a linear model has to be trained"},
		{pipeline.Choice{Name: "lamb"}, thalweg.Unsupported, `"lamb"`},
		{pipeline.Choice{Name: "sgd", Options: &optim.SGD{}}, thalweg.Invalid, "learning_rate is 0"},
		{pipeline.Choice{Name: "sgd", Options: &optim.SGD{LearningRate: nan}}, thalweg.Invalid, "learning_rate is NaN"},
		{pipeline.Choice{Name: "sgd", Options: &optim.SGD{LearningRate: math.Inf(1)}}, thalweg.Invalid, "learning_rate is +Inf"},
		{pipeline.Choice{Name: "sgd", Options: &optim.SGD{LearningRate: 1e39}}, thalweg.Invalid, "learning_rate is 1e+39"}, // no float32
		{pipeline.Choice{Name: "momentum", Options: &optim.Momentum{LearningRate: 1, Momentum: 1}}, thalweg.Invalid, "momentum is 1"},
		{pipeline.Choice{Name: "momentum", Options: &optim.Momentum{LearningRate: 1, Momentum: nan}}, thalweg.Invalid, "momentum is NaN"},
		{pipeline.Choice{Name: "adam", Options: &optim.Adam{LearningRate: 1, Epsilon: 1}}, thalweg.Invalid, "betas has 0"},
		{pipeline.Choice{Name: "adam", Options: &optim.Adam{LearningRate: 1, Betas: []float64{0.9, 1}, Epsilon: 1}}, thalweg.Invalid, "beta is 1"},
		{pipeline.Choice{Name: "adam", Options: &optim.Adam{LearningRate: 1, Betas: []float64{0.9, 0.99}}}, thalweg.Invalid, "epsilon is 0"},
		{pipeline.Choice{Name: "nesterov", Options: &optim.Nesterov{Momentum: optim.Momentum{LearningRate: 1, Momentum: 1}}}, thalweg.Invalid, "momentum is 1"},
		{pipeline.Choice{Name: "adagrad", Options: &optim.Adagrad{LearningRate: 1}}, thalweg.Invalid, "epsilon is 0"},
		{pipeline.Choice{Name: "decayed_adagrad", Options: &optim.DecayedAdagrad{LearningRate: 1, Decay: 1, Epsilon: 1}}, thalweg.Invalid, "decay is 1"},
		{pipeline.Choice{Name: "rmsprop", Options: &optim.RMSProp{LearningRate: 1, Alpha: nan, Epsilon: 1}}, thalweg.Invalid, "alpha is NaN"},
		{pipeline.Choice{Name: "adadelta", Options: &optim.AdaDelta{Rho: 0.9, Epsilon: 1}}, thalweg.Invalid, "learning_rate is 0"},
		{pipeline.Choice{Name: "momentum", Options: &optim.Momentum{LearningRate: 1, Momentum: 1 - 1e-9}}, thalweg.Invalid, "momentum is 0.999999999"},
		{pipeline.Choice{Name: "adamw", Options: &optim.AdamW{WeightDecay: 2}}, thalweg.Invalid, "weight_decay is 2"},
		{pipeline.Choice{Name: "ftrl", Options: &optim.FTRL{LearningRate: 1, Beta: 1, L1: -1}}, thalweg.Invalid, "l1 is -1"},
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
				o.Step(make([]float32, lengths[0]), make([]float32, lengths[1]), make([]float32, lengths[2]), 1)
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
				o.Step(params, grad, state, 1)
			}
			b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds()/1e6, "Mparameters/s")
		})
	}
}
