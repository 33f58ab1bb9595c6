package coordinator

import (
	"context"
	"fmt"

	"connectrpc.com/connect"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/state"
)

// GetPipeline returns one pipeline with the rendered spec of a generation.
func (s *service) GetPipeline(_ context.Context, req *connect.Request[apiv1.GetPipelineRequest]) (*connect.Response[apiv1.GetPipelineResponse], error) {
	resp := &apiv1.GetPipelineResponse{}
	err := s.c.read(func(st *state.State) {
		p := st.Pipeline(thalweg.PipelineName(req.Msg.Name))
		if p == nil {
			return
		}
		if spec := p.Spec(thalweg.Generation(req.Msg.Generation)); spec != nil {
			resp.Pipeline = pipelineView(p, spec)
			resp.Pipeline.RenderedSpec = spec.Text
		}
	})
	if err == nil && resp.Pipeline == nil {
		subject := "pipeline " + req.Msg.Name
		if req.Msg.Generation != 0 {
			subject += fmt.Sprintf(" generation %d", req.Msg.Generation)
		}
		err = &thalweg.Error{Op: "get pipeline", Kind: thalweg.NotFound, Subject: subject}
	}
	return connect.NewResponse(resp), err
}
