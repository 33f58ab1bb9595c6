package coordinator

import (
	"cmp"
	"context"
	"slices"

	"connectrpc.com/connect"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/state"
)

// ListRuns lists runs, newest first, without their tasks.
func (s *service) ListRuns(ctx context.Context, req *connect.Request[apiv1.ListRunsRequest]) (*connect.Response[apiv1.ListRunsResponse], error) {
	lead, err := s.c.waitLeading(ctx)
	if err != nil {
		return nil, err
	}
	resp := &apiv1.ListRunsResponse{}
	err = s.c.read(func(st *state.State) {
		var runs []*state.Run
		for r := range st.Runs() {
			if req.Msg.Pipeline == "" || string(r.Pipeline) == req.Msg.Pipeline {
				runs = append(runs, r)
			}
		}
		slices.SortFunc(runs, func(a, b *state.Run) int { return cmp.Compare(b.StartIndex, a.StartIndex) })
		for _, r := range runs {
			resp.Runs = append(resp.Runs, runView(r, lead.heard, false))
		}
	})
	return connect.NewResponse(resp), err
}
