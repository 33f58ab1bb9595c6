package schedule

import (
	"fmt"
	"testing"

	"github.com/thalweg/thalweg"
)

// Workers that poll at a time get what they would get one after the other.
func TestARoundIsForAllWhoPoll(t *testing.T) {
	one, together := newCluster(t), newCluster(t)
	workers := []thalweg.WorkerID{"w1", "w2", "w3"}
	for _, c := range []*cluster{one, together} {
		c.spec("a", 5, "topic-a")
		c.spec("b", 2, "")
	}
	for step := range 40 {
		one.poll(2, workers...)
		together.pollTogether(2, workers...)
		if a, b := one.leases(), together.leases(); a != b {
			t.Fatalf("step %d: one by one %q, together %q", step, a, b)
		}
		for _, c := range []*cluster{one, together} {
			for _, w := range workers {
				c.finishOf(w)
			}
			c.plan("")
		}
	}
	if together.s.Run("a-1-1").Current() != nil || together.leases() == "" {
		t.Errorf("the run goes on, or nothing is scored: %s", together.leases())
	}
}

// What a round looks at once is not looked at again for each who polls.
func BenchmarkRoundOfManyWorkers(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := newCluster(b)
			c.spec("a", 1, "")
			var polls []thalweg.WorkerID
			for i := range n {
				id := thalweg.WorkerID(fmt.Sprintf("w%05d", i))
				polls = append(polls, id)
				c.liveness.Workers[id] = Worker{ID: id, Incarnation: "1", Slots: 4, LastSeen: c.now, MemoryBytes: 1 << 30}
			}
			b.ReportAllocs()
			for b.Loop() {
				NewRound(c.s, c.liveness, c.now).Plan(polls...)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/worker")
		})
	}
}
