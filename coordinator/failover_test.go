package coordinator

import (
	"bytes"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/thalweg/thalweg/coordinator/api"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/view"
	"github.com/thalweg/thalweg/pipeline"
)

// trainingUntil is for robots that go on with trainings until a channel is closed.
func trainingUntil(closed <-chan struct{}) func(*apiv1.Lease) bool {
	return func(l *apiv1.Lease) bool {
		select {
		case <-closed:
			return false
		default:
			return l.Kind == "train"
		}
	}
}

func TestLeaderStopsMidRun(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, nil)
	client := c.client()
	applied := c.apply(client, "flights", 1)
	hold := make(chan struct{})
	busy := trainingUntil(hold)
	w1, w2 := newRobot(c, "w1", busy), newRobot(c, "w2", busy)
	c.employ(w1, w2)
	trains := func(r *robot) bool { l := r.leases(); return len(l) == 1 && l[0].Kind == "train" }
	c.eventually("both workers train", func() bool { return trains(w1) && trains(w2) })
	before := map[string]uint64{}
	for _, l := range append(w1.leases(), w2.leases()...) {
		before[l.TaskId] = l.Token
	}

	first := c.leader()
	c.stop(first)
	second := c.leader()
	// What was acknowledged is there, progress is reported anew, and the workers keep
	// their leases under the new leader.
	c.eventually("the new leader hears of the replicas", func() bool {
		resp, err := client.GetRun(c.ctx(), &apiv1.GetRunRequest{RunId: applied.RunId})
		if err != nil {
			t.Fatal(err)
		}
		train := resp.Run.Stages[3]
		return resp.Run.Stage == "train" && train.RowsDone == 10 && train.RowsTotal == 20 && train.Message == "busy"
	})
	for _, l := range append(w1.leases(), w2.leases()...) {
		if before[l.TaskId] != l.Token {
			t.Errorf("%s has token %d, had %d", l.TaskId, l.Token, before[l.TaskId])
		}
		if len(l.Peers) != 2 || l.Peers[0].Address == "" {
			t.Errorf("%s has peers %v", l.TaskId, l.Peers)
		}
	}
	c.start(first, [2]net.Listener{})
	c.stop(second)
	close(hold)
	if run := c.awaitRun(client, applied.RunId); run.State != "succeeded" {
		t.Errorf("the run ended: %v", run)
	}
	for _, r := range []*robot{w1, w2} {
		for task, n := range r.done {
			if n > 2 { // a report may be repeated when a leader goes while it is answered
				t.Errorf("%s did %s %d times", r.id, task, n)
			}
		}
	}
}

// TestNobodyWaitsForALeaderThatWasReplaced: a request that was passed on to a leader which
// never answers, as one that is cut off, is answered once there is another.
func TestNobodyWaitsForALeaderThatWasReplaced(t *testing.T) {
	t.Parallel()
	asked, release := make(chan string, 1), make(chan struct{})
	var first atomic.Bool
	c := newCluster(t, 3, func(cfg *Config) {
		id := cfg.ID
		cfg.Stages = func(spec *pipeline.Spec, verb string, arguments map[string]string) ([]stages.Plan, error) {
			if first.CompareAndSwap(false, true) {
				asked <- id
				<-release
			}
			return specStages(spec, verb, arguments)
		}
	})
	t.Cleanup(func() { close(release) })
	follower := c.follower()
	done := make(chan error, 1)
	at := slices.IndexFunc(c.peers, func(p Peer) bool { return p.ID == follower })
	client, err := api.NewClient(api.Config{Addresses: []string{c.peers[at].API}, AttemptTimeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	go func() {
		_, err := client.Apply(c.ctx(), &apiv1.ApplyRequest{Spec: specText("flights", 1)})
		done <- err
	}()
	for leader := <-asked; c.leader() == leader; pause(c.ctx(), 50*time.Millisecond) {
		c.nodes[leader].node.StepDown()
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestStateIsKeptOverARestartOfAll(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, func(cfg *Config) { cfg.Raft.TrailingLogs = 1 })
	client := c.client()
	applied := c.apply(client, "flights", 1)
	dismiss := c.employ(newRobot(c, "w1", nil))
	c.awaitRun(client, applied.RunId)
	dismiss()
	// One node starts from a snapshot and the rest of the log, the others from
	// their whole logs.
	if err := c.nodes["n1"].node.Snapshot(); err != nil {
		t.Fatal(err)
	}
	started, err := client.StartRun(c.ctx(), &apiv1.StartRunRequest{RequestId: "before", Pipeline: "flights"})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range c.peers {
		c.stop(p.ID)
	}
	// Ports may change; nodes find each other by their IDs.
	listeners := make(map[string][2]net.Listener)
	for i, p := range c.peers {
		c.peers[i], listeners[p.ID] = newPeer(t, p.ID)
	}
	for _, p := range c.peers {
		c.start(p.ID, listeners[p.ID])
	}
	client = c.client()
	again, err := client.StartRun(c.ctx(), &apiv1.StartRunRequest{RequestId: "before", Pipeline: "flights"})
	if err != nil || again.RunId != started.RunId {
		t.Errorf("the request was answered %v before and %v, %v after", started, again, err)
	}
	c.employ(newRobot(c, "w1", nil))
	if run := c.awaitRun(client, started.RunId); run.State != "succeeded" || run.ModelVersion != 2 {
		t.Errorf("the run ended: %v", run)
	}
	c.sameState()
}

// sameState waits until all nodes have applied the same index and compares
// their snapshots byte by byte.
func (c *cluster) sameState() {
	c.t.Helper()
	c.eventually("all nodes hold the same bytes", func() bool {
		var first []byte
		for _, r := range c.nodes {
			data, err := r.replica.Snapshot()
			if err != nil {
				c.t.Fatal(err)
			}
			if first == nil {
				first = data
			}
			if !bytes.Equal(first, data) {
				return false
			}
		}
		return true
	})
}

func TestNodeThatWasAwayCatchesUpFromASnapshot(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, func(cfg *Config) { cfg.Raft.TrailingLogs = 1 })
	client := c.client()
	away := c.follower()
	c.stop(away)
	applied := c.apply(client, "flights", 1)
	dismiss := c.employ(newRobot(c, "w1", nil))
	c.awaitRun(client, applied.RunId)
	dismiss()
	for _, r := range c.nodes {
		if err := r.node.Snapshot(); err != nil {
			t.Fatal(err)
		}
	}
	c.apply(client, "flights", 2)
	c.start(away, [2]net.Listener{})
	c.sameState()
}

func TestWithoutAMajorityNothingIsAcknowledged(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, func(cfg *Config) { cfg.LeaderWait = 300 * time.Millisecond })
	client := c.client()
	c.apply(client, "flights", 1)
	stay := c.leader()
	for _, p := range c.peers {
		if p.ID != stay {
			c.stop(p.ID)
		}
	}
	impatient := c.client(stay)
	resp, err := impatient.Status(c.ctx(), &apiv1.StatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	unreachable := 0
	for _, n := range resp.Nodes {
		if n.State == view.NodeUnreachable {
			unreachable++
		}
	}
	if unreachable != 2 {
		t.Errorf("nodes: %v", resp.Nodes)
	}
	// It says that what it tells may be old, and tells what it knows.
	if resp.Node != stay || resp.AgeMs == 0 || len(resp.Pipelines) != 1 || len(resp.ActiveRuns) != 1 || len(resp.Attention) != 3 || len(resp.Workers) != 0 {
		t.Errorf("a node that nobody leads tells: %v", resp)
	}
	once, cancel := timeout(2 * time.Second)
	defer cancel()
	if _, err := impatient.StartRun(once, &apiv1.StartRunRequest{Pipeline: "flights"}); err == nil {
		t.Error("a command was acknowledged without a majority")
	}
	if _, err := impatient.GetPipeline(once, &apiv1.GetPipelineRequest{Name: "flights"}); err == nil {
		t.Error("a read was answered without a majority")
	}
}
