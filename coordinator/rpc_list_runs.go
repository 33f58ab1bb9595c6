package coordinator

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/state"
	"github.com/thalweg/thalweg/coordinator/view"
	"github.com/thalweg/thalweg/storage"
)

const (
	runsPage, maxRunsPage = 100, 1000
	// recordReads is how many folders or records are read at once.
	recordReads = 16
	// stateUnreadable is what is shown of a run whose record cannot be read.
	stateUnreadable = "unreadable"
)

// listedRun is a run of a page: its view or, until that was read, its record.
type listedRun struct {
	record
	view *apiv1.Run
}

// ListRuns lists runs page by page without their tasks, those that started last
// first, whether they are in the state or records: a run that becomes one between
// two pages keeps its place. A page token is the StartIndex of the last run.
func (s *service) ListRuns(ctx context.Context, req *apiv1.ListRunsRequest) (*apiv1.ListRunsResponse, error) {
	lead, err := s.c.waitLeading(ctx)
	if err != nil {
		return nil, err
	}
	size := int(min(cmp.Or(req.PageSize, runsPage), maxRunsPage))
	before := uint64(math.MaxUint64)
	if req.PageToken != "" {
		if before, err = strconv.ParseUint(req.PageToken, 10, 64); err != nil || before == 0 {
			return nil, &thalweg.Error{Op: "list runs", Kind: thalweg.Invalid, Subject: fmt.Sprintf("page token %.80q", req.PageToken),
				Hint: "take it from the answer before"}
		}
	}
	var page []listedRun
	var pipelines []string // that may have records
	var recorded uint64    // runs that started then or later are no records
	var cluster, hint string
	unknown := false
	err = s.c.read(func(st *state.State) {
		cluster = st.Cluster()
		if unknown = req.Pipeline != "" && st.Pipeline(thalweg.PipelineName(req.Pipeline)) == nil; unknown {
			hint = nearestPipeline(ctx, st, req.Pipeline)
		}
		var runs []*state.Run
		for name, all := range st.RunsByPipeline() {
			if req.Pipeline != "" && req.Pipeline != string(name) || !sees(ctx, name) {
				continue
			}
			if cluster != "" && len(all) >= state.MaxRuns {
				recorded = max(recorded, all[state.MaxRuns-1].StartIndex)
				pipelines = append(pipelines, string(name))
			}
			runs = append(runs, all...)
		}
		runs = slices.DeleteFunc(runs, func(r *state.Run) bool { return r.StartIndex >= before })
		slices.SortFunc(runs, func(a, b *state.Run) int { return cmp.Compare(b.StartIndex, a.StartIndex) })
		for _, r := range runs[:min(len(runs), size+1)] {
			page = append(page, listedRun{record{run: r.ID, start: r.StartIndex}, view.Run(r, lead.liveness, false)})
		}
	})
	if err != nil {
		return nil, err
	}
	resp := &apiv1.ListRunsResponse{}
	var bucket storage.Bucket
	complete := len(page) // how many of the page no record can come before
	if i := slices.IndexFunc(page, func(r listedRun) bool { return r.start < recorded }); i >= 0 {
		complete = i
	}
	if len(pipelines) > 0 && complete <= size {
		var records []listedRun
		if bucket, records, err = s.c.listRecords(ctx, cluster, pipelines, before, size+1); err == nil {
			page = append(page, records...)
			slices.SortStableFunc(page, func(a, b listedRun) int { return cmp.Compare(b.start, a.start) })
			page = slices.CompactFunc(page, func(a, b listedRun) bool { return a.run == b.run }) // it is in the state still
		} else if complete == 0 {
			return nil, err
		} else { // those of the state are listed all the same, and the next page says why there are no more
			s.c.log.Warn("records of ended runs cannot be listed", keyError, err)
			resp.NextPageToken = strconv.FormatUint(page[min(complete, size)-1].start, 10)
		}
	}
	if len(page) > size {
		page = page[:size]
		resp.NextPageToken = cmp.Or(resp.NextPageToken, strconv.FormatUint(page[size-1].start, 10))
	}
	if err := readViews(ctx, s.c.cfg.RecordsTimeout, bucket, page); err != nil {
		return nil, err
	}
	for _, r := range page {
		resp.Runs = append(resp.Runs, r.view)
	}
	if unknown && len(page) == 0 {
		return nil, &thalweg.Error{Op: "list runs", Kind: thalweg.NotFound, Subject: "pipeline " + req.Pipeline, Hint: hint}
	}
	return resp, nil
}

// listRecords returns up to n records of each pipeline, of runs that started before
// an index of the log.
func (c *Coordinator) listRecords(ctx context.Context, cluster string, pipelines []string, before uint64, n int) (
	storage.Bucket, []listedRun, error) {
	limited, cancel := context.WithTimeout(ctx, c.cfg.RecordsTimeout)
	defer cancel()
	b, err := c.cfg.Records(limited)
	if err != nil {
		return nil, nil, unanswered(ctx, limited, err)
	}
	found := make([][]listedRun, len(pipelines))
	var reads errgroup.Group
	reads.SetLimit(recordReads)
	for i, pipeline := range pipelines {
		reads.Go(func() error {
			for r, err := range records(limited, b, cluster, pipeline, before) {
				if err != nil {
					return err
				}
				if found[i] = append(found[i], listedRun{record: r}); len(found[i]) == n {
					break
				}
			}
			return nil
		})
	}
	err = reads.Wait()
	return b, slices.Concat(found...), unanswered(ctx, limited, err)
}

// readViews reads the records of a page within a limit.
func readViews(ctx context.Context, limit time.Duration, b storage.Bucket, page []listedRun) error {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var reads errgroup.Group
	reads.SetLimit(recordReads)
	for i, listed := range page {
		if listed.view != nil {
			continue
		}
		reads.Go(func() error {
			r, err := listed.read(limited, b)
			if err = unanswered(ctx, limited, err); err != nil {
				page[i].view = &apiv1.Run{Id: string(listed.run), Pipeline: string(listed.run.Pipeline()), State: stateUnreadable, Error: err.Error()}
				return ctx.Err()
			}
			page[i].view = view.Run(r, nil, false)
			return nil
		})
	}
	return reads.Wait()
}

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
