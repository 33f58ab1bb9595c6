// Package jobs is what workers do for somebody who waits for the answer: they look at what
// a pipeline has written, and score its events again. Who asks needs a role, and no keys of
// a store or a broker. One file each has a kind with its parameters and its answer;
// catalog.go lists them.
package jobs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"log/slog"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	"github.com/thalweg/thalweg/retry"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker"
	"github.com/thalweg/thalweg/worker/cluster"
)

// Runner carries out jobs.
type Runner struct {
	cluster *cluster.Client
	kinds   []Kind
}

// New returns what carries jobs out with a worker's client and connections.
func New(c *cluster.Client) *Runner { return &Runner{c, Kinds()} }

// Run carries out the job of a lease, as worker.Config.Jobs does.
func (r *Runner) Run(ctx context.Context, t *worker.Task) error {
	for _, k := range r.kinds {
		if k.Name != t.Lease.Kind {
			continue
		}
		j := &Job{Client: r.cluster, Pipeline: t.Lease.Pipeline, Log: t.Log(), Progress: t.Progress, Scratch: t.Scratch, parameters: t.Lease.Parameters,
			answer: answer{ctx: ctx, bucket: t.State(), job: t.Lease.JobId, token: t.Lease.Token, sum: sha256.New()}}
		if err := k.run(ctx, j); err != nil {
			return err
		}
		if err := j.flush(); err != nil {
			return err
		}
		t.Report.Outputs[stages.AnswerSHA256], t.Report.Counts[stages.AnswerBytes] = hex.EncodeToString(j.sum.Sum(nil)), j.size
		return nil
	}
	return &thalweg.Error{Op: "run job", Kind: thalweg.Unavailable, Subject: t.Lease.TaskId, Hint: "the coordinator is newer than this worker"}
}

// Job is one job that is carried out. What is written to it is the answer.
type Job struct {
	*cluster.Client
	Pipeline string
	Log      *slog.Logger
	// Progress tells how far it is: done of total, 0 where that is not known.
	Progress func(done, total int64, message string)
	// Scratch is where what has no room in memory may be kept, and how much may be held there.
	Scratch func() (dir string, memory int64)

	parameters string
	answer
}

// Reply answers with a value, as JSON.
func (j *Job) Reply(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return &thalweg.Error{Op: "answer", Subject: j.job, Err: err}
	}
	_, err = j.Write(data)
	return err
}

// watchEvery is how often the progress of work is looked at that does not tell it by itself:
// polls take it about as often.
const watchEvery = 200 * time.Millisecond

// watch tells the progress of work until the returned function is called.
func (j *Job) watch(ctx context.Context, at func() (done, total int64, message string)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	left := make(chan struct{})
	go func() {
		defer close(left)
		for retry.Sleep(ctx, watchEvery) == nil {
			j.Progress(at())
		}
	}()
	return func() {
		cancel()
		<-left
	}
}

// with makes what carries a kind out of a function with parameters of a type.
func with[P any](run func(ctx context.Context, j *Job, p P) error) func(context.Context, *Job) error {
	return func(ctx context.Context, j *Job) error {
		var p P
		if j.parameters != "" {
			if err := thalweg.DecodeStrict([]byte(j.parameters), &p); err != nil {
				return &thalweg.Error{Op: "read parameters", Kind: thalweg.Invalid, Subject: "job " + j.job, Err: err}
			}
		}
		return run(ctx, j, p)
	}
}

// answer writes what a job answers to the state bucket, part by part.
type answer struct {
	ctx    context.Context
	bucket storage.Bucket
	job    string
	token  uint64
	part   bytes.Buffer // the one that is not full yet
	parts  int64
	size   int64
	sum    hash.Hash
}

// Write adds to the answer. It fails with Invalid, as it would on any worker, above
// stages.MaxAnswerBytes.
func (a *answer) Write(p []byte) (n int, err error) {
	if a.size+int64(len(p)) > stages.MaxAnswerBytes {
		return 0, &thalweg.Error{Op: "answer", Kind: thalweg.Invalid, Subject: "job " + a.job, Hint: "ask for less",
			Err: fmt.Errorf("the answer has more than %d MiB", stages.MaxAnswerBytes>>20)}
	}
	a.size += int64(len(p))
	a.sum.Write(p)
	for n < len(p) {
		some := min(len(p)-n, stages.AnswerPartBytes-a.part.Len())
		a.part.Write(p[n : n+some])
		n += some
		if a.part.Len() == stages.AnswerPartBytes {
			if err := a.flush(); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// flush writes the part that is not full.
func (a *answer) flush() error {
	if a.part.Len() == 0 {
		return nil
	}
	_, err := a.bucket.Put(a.ctx, stages.AnswerPart(a.job, a.token, a.parts), a.part.Bytes())
	a.parts++
	a.part.Reset()
	return err
}
