package train_test

import (
	"testing"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/optim"
	"github.com/thalweg/thalweg/worker/train"
)

// addNetworks adds jobs of networks, whose bits must not depend on the workers either.
func addNetworks(t testing.TB, all map[string]train.Job) {
	all["mlp"] = mlpJob(t, dataset{shards: 3, rows: 1500, label: "binary", seed: 5}, 4, model.MLP{Hidden: []int{9, 5}, Activation: "relu", Dropout: 0.1})
	all["mlp classes"] = mlpJob(t, dataset{shards: 2, rows: 1500, label: "category", seed: 7, terms: 400}, 3, model.MLP{Hidden: []int{17}, Activation: "tanh"})
	all["mlp normalized"] = mlpJob(t, dataset{shards: 3, rows: 1500, label: "binary", seed: 9}, 4, model.MLP{Hidden: []int{9, 5}, Activation: "gelu", Dropout: 0.1, Normalization: "batch"})
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
	all["fm"] = of(dataset{shards: 3, rows: 1500, label: "number", seed: 5}, 4, &model.FM{Factors: 3})
	all["fm classes"] = of(dataset{shards: 2, rows: 1500, label: "category", seed: 7, terms: 400}, 3, &model.FM{Factors: 2})
	for _, label := range []string{"binary", "category"} {
		d := dataset{shards: 3, rows: 400, label: label, seed: 8}
		job := of(d, 4, (&model.KNN{Neighbours: 7}).Keeping(int64(d.training(t))))
		job.Trainer.Optimizer, job.Trainer.Epochs = pipeline.Choice{Name: "memorize", Options: new(optim.Memorize)}, 1
		all["knn "+label] = job
	}
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
