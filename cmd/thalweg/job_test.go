package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/connections"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/connectors/kafka"
	"github.com/thalweg/thalweg/coordinator"
	"github.com/thalweg/thalweg/coordinator/api"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/auth"
	"github.com/thalweg/thalweg/coordinator/auth/pki"
	"github.com/thalweg/thalweg/coordinator/raftnode"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/s3"
	"github.com/thalweg/thalweg/worker"
	"github.com/thalweg/thalweg/worker/cluster"
	work "github.com/thalweg/thalweg/worker/jobs"
)

const (
	shuffleMaps     = 4
	shuffleReducers = 3
)

// shuffle is a job that counts words: its map tasks address the words of each
// letter to that letter's reducer, and the next stage's map tasks read one
// reducer's output each. reached is called at each step of a task.
func shuffle(reached func(step string)) worker.StageCatalog {
	size := func(stage *stages.Plan, _ *pipeline.Spec, arguments map[string]string) error {
		_, err := fmt.Sscan(arguments["maps"], &stage.Number)
		return err
	}
	step := func(t *worker.Task, at string) { reached(strings.SplitN(t.Lease.TaskId, "/", 2)[1] + " " + at) }
	all := worker.Stages()
	for i := range all[""] {
		s := &all[""][i]
		watched := func(do func(context.Context, *worker.Task) error) func(context.Context, *worker.Task) error {
			if do == nil {
				return nil
			}
			return func(ctx context.Context, t *worker.Task) error {
				step(t, "begins")
				defer step(t, "is done")
				return do(ctx, t)
			}
		}
		s.Map, s.Reduce = watched(s.Map), watched(s.Reduce)
	}
	all["count"] = []worker.Stage{
		{Plan: stages.Plan{Name: "deal", Over: stages.OverTasks, Reducers: shuffleReducers, Outputs: []string{"part"}}, Size: size,
			Map: func(ctx context.Context, t *worker.Task) error {
				step(t, "begins")
				parts := make([]map[string]int, t.Lease.Reducers)
				for i := range parts {
					parts[i] = make(map[string]int)
				}
				for i := range 100 {
					n := (int(t.Lease.Index) + 3) * i % 17
					parts[n%len(parts)][fmt.Sprint("word ", n)]++
				}
				for _, part := range parts {
					if err := t.SavePartial(ctx, part); err != nil {
						return err
					}
				}
				t.Report.Counts["dealt"] = 100
				step(t, "is done")
				return nil
			},
			Reduce: func(ctx context.Context, t *worker.Task) error {
				step(t, "begins")
				parts, err := worker.Partials[map[string]int](ctx, t)
				if err != nil {
					return err
				}
				if len(parts) != shuffleMaps {
					return fmt.Errorf("%d partials", len(parts))
				}
				sum := make(map[string]int)
				for _, part := range parts {
					for word, n := range part {
						sum[word] += n
					}
				}
				defer step(t, "is done")
				return t.Save(ctx, "part", sum)
			}},
		{Plan: stages.Plan{Name: "rank", Over: stages.OverTasks, Number: shuffleReducers, Reducers: 1, Outputs: []string{"ranking"}},
			Map: func(ctx context.Context, t *worker.Task) error {
				step(t, "begins")
				var words map[string]int
				if err := t.Input(ctx, fmt.Sprintf("part@%d", t.Lease.Index), &words); err != nil {
					return err
				}
				defer step(t, "is done")
				return t.SavePartial(ctx, words)
			},
			Reduce: func(ctx context.Context, t *worker.Task) error {
				parts, err := worker.Partials[map[string]int](ctx, t)
				if err != nil {
					return err
				}
				all := make(map[string]int)
				for i, part := range parts {
					for word, n := range part {
						if all[word] != 0 {
							return fmt.Errorf("%q was addressed to reducer %d and to one before", word, i)
						}
						all[word] = n
						t.Report.Counts["ranked"] += int64(n)
					}
				}
				return t.Save(ctx, "ranking", all)
			}},
	}
	return all
}

// severed is a way to the coordinators that can be cut, as when a process dies.
type severed struct {
	client *api.Client
	cut    context.Context
}

func (s severed) Poll(ctx context.Context, req *apiv1.PollRequest) (*apiv1.PollResponse, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.cut, cancel)()
	if s.cut.Err() != nil {
		return nil, &thalweg.Error{Op: "poll", Kind: thalweg.Unavailable, Err: errors.New("the process is dead")}
	}
	return s.client.Poll(ctx, req)
}

// jobCluster is a coordinator, and workers that die when they are told to.
type jobCluster struct {
	t       *testing.T
	store   *connections.Set
	client  *api.Client
	address string
	mu      sync.Mutex
	kills   map[string]bool // steps at which the worker that reaches one first dies
	killed  int
	workers sync.WaitGroup
	next    atomic.Int64
	jobs    func(ctx context.Context, t *worker.Task) error // nil: what workers do
	certs   string                                          // directory of certificates; empty: without TLS
	ctx     context.Context
}

// onDisk is a store in a directory, with a bucket for what is kept and one for data.
func onDisk(t *testing.T) *connections.Set {
	t.Helper()
	conns, err := connections.New("file://"+t.TempDir(), s3.Config{}, kafka.Config{}, "")
	if err != nil {
		t.Fatal(err)
	}
	opener, err := conns.Store("")
	for _, bucket := range []string{"thalweg", "lake"} {
		if err == nil {
			err = opener.CreateBucket(t.Context(), bucket)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conns.Close)
	return conns
}

func newJobCluster(t *testing.T) *jobCluster { return newJobClusterOf(t, shuffle(nil), "") }

// newJobClusterOf is newJobCluster with the stages of runs, and with certificates.
func newJobClusterOf(t *testing.T, runs worker.StageCatalog, certs string) *jobCluster {
	t.Helper()
	c := &jobCluster{t: t, kills: make(map[string]bool),
		store: onDisk(t), certs: certs}
	var cancel context.CancelFunc
	c.ctx, cancel = context.WithCancel(t.Context())
	peer, cfg := coordinator.Peer{ID: "c1"}, coordinator.Config{ID: "c1", Dir: t.TempDir(), LeaseTTL: 300 * time.Millisecond,
		Raft:        raftnode.Timing{ElectionTimeout: 200 * time.Millisecond},
		SpecCatalog: catalog.All(), Stages: runs.Plan, Records: func(ctx context.Context) (storage.Bucket, error) { return c.store.Bucket(ctx, "", "thalweg") }}
	for _, l := range []struct {
		to      *net.Listener
		address *string
	}{{&cfg.APIListener, &peer.API}, {&cfg.RaftListener, &peer.Raft}} {
		var err error
		if *l.to, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		*l.address = (*l.to).Addr().String()
	}
	cfg.Peers, c.address = []coordinator.Peer{peer}, peer.API
	if certs != "" {
		cfg.Credentials = c.credentials(pki.Coordinator, "c1")
		cfg.Auth = &auth.Config{Users: map[string]auth.Grant{"root": {Role: auth.Admin, Pipelines: auth.Scope{"*"}}}}
	}
	node, err := coordinator.New(slog.New(slog.DiscardHandler), cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.client = c.clientOf(pki.User, "root")
	done := make(chan error, 1)
	nodeCtx, stopNode := context.WithCancel(context.WithoutCancel(c.ctx))
	go func() { done <- node.Run(nodeCtx) }()
	t.Cleanup(func() {
		cancel()
		c.workers.Wait()
		stopNode()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return c
}

// credentials opens a certificate.
func (c *jobCluster) credentials(kind, id string) *pki.Credentials {
	c.t.Helper()
	creds, err := pki.OpenUser(slog.New(slog.DiscardHandler), filepath.Join(c.certs, kind+"-"+id))
	if err != nil {
		c.t.Fatal(err)
	}
	return creds
}

// clientOf returns a client that has a certificate, where there are any.
func (c *jobCluster) clientOf(kind, id string) *api.Client {
	c.t.Helper()
	cfg := api.Config{Addresses: []string{c.address}}
	if c.certs != "" {
		cfg.TLS = c.credentials(kind, id).Client(pki.Coordinator, "")
	}
	client, err := api.NewClient(cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(client.Close)
	return client
}

// work starts a worker. When it dies, another takes its place.
func (c *jobCluster) work(can worker.StageCatalog) {
	c.workers.Go(func() {
		for c.ctx.Err() == nil {
			if err := c.life(can); err != nil {
				c.t.Error(err)
				return
			}
		}
	})
}

// life is that of one worker. Those that can do all die when they are told to.
func (c *jobCluster) life(can worker.StageCatalog) error {
	ctx, die := context.WithCancel(c.ctx)
	defer die()
	cut, sever := context.WithCancel(context.Background())
	defer sever()
	reached := func(step string) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.kills[step] {
			delete(c.kills, step)
			c.killed++
			sever()
			die()
		}
	}
	if can == nil {
		can = shuffle(reached)
	}
	id, client := fmt.Sprint("w", c.next.Add(1)), c.client
	var creds *pki.Credentials
	if c.certs != "" {
		creds, client = c.credentials(pki.Worker, id), c.clientOf(pki.Worker, id)
	}
	do := c.jobs
	if do == nil {
		do = work.New(&cluster.Client{Client: client, Conns: c.store, StateBucket: "thalweg"}).Run
	}
	w, err := worker.New(ctx, severed{client, cut}, c.store, slog.New(slog.DiscardHandler), worker.Config{
		ID: thalweg.WorkerID(id), Credentials: creds, Dir: c.t.TempDir(), Slots: 1, DrainTimeout: time.Millisecond,
		SpecCatalog: catalog.All(), Stages: can, Jobs: func(ctx context.Context, t *worker.Task) error {
			reached("job begins")
			return do(ctx, t)
		}})
	if err != nil {
		return err
	}
	return w.Run(ctx)
}

// job runs a shuffle to its end.
func (c *jobCluster) job() *apiv1.Run {
	c.t.Helper()
	started, err := c.client.StartRun(c.ctx, &apiv1.StartRunRequest{Pipeline: "flights", Verb: "count", Arguments: map[string]string{"maps": fmt.Sprint(shuffleMaps)}})
	if err != nil {
		c.t.Fatal(err)
	}
	run, err := terminal.Follow(c.ctx, c.client, c.t.Output(), started.RunId)
	if err != nil {
		c.t.Fatal(err)
	}
	return run
}

// hashes are the contents of a run's outputs: their names have the run's.
func hashes(run *apiv1.Run) map[string]string {
	out := make(map[string]string)
	for name, ref := range run.Outputs {
		_, out[name], _ = strings.Cut(ref, "#")
	}
	return out
}

// A job is a run whose stages come from a verb. This one is a shuffle: what it
// leaves is the same whichever workers die on the way.
func TestAShuffleLeavesTheSameWhateverWorkersDie(t *testing.T) {
	t.Parallel()
	c := newJobCluster(t)
	spec := specOf("flights", delayedByDistance)
	applied, err := c.client.Apply(c.ctx, &apiv1.ApplyRequest{Spec: spec, File: "flights.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.client.StartRun(c.ctx, &apiv1.StartRunRequest{Pipeline: "flights", Verb: "polish"})
	if !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), `"count"`) {
		t.Errorf("an unknown verb: %v", err)
	}
	if _, err := c.client.CancelRun(c.ctx, &apiv1.CancelRunRequest{RunId: applied.RunId}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		c.work(nil)
	}
	quiet := c.job()
	if quiet.Verb != "count" || quiet.Counts["dealt"] != 100*shuffleMaps || quiet.Counts["ranked"] != 100*shuffleMaps || len(quiet.Outputs) != shuffleReducers+1 {
		t.Fatalf("the job left %v", quiet)
	}
	for _, s := range quiet.Stages {
		if want := map[string]uint32{"deal": shuffleMaps + shuffleReducers, "rank": shuffleReducers + 1}[s.Name]; s.State != "done" || s.TasksDone != want {
			t.Errorf("stage %v", s)
		}
	}
	for _, steps := range [][]string{
		{"deal@1 begins", "deal@2 is done"},
		{"deal.reduce@0 begins", "deal.reduce@2 is done", "rank@1 begins"},
		{"deal@0 is done", "deal.reduce@1 is done", "rank@2 is done"},
	} {
		c.mu.Lock()
		for _, s := range steps {
			c.kills[s] = true
		}
		c.killed = 0
		c.mu.Unlock()
		run := c.job()
		if !maps.Equal(hashes(run), hashes(quiet)) || !maps.Equal(run.Counts, quiet.Counts) {
			t.Errorf("with deaths at %q: %v %v, without %v %v", steps, hashes(run), run.Counts, hashes(quiet), quiet.Counts)
		}
		if c.killed != len(steps) {
			t.Errorf("%d workers died at %q", c.killed, steps)
		}
	}

	// A job is canceled like any run.
	started, err := c.client.StartRun(c.ctx, &apiv1.StartRunRequest{Pipeline: "flights", Verb: "count", Arguments: map[string]string{"maps": "4"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.client.CancelRun(c.ctx, &apiv1.CancelRunRequest{RunId: started.RunId}); err != nil && !thalweg.Is(err, thalweg.Conflict) {
		t.Error(err)
	}

	// The command line pages through runs and jobs alike.
	line := "runs --pipeline flights --limit 4 --coordinator " + c.address
	first, err := runLine(t, line)
	token, ok := strings.CutPrefix(first[strings.LastIndex(first, "there are more"):], "there are more: ")
	if err != nil || !ok || !strings.Contains(first, started.RunId+" ") || strings.Contains(first, applied.RunId+" ") {
		t.Fatalf("the first page: %s, %v", first, err)
	}
	rest, err := runLine(t, line+" "+token)
	if err != nil || !strings.Contains(rest, applied.RunId+" ") || strings.Contains(rest, started.RunId+" ") || strings.Contains(rest, "there are more") {
		t.Errorf("the last page: %s, %v", rest, err)
	}
}

// During an upgrade, a worker of the build before does not know a job's stages:
// its tasks are done by another.
func TestAJobThatOneWorkerDoesNotKnowIsDoneByAnother(t *testing.T) {
	c := newJobCluster(t)
	applied, err := c.client.Apply(c.ctx, &apiv1.ApplyRequest{Spec: specOf("flights", delayedByDistance), File: "flights.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.client.CancelRun(c.ctx, &apiv1.CancelRunRequest{RunId: applied.RunId}); err != nil {
		t.Fatal(err)
	}
	c.work(nil)
	c.work(worker.Stages())
	for both := false; !both; { // else the old one may fail a task twice, as the only one
		status, err := c.client.Status(c.ctx, &apiv1.StatusRequest{})
		if err != nil {
			t.Fatal(err)
		}
		both = len(status.Workers) == 2
	}
	for range 20 {
		for _, s := range c.job().Stages {
			for _, task := range s.Tasks {
				if strings.Contains(task.Error, "newer than this worker") {
					return
				}
			}
		}
	}
	t.Error("no task came to the old worker")
}
