package coordinator

import (
	"cmp"
	"context"

	"google.golang.org/protobuf/proto"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/liveness"
	"github.com/thalweg/thalweg/coordinator/state"
)

// StreamStatus tells the position of each partition of one pipeline, or of all.
func (s *service) StreamStatus(ctx context.Context, req *apiv1.StreamStatusRequest) (*apiv1.StreamStatusResponse, error) {
	lead, err := s.c.waitLeading(ctx)
	if err != nil {
		return nil, err
	}
	resp := &apiv1.StreamStatusResponse{}
	known, hint := req.Pipeline == "", ""
	err = s.c.read(func(st *state.State) {
		for p := range st.Pipelines() {
			if req.Pipeline != "" && string(p.Name) != req.Pipeline || !sees(ctx, p.Name) {
				continue
			}
			known = true
			for _, part := range p.Partitions {
				resp.Partitions = append(resp.Partitions, partitionView(st, p, part, lead.liveness))
			}
		}
		hint = nearestPipeline(ctx, st, req.Pipeline)
	})
	if err == nil && !known {
		err = &thalweg.Error{Op: "stream status", Kind: thalweg.NotFound, Subject: "pipeline " + req.Pipeline, Hint: hint}
	}
	return resp, err
}

// partitionView merges the replicated state of a partition with the newest report
// of its holder.
func partitionView(s *state.State, p *state.Pipeline, part *state.Partition, l *liveness.Liveness) *apiv1.StreamPartition {
	t := part.Task
	v := &apiv1.StreamPartition{Committed: -1, Scored: -1, End: -1}
	reported, refusals := l.StreamOf(t.ID, t.Worker)
	if reported != nil {
		v = proto.CloneOf(reported)
	}
	v.Pipeline, v.Topic, v.Partition = string(p.Name), p.Newest().Topic, int32(t.Index)
	v.Worker, v.Partitions = string(t.Worker), int32(len(p.Partitions))
	leased := t.State == state.TaskLeased
	if !leased || v.State == "" {
		v.State = thalweg.StreamWaiting
	}
	switch {
	case part.Stopped != "":
		v.State, v.Message = thalweg.StreamStopped, part.Stopped
	case p.PauseReason != "":
		v.State, v.Message = thalweg.StreamPaused, p.PauseReason
	case leased && p.Paused:
		v.State = thalweg.StreamPaused
	case leased:
	case !s.Scores(p):
		v.Message = "no " + p.Newest().Alias + " of model " + string(p.Newest().Model) + " yet"
	case part.Failures > 0:
		v.Message = "it failed and is tried again: " + part.LastError
	default:
		v.Message = "no worker has taken it yet"
	}
	v.Message = cmp.Or(v.Message, refusals)
	return v
}
