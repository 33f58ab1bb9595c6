package coordinator

import (
	"context"
	"errors"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/state"
)

// SetStream pauses or resumes a pipeline's stream, the latter maybe with an
// authorization to give up lost offsets.
func (s *service) SetStream(ctx context.Context, req *apiv1.SetStreamRequest) (*apiv1.SetStreamResponse, error) {
	cmd := &state.SetStream{Pipeline: thalweg.PipelineName(req.Pipeline), Paused: req.Paused}
	if k := req.Skip; k != nil {
		cmd.Skip = &state.SkipAuthorization{Partition: k.Partition, From: k.From, To: k.To, TopicID: k.TopicId, Accept: k.AcceptTopic}
	}
	_, err := s.c.mutate(ctx, cmd, req.RequestId)
	return &apiv1.SetStreamResponse{}, s.c.withNearest(ctx, err, req.Pipeline)
}

// SetSchedule pauses or resumes a pipeline's schedule.
func (s *service) SetSchedule(ctx context.Context, req *apiv1.SetScheduleRequest) (*apiv1.SetScheduleResponse, error) {
	_, err := s.c.mutate(ctx, &state.SetSchedule{Pipeline: thalweg.PipelineName(req.Pipeline), Paused: req.Paused}, req.RequestId)
	return &apiv1.SetScheduleResponse{}, s.c.withNearest(ctx, err, req.Pipeline)
}

// withNearest gives the refusal of an unknown pipeline its hint.
func (c *Coordinator) withNearest(ctx context.Context, err error, pipeline string) error {
	e := new(thalweg.Error)
	if !errors.As(err, &e) || e.Kind != thalweg.NotFound || e.Hint != "" {
		return err
	}
	named := *e
	if c.read(func(st *state.State) { named.Hint = nearestPipeline(ctx, st, pipeline) }) != nil {
		return err
	}
	return &named
}
