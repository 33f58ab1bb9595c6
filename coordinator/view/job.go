package view

import (
	"cmp"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/liveness"
	"github.com/thalweg/thalweg/coordinator/state"
)

// jobWaiting is what a job is that no worker has.
const jobWaiting = "waiting"

// Job returns a job as the RPC shows it, with the progress that l has.
func Job(j *state.Job, l *liveness.Liveness) *apiv1.Job {
	t := j.Task
	v := &apiv1.Job{Id: string(j.ID), Pipeline: string(j.Pipeline), Kind: j.Kind, Parameters: j.Parameters, By: j.By, State: string(j.State),
		Error: cmp.Or(j.Error, t.LastError()), StartedAtUnixMs: j.StartedMS, EndedAtUnixMs: j.EndedMS, Worker: string(t.Worker), Attempts: t.Attempts}
	if j.State == state.RunRunning && t.State == state.TaskWaiting {
		v.State = jobWaiting
	}
	if n := len(t.Failures); v.Worker == "" && n > 0 {
		v.Worker = string(t.Failures[n-1].Worker)
	}
	if a := j.Answer; a != nil {
		v.Error, v.AnswerBytes, v.AnswerSha256 = "", a.Bytes, a.SHA256
	}
	if p := l.ProgressOf(t.ID, t.Token); p != nil && t.State == state.TaskLeased {
		v.Done, v.Total, v.Message = p.RowsDone, p.RowsTotal, p.Message
	}
	return v
}
