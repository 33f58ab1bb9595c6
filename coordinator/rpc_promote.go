package coordinator

import (
	"cmp"
	"context"

	"connectrpc.com/connect"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/state"
)

// Promote points an alias at a version.
func (s *service) Promote(_ context.Context, req *connect.Request[apiv1.PromoteRequest]) (*connect.Response[apiv1.PromoteResponse], error) {
	cmd := &state.Promote{Model: thalweg.ModelName(req.Msg.Model), Alias: cmp.Or(req.Msg.Alias, thalweg.DefaultAlias),
		Version: thalweg.ModelVersion(req.Msg.Version)}
	answer, err := s.c.propose(cmd, req.Msg.RequestId)
	if err == nil && answer.Changed {
		s.c.log.Info("alias moved", keyModel, cmd.Model, "alias", cmd.Alias, keyVersion, cmd.Version, "previous", answer.Previous)
	}
	return connect.NewResponse(&apiv1.PromoteResponse{Previous: uint64(answer.Previous)}), err
}
