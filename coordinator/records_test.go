package coordinator

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/state"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/checkpoint"
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
	bucket, err := c.records(c.ctx())
	if err != nil {
		t.Fatal(err)
	}
	write := func(cluster string, change func(*state.Run)) (key string) {
		t.Helper()
		c.nodes[c.leader()].replica.view(func(s *state.State) {
			runs := s.RunsByPipeline()["flights"]
			r := *runs[len(runs)-1]
			change(&r)
			body, err := state.EncodeRun(&r)
			if err != nil {
				t.Fatal(err)
			}
			ref, err := checkpoint.PutObject(c.ctx(), bucket, recordKey(cluster, &r), body)
			if err != nil {
				t.Fatal(err)
			}
			key = ref.Key
		})
		return key
	}
	write("lost", func(*state.Run) {})
	// A cluster that began anew with the bucket of another sees none of its records.
	write("another", func(r *state.Run) { r.ID = "flights-7-1" })
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
	_, err = client.CancelRun(c.ctx(), &apiv1.CancelRunRequest{RunId: "flights-1-1"})
	if err != nil {
		t.Errorf("a canceled run is canceled again: %v", err)
	}
	for _, id := range []string{"flights-7-1", "flights-1-999", "flight", "flights-x-1", "nobody-1-1"} {
		_, err = client.GetRun(c.ctx(), &apiv1.GetRunRequest{RunId: id})
		wantKind(t, id, err, thalweg.NotFound)
		_, err = client.CancelRun(c.ctx(), &apiv1.CancelRunRequest{RunId: id})
		wantKind(t, "cancel "+id, err, thalweg.NotFound)
	}
	for _, token := range []string{"x", "0", "-1"} {
		_, err = client.ListRuns(c.ctx(), &apiv1.ListRunsRequest{PageToken: token})
		wantKind(t, "a token of nobody's", err, thalweg.Invalid)
	}
	var cluster string
	c.nodes[c.leader()].replica.view(func(s *state.State) { cluster = s.Cluster() })

	// A damaged record is shown as such, and is no other's.
	damaged, err := c.nodes[c.leader()].findRecord(c.ctx(), "flights-1-2")
	if err != nil {
		t.Fatal(err)
	}
	records, damagedKey := 0, ""
	for info, err := range bucket.List(c.ctx(), recordsOf(cluster, "flights"), "") {
		if err != nil {
			t.Fatal(err)
		}
		if records++; strings.Contains(info.Key, "flights-1-2-") {
			damagedKey = info.Key
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

	// An intact one that another build wrote takes its place, wherever it sorts.
	for i := 0; ; i++ {
		damaged.Error = fmt.Sprint("another form ", i)
		key := write(cluster, func(r *state.Run) { *r = *damaged })
		if key > damagedKey {
			break
		}
		if err := bucket.Delete(c.ctx(), key); err != nil {
			t.Fatal(err)
		}
	}
	got, err = client.GetRun(c.ctx(), &apiv1.GetRunRequest{RunId: "flights-1-2"})
	if err != nil || got.Run.State != "canceled" {
		t.Errorf("an intact record behind a damaged one: %v, %v", got, err)
	}
	if got := list("flights", 7); !slices.Equal(got, ids[:len(ids)-1]) {
		t.Errorf("listed with two records of a run: %q", got)
	}
	// Without a store, those in the state are listed all the same.
	c.noStore.Store(true)
	if resp, err := client.ListRuns(c.ctx(), &apiv1.ListRunsRequest{PageSize: 1000}); err != nil || len(resp.Runs) != state.MaxRuns+1 || resp.NextPageToken == "" {
		t.Errorf("without a store: %d runs, %v", len(resp.GetRuns()), err)
	}
}

// A run's place in the list is when it started: one that becomes a record between
// two pages is on neither of them twice, and none is left out.
func TestARunThatBecomesARecordKeepsItsPlaceInTheList(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, nil)
	client := c.client()
	var ids []string
	start := func(pipeline string, n int) {
		t.Helper()
		for range n {
			started, err := client.StartRun(c.ctx(), &apiv1.StartRunRequest{Pipeline: pipeline})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := client.CancelRun(c.ctx(), &apiv1.CancelRunRequest{RunId: started.RunId}); err != nil {
				t.Fatal(err)
			}
			ids = append(ids, started.RunId)
		}
	}
	for _, pipeline := range []string{"other", "flights"} {
		ids = append(ids, c.apply(client, pipeline, 1).RunId)
		if _, err := client.CancelRun(c.ctx(), &apiv1.CancelRunRequest{RunId: ids[len(ids)-1]}); err != nil {
			t.Fatal(err)
		}
	}
	start("flights", 30)
	start("other", 10)
	start("flights", 80)
	c.eventually("the surplus is moved", func() bool { return c.inState() == state.MaxRuns+11 })
	want := slices.Clone(ids)
	slices.Reverse(want)
	var got []string
	req := &apiv1.ListRunsRequest{PageSize: 70}
	for {
		resp, err := client.ListRuns(c.ctx(), req)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range resp.Runs {
			got = append(got, r.Id)
		}
		if req.PageToken = resp.NextPageToken; req.PageToken == "" {
			break
		}
		start("flights", 45) // and runs of the page before become records
		c.eventually("the surplus is moved", func() bool { return c.inState() == state.MaxRuns+11 })
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d runs, want %d: %q", len(got), len(want), got)
	}
}

// A run that has ended cannot be canceled, in the state or as a record.
func TestARecordOfARunThatEndedIsNotCanceled(t *testing.T) {
	t.Parallel()
	// Nobody polls for the leases that the test grants: they must not end by
	// themselves, and a task whose leases ended often is not granted again.
	c := newCluster(t, 1, func(cfg *Config) { cfg.LeaseTTL = time.Hour })
	client := c.client()
	id := c.apply(client, "flights", 1).RunId
	leader := c.nodes[c.leader()]
	for n := range state.MaxRuns + 1 {
		if n > 0 {
			started, err := client.StartRun(c.ctx(), &apiv1.StartRunRequest{Pipeline: "flights"})
			if err != nil {
				t.Fatal(err)
			}
			id = started.RunId
		}
		task := thalweg.TaskID(id + "/profile.reduce")
		if _, err := leader.propose(&state.GrantLeases{Worker: "w", Incarnation: "1", Grants: []state.Lease{{Task: task}}}); err != nil {
			t.Fatal(err)
		}
		report := &state.ReportTask{Task: task, Failure: &state.ReportFailure{Error: "x", Permanent: true}}
		leader.replica.view(func(s *state.State) { report.Token = s.Task(task).Token })
		if answer, err := leader.propose(report); err != nil || answer.Fenced {
			t.Fatalf("report of %s: fenced %v, %v", task, answer.Fenced, err)
		}
	}
	if err := leader.moveSurplus(c.ctx()); err != nil || c.inState() != state.MaxRuns {
		t.Fatalf("%d runs are left in the state: %v", c.inState(), err)
	}
	for _, id := range []string{"flights-1-1", id} { // a record, and one in the state
		_, err := client.CancelRun(c.ctx(), &apiv1.CancelRunRequest{RunId: id})
		wantKind(t, "cancel "+id, err, thalweg.Conflict)
		if err == nil || !strings.Contains(err.Error(), "it has ended: failed") {
			t.Errorf("cancel %s: %v", id, err)
		}
	}
}

// A pipeline's name stands for its latest run, and a name that is none of either is
// answered with the nearest.
func TestAPipelineStandsForItsLatestRun(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, nil)
	client := c.client()
	c.apply(client, "flights", 1)
	c.apply(client, "flights-1", 1)
	if _, err := client.CancelRun(c.ctx(), &apiv1.CancelRunRequest{RunId: "flights-1-1"}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.StartRun(c.ctx(), &apiv1.StartRunRequest{Pipeline: "flights"}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"flights": "flights-1-2", "flights-1-1": "flights-1-1", "flights-1": "flights-1-1-1"} {
		if got, err := client.GetRun(c.ctx(), &apiv1.GetRunRequest{RunId: name}); err != nil || got.Run.Id != want {
			t.Errorf("%s is run %v (%v), want %s", name, got.GetRun().GetId(), err, want)
		}
	}
	for name, hint := range map[string]string{"fligths": "did you mean flights?", "flights-1-1-7": "did you mean flights-1-1-1?", "taxis": "`thalweg runs` lists those there are"} {
		_, shown := client.GetRun(c.ctx(), &apiv1.GetRunRequest{RunId: name})
		_, canceled := client.CancelRun(c.ctx(), &apiv1.CancelRunRequest{RunId: name})
		for verb, err := range map[string]error{"show": shown, "cancel": canceled} {
			if wantKind(t, verb+" "+name, err, thalweg.NotFound); err == nil || !strings.Contains(err.Error(), hint) {
				t.Errorf("%s %s: %v, want %q", verb, name, err, hint)
			}
		}
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
	c.canceledRuns(client, state.MaxRuns+2)
	c.eventually("the others are moved", func() bool { return c.inState() == state.MaxRuns+1 })
	c.nodes[c.leader()].replica.view(func(s *state.State) {
		if s.Run("flights-1-1") == nil || s.Run("flights-1-2") != nil {
			t.Error("the run without a record is gone, or the one after it is not")
		}
	})
}

// mute is a bucket that does not answer a call while it has one.
type mute struct {
	storage.Bucket
	call *atomic.Pointer[string]
}

func (b mute) answer(ctx context.Context, call string) error {
	if silent := b.call.Load(); silent == nil || *silent != call {
		return nil
	}
	<-ctx.Done()
	return &thalweg.Error{Op: call, Kind: thalweg.Canceled, Err: ctx.Err()}
}

func (b mute) Get(ctx context.Context, key string) ([]byte, storage.Info, error) {
	if err := b.answer(ctx, "Get"); err != nil {
		return nil, storage.Info{}, err
	}
	return b.Bucket.Get(ctx, key)
}

func (b mute) List(ctx context.Context, prefix, after string) iter.Seq2[storage.Info, error] {
	if err := b.answer(ctx, "List"); err != nil {
		return func(yield func(storage.Info, error) bool) { yield(storage.Info{}, err) }
	}
	return b.Bucket.List(ctx, prefix, after)
}

// A state bucket that never answers holds up only what it is needed for, and that
// is told before a client gives the node up.
func TestAStateBucketThatNeverAnswersIsNamed(t *testing.T) {
	t.Parallel()
	var silent atomic.Pointer[string]
	c := newCluster(t, 1, func(cfg *Config) {
		cfg.RecordsTimeout = time.Second
		open := cfg.Records
		cfg.Records = func(ctx context.Context) (storage.Bucket, error) {
			b, err := open(ctx)
			m := mute{b, &silent}
			return m, errors.Join(err, m.answer(ctx, "open"))
		}
	})
	client := c.client()
	c.canceledRuns(client, state.MaxRuns+1)
	c.eventually("the surplus is moved", func() bool { return c.inState() == state.MaxRuns })
	last, err := client.ListRuns(c.ctx(), &apiv1.ListRunsRequest{PageSize: state.MaxRuns})
	if err != nil {
		t.Fatal(err)
	}
	for _, call := range []string{"open", "List", "Get"} {
		silent.Store(&call)
		var group sync.WaitGroup
		for what, ask := range map[string]func(context.Context) error{
			"GetRun": func(ctx context.Context) error {
				_, err := client.GetRun(ctx, &apiv1.GetRunRequest{RunId: "flights-1-1"})
				return err
			},
			"CancelRun": func(ctx context.Context) error {
				_, err := client.CancelRun(ctx, &apiv1.CancelRunRequest{RunId: "flights-1-1"})
				return err
			},
			"ListRuns": func(ctx context.Context) error {
				page, err := client.ListRuns(ctx, &apiv1.ListRunsRequest{PageToken: last.NextPageToken})
				if err == nil && len(page.Runs) > 0 && page.Runs[0].State == stateUnreadable {
					err = errors.New(page.Runs[0].Error)
				}
				return err
			},
		} {
			group.Go(func() {
				began := time.Now()
				err := ask(c.ctx())
				took := time.Since(began)
				if took > 9*time.Second {
					t.Errorf("%s, no answer to %s: %v", what, call, took)
				}
				cancels := what == "CancelRun" // only asks whether there is a record
				if err == nil || !cancels && !strings.Contains(err.Error(), "did not answer") {
					t.Errorf("%s, no answer to %s: %v", what, call, err)
				}
			})
		}
		if _, err := client.Status(c.ctx(), &apiv1.StatusRequest{}); err != nil {
			t.Errorf("no answer to %s: %v", call, err)
		}
		group.Wait()
	}
}

// canceledRuns starts and cancels so many runs; one more is under way.
func (c *cluster) canceledRuns(client *api.Client, n int) {
	c.t.Helper()
	id := c.apply(client, "flights", 1).RunId
	for range n {
		if _, err := client.CancelRun(c.ctx(), &apiv1.CancelRunRequest{RunId: id}); err != nil {
			c.t.Fatal(err)
		}
		started, err := client.StartRun(c.ctx(), &apiv1.StartRunRequest{Pipeline: "flights"})
		if err != nil {
			c.t.Fatal(err)
		}
		id = started.RunId
	}
}
