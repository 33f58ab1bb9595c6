package coordinator

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/state"
	"github.com/thalweg/thalweg/coordinator/view"
	"github.com/thalweg/thalweg/pipeline/spelling"
)

// GetPipeline returns one pipeline with the rendered spec of a generation.
func (s *service) GetPipeline(ctx context.Context, req *apiv1.GetPipelineRequest) (*apiv1.GetPipelineResponse, error) {
	resp, hint := &apiv1.GetPipelineResponse{}, ""
	lead := s.c.leading()
	err := s.c.read(func(st *state.State) {
		p := st.Pipeline(thalweg.PipelineName(req.Name))
		if p == nil {
			hint = nearestPipeline(ctx, st, req.Name)
			return
		}
		if spec := p.Spec(thalweg.Generation(req.Generation)); spec != nil {
			resp.Pipeline = pipelineView(lead, st, p, spec)
			resp.Pipeline.RenderedSpec = spec.Text
			if r := resp.Pipeline.Rollout; r != nil {
				r.Verdicts = view.Rollout(st, p).Verdicts
			}
		}
	})
	if err == nil && resp.Pipeline == nil {
		subject := "pipeline " + req.Name
		if req.Generation != 0 {
			subject += fmt.Sprintf(" generation %d", req.Generation)
		}
		err = &thalweg.Error{Op: "get pipeline", Kind: thalweg.NotFound, Subject: subject, Hint: hint}
	}
	return resp, err
}

// nearestPipeline offers the pipeline that the caller may see that a name is likely meant to be, or says
// where all are listed.
func nearestPipeline(ctx context.Context, st *state.State, name string) string {
	var names []string
	for p := range st.Pipelines() {
		if sees(ctx, p.Name) {
			names = append(names, string(p.Name))
		}
	}
	return cmp.Or(spelling.Hint(name, slices.Values(names)), "`thalweg status` lists those there are")
}
