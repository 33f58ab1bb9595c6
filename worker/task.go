package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/disk"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/checkpoint"
)

// Task is one lease of batch work: what it reads, and what it reports.
type Task struct {
	Lease *apiv1.Lease
	// Report is sent when the task is done; Input, Save and SavePartial fill in the
	// rest.
	Report *apiv1.TaskReport

	worker    *Worker
	do        func(ctx context.Context, t *Task) error
	rowsDone  atomic.Int64
	rowsTotal atomic.Int64
	message   atomic.Value // for people, a string
}

func newTask(w *Worker, lease *apiv1.Lease, do func(ctx context.Context, t *Task) error) *Task {
	return &Task{Lease: lease, worker: w, do: do, Report: &apiv1.TaskReport{
		Outputs: map[string]string{}, Metrics: map[string]float64{}, Counts: map[string]int64{}}}
}

// State is the bucket of checkpoints, and of what tasks leave.
func (t *Task) State() storage.Bucket { return t.worker.state }

// Log returns a log whose lines name the task.
func (t *Task) Log() *slog.Logger { return t.worker.logOf(t.Lease) }

// Progress tells people how far the task is: done of total, 0 where that is not known.
func (t *Task) Progress(done, total int64, message string) {
	t.rowsDone.Store(done)
	t.rowsTotal.Store(total)
	t.message.Store(message)
}

// Scratch is the directory of what has no room in memory, and what of a slot's share of
// memory a task may hold that sorts.
func (t *Task) Scratch() (dir string, memory int64) {
	return t.worker.cfg.spillDir(), t.worker.cfg.CacheBytes / int64(2*t.worker.cfg.Slots)
}

func (t *Task) run(ctx context.Context) *apiv1.TaskReport {
	if err := t.do(ctx, t); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return failure(err)
	}
	return t.Report
}

func (t *Task) update(*apiv1.Lease) {}

func (t *Task) fill(req *apiv1.PollRequest) {
	message, _ := t.message.Load().(string)
	req.Progress = append(req.Progress, &apiv1.Progress{TaskId: t.Lease.TaskId, Token: t.Lease.Token,
		RowsDone: t.rowsDone.Load(), RowsTotal: t.rowsTotal.Load(), Message: message})
}

// failure is the report of an error. Wrong input stays wrong on any worker;
// whatever else went wrong may go right on another.
func failure(err error) *apiv1.TaskReport {
	return &apiv1.TaskReport{Error: err.Error(), ErrorKind: thalweg.KindOf(err).String(),
		Permanent: isWrongInput(err) || thalweg.Is(err, thalweg.NotFound),
		OfWorker:  errors.As(err, new(*disk.FullError))}
}

// isWrongInput reports whether only another spec, or other data, can mend an error:
// rows that outgrow their bounds do so on any worker.
func isWrongInput(err error) bool {
	ofRows := thalweg.Is(err, thalweg.Exhausted) && errors.As(err, new(*table.PlaceError))
	return ofRows || thalweg.Is(err, thalweg.Invalid) || thalweg.Is(err, thalweg.Unsupported)
}

// put writes value as a JSON object and returns its reference. The key depends
// on the task's place in the run only, and the bytes on the run's inputs only, so
// a second attempt writes the same object again.
func (t *Task) put(ctx context.Context, name string, value any) (string, error) {
	body, err := json.Marshal(value)
	if err != nil {
		return "", err
	}
	ref, err := checkpoint.PutObject(ctx, t.worker.state, fmt.Sprintf("%s%s/%s/%s.json", runsDir, t.Lease.RunId, t.Lease.Kind, name), body)
	return ref.String(), err
}

// Save writes an output of the stage.
func (t *Task) Save(ctx context.Context, output string, value any) (err error) {
	name := output
	if t.Lease.Reducers > 1 {
		name = fmt.Sprintf("%s-%03d", output, t.Lease.Index)
	}
	t.Report.Outputs[output], err = t.put(ctx, name, value)
	return err
}

// SavePartial writes what a map task has for the next reducer in order; it is
// called once for each.
func (t *Task) SavePartial(ctx context.Context, value any) error {
	name := fmt.Sprintf("%06d", t.Lease.Index)
	if t.Lease.Reducers > 1 {
		name += fmt.Sprintf("-%03d", len(t.Report.Partials))
	}
	ref, err := t.put(ctx, name, value)
	t.Report.Partials = append(t.Report.Partials, ref)
	return err
}

// Input reads the output of an earlier stage: of the i-th of several reducers,
// it is called name@i.
func (t *Task) Input(ctx context.Context, name string, into any) error {
	return t.worker.load(ctx, t.Lease.Inputs[name], "input "+name, into)
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

// eachPartial calls take with what each map task addressed to a reducer, in index order. It
// reads one only once that before is taken.
func eachPartial[T any](ctx context.Context, t *Task, take func(of *T) error) error {
	for i, reference := range t.Lease.Partials {
		var of T
		if err := t.worker.load(ctx, reference, fmt.Sprintf("partial %d", i), &of); err != nil {
			return err
		}
		if err := take(&of); err != nil {
			return err
		}
	}
	return nil
}

// Partials reads what the map tasks addressed to a reducer, in index order.
func Partials[T any](ctx context.Context, t *Task) (all []T, err error) {
	err = eachPartial(ctx, t, func(of *T) error { all = append(all, *of); return nil })
	return all, err
}

// mapShards calls do for each shard of a map task, and saves the results as one
// list for the stage's only reducer.
func mapShards[T any](ctx context.Context, t *Task, do func(d *data, shard int) (T, error)) error {
	d, err := t.worker.openData(ctx, t.Lease)
	if err != nil {
		return err
	}
	d.progress = &t.rowsDone
	shards := d.manifest.Shards[t.Lease.ShardFrom:t.Lease.ShardTo]
	results := make([]T, len(shards))
	for _, s := range shards {
		t.rowsTotal.Add(s.Rows)
	}
	for i := range shards {
		if results[i], err = do(d, int(t.Lease.ShardFrom)+i); err != nil {
			return d.located(err)
		}
	}
	t.Report.Counts["rows"] = t.rowsDone.Load()
	return t.SavePartial(ctx, results)
}

// eachResult calls take with what mapShards saved, in the order of the shards; of one task at
// a time, so that what is in memory does not grow with the shards.
func eachResult[T any](ctx context.Context, t *Task, take func(of *T) error) error {
	return eachPartial(ctx, t, func(list *[]T) error {
		for k := range *list {
			if err := take(&(*list)[k]); err != nil {
				return err
			}
		}
		return nil
	})
}

// shardResults returns the dataset and what mapShards saved, in the order of the
// shards: how many of them a task had cannot be seen in it.
func shardResults[T any](ctx context.Context, t *Task) (*data, []T, error) {
	d, err := t.worker.openData(ctx, t.Lease)
	if err != nil {
		return nil, nil, err
	}
	lists, err := Partials[[]T](ctx, t)
	return d, slices.Concat(lists...), err
}
