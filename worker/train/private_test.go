package train_test

import (
	"crypto/sha256"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/optim"
	"github.com/thalweg/thalweg/pipeline/privacy"
	"github.com/thalweg/thalweg/worker/train"
)

// privateJob is small: each of its steps goes over all rows.
func privateJob(t testing.TB, secret string) train.Job {
	job := newJob(t, dataset{shards: 3, rows: 700, label: "binary", seed: 1}, 4)
	job.Trainer.BatchSize = 32
	job.Trainer.Privacy = &pipeline.Privacy{Type: "dp_sgd", Key: "noise", ClipNorm: 1, NoiseMultiplier: 1.1, Delta: 1e-5}
	job.Noise = privacy.NewSource(sha256.Sum256([]byte(secret)), "job")
	return job
}

func TestAPrivateModelFollowsFromItsKeyForAnyWorkers(t *testing.T) {
	job := privateJob(t, "secret")
	deep := mlpJob(t, dataset{shards: 3, rows: 200, label: "binary", seed: 5}, 4, model.MLP{Hidden: []int{5}, Activation: "relu"})
	deep.Trainer.Privacy, deep.Noise, deep.Trainer.BatchSize = job.Trainer.Privacy, job.Noise, 32
	for name, job := range map[string]train.Job{"linear": job, "mlp": deep} {
		want := alone(t, job)
		for _, workers := range []int{2, 4} {
			if got := newCluster(t, 4, workers).runAll(job, noHooks); got != want {
				t.Errorf("%s, %d workers: %s\nalone: %s", name, workers, got, want)
			}
		}
	}
	if alone(t, job) == alone(t, privateJob(t, "another")) {
		t.Error("another key gave the same model")
	}
}

func TestPrivateTrainingLearnsAndSaysWhatItSpent(t *testing.T) {
	job := privateJob(t, "secret")
	c := newCluster(t, 4, 1)
	result, err := c.run(c.workers[0], job, train.Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	checkLedger(t, result)
	if auc := result.Metrics["log_loss"]; !(auc < 0.69) {
		t.Errorf("log loss %v: nothing was learnt", auc)
	}
	s := result.Spent
	m := privacy.Mechanism{Rate: s.Rate, Noise: 1.1}
	if want, _ := m.Epsilon(s.Steps, 1e-5); s.Epsilon != want || s.Steps != int64(result.Rounds) || math.Abs(s.Rate-32*4/float64(result.Ledger.Expected.Rows)) > 1e-12 {
		t.Errorf("spent %+v in %d rounds of %d rows", *s, result.Rounds, result.Ledger.Expected.Rows)
	}
	for _, l := range result.Curve {
		if l.Train != 0 {
			t.Errorf("epoch %d tells that rows lost %v: no noise is in that", l.Epoch, l.Train)
		}
	}
}

func TestTrainingEndsBeforeMoreThanEpsilonMaxIsSpent(t *testing.T) {
	job := privateJob(t, "secret")
	c := newCluster(t, 4, 1)
	first, err := c.run(c.workers[0], job, train.Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	job.Trainer.Privacy.EpsilonMax = first.Spent.Epsilon - 1e-9 // all three epochs but a trifle
	c = newCluster(t, 4, 1)
	result, err := c.run(c.workers[0], job, train.Hooks{})
	if err != nil || result.Epochs != 2 || !(result.Spent.Epsilon < job.Trainer.Privacy.EpsilonMax) || !strings.Contains(result.Stopped, "epsilon_max") {
		t.Errorf("%+v, %v", result, err)
	}
	job.Trainer.Privacy.EpsilonMax = 0.01
	c = newCluster(t, 4, 1)
	if _, err = c.run(c.workers[0], job, train.Hooks{}); err == nil || !strings.Contains(fmt.Sprint(err), "one epoch of") {
		t.Errorf("an epoch that spends too much: %v", err)
	}
}

// What the rows of a step can do to the weights is bounded by the clip norm, whatever the rows are.
func TestAStepIsBoundedByTheClipNorm(t *testing.T) {
	job := privateJob(t, "secret")
	job.Trainer.Privacy.ClipNorm, job.Trainer.Privacy.NoiseMultiplier = 1e-3, 1e-9
	job.Trainer.Optimizer = pipeline.Choice{Name: "sgd", Options: &optim.SGD{LearningRate: 1}}
	job.Trainer.Regularization.L2, job.Trainer.Epochs, job.Trainer.EarlyStop = 0, 1, 0
	c := newCluster(t, 4, 1)
	result, err := c.run(c.workers[0], job, train.Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	norm := 0.0
	for _, w := range result.Params {
		norm += float64(w) * float64(w)
	}
	// Each step is the mean of clipped gradients, about as many as are expected.
	if most := 1e-3 * 1.5 * float64(result.Rounds); math.Sqrt(norm) > most || norm == 0 {
		t.Errorf("%d steps moved the weights by %v, more than %v", result.Rounds, math.Sqrt(norm), most)
	}
}
