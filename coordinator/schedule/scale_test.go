package schedule

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/state"
)

// scaled applies a spec whose stream may be 10 s behind and want up to four workers, and
// trains a version for it on the worker.
func (c *cluster) scaled(worker thalweg.WorkerID) {
	c.t.Helper()
	c.apply(&state.ApplySpec{Pipeline: "s", Text: "s", Model: "s", Alias: "champion", Stages: specPlan(1), Topic: "t",
		Scale: &state.Scale{Min: 1, Max: 4, TargetMS: 10_000}})
	c.until("s-1-1", "register", worker)
	c.plan("")
	c.apply(&state.SetPartitions{Pipeline: "s", Topic: "t", Partitions: 3})
	c.liveness.Behind = make(map[thalweg.PipelineName]time.Duration)
}

// A worker that holds a partition of a stream that is late begins no task of a run; others
// do, and it does once the stream has caught up.
func TestStreamsGoFirst(t *testing.T) {
	c := newCluster(t)
	c.scaled("w1")
	c.poll(4, "w1")
	c.wantLeases("w1: score@0 score@1 score@2")
	c.spec("a", 1, "")
	c.liveness.Behind["s"] = 5*time.Second + 1
	c.poll(4, "w1")
	c.wantLeases("w1: score@0 score@1 score@2")
	c.liveness.Behind["s"] = 5 * time.Second
	c.poll(4, "w1")
	c.wantLeases("w1: profile.reduce score@0 score@1 score@2")
	c.finish("profile")
	c.liveness.Behind["s"] = time.Minute
	c.poll(4, "w1")
	c.wantLeases("w1: score@0 score@1 score@2")
	c.liveness.Workers["w2"] = Worker{ID: "w2", Incarnation: "1", Slots: 4, LastSeen: c.now, MemoryBytes: 1}
	if !slices.ContainsFunc(c.plan("w2"), func(cmd state.Command) bool {
		g, ok := cmd.(*state.GrantLeases)
		return ok && slices.ContainsFunc(g.Grants, func(l state.Lease) bool { return strings.Contains(string(l.Task), "a-1-1/clean") })
	}) {
		t.Errorf("a worker without partitions of the late stream gets none of the run: %s", c.leases())
	}
}

// A stream that is late wants more workers, by how late it is, and fewer once it has kept
// up for long; never more than it has partitions, and what it wants is in the state.
func TestAStreamWantsWorkersByItsLag(t *testing.T) {
	c := newCluster(t)
	c.scaled("w1")
	c.poll(4, "w1")
	p := c.s.Pipeline("s")
	if p.Wanted != 1 {
		t.Fatalf("it wants %d workers at first", p.Wanted)
	}
	for _, step := range []struct {
		later, behind time.Duration
		want          uint32
	}{
		{wantMoreAfter, 10 * time.Second, 1},
		{0, 11 * time.Second, 2},
		{wantMoreAfter - time.Second, time.Minute, 2}, // the second is about to take over
		{time.Second, time.Minute, 3},                 // twice as many, and three partitions
		{wantMoreAfter, time.Hour, 3},
		{wantLessAfter, 6 * time.Second, 3},
		{0, 4 * time.Second, 2},
		{wantLessAfter - time.Second, 0, 2},
		{time.Second, 0, 1},
		{2 * wantLessAfter, 0, 1},
	} {
		c.now = c.now.Add(step.later)
		c.liveness.Behind["s"] = step.behind
		c.poll(4, "w1")
		c.plan("")
		if p.Wanted != step.want {
			t.Errorf("%v behind, %v later: it wants %d workers, not %d", step.behind, step.later, p.Wanted, step.want)
		}
	}
	if c.apply(&state.SetWanted{Pipeline: "s", Generation: 7, Workers: 3}).Changed {
		t.Error("a number of another generation is taken")
	}
	c.apply(&state.ApplySpec{Pipeline: "s", Text: "without", Model: "s", Alias: "champion", Stages: specPlan(1), Topic: "t"})
	if p.Wanted != 0 {
		t.Errorf("without a scale it wants %d workers", p.Wanted)
	}
}

// A run goes to workers whose memory it fits into, together with what they work on
// already, and its replicas are spread over those alone.
func TestARunGoesWhereItsMemoryIs(t *testing.T) {
	c := newCluster(t)
	memory := func(id thalweg.WorkerID, bytes int64) {
		c.liveness.Workers[id] = Worker{ID: id, Incarnation: "1", Slots: 4, LastSeen: c.now, MemoryBytes: bytes}
		c.plan(id)
	}
	apply := func(name string, bytes int64) {
		c.apply(&state.ApplySpec{Pipeline: thalweg.PipelineName(name), Text: name, Model: thalweg.ModelName(name), Alias: "champion", Stages: specPlan(2), WorkerBytes: bytes})
	}
	apply("a", 100)
	memory("small", 99)
	c.wantLeases("")
	memory("large", 150)
	c.wantLeases("large: profile.reduce")
	apply("b", 51)
	memory("large", 150) // b does not fit beside a
	c.wantLeases("large: profile.reduce")
	memory("small", 99)
	c.wantLeases("large: profile.reduce; small: profile.reduce")
	for range 100 {
		memory("large", 150)
		memory("small", 99)
		at := c.s.Run("a-1-1").Stage().Name
		if at == "train" {
			break
		}
		c.finish(at)
	}
	replicas := 0
	for _, task := range c.s.HeldBy("large") {
		if task.IsReplica() && task.Run.ID == "a-1-1" {
			replicas++
		}
	}
	if replicas != 2 {
		t.Errorf("the one worker with memory for it has %d of 2 replicas: %s", replicas, c.leases())
	}
}
