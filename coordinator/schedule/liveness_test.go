package schedule

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/state"
)

// A run that asks for more workers than are alive gets no lease, and goes on once they are
// there. Another pipeline is not held up.
func TestARunWaitsForTheWorkersThatItAsksFor(t *testing.T) {
	c := newCluster(t)
	plan := specPlan(2)
	for i := range plan[:len(plan)-1] {
		plan[i].MinWorkers = 3
	}
	c.apply(&state.ApplySpec{Pipeline: "a", Text: "a", Model: "a", Alias: "champion", Stages: plan})
	c.poll(2, "w1", "w2", "w1")
	c.wantLeases("")
	c.spec("b", 1, "")
	c.poll(2, "w1")
	c.wantLeases("w1: profile.reduce")
	c.finish("profile")
	c.poll(2, "w3", "w2")
	if run := c.s.Run("a-1-1"); len(c.s.HeldBy("w3")) == 0 || run.Stage().Waits(c.alive()) {
		t.Errorf("with three workers: %s", c.leases())
	}
	c.until("a-1-1", "train", "w1", "w2", "w3")
	c.poll(1, "w1", "w2", "w3")
	// One of them is gone: what it held waits, and nobody fails for it.
	lost := "w1"
	if len(c.s.HeldBy("w2")) > 0 {
		lost = "w2"
	}
	delete(c.liveness.Workers, thalweg.WorkerID(lost))
	for range 5 {
		c.now = c.now.Add(c.liveness.LeaseTTL)
		for _, w := range []thalweg.WorkerID{"w1", "w2", "w3"} {
			if string(w) != lost {
				c.poll(1, w)
			}
		}
	}
	run := c.s.Run("a-1-1")
	if run.State != state.RunRunning || !run.Stage().Waits(c.alive()) {
		t.Errorf("with two workers the run is %v, %d alive: %s", run.State, c.alive(), c.leases())
	}
	c.until("a-1-1", "register", "w1", "w2", "w3")
}

// The replicas of a worker that its peers cannot reach, and that does not poll, move long
// before its lease ends; what nobody waits for in lock step stays until then.
func TestReplicasOfABrokenWorkerMoveAtOnce(t *testing.T) {
	c := newCluster(t)
	c.spec("a", 4, "")
	c.spec("b", 1, "")
	c.until("a-1-1", "train", "w1", "w2")
	c.poll(1, "w1", "w2")
	before := c.leases()
	if len(c.s.HeldBy("w1")) < 2 {
		t.Fatalf("leases: %s", before)
	}
	silent := func(since time.Duration, unreachable bool) {
		w := c.liveness.Workers["w1"]
		w.Silent, w.Unreachable = c.now.Add(-since), unreachable
		c.liveness.Workers["w1"] = w
	}
	for _, still := range []func(){
		func() { silent(brokenAfter, false) },                 // nobody complains
		func() { silent(brokenAfter-time.Millisecond, true) }, // it may be about to poll
	} {
		still()
		c.poll(1, "w2")
		c.wantLeases(before)
	}
	silent(brokenAfter, true)
	c.poll(1, "w2")
	for _, task := range c.s.HeldBy("w1") {
		if task.IsReplica() {
			t.Errorf("%s is still with the broken worker", task.ID)
		}
	}
	if n := len(slices.DeleteFunc(c.s.HeldBy("w2"), func(t *state.Task) bool { return !t.IsReplica() || t.Run.ID != "a-1-1" })); n != 4 {
		t.Errorf("%d of 4 replicas are with the other worker: %s", n, c.leases())
	}
}

// A worker that rests is given nothing while there is another, and is when it is alone.
func TestAWorkerThatFlapsRests(t *testing.T) {
	c := newCluster(t)
	c.spec("a", 4, "")
	c.until("a-1-1", "clean", "w1")
	rest := func(w thalweg.WorkerID) {
		c.liveness.Workers[w] = Worker{ID: w, Incarnation: "1", Slots: 4, LastSeen: c.now, RestsUntil: c.now.Add(time.Second)}
		c.plan(w)
	}
	c.liveness.Workers["w2"] = Worker{ID: "w2", Incarnation: "1", Slots: 4, LastSeen: c.now}
	rest("w1")
	c.wantLeases("")
	c.poll(4, "w2")
	c.wantLeases("w2: clean@0 clean@1 clean@2 clean@3")
	c.finish("clean")
	c.apply(state.Release("", c.s.HeldBy("w2")...))
	delete(c.liveness.Workers, "w2")
	rest("w1")
	c.wantLeases("w1: clean.reduce")
}

// Workers may be lost in a long training as often as they like, as long as it gets on; a
// task that takes its workers down at the same place ends the run by name.
func TestLossesAreCountedByExchange(t *testing.T) {
	c := newCluster(t)
	c.spec("a", 2, "")
	c.until("a-1-1", "train", "w1", "w2")
	c.liveness.Reached = make(map[thalweg.RunID]uint64)
	run := c.s.Run("a-1-1")
	crash := func(n int) {
		c.poll(1, "w1", "w2")
		w := c.liveness.Workers["w2"]
		w.Incarnation = fmt.Sprint("again ", n)
		c.liveness.Workers["w2"] = w
		c.plan("w2")
	}
	for n := range 5 * state.MaxLosses {
		c.liveness.Reached["a-1-1"] = uint64(n + 1)
		crash(n)
		if run.State != state.RunRunning {
			t.Fatalf("after %d losses in as many exchanges the run is %v: %s", n+1, run.State, run.Error)
		}
	}
	for n := range state.MaxLosses - 1 {
		if run.State != state.RunRunning {
			t.Fatalf("after %d losses in one exchange the run is %v", n+1, run.State)
		}
		crash(1000 + n)
	}
	if run.State != state.RunFailed || !strings.Contains(run.Error, "10 workers were lost") || !strings.Contains(run.Error, "a-1-1/train@") {
		t.Errorf("after %d losses in one exchange the run is %v: %q", state.MaxLosses, run.State, run.Error)
	}
}

func (c *cluster) alive() int {
	alive, _ := c.liveness.Alive(c.now)
	return alive
}

// A worker whose disk was full takes partitions and no tasks of runs, of which the others take
// its share. That it could not do a task does not fail the run.
func TestAWorkerWithoutRoomTakesNoTasksOfRuns(t *testing.T) {
	c := withStream(t, 2, "a")
	c.spec("b", 4, "")
	full := func() {
		c.liveness.Workers["w1"] = Worker{ID: "w1", Incarnation: "1", Slots: 4, NoRoom: true, LastSeen: c.now}
		c.plan("w1")
	}
	full()
	c.wantLeases("w1: score@0 score@1")
	for range 3 {
		c.poll(4, "w2")
		for _, task := range c.s.HeldBy("w2") {
			if !task.IsPartition() {
				c.apply(&state.ReportTask{Task: task.ID, Token: task.Token, Failure: &state.ReportFailure{Error: "disk full", OfWorker: true}})
			}
		}
	}
	if r := c.s.Run("b-1-1"); r.State != state.RunRunning {
		t.Fatalf("after three full disks the run is %v: %s", r.State, r.Error)
	}
	for range 10 {
		full()
		c.poll(4, "w2")
		c.finish(c.s.Run("b-1-1").Stage().Name)
		if stage := c.s.Run("b-1-1").Stage(); stage.Name == "train" {
			break
		}
	}
	full()
	c.poll(1, "w2")
	if n := len(slices.DeleteFunc(c.s.HeldBy("w2"), func(t *state.Task) bool { return !t.IsReplica() })); n != 4 {
		t.Errorf("%d of 4 replicas are with the worker that has room: %s", n, c.leases())
	}
	for range state.MaxLosses {
		for _, task := range c.s.HeldBy("w2") {
			if task.IsReplica() && task.Index == 2 {
				c.apply(&state.ReportTask{Task: task.ID, Token: task.Token, Failure: &state.ReportFailure{Error: "disk full", OfWorker: true}})
			}
		}
		c.poll(1, "w2")
	}
	if r := c.s.Run("b-1-1"); r.State != state.RunFailed || !strings.Contains(r.Error, "b-1-1/train@2: 10 workers could not do it, w2 the last: disk full") {
		t.Errorf("after %d full disks the run is %v: %s", state.MaxLosses, r.State, r.Error)
	}
}

// Replicas that failed on one of two workers go to the other, although it has its share, and so
// does what failed on one worker while the other has no room.
func TestReplicasThatFailedGoToTheWorkerWhereTheyDidNot(t *testing.T) {
	c := newCluster(t)
	c.spec("a", 4, "")
	c.until("a-1-1", "train", "w1", "w2")
	c.poll(1, "w1", "w2")
	for _, task := range c.s.HeldBy("w1") {
		c.apply(&state.ReportTask{Task: task.ID, Token: task.Token, Failure: &state.ReportFailure{Error: "the store is away"}})
	}
	c.poll(1, "w1", "w2", "w1")
	c.wantLeases("w2: train@0 train@1 train@2 train@3")

	c = newCluster(t)
	c.spec("a", 1, "")
	c.liveness.Workers["w2"] = Worker{ID: "w2", Incarnation: "1", Slots: 1, NoRoom: true, LastSeen: c.now}
	c.poll(1, "w1")
	for _, task := range c.s.HeldBy("w1") {
		c.apply(&state.ReportTask{Task: task.ID, Token: task.Token, Failure: &state.ReportFailure{Error: "no"}})
	}
	c.poll(1, "w1")
	c.wantLeases("w1: profile.reduce")
}
