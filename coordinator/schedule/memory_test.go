package schedule

import (
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/state"
)

// weighed applies a spec whose runs need so much memory of each worker.
func (c *cluster) weighed(name string, bytes int64) {
	c.apply(&state.ApplySpec{Pipeline: thalweg.PipelineName(name), Text: name, Model: thalweg.ModelName(name),
		Alias: "champion", Stages: specPlan(2), WorkerBytes: bytes})
}

// pollOf has a worker of so much memory poll.
func (c *cluster) pollOf(worker thalweg.WorkerID, bytes int64) {
	c.liveness.Workers[worker] = Worker{ID: worker, Incarnation: "1", Slots: 4, LastSeen: c.now, MemoryBytes: bytes}
	c.plan(worker)
}

// One plan gives a worker no more than fits, counted with what it gives.
func TestOnePlanGivesNoMoreThanFits(t *testing.T) {
	c := newCluster(t)
	c.weighed("a", 100)
	c.weighed("b", 100)
	c.pollOf("w1", 150)
	if got := c.leases(); !strings.Contains(got, "w1: ") || len(c.s.HeldBy("w1")) == 0 {
		t.Fatalf("nothing is given: %q", got)
	}
	runs := map[thalweg.RunID]bool{}
	for _, task := range c.s.HeldBy("w1") {
		runs[task.Run.ID] = true
	}
	if len(runs) != 1 {
		t.Errorf("a worker of 150 has tasks of %d runs of 100 each: %s", len(runs), c.leases())
	}
}

// A task that failed on the only worker that it fits is tried there again.
func TestATaskDoesNotAvoidTheOnlyWorkerThatItFits(t *testing.T) {
	c := newCluster(t)
	c.weighed("a", 100)
	c.pollOf("small", 50)
	c.pollOf("large", 150)
	for _, task := range c.s.HeldBy("large") {
		c.apply(&state.ReportTask{Task: task.ID, Token: task.Token, Failure: &state.ReportFailure{Error: "the store is away"}})
	}
	c.pollOf("small", 50)
	c.pollOf("large", 150)
	if len(c.s.HeldBy("large")) == 0 || len(c.s.HeldBy("small")) > 0 {
		t.Errorf("leases %q, want them at the large one", c.leases())
	}
}
