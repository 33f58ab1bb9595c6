package coordinator

import (
	"context"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/state"
	"github.com/thalweg/thalweg/pipeline"
)

// StartRun starts another run of a pipeline's newest generation.
func (s *service) StartRun(ctx context.Context, req *apiv1.StartRunRequest) (*apiv1.StartRunResponse, error) {
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
	return &apiv1.StartRunResponse{RunId: string(answer.Run)}, err
}

// CancelRun ends a run.
func (s *service) CancelRun(ctx context.Context, req *apiv1.CancelRunRequest) (*apiv1.CancelRunResponse, error) {
	cmd := &state.CancelRun{Run: thalweg.RunID(req.RunId)}
	_, err := s.c.mutate(ctx, cmd, req.RequestId)
	if thalweg.Is(err, thalweg.NotFound) {
		var r *state.Run
		if r, err = s.c.findRecord(ctx, cmd.Run); err == nil {
			err = cmd.Ended(r).Err()
		}
	}
	return &apiv1.CancelRunResponse{}, err
}
