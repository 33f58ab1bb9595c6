package coordinator

import (
	"context"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/state"
)

// SetSchedule pauses or resumes a pipeline's schedule.
func (s *service) SetSchedule(_ context.Context, req *apiv1.SetScheduleRequest) (*apiv1.SetScheduleResponse, error) {
	_, err := s.c.propose(&state.SetSchedule{Pipeline: thalweg.PipelineName(req.Pipeline), Paused: req.Paused}, req.RequestId)
	return &apiv1.SetScheduleResponse{}, s.c.withNearest(err, req.Pipeline)
}
