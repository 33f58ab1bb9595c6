package coordinator

import (
	"context"

	"connectrpc.com/connect"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/state"
)

// SetStream pauses or resumes a pipeline's stream.
func (s *service) SetStream(_ context.Context, req *connect.Request[apiv1.SetStreamRequest]) (*connect.Response[apiv1.SetStreamResponse], error) {
	_, err := s.c.propose(&state.SetStream{Pipeline: thalweg.PipelineName(req.Msg.Pipeline), Paused: req.Msg.Paused}, req.Msg.RequestId)
	return connect.NewResponse(&apiv1.SetStreamResponse{}), err
}
