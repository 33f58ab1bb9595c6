package coordinator

import (
	"context"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
)

// Apply accepts a spec: a changed one becomes the next generation, and starts a
// run where it changes what versions are trained from.
func (s *service) Apply(_ context.Context, req *apiv1.ApplyRequest) (*apiv1.ApplyResponse, error) {
	cmd, err := s.c.parseSpec(req.File, req.Spec)
	if err != nil {
		return nil, err
	}
	answer, err := s.c.propose(cmd, req.RequestId)
	if err != nil {
		return nil, err
	}
	if answer.Changed {
		s.c.log.Info("spec accepted", keyPipeline, answer.Pipeline, "generation", answer.Generation, keyRun, answer.Run)
	}
	return &apiv1.ApplyResponse{
		Pipeline: string(answer.Pipeline), Generation: uint64(answer.Generation), RunId: string(answer.Run), Changed: answer.Changed,
	}, nil
}
