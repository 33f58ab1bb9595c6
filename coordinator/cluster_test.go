package coordinator

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/auth"
	"github.com/thalweg/thalweg/coordinator/raftnode"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/retry"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/memory"
)

// TestMain looks for goroutines that are left, but for those that wait for raft, which
// answers none of what was on its way into it when it ended.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/hashicorp/raft.(*deferError).Error"))
}

// patience bounds every wait of the tests; they are done long before unless
// something is broken.
const patience = 30 * time.Second

// cluster is several coordinators in one process, over loopback, with their logs
// in a directory.
type cluster struct {
	store   *memory.Opener
	noStore atomic.Bool // the store does not answer
	t       *testing.T
	dir     string
	peers   []Peer
	tune    func(*Config)
	log     *slog.Logger // nil: none
	nodes   map[string]*running
	token   string // of its clients
}

// running is a node and its run.
type running struct {
	*Coordinator
	stop context.CancelFunc
	done chan error
}

func newCluster(t *testing.T, size int, tune func(*Config)) *cluster {
	return newClusterWithLog(t, size, tune, nil)
}

// newClusterWithLog is newCluster, with a log of all nodes.
func newClusterWithLog(t *testing.T, size int, tune func(*Config), log *slog.Logger) *cluster {
	c := &cluster{store: memory.NewOpener("thalweg"), t: t, dir: t.TempDir(), tune: tune, log: log, nodes: make(map[string]*running)}
	listeners := make(map[string][2]net.Listener)
	for i := range size {
		p, l := newPeer(t, fmt.Sprintf("n%d", i+1))
		c.peers, listeners[p.ID] = append(c.peers, p), l
	}
	for _, p := range c.peers {
		c.start(p.ID, listeners[p.ID])
	}
	t.Cleanup(func() {
		for _, p := range c.peers {
			if c.nodes[p.ID] != nil {
				c.stop(p.ID)
			}
		}
	})
	return c
}

// newPeer opens listeners on free ports for a node.
// records opens the state bucket.
func (c *cluster) records(ctx context.Context) (storage.Bucket, error) {
	if c.noStore.Load() {
		return nil, &thalweg.Error{Op: "open bucket", Kind: thalweg.Unavailable}
	}
	return c.store.Bucket(ctx, "thalweg")
}

func newPeer(t *testing.T, id string) (Peer, [2]net.Listener) {
	t.Helper()
	var l [2]net.Listener
	for i := range l {
		var err error
		if l[i], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	return Peer{ID: id, API: l[0].Addr().String(), Raft: l[1].Addr().String()}, l
}

// start runs a node; without listeners it opens its own.
func (c *cluster) start(id string, l [2]net.Listener) {
	c.t.Helper()
	election := 200 * time.Millisecond
	if len(c.peers) == 1 {
		election = 20 * time.Millisecond // nobody else can ask for one
	}
	cfg := Config{SpecCatalog: catalog.All(), ID: id, Stages: specStages, Records: c.records, Peers: c.peers, Dir: filepath.Join(c.dir, id), APIListener: l[0], RaftListener: l[1],
		Raft:     raftnode.Timing{ElectionTimeout: election},
		LeaseTTL: 600 * time.Millisecond}
	if c.tune != nil {
		c.tune(&cfg)
	}
	c.nodes[id] = runNode(c.t, cmp.Or(c.log, slog.New(slog.DiscardHandler)), cfg)
}

// runNode runs a node and waits until it serves.
func runNode(t *testing.T, log *slog.Logger, cfg Config) *running {
	t.Helper()
	node, err := New(log, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Coordinator: node, stop: cancel, done: make(chan error, 1)}
	go func() { r.done <- node.Run(ctx) }()
	select {
	case <-node.Serving():
	case err := <-r.done:
		t.Fatal(err)
	}
	return r
}

func (c *cluster) stop(id string) {
	c.t.Helper()
	r := c.nodes[id]
	delete(c.nodes, id)
	r.stop()
	if err := <-r.done; err != nil {
		c.t.Errorf("node %s: %v", id, err)
	}
}

// client returns a client of the given nodes, or of all.
func (c *cluster) client(ids ...string) *api.Client {
	c.t.Helper()
	var addresses []string
	for _, p := range c.peers {
		if len(ids) == 0 {
			addresses = append(addresses, p.API)
		}
		for _, id := range ids {
			if p.ID == id {
				addresses = append(addresses, p.API)
			}
		}
	}
	client, err := api.NewClient(api.Config{Addresses: addresses, Token: c.token, Attempts: 100, Waits: retry.Backoff{Min: 25 * time.Millisecond, Max: 100 * time.Millisecond}})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(client.Close)
	return client
}

// with returns a client with another token.
func (c *cluster) with(token string, ids ...string) *api.Client {
	c.t.Helper()
	defer func(before string) { c.token = before }(c.token)
	c.token = token
	return c.client(ids...)
}

// as makes a token, and returns a client with it.
func (c *cluster) as(name, role string, pipelines ...string) *api.Client {
	c.t.Helper()
	secret := auth.NewSecret()
	if _, err := c.client().CreateToken(c.ctx(), &apiv1.CreateTokenRequest{Name: name, Sha256: auth.Hash(secret), Role: role, Pipelines: pipelines}); err != nil {
		c.t.Fatal(err)
	}
	return c.with(secret)
}

// leader waits for a node that answers as the leader and returns its ID.
func (c *cluster) leader() string {
	c.t.Helper()
	var id string
	c.eventually("a node leads", func() bool {
		for _, r := range c.nodes {
			if r.leading() != nil {
				id = r.cfg.ID
				return true
			}
		}
		return false
	})
	return id
}

func (c *cluster) follower() string {
	c.t.Helper()
	leader := c.leader()
	for id := range c.nodes {
		if id != leader {
			return id
		}
	}
	c.t.Fatal("no follower")
	return ""
}

// eventually waits until what holds does.
func (c *cluster) eventually(what string, holds func() bool) {
	c.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for !holds() {
		select {
		case <-tick.C:
		case <-limit:
			c.t.Fatalf("it did not come to pass that %s", what)
		}
	}
}

func (c *cluster) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	c.t.Cleanup(cancel)
	return ctx
}

// specText returns a spec with the given seed.
func specText(name string, seed int) string {
	return fmt.Sprintf(`apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: %s}
spec:
  sources:
    train:  {s3: {path: "s3://lake/flights/*.parquet"}, format: {type: parquet}}
    events: {kafka: {topic: flights}, format: {type: json}}
  input_features:
    - {name: distance, type: number}
  output_features:
    - {name: delayed, type: binary, expression: "delay > 15"}
  trainer: {seed: %d, distributed: {replicas: 2}}
  scoring:
    source: events
    sink: {s3: {path: "s3://lake/scored/%s/"}, format: {type: parquet}}
`, name, seed, name)
}

// specStages plans a run of a spec as workers do.
func specStages(spec *pipeline.Spec, verb string, _ map[string]string) ([]stages.Plan, error) {
	if verb == stages.PurgeVerb {
		return []stages.Plan{{Name: "purge", Over: stages.OverTasks, Reducers: 1}}, nil
	}
	return []stages.Plan{
		{Name: "profile", Over: stages.OverTasks, Reducers: 1, Outputs: []string{"manifest"}},
		{Name: "clean", Over: stages.OverShards, Reducers: 1, Outputs: []string{"split"}},
		{Name: "fit", Over: stages.OverShards, Reducers: 1, Outputs: []string{"transform"}},
		{Name: "train", Over: stages.OverReplicas, Number: uint32(spec.Spec.Trainer.Distributed.Replicas), Outputs: []string{"checkpoint"}},
		{Name: "evaluate", Over: stages.OverShards, Reducers: 1, Outputs: []string{"evaluation"}},
		{Name: "register", Over: stages.OverNothing},
	}, nil
}

// robot is a worker that does what it is told at once: its tasks are done when
// it sees them, unless hold says to keep them.
type robot struct {
	id     string
	client *api.Client
	hold   func(*apiv1.Lease) bool
	// shards is how many it finds in any training data, and maps how many tasks these are; 0: three.
	shards int64
	maps   int
	// objects are those that it finds of any training data; nil: none are told.
	objects func() string
	says    func(*apiv1.Lease, *apiv1.StreamPartition) // changes what it says of a partition; nil: nothing

	mu   sync.Mutex
	done map[string]int // times that a task was reported as done, by task and token
	last *apiv1.PollResponse
	told int // answers so far
}

func newRobot(c *cluster, id string, hold func(*apiv1.Lease) bool) *robot {
	if hold == nil {
		hold = func(*apiv1.Lease) bool { return false }
	}
	return &robot{id: id, client: c.client(), hold: hold, done: make(map[string]int)}
}

// run polls until ctx ends.
func (r *robot) run(ctx context.Context) error {
	req := &apiv1.PollRequest{WorkerId: r.id, Incarnation: "i-" + r.id, ExchangeAddress: r.id + ":9", Slots: 2, WaitMs: 10_000}
	for {
		resp, err := r.client.Poll(ctx, req)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		known := req.KnownLeases
		req.KnownLeases, req.Reports, req.Streams, req.Progress, req.Looked = resp.LeasesHash, nil, nil, nil, nil
		for _, look := range resp.Looks {
			req.Looked = append(req.Looked, &apiv1.Looked{Pipeline: look.Pipeline, Generation: look.Generation, Objects: r.objects()})
		}
		r.mu.Lock()
		if known == resp.LeasesHash {
			if len(resp.Leases) > 0 {
				r.mu.Unlock()
				return fmt.Errorf("%d leases were sent again", len(resp.Leases))
			}
			resp.Leases = r.last.Leases
		}
		r.last = resp
		r.told++
		for _, l := range resp.Leases {
			switch {
			case l.Drain && !r.hold(l):
				r.done[l.TaskId+"#"+strconv.FormatUint(l.Token, 10)]++
				req.Reports = append(req.Reports, &apiv1.TaskReport{TaskId: l.TaskId, Token: l.Token})
			case l.Kind == "score":
				said := &apiv1.StreamPartition{Pipeline: l.Pipeline, Topic: "flights", Partition: int32(l.Index),
					State: "running", Committed: 7, Partitions: 3, Generation: l.Generation, Resumes: l.Resumes}
				if r.says != nil {
					r.says(l, said)
				}
				req.Streams = append(req.Streams, said)
			case r.hold(l):
				req.Progress = append(req.Progress, &apiv1.Progress{TaskId: l.TaskId, Token: l.Token, RowsDone: 5, RowsTotal: 10, Message: "busy"})
			default:
				r.done[l.TaskId+"#"+strconv.FormatUint(l.Token, 10)]++
				result := resultFor(l, cmp.Or(r.shards, 3), cmp.Or(r.maps, 3))
				if r.objects != nil && l.Kind == "profile" && result.Error == "" {
					result.Outputs[stages.ObjectsOutput] = r.objects()
				}
				req.Reports = append(req.Reports, result)
			}
		}
		r.mu.Unlock()
	}
}

// leases returns the leases that the robot saw last.
func (r *robot) leases() []*apiv1.Lease {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last.GetLeases()
}

// answers returns how often the robot's polls were answered.
func (r *robot) answers() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.told
}

// resultOf is what a well-behaved worker reports for a lease.
func resultOf(l *apiv1.Lease) *apiv1.TaskReport { return resultFor(l, 3, 3) }

// resultFor is resultOf for data of so many shards, which are so many tasks. It checks that
// the lease brought what the work needs.
func resultFor(l *apiv1.Lease, shards int64, maps int) *apiv1.TaskReport {
	ref := func(name string) string { return name + "#" + strings.Repeat("0", 64) }
	report := &apiv1.TaskReport{TaskId: l.TaskId, Token: l.Token, Outputs: map[string]string{}, Counts: map[string]int64{"rows": 100}}
	fail := func(format string, args ...any) *apiv1.TaskReport {
		report.Error, report.Permanent = fmt.Sprintf(format, args...), true
		return report
	}
	if !strings.Contains(l.Spec, "thalweg/v1") {
		return fail("no spec")
	}
	if l.SpecFile != l.Pipeline+".yaml" || !strings.Contains(l.SpecWritten, "thalweg/v1") {
		return fail("the spec as written is %q of %q", l.SpecWritten, l.SpecFile)
	}
	for i, name := range []string{"manifest", "split", "transform", "checkpoint"} {
		after := []string{"profile", "clean", "fit", "train"}[i]
		if later(l.Kind, after) && l.Inputs[name] != ref(name) {
			return fail("%s after %s: input %s is %q", l.Kind, after, name, l.Inputs[name])
		}
	}
	if l.Kind == "purge" {
		report.Counts = map[string]int64{"objects": int64(len(l.Arguments)), "bytes": 1000}
		return report
	}
	if l.Reduce && l.Kind != "profile" {
		if len(l.Partials) != maps {
			return fail("%d partials", len(l.Partials))
		}
		for i, p := range l.Partials {
			if p != ref(fmt.Sprintf("%s-%d", l.Kind, i)) {
				return fail("partial %d is %s", i, p)
			}
		}
	}
	switch {
	case l.Kind == "profile":
		report.Outputs["manifest"], report.Counts["shards"] = ref("manifest"), shards
	case l.Kind == "train":
		report.Outputs["checkpoint"], report.Outputs["model_sha256"] = ref("checkpoint"), "abc"
	case !l.Reduce:
		report.Partials = []string{ref(fmt.Sprintf("%s-%d", l.Kind, l.Index))}
	case l.Kind == "clean":
		report.Outputs["split"] = ref("split")
	case l.Kind == "fit":
		report.Outputs["transform"], report.Outputs["transform_hash"] = ref("transform"), "th"
	case l.Kind == "evaluate":
		report.Outputs["evaluation"], report.Metrics = ref("evaluation"), map[string]float64{"test.roc_auc": 0.65}
	}
	return report
}

func later(kind, than string) bool {
	order := map[string]int{"profile": 1, "clean": 2, "fit": 3, "train": 4, "evaluate": 5}
	return order[kind] > order[than]
}

// employ runs robots until the test ends or the returned function stops them.
func (c *cluster) employ(robots ...*robot) (dismiss func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	for _, r := range robots {
		group.Go(func() {
			if err := r.run(ctx); err != nil {
				c.t.Errorf("worker %s: %v", r.id, err)
			}
		})
	}
	dismiss = sync.OnceFunc(func() { cancel(); group.Wait() })
	c.t.Cleanup(dismiss)
	return dismiss
}

// awaitRun waits until a run has ended and returns it.
func (c *cluster) awaitRun(client *api.Client, id string) *apiv1.Run {
	c.t.Helper()
	var run *apiv1.Run
	c.eventually("run "+id+" ends", func() bool {
		resp, err := client.GetRun(c.ctx(), &apiv1.GetRunRequest{RunId: id})
		if err != nil {
			c.t.Fatal(err)
		}
		run = resp.Run
		return run.State != "running"
	})
	return run
}

func (c *cluster) apply(client *api.Client, name string, seed int) *apiv1.ApplyResponse {
	c.t.Helper()
	resp, err := client.Apply(c.ctx(), &apiv1.ApplyRequest{Spec: specText(name, seed), File: name + ".yaml"})
	if err != nil {
		c.t.Fatal(err)
	}
	return resp
}

func wantKind(t *testing.T, what string, err error, kind thalweg.Kind) {
	t.Helper()
	if !thalweg.Is(err, kind) {
		t.Errorf("%s: %v, want kind %v", what, err, kind)
	}
}

func timeout(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}
