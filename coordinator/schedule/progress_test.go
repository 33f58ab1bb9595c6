package schedule

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/state"
)

// TestClusterGetsOnWhateverHappened lets workers join, fall silent, restart and
// fail tasks, and leaders change, in random order. Whatever state that leaves,
// once workers behave again every run ends, every partition is held, and the
// load is even.
func TestClusterGetsOnWhateverHappened(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := newCluster(t)
		all := []thalweg.WorkerID{"w1", "w2", "w3", "w4"}
		c.spec("a", rapid.Uint32Range(1, 6).Draw(rt, "replicas"), "topic-a")
		c.spec("b", 2, "")
		restarts := 0
		for range rapid.IntRange(0, 60).Draw(rt, "events") {
			w := rapid.SampledFrom(all).Draw(rt, "worker")
			switch n := rapid.IntRange(0, 19).Draw(rt, "event"); {
			case n < 8:
				c.poll(rapid.IntRange(0, 3).Draw(rt, "slots"), w)
			case n < 11:
				c.pollTogether(rapid.IntRange(0, 3).Draw(rt, "slots"), rapid.Permutation(all).Draw(rt, "workers")[:3]...)
			case n < 15:
				c.finishOf(w)
			case n == 15: // a process is replaced by a new one
				restarts++
				c.liveness.Workers[w] = Worker{ID: w, Incarnation: fmt.Sprint("again ", restarts), Slots: 1, LastSeen: c.now}
				c.plan(w)
			case n == 16: // a leader is replaced by a new one
				c.liveness = Liveness{LeaderSince: c.now, LeaseTTL: c.liveness.LeaseTTL, Workers: make(map[thalweg.WorkerID]Worker)}
			case n == 17:
				for _, task := range c.s.HeldBy(w) {
					c.apply(&state.ReportTask{Task: task.ID, Token: task.Token, Failure: &state.ReportFailure{Error: "no"}})
					break
				}
			case n == 18:
				c.now = c.now.Add(c.liveness.LeaseTTL / 2)
				c.plan("")
			case n == 19:
				c.apply(&state.SetPartitions{Pipeline: "a", Topic: "topic-a", Partitions: rapid.Uint32Range(1, 7).Draw(rt, "partitions")})
			}
		}
		for _, p := range []thalweg.PipelineName{"a", "b"} {
			c.apply(&state.StartRun{Pipeline: p, Generation: 1, Stages: specPlan(2)}) // refused where one is going
		}
		live := all[:rapid.IntRange(1, len(all)).Draw(rt, "live")]
		together := rapid.Bool().Draw(rt, "together")
		for range 100 {
			c.now = c.now.Add(c.liveness.LeaseTTL / 2)
			if together {
				c.pollTogether(1, live...)
			}
			for _, w := range live {
				if !together {
					c.poll(1, w)
				}
				c.finishOf(w)
			}
			c.plan("")
		}
		for r := range c.s.Runs() {
			if r.State == state.RunRunning {
				rt.Fatalf("run %s stays in %v with %d workers: %s", r.ID, r.Stage().Name, len(live), c.leases())
			}
		}
		p := c.s.Pipeline("a")
		if !c.s.Scores(p) {
			return // every run failed
		}
		least, most := len(p.Partitions), 0
		for _, w := range live {
			n := len(c.s.HeldBy(w))
			least, most = min(least, n), max(most, n)
		}
		for _, part := range p.Partitions {
			if part.Task.State != state.TaskLeased {
				rt.Fatalf("partition %d of %d is not held: %s", part.Task.Index, len(p.Partitions), c.leases())
			}
		}
		if most-least > 1 {
			rt.Fatalf("the load is uneven: %s", c.leases())
		}
	})
}

// finishOf reports a worker's batch tasks as done.
func (c *cluster) finishOf(w thalweg.WorkerID) {
	c.t.Helper()
	for _, task := range c.s.HeldBy(w) {
		if !task.IsPartition() {
			c.done(task)
		}
	}
}

func BenchmarkPlanOfALargeStage(b *testing.B) {
	c := newCluster(b)
	c.spec("a", 2, "")
	c.apply(&state.GrantLeases{Worker: "w", Incarnation: "1", Grants: []state.Lease{{Task: "a-1-1/profile.reduce"}}})
	c.apply(&state.ReportTask{Task: "a-1-1/profile.reduce", Token: thalweg.Token(c.index),
		Results: state.Results{Counts: map[string]int64{"shards": 10_000}, Outputs: map[string]string{"manifest": "m"}}})
	for i := range 16 {
		id := thalweg.WorkerID(fmt.Sprint("w", i))
		c.liveness.Workers[id] = Worker{ID: id, Incarnation: "1", Slots: 4, LastSeen: c.now}
	}
	if c.s.Run("a-1-1").Stage().Name != "clean" {
		b.Fatal("not in the large stage")
	}
	b.ReportAllocs()
	for b.Loop() {
		NewRound(c.s, c.liveness, c.now.Add(time.Millisecond)).Plan("w3")
	}
}
