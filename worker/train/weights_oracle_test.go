package train_test

import (
	"context"
	"encoding/json"
	"iter"
	"math"
	"os"
	"testing"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/optim"
	"github.com/thalweg/thalweg/pipeline/optim/boosting"
	"github.com/thalweg/thalweg/worker/train"
)

// oracle is rows with weights, and what others find of them (testdata/weights.py).
type oracle struct {
	X          [][]float32 `json:"x"`
	Bins       [][]uint32  `json:"bins"`
	Binary     []float32   `json:"binary"`
	Number     []float32   `json:"number"`
	Category   []float32   `json:"category"`
	RowWeights []float32   `json:"row_weights"`
	Linear     map[string]struct {
		Weights [][]float64 `json:"weights"`
		Biases  []float64   `json:"biases"`
	} `json:"linear"`
	Trees map[string][]float64 `json:"trees"`
}

// given is a block as rows to train from.
type given struct{ *kernel.Block }

func (g given) Read(context.Context, int) iter.Seq2[*train.Batch, error] {
	return func(yield func(*train.Batch, error) bool) {
		b := &train.Batch{Block: g.Block, Split: make([]uint8, g.Rows), Row: make([]int64, g.Rows)}
		for i := range b.Row {
			b.Row[i] = int64(i)
		}
		yield(b, nil)
	}
}

// block is the rows with labels of a type, their numbers as they are or in bins.
func (o *oracle) block(label string, bins bool) *kernel.Block {
	b := &kernel.Block{Rows: len(o.X), Labels: map[string][]float32{"binary": o.Binary, "number": o.Number, "category": o.Category}[label], Weights: o.RowWeights}
	for k := range 3 {
		if bins {
			b.Categories = append(b.Categories, make([]uint32, b.Rows))
		} else {
			b.Numbers = append(b.Numbers, make([]float32, b.Rows))
		}
		for i := range b.Rows {
			if bins {
				b.Categories[k][i] = o.Bins[i][k]
			} else {
				b.Numbers[k][i] = o.X[i][k]
			}
		}
	}
	return b
}

func (o *oracle) job(m *model.Model, b *kernel.Block, l2 float64, optimizer pipeline.Choice, epochs int) train.Job {
	return train.Job{Metrics: metric.Catalog(), Run: "oracle-1-1", Model: m, Threshold: 0.5, Shards: 1, Rows: given{b}, Input: "oracle", MostWeight: 12,
		Trainer: pipeline.Trainer{Seed: 1, BatchSize: 128, Epochs: pipeline.Count(epochs), ValidationMetric: map[string]string{"binary": "log_loss", "number": "mse", "category": "log_loss"}[m.Loss().For()],
			Optimizer: optimizer, Regularization: pipeline.Regularization{L2: l2}, Distributed: pipeline.DistributedSpec{Replicas: 1, SyncEvery: 1}}}
}

// Linear models of rows with weights are those of scikit-learn, and trees predict what
// LightGBM's do.
func TestModelsOfWeighedRowsAreThoseOfOthers(t *testing.T) {
	text, err := os.ReadFile("testdata/weights.json")
	var o oracle
	if err == nil {
		err = json.Unmarshal(text, &o)
	}
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"x", "y", "z"}
	for _, label := range []string{"binary", "number", "category"} {
		m, err := model.New(pipeline.Choice{Name: "linear", Options: new(model.Linear)}, lossOf(label), kernel.Shape{Numbers: 3, NumberNames: names})
		if err != nil {
			t.Fatal(err)
		}
		job := o.job(m, o.block(label, false), 2, pipeline.Choice{Name: "lbfgs", Options: &optim.LBFGS{Memory: 10, Tolerance: 1e-7}}, 300)
		params, want := trained(t, job), o.Linear[label]
		worst, shift := 0.0, 0.0
		for k, bias := range want.Biases { // biases of classes are known but for what they have in common
			shift += (float64(params[3*len(want.Biases)+k]) - bias) / float64(len(want.Biases))
		}
		if label != "category" {
			shift = 0
		}
		for k, bias := range want.Biases {
			for j, w := range want.Weights[k] {
				worst = max(worst, math.Abs(float64(params[j*len(want.Biases)+k])-w))
			}
			worst = max(worst, math.Abs(float64(params[3*len(want.Biases)+k])-shift-bias))
		}
		if worst > 1e-3 {
			t.Errorf("%s: %v, scikit-learn has %v: %v apart", label, params, want, worst)
		}
		plain := o.Linear["plain"]
		if label == "binary" && math.Abs(plain.Weights[0][0]-want.Weights[0][0]) < 0.05 {
			t.Error("weights have no say")
		}
	}
	shape := kernel.Shape{Cardinalities: []int{40, 40, 40}, Ordered: []int{0, 1, 2}, CategoryNames: names}
	for _, label := range []string{"binary", "number"} {
		m, err := (&model.Trees{Trees: 12, MaxLeaves: 7, MaxDepth: 12, LearningRate: 0.2, MinChildRows: 1}).New(lossOf(label).Options.(model.Loss), shape)
		if err != nil {
			t.Fatal(err)
		}
		block := o.block(label, true)
		job := o.job(m, block, 1, pipeline.Choice{Name: "boosting", Options: new(boosting.Spec)}, 2)
		params, out := trained(t, job), make([]float32, block.Rows)
		octets := &kernel.Block{Rows: block.Rows, Octets: [][]uint8{make([]uint8, 8*block.Rows)}}
		for k, column := range block.Categories {
			for i, id := range column {
				octets.Octets[0][8*i+k] = uint8(id)
			}
		}
		m.Predict(m.NewWorkspace(), params, octets, out)
		apart := 0.0
		for i, p := range out {
			apart = max(apart, math.Abs(float64(p)-o.Trees[label][i]))
		}
		if apart > 2e-3 {
			t.Errorf("trees of a %s: predictions are up to %v from LightGBM's", label, apart)
		}
	}
}
