package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/storage/checkpoint"
)

// The kinds of task, as leases spell them.
const (
	kindProfile  = "profile"
	kindClean    = "clean"
	kindFit      = "fit"
	kindTrain    = "train"
	kindEvaluate = "evaluate"
	kindScore    = "score"
)

// work is what a stage does over one shard (run) and with the partial results
// of all shards (reduce).
type work struct {
	run    func(ctx context.Context, j *job) error
	reduce func(ctx context.Context, j *job) error
}

// stages is the table of batch work: adding a stage is one file and one line.
var stages = map[string]work{
	kindProfile:  {reduce: runProfile},
	kindClean:    {run: runClean, reduce: reduceClean},
	kindFit:      {run: runFit, reduce: reduceFit},
	kindEvaluate: {run: runEvaluate, reduce: reduceEvaluate},
}

// newTask returns what a lease stands for.
func (w *Worker) newTask(lease *apiv1.Lease) (task, error) {
	switch lease.Kind {
	case kindTrain:
		return newTrainTask(w, lease)
	case kindScore:
		return newScoreTask(w, lease)
	}
	stage, ok := stages[lease.Kind]
	do := stage.run
	if lease.Reduce {
		do = stage.reduce
	}
	if !ok || do == nil {
		return nil, &thalweg.Error{Op: "run task", Kind: thalweg.Unsupported, Subject: lease.TaskId,
			Hint: "the coordinator is newer than this worker"}
	}
	return &shardTask{job: newJob(w, lease), do: do}, nil
}

// shardTask runs one piece of batch work and reports its outcome.
type shardTask struct {
	job *job
	do  func(ctx context.Context, j *job) error
}

func (t *shardTask) run(ctx context.Context) *apiv1.TaskReport {
	if err := t.do(ctx, t.job); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return failure(err)
	}
	return t.job.report
}

func (t *shardTask) update(*apiv1.Lease) {}

func (t *shardTask) fill(req *apiv1.PollRequest) {
	l := t.job.lease
	req.Progress = append(req.Progress, &apiv1.Progress{TaskId: l.TaskId, Token: l.Token,
		RowsDone: t.job.rowsDone.Load(), RowsTotal: t.job.rowsTotal.Load()})
}

// failedTask reports that a lease could not even be begun.
type failedTask struct{ err error }

func (t failedTask) run(context.Context) *apiv1.TaskReport { return failure(t.err) }
func (failedTask) update(*apiv1.Lease)                     {}
func (failedTask) fill(*apiv1.PollRequest)                 {}

// failure is the report of an error. Wrong input stays wrong on any worker;
// whatever else went wrong may go right on another.
func failure(err error) *apiv1.TaskReport {
	kind := thalweg.KindOf(err)
	permanent := kind == thalweg.Invalid || kind == thalweg.Unsupported || kind == thalweg.NotFound
	return &apiv1.TaskReport{Error: err.Error(), ErrorKind: kind.String(), Permanent: permanent}
}

// job is one lease of batch work: what it reads and what it reports.
type job struct {
	worker    *Worker
	lease     *apiv1.Lease
	report    *apiv1.TaskReport
	rowsDone  atomic.Int64
	rowsTotal atomic.Int64
}

func newJob(w *Worker, lease *apiv1.Lease) *job {
	return &job{worker: w, lease: lease, report: &apiv1.TaskReport{
		Outputs: map[string]string{}, Metrics: map[string]float64{}, Counts: map[string]int64{}}}
}

// key names an object of this task. It depends on the lease's place in the run
// only, and its bytes on the run's inputs only, so a second attempt writes the
// same object again.
func (j *job) key(name string) string {
	return fmt.Sprintf("runs/%s/%s/%s.json", j.lease.RunId, j.lease.Kind, name)
}

// save writes value as a JSON object and reports its reference as an output.
func (j *job) save(ctx context.Context, output, name string, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return err
	}
	ref, err := checkpoint.PutObject(ctx, j.worker.state, j.key(name), body)
	if err != nil {
		return err
	}
	j.report.Outputs[output] = ref.String()
	return nil
}

// savePartial writes the result of one shard for the reduce task.
func (j *job) savePartial(ctx context.Context, value any) error {
	return j.save(ctx, "partial", fmt.Sprintf("%06d", j.lease.Index), value)
}

// input reads the output of an earlier stage.
func (j *job) input(ctx context.Context, name string, into any) error {
	return j.worker.load(ctx, j.lease.Inputs[name], "input "+name, into)
}

// load reads a checksummed JSON object of the state bucket.
func (w *Worker) load(ctx context.Context, reference, what string, into any) error {
	ref, err := thalweg.ParseObjectRef(reference)
	if err != nil {
		return &thalweg.Error{Op: "load " + what, Kind: thalweg.Invalid, Err: err}
	}
	body, err := checkpoint.GetObject(ctx, w.state, ref)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return &thalweg.Error{Op: "load " + what, Kind: thalweg.Corrupt, Subject: ref.Key, Err: err}
	}
	return nil
}

// partials reads the results of the stage's shards, in shard order.
func partials[T any](ctx context.Context, j *job) ([]T, error) {
	all := make([]T, len(j.lease.Partials))
	for i, reference := range j.lease.Partials {
		if err := j.worker.load(ctx, reference, fmt.Sprintf("partial %d", i), &all[i]); err != nil {
			return nil, err
		}
	}
	return all, nil
}
