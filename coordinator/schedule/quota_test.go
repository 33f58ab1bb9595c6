package schedule

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/state"
)

// bounded applies a spec whose runs have tasks on so many workers at most.
func (c *cluster) bounded(name string, most uint32) {
	plan := specPlan(6)
	for i := range plan {
		plan[i].MaxWorkers = most
	}
	c.apply(&state.ApplySpec{Pipeline: thalweg.PipelineName(name), Text: name, Model: thalweg.ModelName(name), Alias: "champion", Stages: plan})
}

// workersOf returns how many tasks of a run each worker holds.
func (c *cluster) workersOf(run thalweg.RunID) map[thalweg.WorkerID]int {
	on := make(map[thalweg.WorkerID]int)
	for _, w := range c.s.Holders() {
		for _, t := range c.s.HeldBy(w) {
			if t.Run != nil && t.Run.ID == run {
				on[w]++
			}
		}
	}
	return on
}

// In no stage has a run tasks on more workers than it may, its replicas are spread over these
// evenly, and when one is lost another takes its place.
func TestARunHasTasksOnNoMoreWorkersThanItMay(t *testing.T) {
	for most := 1; most <= 4; most++ {
		c := newCluster(t)
		c.bounded("a", uint32(most))
		all := []thalweg.WorkerID{"w1", "w2", "w3", "w4"}
		reached := 0
		for range 100 {
			for range 3 {
				c.poll(2, all...)
				on := c.workersOf("a-1-1")
				if reached = max(reached, len(on)); len(on) > most {
					t.Fatalf("at most %d: %s", most, c.leases())
				}
			}
			at := c.s.Run("a-1-1").Stage().Name
			if at == "train" {
				break
			}
			c.finish(at)
		}
		even := func(what string) {
			t.Helper()
			on := c.workersOf("a-1-1")
			for w, n := range on {
				if n < 6/most || n > (6+most-1)/most {
					t.Errorf("at most %d, %s: %s has %d of 6 replicas: %s", most, what, w, n, c.leases())
				}
			}
			if len(on) != most || reached != most {
				t.Errorf("at most %d, %s: on %d, %d before: %s", most, what, len(on), reached, c.leases())
			}
		}
		even("at first")
		lost := c.s.Holders()[0]
		if most == 4 {
			continue // there is no other
		}
		delete(c.liveness.Workers, lost)
		all = slices.DeleteFunc(all, func(w thalweg.WorkerID) bool { return w == lost })
		for range 3 {
			c.now = c.now.Add(c.liveness.LeaseTTL)
			c.poll(2, all...)
		}
		even(fmt.Sprintf("%s is lost", lost))
	}
}

// A run that is bounded leaves the other workers to others, and of two runs that want the same
// slots neither waits for the other's end.
func TestRunsShareSlotsEvenly(t *testing.T) {
	c := newCluster(t)
	c.bounded("a", 0)
	c.bounded("b", 0)
	c.poll(1, "w1", "w2")
	c.finish("profile")
	c.poll(2, "w1")
	for range 2 {
		if on := c.workersOf("a-1-1"); on["w1"] == 2 || len(c.workersOf("b-1-1")) > 0 {
			break
		}
		c.poll(2, "w1")
	}
	for _, task := range c.s.HeldBy("w1")[:1] {
		c.done(task)
	}
	c.poll(2, "w1")
	if a, b := c.workersOf("a-1-1")["w1"], c.workersOf("b-1-1")["w1"]; a != 1 || b != 1 {
		t.Errorf("a has %d tasks on w1, b %d: %s", a, b, c.leases())
	}
}

// Of a training that has been going for a while, a worker that joins gets its share at once,
// from those with most; nothing moves for one replica more, nor back.
func TestReplicasMoveToAWorkerThatJoins(t *testing.T) {
	for replicas := uint32(1); replicas <= 9; replicas++ {
		c := newCluster(t)
		c.spec("a", replicas, "")
		c.until("a-1-1", "train", "w1", "w2")
		c.poll(2, "w1", "w2", "w1")
		before := c.leases()
		c.poll(2, "w3")
		if got := c.leases(); got != before && replicas > 2 {
			t.Errorf("%d replicas, at the beginning: %s, before %s", replicas, got, before)
		}
		c.now = c.now.Add(evenAfter)
		for w := range c.liveness.Workers {
			of := c.liveness.Workers[w]
			of.LastSeen = c.now
			c.liveness.Workers[w] = of
		}
		commands := c.plan("w3")
		most, least, total := 0, 99, 0
		for _, n := range c.workersOf("a-1-1") {
			most, least, total = max(most, n), min(least, n), total+n
		}
		if total != int(replicas) || most > max(2, int(replicas+2)/3) && most > least+1 {
			t.Errorf("%d replicas: %s", replicas, c.leases())
		}
		if n := len(commands); n != 0 && n != 2 {
			t.Errorf("%d replicas: %v", replicas, names(commands))
		}
		after := c.leases()
		c.poll(2, "w1", "w2", "w3", "w1")
		if c.leases() != after {
			t.Errorf("%d replicas: %s, a poll later %s", replicas, after, c.leases())
		}
	}
}

// A second try of a late task counts as a worker of the run too, and a worker that is named
// twice gets no more than it has room for.
func TestBackupsKeepToTheBound(t *testing.T) {
	late := func(most uint32, slots int) *cluster {
		c := newCluster(t)
		c.bounded("a", most)
		c.until("a-1-1", "clean", "w1")
		c.poll(4, "w1")
		c.now = c.now.Add(time.Second)
		c.done(c.s.Task("a-1-1/clean@2"))
		c.done(c.s.Task("a-1-1/clean@3"))
		c.now = c.now.Add(10 * time.Second)
		c.liveness.Workers["w1"] = Worker{ID: "w1", Incarnation: "1", Slots: slots, LastSeen: c.now}
		return c
	}
	c := late(2, 2)
	c.pollTogether(1, "w2", "w3")
	if on := c.workersOf("a-1-1"); len(on) != 2 {
		t.Errorf("on %d workers, want 2, one for a second try: %s", len(on), c.leases())
	}
	c = late(0, 4)
	c.liveness.Workers["w2"] = Worker{ID: "w2", Incarnation: "1", Slots: 1, LastSeen: c.now}
	if got := c.round("w2", "w2"); len(got) != 1 {
		t.Errorf("a worker of one slot gets %v", names(got))
	}
}
