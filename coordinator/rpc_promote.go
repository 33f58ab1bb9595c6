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
