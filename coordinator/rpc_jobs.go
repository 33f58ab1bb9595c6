package coordinator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/auth"
	"github.com/thalweg/thalweg/coordinator/state"
	"github.com/thalweg/thalweg/coordinator/view"
	"github.com/thalweg/thalweg/pipeline/spelling"
)

// StartJob starts a job of a pipeline.
func (s *service) StartJob(ctx context.Context, req *apiv1.StartJobRequest) (*apiv1.StartJobResponse, error) {
	if _, ok := auth.JobRole(req.Kind); !ok {
		return nil, &thalweg.Error{Op: "start job", Kind: thalweg.Invalid, Subject: fmt.Sprintf("kind %.80q", req.Kind),
			Hint: cmp.Or(spelling.Hint(req.Kind, slices.Values(auth.JobKinds())), "one of "+strings.Join(auth.JobKinds(), ", "))}
	}
	answer, err := s.c.mutate(ctx, &state.StartJob{Pipeline: thalweg.PipelineName(req.Pipeline), Kind: req.Kind, Parameters: req.Parameters,
		By: auth.FromContext(ctx).String()}, req.RequestId)
	if err != nil {
		return nil, s.c.withNearest(ctx, err, req.Pipeline)
	}
	s.c.log.Info("job started", keyJob, answer.Job, keyPipeline, req.Pipeline, "kind", req.Kind)
	return &apiv1.StartJobResponse{JobId: string(answer.Job)}, nil
}

// CancelJob ends a job.
func (s *service) CancelJob(ctx context.Context, req *apiv1.CancelJobRequest) (*apiv1.CancelJobResponse, error) {
	_, err := s.c.mutate(ctx, &state.CancelJob{Job: thalweg.JobID(req.JobId)}, req.RequestId)
	return &apiv1.CancelJobResponse{}, err
}

// ListJobs lists the jobs that are kept, the newest first.
func (s *service) ListJobs(ctx context.Context, req *apiv1.ListJobsRequest) (*apiv1.ListJobsResponse, error) {
	lead, err := s.c.waitLeading(ctx)
	if err != nil {
		return nil, err
	}
	resp := &apiv1.ListJobsResponse{}
	err = s.c.read(func(st *state.State) {
		for j := range st.Jobs() {
			if sees(ctx, j.Pipeline) && (req.Pipeline == "" || req.Pipeline == string(j.Pipeline)) {
				resp.Jobs = append(resp.Jobs, view.Job(j, lead.liveness))
			}
		}
	})
	slices.Reverse(resp.Jobs)
	return resp, err
}

// GetJob returns one job, with the progress that its worker reported last.
func (s *service) GetJob(ctx context.Context, req *apiv1.GetJobRequest) (*apiv1.GetJobResponse, error) {
	lead, err := s.c.waitLeading(ctx)
	if err != nil {
		return nil, err
	}
	resp := &apiv1.GetJobResponse{}
	err = s.c.read(func(st *state.State) {
		if j := st.Job(thalweg.JobID(req.JobId)); j != nil {
			resp.Job = view.Job(j, lead.liveness)
		}
	})
	if err == nil && resp.Job == nil {
		err = noJob("get job", req.JobId)
	}
	return resp, err
}

// ReadJob returns a part of what a job has answered. Who asks needs no keys of the bucket
// that it lies in.
func (s *service) ReadJob(ctx context.Context, req *apiv1.ReadJobRequest) (*apiv1.ReadJobResponse, error) {
	var key string
	var data []byte
	err := noJob("read answer", req.JobId)
	if failed := s.c.read(func(st *state.State) {
		j := st.Job(thalweg.JobID(req.JobId))
		switch {
		case j == nil:
		case j.Answer == nil:
			err = &thalweg.Error{Op: "read answer", Kind: thalweg.Conflict, Subject: "job " + req.JobId, Err: fmt.Errorf("it is %s, and has no answer", j.State)}
		case req.Part < 0 || req.Part > j.Answer.Bytes/stages.AnswerPartBytes:
			err = &thalweg.Error{Op: "read answer", Kind: thalweg.NotFound, Subject: fmt.Sprintf("job %s part %d", req.JobId, req.Part), Err: fmt.Errorf("it has %d bytes", j.Answer.Bytes)}
		default:
			data = make([]byte, min(stages.AnswerPartBytes, j.Answer.Bytes-req.Part*stages.AnswerPartBytes))
			key, err = stages.AnswerPart(req.JobId, uint64(j.Task.Token), req.Part), nil
		}
	}); failed != nil {
		return nil, failed
	}
	if err != nil || len(data) == 0 {
		return &apiv1.ReadJobResponse{}, err
	}
	b, err := s.c.cfg.Records(ctx)
	if err != nil {
		return nil, err
	}
	return &apiv1.ReadJobResponse{Data: data}, b.GetRange(ctx, key, 0, data)
}

func noJob(op, id string) error {
	return &thalweg.Error{Op: op, Kind: thalweg.NotFound, Subject: fmt.Sprintf("job %.300s", id), Err: errors.New("it is not kept, or there was none"),
		Hint: "`thalweg jobs` lists those that are kept; of those that ended, the newest of each pipeline"}
}
