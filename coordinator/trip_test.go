package coordinator

import (
	"strings"
	"sync/atomic"
	"testing"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
)

// TestAPartitionOfDeadLettersPausesTheWholeStream: the pause reaches all
// holders, says why, and outlives the worker that asked for it and the leader
// that granted it; only an operator ends it, and what a worker still says of
// the time before is void.
func TestAPartitionOfDeadLettersPausesTheWholeStream(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, nil)
	client := c.client()
	applied := c.apply(client, "flights", 1)
	var bad atomic.Bool
	says := func(l *apiv1.Lease, p *apiv1.StreamPartition) {
		if p.Partition == 1 && bad.Load() {
			p.Tripped, p.Resumes = "190 of the last 200 events were dead letters", 0 // never of the time since a resumption
		}
	}
	w1, w2 := newRobot(c, "w1", nil), newRobot(c, "w2", nil)
	w1.says, w2.says = says, says
	dismiss := c.employ(w1, w2)
	c.awaitRun(client, applied.RunId)
	partitions := func() []*apiv1.StreamPartition {
		resp, err := client.StreamStatus(c.ctx(), &apiv1.StreamStatusRequest{Pipeline: "flights"})
		if err != nil {
			t.Fatal(err)
		}
		return resp.Partitions
	}
	all := func(is func(*apiv1.StreamPartition) bool) func() bool {
		return func() bool {
			got := partitions()
			for _, p := range got {
				if !is(p) {
					return false
				}
			}
			return len(got) == 3
		}
	}
	paused := func(p *apiv1.StreamPartition) bool {
		return p.State == "paused" && strings.HasPrefix(p.Message, "partition 1: 190 of the last 200")
	}
	c.eventually("three partitions are scored", all(func(p *apiv1.StreamPartition) bool { return p.State == "running" }))
	bad.Store(true)
	// The robots poll again when something changes.
	if _, err := client.StartRun(c.ctx(), &apiv1.StartRunRequest{Pipeline: "flights"}); err != nil {
		t.Fatal(err)
	}
	c.eventually("the whole stream is paused and says why", all(paused))
	c.eventually("every holder is told", func() bool {
		leases := append(w1.leases(), w2.leases()...)
		n := 0
		for _, l := range leases {
			if l.Kind == "score" && l.Paused {
				n++
			}
		}
		return n == 3
	})

	c.stop(c.leader())
	dismiss()
	w3 := newRobot(c, "w3", nil)
	w3.says = says
	c.employ(w3)
	c.eventually("another leader and another worker know it too", func() bool {
		for _, l := range w3.leases() {
			if l.Kind == "score" && !l.Paused {
				t.Fatalf("granted to go on: %v", l)
			}
		}
		return all(func(p *apiv1.StreamPartition) bool { return paused(p) && p.Worker == "w3" })()
	})
	got, err := client.GetPipeline(c.ctx(), &apiv1.GetPipelineRequest{Name: "flights"})
	if err != nil || !got.Pipeline.StreamPaused || !strings.Contains(got.Pipeline.StreamPauseReason, "190 of the last 200") {
		t.Errorf("pipeline: %v, %v", got.GetPipeline(), err)
	}

	if _, err := client.SetStream(c.ctx(), &apiv1.SetStreamRequest{Pipeline: "flights"}); err != nil {
		t.Fatal(err)
	}
	c.eventually("the stream goes on although the worker repeats what it said", all(func(p *apiv1.StreamPartition) bool { return p.State == "running" }))
	c.eventually("every holder is told", func() bool {
		n := 0
		for _, l := range w3.leases() {
			if l.Kind == "score" && !l.Paused && l.Resumes == 1 {
				n++
			}
		}
		return n == 3
	})
}
