package coordinator

import (
	"context"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/state"
	"github.com/thalweg/thalweg/coordinator/view"
)

// GetRun returns one run, or the latest of a pipeline, with its stages and tasks and
// the progress that workers reported last.
func (s *service) GetRun(ctx context.Context, req *apiv1.GetRunRequest) (*apiv1.GetRunResponse, error) {
	lead, err := s.c.waitLeading(ctx)
	if err != nil {
		return nil, err
	}
	resp := &apiv1.GetRunResponse{}
	err = s.c.read(func(st *state.State) {
		r := st.Run(thalweg.RunID(req.RunId))
		if latest := st.RunsByPipeline()[thalweg.PipelineName(req.RunId)]; r == nil && len(latest) > 0 {
			r = latest[0]
		}
		if r != nil {
			resp.Run = view.Run(r, lead.liveness, !req.WithoutTasks)
		}
	})
	if err == nil && resp.Run == nil {
		var r *state.Run
		if r, err = s.c.findRecord(ctx, thalweg.RunID(req.RunId)); err == nil {
			resp.Run = view.Run(r, nil, !req.WithoutTasks)
		}
	}
	return resp, err
}
