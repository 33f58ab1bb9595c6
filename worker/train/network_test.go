package train_test

import (
	"context"
	"iter"
	"math/rand/v2"
	"testing"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/optim"
	"github.com/thalweg/thalweg/worker/train"
)

// addNetworks adds jobs of networks, whose bits must not depend on the workers either.
func addNetworks(t testing.TB, all map[string]train.Job) {
	all["mlp"] = mlpJob(t, dataset{shards: 3, rows: 1500, label: "binary", seed: 5}, 4, model.MLP{Hidden: []int{9, 5}, Activation: "relu", Dropout: 0.1})
	all["mlp classes"] = mlpJob(t, dataset{shards: 2, rows: 1500, label: "category", seed: 7, terms: 400}, 3, model.MLP{Hidden: []int{17}, Activation: "tanh"})
	all["mlp normalized"] = mlpJob(t, dataset{shards: 3, rows: 1500, label: "binary", seed: 9}, 4, model.MLP{Hidden: []int{9, 5}, Activation: "gelu", Dropout: 0.1, Normalization: "batch"})
	all["mlp periodic"] = mlpJob(t, dataset{shards: 3, rows: 900, label: "binary", seed: 9}, 4, model.MLP{Hidden: []int{9, 5}, Activation: "gelu", NumberEmbedding: "periodic"})
	all["mlp number"] = mlpJob(t, dataset{shards: 2, rows: 2500, label: "number", seed: 3}, 4, model.MLP{Hidden: []int{16, 8}, Activation: "gelu"})
}

// addOthers adds jobs of factorization machines and of neighbours.
func addOthers(t testing.TB, all map[string]train.Job) {
	of := func(d dataset, replicas int, spec model.Spec) train.Job {
		job := newJob(t, d, replicas)
		var err error
		if job.Model, err = spec.New(lossOf(d.label).Options.(model.Loss), d.shape()); err != nil {
			t.Fatal(err)
		}
		return job
	}
	all["cnn"] = cnnJob(t)
	all["fm"] = of(dataset{shards: 3, rows: 1500, label: "number", seed: 5}, 4, &model.FM{Factors: 3})
	all["fm classes"] = of(dataset{shards: 2, rows: 1500, label: "category", seed: 7, terms: 400}, 3, &model.FM{Factors: 2})
	for _, label := range []string{"binary", "category"} {
		d := dataset{shards: 3, rows: 400, label: label, seed: 8}
		job := of(d, 4, (&model.KNN{Neighbours: 7}).Keeping(int64(d.training(t))))
		job.Trainer.Optimizer, job.Trainer.Epochs = pipeline.Choice{Name: "memorize", Options: new(optim.Memorize)}, 1
		all["knn "+label] = job
	}
	d := dataset{shards: 3, rows: 400, label: "category", seed: 8}
	hidden := &model.KNN{Neighbours: 7, On: "hidden", Of: pipeline.Choice{Name: "mlp", Options: &model.MLP{Hidden: []int{9, 5}, Activation: "gelu", Normalization: "layer"}}}
	job := of(d, 4, hidden.Keeping(int64(d.training(t))))
	job.Trainer.Optimizer, job.Trainer.Epochs = pipeline.Choice{Name: "memorize", Options: new(optim.Memorize)}, 1
	job.Start = make([]float32, job.Model.Size())
	job.Model.Init(job.Start, 3, 0)
	all["knn hidden"] = job
}

// images is lists of 4 by 4, whose label is whether the left half is the brighter one.
type images struct{ dataset }

func (d images) Read(_ context.Context, shard int) iter.Seq2[*train.Batch, error] {
	return func(yield func(*train.Batch, error) bool) {
		d.read(shard, func(b *train.Batch, err error) bool {
			random := rand.New(rand.NewPCG(d.seed, uint64(b.Row[0])))
			pixels := make([]float32, 16*b.Block.Rows)
			for i := range pixels {
				pixels[i] = random.Float32()
				if half := i % 4 / 2; b.Block.Labels[i/16] == float32(half) {
					pixels[i] += 0.3
				}
			}
			b.Block.Lists, b.Block.Numbers, b.Block.Categories = [][]float32{pixels}, nil, nil
			return yield(b, err)
		})
	}
}

// cnnJob is a job of a convolutional network.
func cnnJob(t testing.TB) train.Job {
	d := dataset{shards: 3, rows: 400, label: "binary", seed: 9}
	job := newJob(t, d, 4)
	options := &model.CNN{Layers: []model.CNNLayer{{Conv: &model.Conv{Channels: 3, Size: 3, Stride: 1, Padding: "same", Activation: "relu"}}, {Pool: &model.Pool{Size: 2, Kind: "max"}},
		{Dense: &model.Dense{Size: 6, Activation: "relu", Dropout: 0.1}}}}
	var err error
	if job.Model, err = options.New(new(model.CrossEntropy), kernel.Shape{Lists: [][]int{{4, 4}}, ListNames: []string{"image"}}); err != nil {
		t.Fatal(err)
	}
	job.Rows = images{d}
	return job
}

// mlpJob is a job of a network.
func mlpJob(t testing.TB, d dataset, replicas int, options model.MLP) train.Job {
	job := newJob(t, d, replicas)
	shape := d.shape()
	if options.Normalization != "" {
		shape.Embeddings = []int{0, 4}
	}
	m, err := options.New(lossOf(d.label).Options.(model.Loss), shape)
	if err != nil {
		t.Fatal(err)
	}
	job.Model = m
	return job
}
