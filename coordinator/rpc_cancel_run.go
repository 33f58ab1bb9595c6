package coordinator

import (
	"context"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/state"
)

// CancelRun ends a run.
func (s *service) CancelRun(_ context.Context, req *apiv1.CancelRunRequest) (*apiv1.CancelRunResponse, error) {
	_, err := s.c.propose(&state.CancelRun{Run: thalweg.RunID(req.RunId)}, req.RequestId)
	return &apiv1.CancelRunResponse{}, err
}
