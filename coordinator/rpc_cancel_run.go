package coordinator

import (
	"context"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/state"
)

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
