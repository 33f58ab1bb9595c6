package coordinator

import (
	"context"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/state"
	"github.com/thalweg/thalweg/coordinator/view"
)

// ListPipelines lists the pipelines in order of their names, and those deleted.
func (s *service) ListPipelines(ctx context.Context, _ *apiv1.ListPipelinesRequest) (*apiv1.ListPipelinesResponse, error) {
	resp := &apiv1.ListPipelinesResponse{}
	lead := s.c.leading()
	err := s.c.read(func(st *state.State) {
		for p := range st.Pipelines() {
			if !sees(ctx, p.Name) {
				continue
			}
			resp.Pipelines = append(resp.Pipelines, pipelineView(lead, st, p, p.Newest()))
		}
		for t := range st.Deleted() {
			if !sees(ctx, t.Pipeline) {
				continue
			}
			resp.Deleted = append(resp.Deleted, &apiv1.DeletedPipeline{Name: string(t.Pipeline), Generation: uint64(t.Generation),
				DeletedAtUnixMs: t.DeletedMS, Purged: t.Purged})
		}
	})
	return resp, err
}

// pipelineView returns a generation of a pipeline without its text. What its runs wait for,
// and what was found of its data, a leader alone knows; lead is nil elsewhere.
func pipelineView(lead *leadership, st *state.State, p *state.Pipeline, spec *state.Spec) *apiv1.Pipeline {
	message, waiting := "", ""
	rollout := view.Rollout(st, p)
	if n := len(rollout.GetVerdicts()); n > 0 { // a list has the last one
		rollout.Verdicts = rollout.Verdicts[n-1:]
	}
	if lead != nil {
		_, message = lead.looks.Of(p)
		if r := st.Run(p.ActiveRun); r != nil {
			waiting = view.Waiting(r, lead.liveness)
		}
		if rollout != nil {
			rollout.Arms = lead.rollouts.Arms(rollout.Salt)
		}
	}
	return &apiv1.Pipeline{Name: string(p.Name), Generation: uint64(spec.Generation), AppliedAtUnixMs: spec.AppliedMS,
		Model: string(spec.Model), StreamPaused: p.Paused, StreamPauseReason: p.PauseReason,
		Deletion: deletionOf(p), Timetable: view.Timetable(p.Timetable, message), Waiting: waiting, Rollout: rollout}
}
