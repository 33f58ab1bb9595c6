package schedule

import (
	"testing"

	"github.com/thalweg/thalweg/coordinator/state"
)

// served applies a spec whose service wants so many workers.
func (c *cluster) served(text string, workers uint32) {
	c.t.Helper()
	c.apply(&state.ApplySpec{Pipeline: "s", Text: text, Model: "s", Alias: "champion", Stages: specPlan(1), Training: "same", Serving: &state.Serving{Workers: workers}})
}

// A worker takes one endpoint of a pipeline, whoever holds it loses it with its lease, and a
// new spec leaves those that it wants where they are.
func TestEndpointsAreSpreadOverWorkers(t *testing.T) {
	c := newCluster(t)
	c.served("one", 2)
	c.until("s-1-1", "register", "w1")
	c.poll(4, "w1") // which registers the version
	c.wantLeases("w1: serve@0")
	c.poll(4, "w1", "w2", "w3")
	c.wantLeases("w1: serve@0; w2: serve@1")
	before := c.s.Task(state.ServeTaskID("s", 0)).Token
	c.served("two", 3)
	c.poll(4, "w1", "w2", "w3")
	c.wantLeases("w1: serve@0; w2: serve@1; w3: serve@2")
	if after := c.s.Task(state.ServeTaskID("s", 0)).Token; after != before {
		t.Errorf("a new spec has moved an endpoint: its lease was %d, and is %d", before, after)
	}
	c.served("three", 1)
	c.wantLeases("w1: serve@0")
}
