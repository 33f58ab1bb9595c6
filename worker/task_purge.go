package worker

import (
	"context"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker/product"
	"github.com/thalweg/thalweg/worker/stream/purge"
)

// The directories of the state bucket, with one of its own for each run: what its
// tasks write for each other, and the checkpoints of versions.
const (
	runsDir        = "runs/"
	failingDir     = "failing-rows/" // of data tests, and rejected ones: kept as long as the run is known
	checkpointsDir = "checkpoints/"
)

// runPurge removes what a pipeline that is being deleted has written. Its job has
// the arguments sink.<n> (connection, newline, path), cluster, and shared if another
// pipeline uses its model: then checkpoints are kept.
func runPurge(ctx context.Context, t *Task) error {
	var all storage.Removed
	pipeline, arguments := thalweg.PipelineName(t.Lease.Pipeline), t.Lease.Arguments
	add := func(removed storage.Removed, err error) error {
		all.Add(removed)
		t.rowsDone.Store(all.Objects)
		return err
	}
	for name, at := range arguments {
		if !strings.HasPrefix(name, "sink.") {
			continue
		}
		connection, path, _ := strings.Cut(at, "\n")
		bucket, prefix, err := t.worker.location(ctx, connection, path)
		if err != nil {
			return err
		}
		if err := add(purge.Sink(ctx, bucket, prefix, pipeline)); err != nil {
			return err
		}
		if err := add(product.Purge(ctx, storage.Place{Bucket: bucket, Prefix: prefix}, pipeline, product.CleanedRows)); err != nil {
			return err
		}
	}
	dirs := []string{runsDir, failingDir, checkpointsDir}
	if arguments["shared"] != "" {
		dirs = dirs[:2]
		t.warn("checkpoints are kept: it shares %s", arguments["shared"])
	}
	for _, dir := range dirs {
		// Names of other pipelines can begin with the name of this one.
		if err := add(storage.Remove(ctx, t.worker.state, dir+string(pipeline)+"-", func(key string) bool {
			run, _, _ := strings.Cut(key[len(dir):], "/")
			return thalweg.RunID(run).Pipeline() == pipeline
		})); err != nil {
			return err
		}
	}
	if err := add(storage.Remove(ctx, t.worker.state, stages.JobsDir+string(pipeline)+"-", func(key string) bool {
		job, _, _ := strings.Cut(key[len(stages.JobsDir):], "/")
		return thalweg.JobID(job).Pipeline() == pipeline
	})); err != nil {
		return err
	}
	if err := add(storage.Remove(ctx, t.worker.state, preparedDir+string(pipeline)+"/", func(string) bool { return true })); err != nil {
		return err
	}
	if cluster := arguments["cluster"]; cluster != "" {
		if err := add(storage.Remove(ctx, t.worker.state, "runs-ended/"+cluster+"/"+string(pipeline)+"/", func(string) bool { return true })); err != nil {
			return err
		}
	}
	t.Report.Counts["objects"], t.Report.Counts["bytes"] = all.Objects, all.Bytes
	return nil
}
