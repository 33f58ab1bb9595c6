package coordinator

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/thalweg/thalweg/coordinator/api"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/state"
	"github.com/thalweg/thalweg/integration/effort"
)

// crowdPerClient is how many robots share connections: fewer than a connection has streams.
const crowdPerClient = 100

// Many workers take part in a run over many shards, each task of which is done once, and the
// work is spread. `make crowd` plays it with ten thousand of them and a million shards, and
// prints what the coordinator and the robots, which share a process, took.
func TestACrowdOfWorkers(t *testing.T) {
	workers, shards := int(effort.Seeds(64, 10_000)), int64(effort.Seeds(1_000, 1_000_000))
	maps := min(int(shards)/4, state.MaxTasks)
	c := newCluster(t, 1, func(cfg *Config) { cfg.LeaseTTL = 15 * time.Second })
	client := c.client()
	var robots []*robot
	var shared *api.Client
	for i := range workers {
		r := &robot{id: fmt.Sprintf("w%05d", i), hold: func(*apiv1.Lease) bool { return false }, shards: shards, maps: maps, done: make(map[string]int)}
		if i%crowdPerClient == 0 {
			shared = c.client()
		}
		r.client = shared
		robots = append(robots, r)
	}
	began, before := time.Now(), processor(t)
	lap := func(what string) {
		t.Logf("%s: %.1f s, %.1f CPU-s, %d commits", what, time.Since(began).Seconds(), processor(t)-before, c.nodes["n1"].node.AppliedIndex())
		began, before = time.Now(), processor(t)
	}
	c.employ(robots...)
	lead := c.nodes[c.leader()].leading()
	c.eventually("all are known", func() bool { alive, _ := lead.liveness.Alive(time.Now()); return alive == workers })
	lap(fmt.Sprintf("%d workers come", workers))
	if effort.Full() {
		c.eventually("they have idled for a while", func() bool { return time.Since(began) > 20*time.Second })
		lap("they idle")
	}
	applied := c.apply(client, "flights", 1)
	run := awaitSlowly(t, client, applied.RunId)
	lap(fmt.Sprintf("a run over %d shards", shards))
	if run.State != "succeeded" {
		t.Fatalf("the run ended: %v", run)
	}
	done, idle := make(map[string]int), 0
	for _, r := range robots {
		r.mu.Lock()
		for task, n := range r.done {
			done[task] += n
		}
		if len(r.done) == 0 {
			idle++
		}
		r.mu.Unlock()
	}
	for task, n := range done {
		if n != 1 {
			t.Errorf("%s was done %d times", task, n)
		}
	}
	if tasks := 3*maps + 6; len(done) < tasks || idle > workers/10 {
		t.Errorf("%d tasks done, want %d; %d of %d workers did nothing", len(done), tasks, idle, workers)
	}
}

// awaitSlowly waits until a run has ended, and asks so rarely that asking costs nothing.
func awaitSlowly(t *testing.T, client *api.Client, id string) *apiv1.Run {
	t.Helper()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		res, err := client.ListRuns(t.Context(), &apiv1.ListRunsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if r := res.Runs[0]; r.Id == id && r.State != "running" {
			return r
		}
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}
}

// processor returns how long this process has used processors, in seconds.
func processor(t *testing.T) float64 {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano()).Seconds()
}
