package coordinator

import (
	"context"
	"slices"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/state"
	"github.com/thalweg/thalweg/coordinator/view"
	"github.com/thalweg/thalweg/pipeline"
)

// StartRun starts another run of a pipeline's newest generation.
func (s *service) StartRun(ctx context.Context, req *apiv1.StartRunRequest) (*apiv1.StartRunResponse, error) {
	from := time.Now()
	cmd := &state.StartRun{Pipeline: thalweg.PipelineName(req.Pipeline), Verb: req.Verb, Arguments: req.Arguments}
	var text, hint string
	err := s.c.read(func(st *state.State) {
		if p := st.Pipeline(cmd.Pipeline); p != nil {
			cmd.Generation, text = p.Newest().Generation, p.Newest().Text
			return
		}
		hint = nearestPipeline(ctx, st, req.Pipeline)
	})
	if err == nil && text == "" {
		err = &thalweg.Error{Op: "start run", Kind: thalweg.NotFound, Subject: "pipeline " + req.Pipeline, Hint: hint}
	}
	if err == nil {
		var spec *pipeline.Spec
		if spec, err = s.c.readSpec(ctx, "", text); err == nil {
			cmd.Stages, err = s.c.cfg.Stages(spec, cmd.Verb, cmd.Arguments)
		}
	}
	if err == nil && req.Arguments[stages.IntoArgument] != "" {
		err = s.c.checkInto(ctx, req.Pipeline, req.Arguments)
	}
	if err != nil {
		return nil, err
	}
	answer, err := s.c.mutate(ctx, cmd, req.RequestId)
	s.c.traceRequest("start run", from, answer.Run)
	return &apiv1.StartRunResponse{RunId: string(answer.Run)}, err
}

// traceRequest sends the span of a request that started a run, if it did. One that is
// repeated sends it too, since who served it first may have lost its leadership before it
// knew of the run.
func (c *Coordinator) traceRequest(name string, from time.Time, run thalweg.RunID) {
	if c.cfg.Traces == nil || run == "" {
		return
	}
	c.replica.view(func(s *state.State) {
		if r := s.Run(run); r != nil {
			if began := time.UnixMilli(r.StartedMS); began.Before(from) {
				from = began
			}
			c.cfg.Traces.Record(view.RequestSpan(r, name, from, time.Now()))
		}
	})
}

// traceStage sends the span of a stage that ended, and that of the run if it was its
// last.
func (c *Coordinator) traceStage(r *state.Run, name string) {
	i := slices.IndexFunc(r.Stages, func(s *state.Stage) bool { return s.Name == name })
	if c.cfg.Traces == nil || i < 0 {
		return
	}
	c.cfg.Traces.Record(view.StageSpan(r, r.Stages[i]))
	if r.Current() == nil && int(r.At) == i {
		c.cfg.Traces.Record(view.RunSpan(r))
	}
}

// traceEnd sends the spans of a run that ended without a report of its stage: it was
// canceled, or lost too many workers.
func (c *Coordinator) traceEnd(run thalweg.RunID) {
	if c.cfg.Traces == nil {
		return
	}
	c.replica.view(func(s *state.State) {
		if r := s.Run(run); r != nil && r.Current() == nil {
			c.traceStage(r, r.Stage().Name)
		}
	})
}

// CancelRun ends a run.
func (s *service) CancelRun(ctx context.Context, req *apiv1.CancelRunRequest) (*apiv1.CancelRunResponse, error) {
	cmd := &state.CancelRun{Run: thalweg.RunID(req.RunId)}
	answer, err := s.c.mutate(ctx, cmd, req.RequestId)
	if answer.Changed {
		s.c.traceEnd(cmd.Run)
	}
	if thalweg.Is(err, thalweg.NotFound) {
		var r *state.Run
		if r, err = s.c.findRecord(ctx, cmd.Run); err == nil {
			err = cmd.Ended(r).Err()
		}
	}
	return &apiv1.CancelRunResponse{}, err
}
