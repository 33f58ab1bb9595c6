package jobs

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/retry"
	"github.com/thalweg/thalweg/worker/cluster"
)

// looks spaces the looks at a job: most are done at once, and some take hours.
var looks = retry.Backoff{Min: 20 * time.Millisecond, Max: terminal.FollowEvery}

// cancelTime bounds the call that ends a job whose verb was interrupted.
const cancelTime = 2 * time.Second

// Ask has a worker do a job, shows how far it is, and decodes the answer. Parameters are
// those of the kind, of package worker/jobs, and so is the answer.
func Ask(cmd *cobra.Command, c *cluster.Client, pipeline, kind string, parameters, answer any) error {
	r, err := Open(cmd, c, pipeline, kind, parameters)
	if err != nil {
		return err
	}
	data, err := io.ReadAll(r)
	if err == nil {
		err = json.Unmarshal(data, answer)
	}
	if err != nil && thalweg.KindOf(err) == thalweg.Other {
		err = &thalweg.Error{Op: "read answer", Kind: thalweg.Corrupt, Subject: "job " + r.job.Id, Err: err}
	}
	return err
}

// Open is Ask for an answer that is read piece by piece.
func Open(cmd *cobra.Command, c *cluster.Client, pipeline, kind string, parameters any) (*Answer, error) {
	ctx := cmd.Context()
	text, err := json.Marshal(parameters)
	if err != nil {
		return nil, err
	}
	started, err := c.StartJob(ctx, &apiv1.StartJobRequest{Pipeline: pipeline, Kind: kind, Parameters: string(text)})
	if err != nil {
		return nil, err
	}
	job, err := follow(ctx, c, cmd.ErrOrStderr(), kind, started.JobId)
	if err != nil {
		if ctx.Err() != nil { // nobody waits for it any more
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelTime)
			defer cancel()
			_, failed := c.CancelJob(last, &apiv1.CancelJobRequest{JobId: started.JobId})
			err = errors.Join(err, failed)
		}
		return nil, err
	}
	return &Answer{ctx: ctx, client: c, job: job, sum: sha256.New()}, nil
}

// follow shows how far a job is until it ends. One that does not succeed is an error.
func follow(ctx context.Context, c *cluster.Client, w io.Writer, kind, id string) (*apiv1.Job, error) {
	var mu sync.Mutex
	job := &apiv1.Job{}
	stop := terminal.ShowProgress(w, kind, func() (done, total int64, message string) {
		mu.Lock()
		defer mu.Unlock()
		return job.Done, job.Total, job.Message
	})
	defer stop()
	for asked := 0; ; asked++ {
		res, err := c.GetJob(ctx, &apiv1.GetJobRequest{JobId: id})
		if err != nil {
			return nil, err
		}
		mu.Lock()
		job = res.Job
		mu.Unlock()
		if asked == terminal.AskForWorkers {
			if err := terminal.WarnWithoutWorkers(ctx, c.Client, w); err != nil {
				return nil, err
			}
		}
		switch res.Job.State {
		case "succeeded":
			return res.Job, nil
		case "failed", "canceled":
			return nil, &thalweg.Error{Op: kind + " " + res.Job.Pipeline, Err: errors.New(cmp.Or(res.Job.Error, res.Job.State)),
				Hint: fmt.Sprintf("it was %s on worker %s", id, cmp.Or(res.Job.Worker, "none"))}
		}
		if err := looks.Wait(ctx, asked+1); err != nil {
			return nil, err
		}
	}
}

// Answer reads what a job has answered, over the coordinators. It is an io.Reader that
// fails with Corrupt at its end where the bytes are not those that the worker wrote.
type Answer struct {
	ctx    context.Context
	client *cluster.Client
	job    *apiv1.Job
	rest   []byte // of the part that was fetched last
	parts  int64
	read   int64
	sum    hash.Hash
}

// Read implements io.Reader.
func (a *Answer) Read(p []byte) (int, error) {
	if len(a.rest) == 0 {
		if a.read == a.job.AnswerBytes {
			if hex.EncodeToString(a.sum.Sum(nil)) != a.job.AnswerSha256 {
				return 0, a.damaged("its sha256 is another than its worker reported")
			}
			return 0, io.EOF
		}
		res, err := a.client.ReadJob(a.ctx, &apiv1.ReadJobRequest{JobId: a.job.Id, Part: a.parts})
		if err != nil {
			return 0, err
		}
		if n := int64(len(res.Data)); n != min(stages.AnswerPartBytes, a.job.AnswerBytes-a.read) {
			return 0, a.damaged(fmt.Sprintf("part %d has %d bytes", a.parts, n))
		}
		a.parts++
		a.read += int64(len(res.Data))
		a.sum.Write(res.Data)
		a.rest = res.Data
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

func (a *Answer) damaged(why string) error {
	return &thalweg.Error{Op: "read answer", Kind: thalweg.Corrupt, Subject: "job " + a.job.Id, Err: errors.New(why)}
}
