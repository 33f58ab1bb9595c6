package coordinator

import (
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/state"
)

func TestReportsOverTheirBoundsFailTheTask(t *testing.T) {
	t.Parallel()
	for name, report := range map[string]*apiv1.TaskReport{
		"metric":   {Metrics: map[string]float64{"loss": math.NaN()}},
		"partials": {Partials: []string{strings.Repeat("x", maxPartialBytes+1)}},
		"outputs":  {Outputs: map[string]string{"manifest": strings.Repeat("x", maxOutputBytes+1)}},
		"counts":   {Counts: map[string]int64{strings.Repeat("x", maxMeasuredBytes+1): 1}},
	} {
		c := newCluster(t, 1, nil)
		client := c.client()
		applied := c.apply(client, "flights", 1)
		w := newRobot(c, "w1", func(*apiv1.Lease) bool { return true })
		dismiss := c.employ(w)
		c.eventually("the worker has the first task", func() bool { return len(w.leases()) == 1 })
		dismiss()
		report.TaskId, report.Token = w.leases()[0].TaskId, w.leases()[0].Token
		if _, err := client.Poll(c.ctx(), &apiv1.PollRequest{WorkerId: "w1", Incarnation: "i-w1", Slots: 1, Reports: []*apiv1.TaskReport{report}}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if run := c.awaitRun(client, applied.RunId); run.State != "failed" || !strings.Contains(run.Error, "unusable") {
			t.Errorf("%s: the run ended: %v %s", name, run.State, run.Error)
		}
	}
}

func TestTheLargestLeasesFitIntoOneAnswer(t *testing.T) {
	lease := &apiv1.Lease{Spec: strings.Repeat("x", state.MaxSpecBytes),
		Partials: slices.Repeat([]string{strings.Repeat("x", maxPartialBytes)}, state.MaxHeldPartials)}
	if size := proto.Size(&apiv1.PollResponse{Leases: []*apiv1.Lease{lease}}); size > api.MaxMessageBytes*3/4 {
		t.Errorf("a reducer's lease has %d bytes; a message has %d and must hold other leases, too", size, api.MaxMessageBytes)
	}
}

func TestPollsOverTheirBoundsAreRefused(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, nil)
	client := c.client()
	for name, req := range map[string]*apiv1.PollRequest{
		"no name":         {Incarnation: "i"},
		"no incarnation":  {WorkerId: "w"},
		"long name":       {WorkerId: strings.Repeat("w", 300), Incarnation: "i"},
		"too many slots":  {WorkerId: "w", Incarnation: "i", Slots: maxSlots + 1},
		"bad checkpoint":  {WorkerId: "w", Incarnation: "i", Progress: []*apiv1.Progress{{Checkpoint: "x"}}},
		"long message":    {WorkerId: "w", Incarnation: "i", Progress: []*apiv1.Progress{{Message: strings.Repeat("x", state.MaxTextBytes+1)}}},
		"too many in all": {WorkerId: "w", Incarnation: "i", Refusals: make([]*apiv1.ModelRefusal, maxRefusals+1)},
	} {
		_, err := client.Poll(c.ctx(), req)
		wantKind(t, name, err, thalweg.Invalid)
	}
}
