package coordinator

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline"
)

func TestLostWorkerIsReplacedAndFenced(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, nil)
	client := c.client()
	applied := c.apply(client, "flights", 1)
	lost := newRobot(c, "lost", func(*apiv1.Lease) bool { return true })
	dismiss := c.employ(lost)
	c.eventually("the worker has the first task", func() bool { return len(lost.leases()) == 1 })
	dismiss()
	late := resultOf(lost.leases()[0])
	if _, err := client.Status(c.ctx(), &apiv1.StatusRequest{}); err != nil {
		t.Fatal(err)
	}
	c.employ(newRobot(c, "w2", nil))
	c.awaitRun(client, applied.RunId)

	// The lost worker comes back with a result that it was not asked for any more.
	late.Outputs["manifest"] = "forged#" + strings.Repeat("0", 64)
	resp, err := client.Poll(c.ctx(), &apiv1.PollRequest{WorkerId: "lost", Incarnation: "i-lost", Slots: 0, Reports: []*apiv1.TaskReport{late}})
	if err != nil || len(resp.Accepted) != 1 {
		t.Fatalf("the late report: %v, %v", resp, err)
	}
	run := c.awaitRun(client, applied.RunId)
	if run.State != "succeeded" || strings.HasPrefix(run.Outputs["manifest"], "forged") {
		t.Errorf("the run ended: %v", run)
	}
	if task := run.Stages[0].Tasks[0]; task.Worker != "w2" || task.Token <= late.Token || task.Attempts != 2 {
		t.Errorf("the first task: %v, the late report had token %d", task, late.Token)
	}
	if n := testutil.ToFloat64(c.nodes[c.leader()].metrics.restarts.WithLabelValues(restartLost)); n != 1 {
		t.Errorf("%v leases are counted as those of lost workers", n)
	}
}

// A worker that calls and does not get on holds nobody up: another one does its tasks
// too, and what it held ends.
func TestATaskThatStandsStillIsDoneByAnotherWorker(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, func(cfg *Config) { cfg.LeaseTTL = 3 * time.Second }) // longer than it may be silent under load
	client := c.client()
	applied := c.apply(client, "flights", 1)
	stands := func(l *apiv1.Lease) bool { return l.Kind == "clean" && !l.Reduce }
	stuck := newRobot(c, "stuck", stands)
	c.employ(stuck)
	c.eventually("it stands still", func() bool { return slices.ContainsFunc(stuck.leases(), stands) })
	held := stuck.leases()
	c.employ(newRobot(c, "w2", nil))
	run := c.awaitRun(client, applied.RunId)
	if run.State != "succeeded" {
		t.Fatalf("the run ended: %v", run)
	}
	for _, l := range held {
		if task := run.Stages[1].Tasks[l.Index]; task.Worker != "w2" || task.Token != l.Token || task.Attempts != 1 {
			t.Errorf("%v, leased to the worker that stands still under %d", task, l.Token)
		}
	}
	c.eventually("its leases are over", func() bool { return !slices.ContainsFunc(stuck.leases(), stands) })
}

func TestLeavingWorkerGivesItsLeasesBackAtOnce(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, func(cfg *Config) { cfg.LeaseTTL = time.Hour })
	client := c.client()
	applied := c.apply(client, "flights", 1)
	w1 := newRobot(c, "w1", func(*apiv1.Lease) bool { return true })
	dismiss := c.employ(w1)
	c.eventually("the worker has the first task", func() bool { return len(w1.leases()) == 1 })
	dismiss()
	resp, err := client.Poll(c.ctx(), &apiv1.PollRequest{WorkerId: "w1", Incarnation: "i-w1", Slots: 2, Leaving: true})
	if err != nil || len(resp.Leases) != 0 {
		t.Fatalf("leaving: %v, %v", resp, err)
	}
	c.employ(newRobot(c, "w2", nil))
	if run := c.awaitRun(client, applied.RunId); run.State != "succeeded" {
		t.Errorf("the run ended: %v", run)
	}
}

func TestSecondProcessUnderOneNameIsRefused(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, nil)
	client := c.client()
	poll := func(incarnation string) error {
		_, err := client.Poll(c.ctx(), &apiv1.PollRequest{WorkerId: "w1", Incarnation: incarnation, Slots: 1})
		return err
	}
	if err := poll("old"); err != nil {
		t.Fatal(err)
	}
	if err := poll("new"); err != nil {
		t.Fatal(err)
	}
	wantKind(t, "the older process", poll("old"), thalweg.Fenced)
}

// A worker reports what it holds, and nothing of what another does.
func TestAReportOfAnothersTaskIsNotTaken(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, nil)
	client := c.client()
	applied := c.apply(client, "flights", 1)
	holder := newRobot(c, "w1", func(*apiv1.Lease) bool { return true })
	c.employ(holder)
	c.eventually("the worker has the first task", func() bool { return len(holder.leases()) == 1 })
	forged := resultOf(holder.leases()[0])
	forged.Error, forged.Permanent = "forged", true
	if _, err := client.Poll(c.ctx(), &apiv1.PollRequest{WorkerId: "w2", Incarnation: "i-w2", Reports: []*apiv1.TaskReport{forged}}); err != nil {
		t.Fatal(err)
	}
	res, err := client.GetRun(c.ctx(), &apiv1.GetRunRequest{RunId: applied.RunId})
	if err != nil || res.Run.State != "running" || res.Run.Stages[0].Tasks[0].Worker != "w1" {
		t.Errorf("after another worker's report: %v, %v", res, err)
	}
}

// ofStages changes each stage that a run is planned to have.
func ofStages(change func(*stages.Plan)) func(*Config) {
	return func(cfg *Config) {
		plan := cfg.Stages
		cfg.Stages = func(spec *pipeline.Spec, verb string, arguments map[string]string) ([]stages.Plan, error) {
			all, err := plan(spec, verb, arguments)
			for i := range all {
				change(&all[i])
			}
			return all, err
		}
	}
}

// A run that asks for more workers than there are says so wherever it is listed, pauses its
// replicas when one leaves, and ends well once it is back.
func TestARunSaysForWhichWorkersItWaits(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, ofStages(func(s *stages.Plan) { s.MinWorkers = 2 }))
	client := c.client()
	trains := func(l *apiv1.Lease) bool { return l.Kind == "train" }
	w1 := newRobot(c, "w1", trains)
	c.employ(w1)
	applied := c.apply(client, "flights", 1)
	const waits = "waiting for 2 workers, 1 there"
	says := func(want string) func() bool {
		return func() bool {
			run, err := client.GetRun(c.ctx(), &apiv1.GetRunRequest{RunId: applied.RunId})
			if err != nil {
				t.Fatal(err)
			}
			all, err := client.ListRuns(c.ctx(), &apiv1.ListRunsRequest{})
			if err != nil {
				t.Fatal(err)
			}
			pipelines, err := client.ListPipelines(c.ctx(), &apiv1.ListPipelinesRequest{})
			if err != nil {
				t.Fatal(err)
			}
			if r := run.Run; r.State != "running" || r.Error != "" {
				t.Fatalf("the run is %s: %s", r.State, r.Error)
			}
			return run.Run.Waiting == want && all.Runs[0].Waiting == want && pipelines.Pipelines[0].Waiting == want
		}
	}
	c.eventually("the run waits", says(waits))
	paused := func(want bool) func() bool {
		return func() bool {
			return slices.ContainsFunc(w1.leases(), func(l *apiv1.Lease) bool { return trains(l) && l.Paused == want })
		}
	}
	w2 := newRobot(c, "w2", trains)
	dismiss := c.employ(w2)
	c.eventually("it trains", paused(false))
	c.eventually("it waits for nobody", says(""))
	dismiss()
	if _, err := client.Poll(c.ctx(), &apiv1.PollRequest{WorkerId: "w2", Incarnation: "i-w2", Leaving: true}); err != nil {
		t.Fatal(err)
	}
	c.eventually("the replica is paused", paused(true))
	c.eventually("the run waits again", says(waits))
	c.employ(newRobot(c, "w3", trains))
	c.eventually("it goes on", paused(false))
}

// A worker whose connection ends, and which a peer cannot reach, is replaced long before its
// lease ends.
func TestReplicasOfAKilledWorkerMoveAtOnce(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, func(cfg *Config) { cfg.LeaseTTL = time.Hour })
	client := c.client()
	applied := c.apply(client, "flights", 1)
	trains := func(l *apiv1.Lease) bool { return l.Kind == "train" }
	killed, witness := newRobot(c, "w1", trains), newRobot(c, "w2", trains)
	dismiss := c.employ(killed)
	c.employ(witness)
	holds := func(r *robot, n int) func() bool {
		return func() bool {
			return len(slices.DeleteFunc(slices.Clone(r.leases()), func(l *apiv1.Lease) bool { return !trains(l) })) == n
		}
	}
	c.eventually("each has a replica", func() bool { return holds(killed, 1)() && holds(witness, 1)() })
	dismiss()
	c.eventually("the other has both", func() bool {
		_, err := client.Poll(c.ctx(), &apiv1.PollRequest{WorkerId: "w3", Incarnation: "i-w3",
			Unreachable: []*apiv1.Peer{{Worker: "w1", Address: "w1:9"}}})
		if err != nil {
			t.Fatal(err)
		}
		return holds(witness, 2)()
	})
	if run, err := client.GetRun(c.ctx(), &apiv1.GetRunRequest{RunId: applied.RunId}); err != nil || run.Run.State != "running" {
		t.Errorf("the run: %v, %v", run, err)
	}
}

// A run that has tasks on as many workers as it may says so while others wait.
func TestARunSaysThatItMayUseNoMoreWorkers(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, ofStages(func(s *stages.Plan) { s.MaxWorkers = 1 }))
	client := c.client()
	cleans := func(l *apiv1.Lease) bool { return l.Kind == "clean" }
	for _, id := range []string{"w1", "w2"} {
		c.employ(newRobot(c, id, cleans))
	}
	applied := c.apply(client, "flights", 1)
	c.eventually("the run is on one worker of two", func() bool {
		run, err := client.GetRun(c.ctx(), &apiv1.GetRunRequest{RunId: applied.RunId})
		return err == nil && run.Run.Stage == "clean" && run.Run.Waiting == "on 1 workers of 2, as many as resources.max_workers allows"
	})
}
