package coordinator

import (
	"context"

	"connectrpc.com/connect"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
)

// Apply accepts a spec: a changed one becomes the next generation, and starts a
// run where it changes what versions are trained from.
func (s *service) Apply(_ context.Context, req *connect.Request[apiv1.ApplyRequest]) (*connect.Response[apiv1.ApplyResponse], error) {
	cmd, err := s.c.parseSpec(req.Msg.File, req.Msg.Spec)
	if err != nil {
		return nil, err
	}
	answer, err := s.c.propose(cmd, req.Msg.RequestId)
	if err != nil {
		return nil, err
	}
	if answer.Changed {
		s.c.log.Info("spec accepted", keyPipeline, answer.Pipeline, "generation", answer.Generation, keyRun, answer.Run)
	}
	return connect.NewResponse(&apiv1.ApplyResponse{
		Pipeline: string(answer.Pipeline), Generation: uint64(answer.Generation), RunId: string(answer.Run), Changed: answer.Changed,
	}), nil
}
