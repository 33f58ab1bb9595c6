package train_test

import (
	"math"
	"testing"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/optim"
	"github.com/thalweg/thalweg/worker/train"
)

// sample is the training rows of a dataset, sparse: row i has ones[i] at the
// positions of its ids and of the bias, and its two numbers at 0 and 1.
type sample struct {
	at     [][]int
	value  [][]float64
	labels []float64
}

func gather(t *testing.T, source train.Rows, shards int) *sample {
	t.Helper()
	s := &sample{}
	for shard := range shards {
		for b, err := range source.Read(t.Context(), shard) {
			if err != nil {
				t.Fatal(err)
			}
			for i, split := range b.Split {
				if split == train.Training {
					s.at = append(s.at, []int{0, 1, 2 + int(b.Block.Categories[0][i]), 7 + int(b.Block.Categories[1][i]), 307})
					s.value = append(s.value, []float64{float64(b.Block.Numbers[0][i]), float64(b.Block.Numbers[1][i]), 1, 1, 1})
					s.labels = append(s.labels, float64(b.Block.Labels[i]))
				}
			}
		}
	}
	return s
}

// logits returns w's sum for each row.
func (s *sample) logits(w []float64) []float64 {
	z := make([]float64, len(s.labels))
	for i := range z {
		for k, j := range s.at[i] {
			z[i] += w[j] * s.value[i][k]
		}
	}
	return z
}

// objective is the mean log loss plus l2/2*|w|^2 without the bias.
func (s *sample) objective(w []float64, l2 float64) float64 {
	var sum, square float64
	for i, z := range s.logits(w) {
		sum += math.Log1p(math.Exp(z)) - s.labels[i]*z
	}
	for _, x := range w[:307] {
		square += x * x
	}
	return sum/float64(len(s.labels)) + l2/2*square
}

// optimum minimizes the objective plus l1*|w| without the bias by Newton's method, one
// coordinate after the other, in float64.
func (s *sample) optimum(l1, l2 float64) []float64 {
	type use struct {
		row   int
		value float64
	}
	uses := make([][]use, 308)
	for i := range s.at {
		for k, j := range s.at[i] {
			uses[j] = append(uses[j], use{i, s.value[i][k]})
		}
	}
	n := float64(len(s.labels))
	w, z := make([]float64, 308), make([]float64, len(s.labels))
	for moved := 1.0; moved > 1e-7; {
		moved = 0
		for j := range w {
			var grad, curve float64
			for _, u := range uses[j] {
				p := 1 / (1 + math.Exp(-z[u.row]))
				grad += (p - s.labels[u.row]) * u.value / n
				curve += p * (1 - p) * u.value * u.value / n
			}
			next := w[j] - grad/curve
			if j != 307 {
				x := curve*w[j] - grad
				next = math.Copysign(max(0, math.Abs(x)-l1), x) / (curve + l2)
			}
			step := next - w[j]
			w[j] = next
			moved = max(moved, math.Abs(step))
			for _, u := range uses[j] {
				z[u.row] += step * u.value
			}
		}
	}
	return w
}

func wide(v []float32) []float64 {
	w := make([]float64, len(v))
	for i, x := range v {
		w[i] = float64(x)
	}
	return w
}

func TestLogisticRegressionReachesTheOptimum(t *testing.T) {
	const l2 = 1e-3
	source := noValidation{dataset{shards: 2, rows: 2000, label: "binary", seed: 11}}
	s := gather(t, source, 2)
	best := s.optimum(0, l2)
	limit, start := s.objective(best, l2), s.objective(make([]float64, 308), l2)
	for _, replicas := range []int{1, 4} {
		job := newJob(t, source.dataset, replicas)
		job.Rows = source
		job.Trainer.Epochs, job.Trainer.Regularization.L2 = 60, l2*float64(len(s.labels))
		c := newCluster(t, replicas, 1)
		result, err := c.run(c.workers[0], job, train.Hooks{})
		if err != nil {
			t.Fatal(err)
		}
		if got := s.objective(wide(result.Params), l2); got > limit+0.01*(start-limit) {
			t.Errorf("%d replicas: objective %v, optimum %v, start %v", replicas, got, limit, start)
		}
		v, _ := model.Find(job.Model, "number.y.weight")
		if w := float64(result.Params[v.Offset]); math.Abs(w/best[v.Offset]-1) > 0.05 {
			t.Errorf("%d replicas: weight of y is %v, optimum %v", replicas, w, best[v.Offset])
		}
	}
}

// What SGD comes near to, L-BFGS finds, in fewer passes and from wherever it starts.
func TestLBFGSConvergesToTheOptimum(t *testing.T) {
	const l2 = 1e-3
	source := noValidation{dataset{shards: 2, rows: 2000, label: "binary", seed: 11}}
	s := gather(t, source, 2)
	best := s.optimum(0, l2)
	for _, warm := range []int{0, 2} {
		for _, replicas := range []int{1, 4} {
			job := newJob(t, source.dataset, replicas)
			job.Rows = source
			job.Trainer.Optimizer = pipeline.Choice{Name: "lbfgs", Options: &optim.LBFGS{Memory: 10, Tolerance: 1e-6, WarmEpochs: warm}}
			job.Trainer.Epochs, job.Trainer.Regularization.L2 = 200, l2*float64(len(s.labels))
			c := newCluster(t, replicas, 1)
			result, err := c.run(c.workers[0], job, train.Hooks{})
			if err != nil {
				t.Fatal(err)
			}
			checkLedger(t, result)
			if result.Stopped != "converged" || result.Epochs > 60 {
				t.Errorf("%d replicas, %d epochs before: %s after %d evaluations", replicas, warm, result.Stopped, result.Epochs)
			}
			if got, limit := s.objective(wide(result.Params), l2), s.objective(best, l2); got > limit+1e-7 {
				t.Errorf("%d replicas, %d epochs before: objective %v, optimum %v", replicas, warm, got, limit)
			}
			for i, w := range wide(result.Params) {
				if math.Abs(w-best[i]) > 0.005 { // along the bias and all weights of a category the loss is nearly flat
					t.Errorf("%d replicas, %d epochs before: parameter %d is %v, optimum %v", replicas, warm, i, w, best[i])
				}
			}
		}
	}
}

func TestLinearRegressionFindsTheWeightsInTheLabelsUnits(t *testing.T) {
	d := dataset{shards: 4, rows: 4000, label: "number", seed: 11}
	for _, replicas := range []int{1, 4} {
		job := newJob(t, d, replicas)
		job.Trainer.Epochs, job.Trainer.Regularization.L2 = 30, 0
		c := newCluster(t, replicas, 1)
		result, err := c.run(c.workers[0], job, train.Hooks{})
		if err != nil {
			t.Fatal(err)
		}
		// The labels are 5000 + 200*(sum + noise of deviation 0.1).
		for name, want := range map[string]float64{"number.x.weight": 140, "number.y.weight": -240} {
			v, _ := model.Find(job.Model, name)
			if w := float64(result.Params[v.Offset]); math.Abs(w-want) > 2 {
				t.Errorf("%d replicas: %s is %v, want %v", replicas, name, w, want)
			}
		}
		if mse := result.Metrics["mse"]; mse > 1.25*20*20 || result.Metrics["r2"] < 0.99 {
			t.Errorf("%d replicas: %v, the noise alone is %v", replicas, result.Metrics, 20*20)
		}
	}
}
