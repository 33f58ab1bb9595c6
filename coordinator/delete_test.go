package coordinator

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
)

// A deletion goes on whoever leads and whoever asks: it is done once each partition
// was given back, a repeated request gets the first answer, and what comes under
// the name begins behind it.
func TestADeletedPipelineIsGoneOnceItsStreamHasEnded(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, nil)
	client := c.client()
	var busy atomic.Bool
	busy.Store(true)
	w := newRobot(c, "w1", func(l *apiv1.Lease) bool { return l.Drain && busy.Load() })
	c.employ(w)
	c.awaitRun(client, c.apply(client, "flights", 1).RunId)
	c.eventually("its partitions are scored", func() bool { return len(w.leases()) == 3 })

	for name, hint := range map[string]string{"flihgts": "did you mean flights?", "nobody": "`thalweg status` lists"} {
		for _, purge := range []bool{false, true} {
			_, err := client.DeletePipeline(c.ctx(), &apiv1.DeletePipelineRequest{Pipeline: name, Purge: purge})
			wantKind(t, "unknown pipeline", err, thalweg.NotFound)
			if !strings.Contains(err.Error(), hint) {
				t.Errorf("%v, want %s", err, hint)
			}
		}
	}
	// The leader is lost while the stream ends, and the request goes to the next.
	req := &apiv1.DeletePipelineRequest{RequestId: "r1", Pipeline: "flights"}
	answered := make(chan *apiv1.DeletePipelineResponse, 1)
	go func() {
		for {
			resp, err := client.DeletePipeline(c.ctx(), req)
			if err != nil {
				t.Error(err)
			}
			if err != nil || resp.Done {
				answered <- resp
				return
			}
		}
	}()
	c.eventually("the stream is told to end", func() bool {
		leases := w.leases()
		return len(leases) == 3 && leases[0].Drain && leases[2].Drain
	})
	listed, err := client.ListPipelines(c.ctx(), &apiv1.ListPipelinesRequest{})
	if err != nil || len(listed.Pipelines) != 1 || listed.Pipelines[0].Deletion != "its stream commits what is scored" {
		t.Errorf("meanwhile: %v, %v", listed, err)
	}
	c.stop(c.leader())
	busy.Store(false)
	if done := <-answered; done.GetGeneration() != 1 || done.GetPurged() {
		t.Errorf("deleted: %v", done)
	}
	listed, err = client.ListPipelines(c.ctx(), &apiv1.ListPipelinesRequest{})
	if err != nil || len(listed.Pipelines) != 0 || len(listed.Deleted) != 1 || listed.Deleted[0].Generation != 1 {
		t.Errorf("afterwards: %v, %v", listed, err)
	}
	if models, err := client.ListModels(c.ctx(), &apiv1.ListModelsRequest{}); err != nil || len(models.Models) != 0 {
		t.Errorf("models: %v, %v", models, err)
	}
	if runs, err := client.ListRuns(c.ctx(), &apiv1.ListRunsRequest{}); err != nil || len(runs.Runs) != 0 {
		t.Errorf("runs: %v, %v", runs, err)
	}
	kept, err := client.ListModels(c.ctx(), &apiv1.ListModelsRequest{Retired: true})
	if err != nil || len(kept.Models) != 1 || !kept.Models[0].Versions[0].Retired {
		t.Errorf("versions of rows that are kept: %v, %v", kept, err)
	}

	again := c.apply(client, "flights", 1)
	if again.Generation != 2 || again.RunId != "flights-2-1" {
		t.Errorf("applied again: %v", again)
	}
	if run := c.awaitRun(client, again.RunId); run.ModelVersion != 2 {
		t.Errorf("the run after: %v", run)
	}
	// The first request, repeated, deletes nothing of what came after.
	if resp, err := client.DeletePipeline(c.ctx(), req); err != nil || !resp.Done || resp.Generation != 1 {
		t.Errorf("repeated: %v, %v", resp, err)
	}
	if _, err := client.GetPipeline(c.ctx(), &apiv1.GetPipelineRequest{Name: "flights"}); err != nil {
		t.Error(err)
	}
	// With a purge, whose run is told where the rows are.
	resp, err := client.DeletePipeline(c.ctx(), &apiv1.DeletePipelineRequest{Pipeline: "flights", Purge: true})
	for err == nil && !resp.Done {
		resp, err = client.DeletePipeline(c.ctx(), &apiv1.DeletePipelineRequest{Pipeline: "flights", Purge: true})
	}
	if err != nil || !resp.Purged || resp.Objects != 2 || resp.Bytes != 1000 || resp.Generation != 2 {
		t.Errorf("purged: %v, %v", resp, err)
	}
}
