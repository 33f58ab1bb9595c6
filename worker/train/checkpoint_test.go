package train_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/worker/train"
)

func TestCheckpointsAreSavedWhereReplicaZeroIs(t *testing.T) {
	job := newJob(t, dataset{shards: 2, rows: 3000, label: "binary", seed: 1}, 2)
	c := newCluster(t, 2, 2)
	saved := make(map[thalweg.WorkerID][]*train.Checkpoint)
	var mu sync.Mutex
	c.runAll(job, func(w *worker) train.Hooks {
		return train.Hooks{Checkpoint: func(_ context.Context, k *train.Checkpoint) error {
			mu.Lock()
			defer mu.Unlock()
			saved[w.name] = append(saved[w.name], k)
			return nil
		}}
	})
	if len(saved["w0"]) != int(job.Trainer.Epochs) || len(saved["w1"]) != 0 {
		t.Errorf("%d checkpoints at replica 0's worker, %d at the other", len(saved["w0"]), len(saved["w1"]))
	}
	for i, k := range saved["w0"] {
		if k.Epochs != i+1 || k.Finished != (i+1 == int(job.Trainer.Epochs)) || len(k.Metrics) == 0 {
			t.Errorf("checkpoint %d: %d epochs, finished %v, metrics %v", i, k.Epochs, k.Finished, k.Metrics)
		}
	}
}

func TestCheckpointsTakeNoMoreThanTheirShare(t *testing.T) {
	job := newJob(t, dataset{shards: 2, rows: 3000, label: "binary", seed: 1}, 2)
	for _, of := range []struct {
		share         float64
		steps, epochs int // steps_per_checkpoint
		want          []int
	}{
		{0, 0, 4, []int{1, 2, 3, 4}},
		{1e-12, 0, 4, []int{1, 4}}, // the next would be due in some weeks
		{1e-12, 1 << 20, 4, []int{1, 2, 3, 4}},
	} {
		job.Trainer.Epochs, job.Trainer.StepsPerCheckpoint = pipeline.Count(of.epochs), of.steps
		c := newCluster(t, 2, 1)
		c.workers[0].config.CheckpointShare = of.share
		var saved []int
		if _, err := c.run(c.workers[0], job, train.Hooks{Checkpoint: func(_ context.Context, k *train.Checkpoint) error {
			saved = append(saved, k.Epochs)
			return nil
		}}); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(saved, of.want) {
			t.Errorf("share %v, %d steps: checkpoints after epochs %v, not %v", of.share, of.steps, saved, of.want)
		}
	}
}

func TestCheckpointFailureEndsTraining(t *testing.T) {
	job := newJob(t, dataset{shards: 2, rows: 3000, label: "binary", seed: 1}, 2)
	c := newCluster(t, 2, 1)
	want := fmt.Errorf("the store is full")
	if _, err := c.run(c.workers[0], job, train.Hooks{Checkpoint: func(context.Context, *train.Checkpoint) error { return want }}); err != want {
		t.Errorf("error %v", err)
	}
}
