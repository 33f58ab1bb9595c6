package coordinator

import (
	"context"
	"time"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/state"
	"github.com/thalweg/thalweg/coordinator/view"
)

// StreamStatus tells the position of each partition of one pipeline, or of all.
func (s *service) StreamStatus(ctx context.Context, req *apiv1.StreamStatusRequest) (*apiv1.StreamStatusResponse, error) {
	lead, err := s.c.waitLeading(ctx)
	if err != nil {
		return nil, err
	}
	resp := &apiv1.StreamStatusResponse{}
	known, hint, now := req.Pipeline == "", "", time.Now()
	err = s.c.read(func(st *state.State) {
		for p := range st.Pipelines() {
			if req.Pipeline != "" && string(p.Name) != req.Pipeline || !sees(ctx, p.Name) {
				continue
			}
			known = true
			for _, part := range p.Partitions {
				resp.Partitions = append(resp.Partitions, view.Partition(st, p, part, lead.liveness, now))
			}
		}
		hint = nearestPipeline(ctx, st, req.Pipeline)
	})
	if err == nil && !known {
		err = &thalweg.Error{Op: "stream status", Kind: thalweg.NotFound, Subject: "pipeline " + req.Pipeline, Hint: hint}
	}
	return resp, err
}

// ListEndpoints lists the workers that answer for one pipeline, or for all.
func (s *service) ListEndpoints(ctx context.Context, req *apiv1.ListEndpointsRequest) (*apiv1.ListEndpointsResponse, error) {
	lead, err := s.c.waitLeading(ctx)
	if err != nil {
		return nil, err
	}
	resp := &apiv1.ListEndpointsResponse{}
	known, hint := req.Pipeline == "", ""
	err = s.c.read(func(st *state.State) {
		for p := range st.Pipelines() {
			if req.Pipeline == "" && sees(ctx, p.Name) || string(p.Name) == req.Pipeline {
				known = true
				resp.Endpoints = append(resp.Endpoints, view.Endpoints(st, p, lead.liveness)...)
			}
		}
		hint = nearestPipeline(ctx, st, req.Pipeline)
	})
	if err == nil && !known {
		err = &thalweg.Error{Op: "list endpoints", Kind: thalweg.NotFound, Subject: "pipeline " + req.Pipeline, Hint: hint}
	}
	return resp, err
}
