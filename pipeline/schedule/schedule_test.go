package schedule

import (
	"math"
	"testing"

	"github.com/thalweg/thalweg/pipeline"
)

// An epoch of 100 steps, 10 epochs. What PyTorch and Keras come to, written out.
func TestFactorsAreThoseOfTheirFormulas(t *testing.T) {
	for _, test := range []struct {
		name string
		s    Schedule
		want func(step float64) float64
	}{
		{"constant", &Constant{}, func(float64) float64 { return 1 }},
		{"step", &Step{DecayRate: 0.5, DecaySteps: 30}, func(t float64) float64 { return math.Pow(0.5, math.Floor(t/30)) }},
		{"step an epoch", &Step{DecayRate: 0.1}, func(t float64) float64 { return math.Pow(0.1, math.Floor(t/100)) }},
		{"exponential", &Exponential{DecayRate: 0.96, DecaySteps: 7}, func(t float64) float64 { return math.Pow(0.96, t/7) }},
		{"inverse", &Inverse{DecayRate: 3, DecaySteps: 7}, func(t float64) float64 { return 1 / (1 + 3*t/7) }},
		{"cosine", &Cosine{Minimum: 0.25}, func(t float64) float64 { return 0.25 + 0.75*(1+math.Cos(math.Pi*t/1000))/2 }},
		{"cosine of 90 steps", &Cosine{DecaySteps: 90}, func(t float64) float64 { return (1 + math.Cos(math.Pi*min(1, t/90))) / 2 }},
	} {
		for step := range 1000 {
			got := Factor(test.s, At{Step: step, Epoch: 100, All: 1000})
			if want := test.want(float64(step)); math.Abs(got-want) > 1e-14+1e-12*want {
				t.Fatalf("%s: %v at step %d, want %v", test.name, got, step, want)
			}
		}
	}
}

func TestWarmUpRisesInAStraightLineAndTheScheduleBeginsThen(t *testing.T) {
	s := &Cosine{WarmUp: WarmUp{WarmupSteps: 10}}
	for step, want := range map[int]float64{0: 0.1, 4: 0.5, 9: 1, 10: 1, 55: 0.5, 100: 0} {
		if got := Factor(s, At{Step: step, Epoch: 10, All: 100}); math.Abs(got-want) > 1e-14 {
			t.Errorf("%v at step %d, want %v", got, step, want)
		}
	}
	if got := Factor(s, At{Step: 3, Epoch: 2, All: 5}); got != 0.4 {
		t.Errorf("%v where training ends while warming up", got)
	}
}

func TestPlateausReduceToTheMinimum(t *testing.T) {
	s := &ReduceOnPlateau{Factor: 0.1, Minimum: 0.005}
	for reductions, want := range []float64{1, 0.1, 0.01, 0.005, 0.005} {
		if got := Factor(s, At{Step: 500, Epoch: 10, All: 100, Reductions: reductions}); math.Abs(got-want) > 1e-15 {
			t.Errorf("%v after %d reductions, want %v", got, reductions, want)
		}
	}
}

func TestDefaultsAreComplete(t *testing.T) {
	for _, e := range Catalog() {
		options, err := pipeline.Complete(e.Options)
		if err != nil {
			t.Fatal(err)
		}
		before := 2.0
		for step := range 300 {
			f := Factor(options.(Schedule), At{Step: step, Epoch: 50, All: 300})
			if !(f > 0 && f <= before) || step == 0 && f != 1 {
				t.Fatalf("%s: %v at step %d after %v", e.Name, f, step, before)
			}
			before = f
		}
	}
	if _, err := pipeline.Complete(&Step{DecayRate: 2}); err == nil {
		t.Error("a decay that rises is accepted")
	}
}
