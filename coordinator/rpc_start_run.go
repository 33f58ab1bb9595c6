package coordinator

import (
	"context"

	"connectrpc.com/connect"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/state"
)

// StartRun starts another run of a pipeline's newest generation.
func (s *service) StartRun(_ context.Context, req *connect.Request[apiv1.StartRunRequest]) (*connect.Response[apiv1.StartRunResponse], error) {
	answer, err := s.c.propose(&state.StartRun{Pipeline: thalweg.PipelineName(req.Msg.Pipeline)}, req.Msg.RequestId)
	return connect.NewResponse(&apiv1.StartRunResponse{RunId: string(answer.Run)}), err
}
