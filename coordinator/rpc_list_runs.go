package coordinator

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/state"
)

const (
	runsPage, maxRunsPage = 100, 1000
	// A page token names the last run of the page before: by its place in the log,
	// or by the key of its record.
	tokenInState = "s"
	tokenRecord  = "r"
)

// ListRuns lists runs page by page, newest first and without their tasks: those
// of the state, and then the records. A run that becomes a record between two
// pages may be on both.
func (s *service) ListRuns(ctx context.Context, req *apiv1.ListRunsRequest) (*apiv1.ListRunsResponse, error) {
	lead, err := s.c.waitLeading(ctx)
	if err != nil {
		return nil, err
	}
	size := int(min(cmp.Or(req.PageSize, runsPage), maxRunsPage))
	before, after := uint64(math.MaxUint64), ""
	if token := req.PageToken; token != "" {
		if before, after, err = parseToken(token); err != nil {
			return nil, err
		}
	}
	resp := &apiv1.ListRunsResponse{}
	inState := make(map[thalweg.RunID]bool)
	more := false
	err = s.c.read(func(st *state.State) {
		var runs []*state.Run
		for r := range st.Runs() {
			inState[r.ID] = true
			if r.StartIndex < before && (req.Pipeline == "" || string(r.Pipeline) == req.Pipeline) {
				runs = append(runs, r)
			}
		}
		slices.SortFunc(runs, func(a, b *state.Run) int { return cmp.Compare(b.StartIndex, a.StartIndex) })
		if more = len(runs) >= size; more {
			runs = runs[:size]
			resp.NextPageToken = tokenInState + strconv.FormatUint(runs[size-1].StartIndex, 10)
		}
		for _, r := range runs {
			resp.Runs = append(resp.Runs, runView(r, lead.liveness, false))
		}
	})
	if err != nil || more {
		return resp, err
	}
	records, last, err := s.c.listRecords(ctx, req.Pipeline, after, size-len(resp.Runs), inState)
	switch {
	case err != nil && len(resp.Runs) > 0: // the state's are told all the same, and the next page why there are no more
		s.c.log.Warn("records of ended runs cannot be listed", keyError, err)
		resp.NextPageToken = tokenRecord + recordsPrefix
		return resp, nil
	case err != nil:
		return nil, err
	}
	resp.Runs = append(resp.Runs, records...)
	if len(resp.Runs) == size {
		resp.NextPageToken = tokenRecord + last
	}
	return resp, nil
}

// parseToken returns where a page begins: before an index of the log, or after
// the key of a record.
func parseToken(token string) (before uint64, after string, err error) {
	if key, ok := strings.CutPrefix(token, tokenRecord); ok && strings.HasPrefix(key, recordsPrefix) {
		return 0, key, nil
	}
	if index, ok := strings.CutPrefix(token, tokenInState); ok {
		if before, err = strconv.ParseUint(index, 10, 64); err == nil {
			return before, "", nil
		}
	}
	return 0, "", &thalweg.Error{Op: "list runs", Kind: thalweg.Invalid, Subject: fmt.Sprintf("page token %.80q", token),
		Hint: "take it from the answer before"}
}
