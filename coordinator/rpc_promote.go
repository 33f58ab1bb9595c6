package coordinator

import (
	"cmp"
	"context"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/state"
)

// Promote points an alias at a version.
func (s *service) Promote(ctx context.Context, req *apiv1.PromoteRequest) (*apiv1.PromoteResponse, error) {
	cmd := &state.Promote{Model: thalweg.ModelName(req.Model), Alias: cmp.Or(req.Alias, thalweg.DefaultAlias),
		Version: thalweg.ModelVersion(req.Version)}
	answer, err := s.c.mutate(ctx, cmd, req.RequestId)
	if err == nil && answer.Changed {
		s.c.log.Info("alias moved", keyModel, cmd.Model, "alias", cmd.Alias, keyVersion, cmd.Version, "previous", answer.Previous)
	}
	return &apiv1.PromoteResponse{Previous: uint64(answer.Previous), Rejected: answer.Rejected}, err
}

// SetRollout has the rollout that a pipeline follows end, stay at its step or go on.
func (s *service) SetRollout(ctx context.Context, req *apiv1.SetRolloutRequest) (*apiv1.SetRolloutResponse, error) {
	// A model is of all pipelines that use it.
	model := ""
	s.c.replica.view(func(st *state.State) {
		if p := st.Pipeline(thalweg.PipelineName(req.Pipeline)); p != nil {
			model = string(p.Newest().Model)
		}
	})
	if model != "" {
		if err := s.c.permit(ctx, apiv1.CoordinatorServicePromoteProcedure, &apiv1.PromoteRequest{Model: model}); err != nil {
			return nil, err
		}
	}
	cmd := &state.SetRollout{Pipeline: thalweg.PipelineName(req.Pipeline), Action: req.Action}
	answer, err := s.c.mutate(ctx, cmd, req.RequestId)
	if err == nil && answer.Changed {
		s.c.log.Info("rollout set", keyPipeline, cmd.Pipeline, keyVersion, answer.Version, "action", cmd.Action)
	}
	return &apiv1.SetRolloutResponse{Champion: uint64(answer.Previous), Candidate: uint64(answer.Version)}, s.c.withNearest(ctx, err, req.Pipeline)
}
