package coordinator

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/state"
	"github.com/thalweg/thalweg/storage"
)

// inState returns how many runs the leader's state holds.
func (c *cluster) inState() int {
	n := 0
	c.nodes[c.leader()].replica.view(func(s *state.State) {
		for range s.Runs() {
			n++
		}
	})
	return n
}

// Ended runs beyond the newest hundred leave the replicated state for the
// bucket. While it does not answer they stay, and whichever leader moves them,
// lists and look-ups show each run once.
func TestEndedRunsBecomeRecordsAndNoneIsLost(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, nil)
	c.noStore.Store(true)
	client := c.client()
	ids := []string{c.apply(client, "other", 1).RunId, c.apply(client, "flights", 1).RunId}
	for len(ids) < state.MaxRuns+11 {
		if _, err := client.CancelRun(c.ctx(), &apiv1.CancelRunRequest{RunId: ids[len(ids)-1]}); err != nil {
			t.Fatal(err)
		}
		started, err := client.StartRun(c.ctx(), &apiv1.StartRunRequest{Pipeline: "flights"})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, started.RunId)
	}
	slices.Reverse(ids)
	list := func(pipeline string, size uint32) []string {
		t.Helper()
		var got []string
		req := &apiv1.ListRunsRequest{Pipeline: pipeline, PageSize: size}
		for {
			resp, err := client.ListRuns(c.ctx(), req)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range resp.Runs {
				if r.State != "canceled" && r.State != "running" || len(r.Stages) != 6 {
					t.Errorf("run %v", r)
				}
				got = append(got, r.Id)
			}
			if req.PageToken = resp.NextPageToken; req.PageToken == "" {
				return got
			}
			if len(resp.Runs) > int(size) {
				t.Errorf("%d runs on a page of %d", len(resp.Runs), size)
			}
		}
	}
	if n := c.inState(); n != len(ids) {
		t.Errorf("%d of %d runs are kept while the store does not answer", n, len(ids))
	}
	// A leader that wrote a record and was lost before it dropped the run.
	c.noStore.Store(false)
	leader := c.nodes[c.leader()]
	var first *state.Run
	leader.replica.view(func(s *state.State) { first = s.Surplus()[0] })
	body, err := state.EncodeRun(first)
	if err != nil {
		t.Fatal(err)
	}
	bucket, err := c.records(c.ctx())
	if err != nil {
		t.Fatal(err)
	}
	if err := writeRecord(c.ctx(), bucket, first.ID, body); err != nil {
		t.Fatal(err)
	}
	c.stop(c.leader())
	c.eventually("the surplus is moved", func() bool { return c.inState() == state.MaxRuns+1 }) // and that of the other pipeline
	if got := list("flights", 7); !slices.Equal(got, ids[:len(ids)-1]) {
		t.Errorf("listed %q", got)
	}
	all := list("", 1000)
	slices.Sort(all)
	want := slices.Sorted(slices.Values(ids))
	if !slices.Equal(all, want) {
		t.Errorf("of all pipelines: %q", all)
	}
	got, err := client.GetRun(c.ctx(), &apiv1.GetRunRequest{RunId: "flights-1-1"})
	if err != nil || got.Run.State != "canceled" || got.Run.Stages[0].Tasks[0].Id != "flights-1-1/profile.reduce" {
		t.Errorf("a run in a record: %v, %v", got, err)
	}
	for _, id := range []string{"flights-1-999", "flights", "flights-x-1", "nobody-1-1"} {
		_, err = client.GetRun(c.ctx(), &apiv1.GetRunRequest{RunId: id})
		wantKind(t, id, err, thalweg.NotFound)
	}
	_, err = client.ListRuns(c.ctx(), &apiv1.ListRunsRequest{PageToken: "x"})
	wantKind(t, "a token of nobody's", err, thalweg.Invalid)

	// A damaged record is shown as such, and is no other's.
	records := 0
	for info, err := range bucket.List(c.ctx(), recordsPrefix+"flights/", "") {
		if err != nil {
			t.Fatal(err)
		}
		if records++; strings.Contains(info.Key, "flights-1-2-") {
			if _, err := bucket.Put(c.ctx(), info.Key, []byte("{}")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if records != 10 {
		t.Errorf("there are %d records", records)
	}
	resp, err := client.ListRuns(c.ctx(), &apiv1.ListRunsRequest{Pipeline: "flights", PageSize: 1000})
	if err != nil || len(resp.Runs) != len(ids)-1 || resp.Runs[len(ids)-3].State != stateUnreadable || !strings.Contains(resp.Runs[len(ids)-3].Error, "sha256") {
		t.Errorf("with a damaged record: %d runs, %v", len(resp.GetRuns()), err)
	}
	_, err = client.GetRun(c.ctx(), &apiv1.GetRunRequest{RunId: "flights-1-2"})
	wantKind(t, "a damaged record", err, thalweg.Corrupt)
	// Without a store, those in the state are listed all the same.
	c.noStore.Store(true)
	if resp, err := client.ListRuns(c.ctx(), &apiv1.ListRunsRequest{PageSize: 1000}); err != nil || len(resp.Runs) != state.MaxRuns+1 || resp.NextPageToken == "" {
		t.Errorf("without a store: %d runs, %v", len(resp.GetRuns()), err)
	}
}

// refusing is a bucket that takes no object whose key has a text in it.
type refusing struct {
	storage.Bucket
	text string
}

func (b refusing) Put(ctx context.Context, key string, body []byte) (storage.Info, error) {
	if strings.Contains(key, b.text) {
		return storage.Info{}, &thalweg.Error{Op: "put", Kind: thalweg.Invalid, Subject: key}
	}
	return b.Bucket.Put(ctx, key, body)
}

// A record that the store does not take keeps its own run in the state, and
// neither another run nor another pipeline.
func TestARecordThatCannotBeWrittenHoldsNoOtherBack(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, func(cfg *Config) {
		open := cfg.Records
		cfg.Records = func(ctx context.Context) (storage.Bucket, error) {
			b, err := open(ctx)
			return refusing{b, "-flights-1-1-"}, err
		}
	})
	client := c.client()
	id := c.apply(client, "flights", 1).RunId
	for range state.MaxRuns + 2 {
		if _, err := client.CancelRun(c.ctx(), &apiv1.CancelRunRequest{RunId: id}); err != nil {
			t.Fatal(err)
		}
		started, err := client.StartRun(c.ctx(), &apiv1.StartRunRequest{Pipeline: "flights"})
		if err != nil {
			t.Fatal(err)
		}
		id = started.RunId
	}
	c.eventually("the others are moved", func() bool { return c.inState() == state.MaxRuns+1 })
	c.nodes[c.leader()].replica.view(func(s *state.State) {
		if s.Run("flights-1-1") == nil || s.Run("flights-1-2") != nil {
			t.Error("the run without a record is gone, or the one after it is not")
		}
	})
}
