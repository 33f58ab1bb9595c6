package coordinator

import (
	"context"

	"connectrpc.com/connect"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/state"
)

// CancelRun ends a run.
func (s *service) CancelRun(_ context.Context, req *connect.Request[apiv1.CancelRunRequest]) (*connect.Response[apiv1.CancelRunResponse], error) {
	_, err := s.c.propose(&state.CancelRun{Run: thalweg.RunID(req.Msg.RunId)}, req.Msg.RequestId)
	return connect.NewResponse(&apiv1.CancelRunResponse{}), err
}
