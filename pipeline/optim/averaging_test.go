package optim

import (
	"testing"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/schedule"
)

// Running means of mean and variance have no gradient: an outer optimizer that took their way
// for one would drive variances below zero.
func TestAnOuterOptimizerAveragesStatistics(t *testing.T) {
	loss, err := model.Bind(pipeline.Choice{Name: "cross_entropy", Options: new(model.CrossEntropy)}, model.Labels{Type: model.Binary})
	if err != nil {
		t.Fatal(err)
	}
	m, err := model.New(pipeline.Choice{Name: "mlp", Options: &model.MLP{Hidden: []int{3}, Activation: "relu", Normalization: "batch"}}, loss, kernel.Shape{Numbers: 1, NumberNames: []string{"x"}})
	if err != nil {
		t.Fatal(err)
	}
	trainer := &pipeline.Trainer{BatchSize: 8}
	trainer.Distributed.OuterOptimizer = pipeline.OuterOptimizer{Type: "nesterov", LearningRate: 0.7, Momentum: 0.9, Nesterov: true}
	a, err := newAveraging(m, trainer, new(SGD))
	if err != nil {
		t.Fatal(err)
	}
	before, mean := make([]float32, a.Size()), make([]float32, a.Size())
	kernel.Fill(before, 1)
	kernel.Fill(mean, 0.1)
	after := a.outer(before, mean)
	for _, v := range m.Views() {
		at := v.Of(after)[0]
		if v.Tracked != (at == mean[0]) {
			t.Errorf("%s is %v after an average of %v", v.Name, at, mean[0])
		}
	}
	if variance, ok := model.Find(m, "normalization.0.variance"); !ok || !variance.Tracked || variance.Of(after)[0] != mean[0] {
		t.Error("the variance is none of the statistics")
	}
}

// A learning rate that has fallen to nothing by the last step brings training to rest.
func TestSchedulesThatFallToNothingComeToRest(t *testing.T) {
	for name, of := range map[string]struct {
		schedule schedule.Schedule
		rests    bool
	}{
		"none":                 {nil, false},
		"constant":             {new(schedule.Constant), false},
		"cosine":               {new(schedule.Cosine), true},
		"cosine to a tenth":    {&schedule.Cosine{Minimum: 0.1}, false},
		"exponential":          {&schedule.Exponential{DecayRate: 0.9}, true},
		"slow exponential":     {&schedule.Exponential{DecayRate: 0.99}, false},
		"waits for validation": {&schedule.ReduceOnPlateau{Factor: 0.001}, false},
	} {
		a := averaging{trainer: &pipeline.Trainer{Epochs: 100}, schedule: of.schedule}
		a.trainer.Distributed.SyncEvery = 64
		if got := a.Schedule(7); got.Anneals != of.rests || got.Rounds != 1 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// A network's rate that falls to zero begins the higher the more rows a batch has; one that is
// written stays, and so does a constant one.
func TestTheRateOfNetworksFollowsFromTheirBatches(t *testing.T) {
	mlp := pipeline.Choice{Name: "mlp", Options: &model.MLP{Hidden: []int{8}}}
	cosine := pipeline.Choice{Name: "cosine", Options: new(schedule.Cosine)}
	for _, c := range []struct {
		scheduler pipeline.Choice
		batch     pipeline.Count
		rows      int64
		want      float64
	}{
		{cosine, 0, 200, 0.001},
		{cosine, 0, 2_000, 0.002},
		{cosine, 0, 3_000_000, 0.003},
		{cosine, 16, 3_000_000, 0.001},
		{pipeline.Choice{Name: "constant", Options: new(schedule.Constant)}, 0, 3_000_000, 0.001},
	} {
		auto := pipeline.Trainer{Optimizer: pipeline.Choice{Name: "auto", Options: new(Auto)}, LearningRateScheduler: c.scheduler, BatchSize: c.batch}
		got := Resolve(auto, mlp, kernel.Shape{Numbers: 1}, c.rows)
		if adam, ok := got.Optimizer.Options.(*Adam); !ok || adam.LearningRate != c.want {
			t.Errorf("%+v: %+v", c, got.Optimizer.Options)
		}
		auto.Optimizer = pipeline.Choice{Name: "adam", Options: &Adam{LearningRate: 0.01, Betas: []float64{0.9, 0.999}, Epsilon: 1e-8}}
		if got := Resolve(auto, mlp, kernel.Shape{Numbers: 1}, c.rows).Optimizer.Options.(*Adam).LearningRate; got != 0.01 {
			t.Errorf("%+v: a rate of 0.01 became %v", c, got)
		}
	}
}
