//go:build integration

package integration

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	apache "github.com/thalweg/thalweg/integration/kafka"
	"github.com/thalweg/thalweg/integration/minio"
	"github.com/thalweg/thalweg/integration/process"
)

// upgrade is a cluster that goes from one build to the next, node by node.
type upgrade struct {
	*cluster
	newer  string // the binary
	run    string // that trains now
	model  string // what each run has to register
	during int    // nodes that were replaced while a run was in its rounds
}

// TestARollingUpgradeLosesNothing replaces each node of a running cluster by the next build,
// as docs/operate.md says: workers first, the leader last. Meanwhile events come, a training
// is under way, and changes are made. No change fails or is lost, each event is in exactly
// one row or dead letter, each run registers the model of an undisturbed one, and the cluster
// acts by what the new build alone understands once the last coordinator has it, not before.
// The old build then refuses to start, by name.
func TestARollingUpgradeLosesNothing(t *testing.T) {
	server := minio.Start(t)
	lake := newLake(t, server)
	kafka := apache.Start(t, apache.Config{})
	kafka.CreateTopic(t, topic, partitions, nil)
	older := buildVersion(t, "thalweg-older", "", "v1")
	u := &upgrade{newer: buildVersion(t, "thalweg-newer", "newer", "v2"),
		cluster: startCluster(t, clusterConfig{S3: server, Kafka: kafka, Binary: older})}
	u.run = apply(t, u.cluster, streamSpec(t, 500*time.Millisecond, `  trainer: {optimizer: {type: adam}, epochs: 40, early_stop: 100, batch_size: 64, distributed: {replicas: 4, sync_every: 8}}
  schedule: {cron: "0 0 1 1 *"}
`))
	u.model = modelOf(t, u.cluster, waitRun(t, u.cluster, u.run, "the undisturbed run", succeeded))
	u.run = startRun(t, u.cluster, flightPipeline)
	f := newFeed(t, kafka.Brokers(), topic, partitions)
	stop := f.flow(t)
	waitStream(t, u.Client(), "all partitions to be scored", all(partitions, func(p *apiv1.StreamPartition) bool { return p.Committed > 0 }))
	settled := u.change(t)

	for _, m := range u.workers {
		u.replace(t, m)
	}
	leader := u.Leader(t)
	for i := range u.coordinators {
		u.replace(t, u.coordinators[(leader+1+i)%len(u.coordinators)])
	}
	process.Until(t, "the cluster to act as the new build does", func(ctx context.Context) error {
		res, err := u.Client().Status(ctx, &apiv1.StatusRequest{})
		if err == nil && res.Level != 2 {
			err = fmt.Errorf("level %d", res.Level)
		}
		return err
	})
	t.Logf("%d changes were acknowledged meanwhile, and %d of %d nodes were replaced in the rounds of a run", settled(), u.during, len(u.workers)+len(u.coordinators))
	if u.during == 0 {
		t.Error("no node was replaced in the rounds of a run")
	}
	waitStream(t, u.Client(), "what came during the upgrade", committedTo(f.ends()))
	stop()
	waitStream(t, u.Client(), "every event to be committed", committedTo(f.ends()))
	u.ended(t, waitRun(t, u.cluster, u.run, "the last run", succeeded))

	sent, poison := f.flights()
	if v := judge(t, u.Client(), lake); v.Dead != int64(poison) || v.Scored != int64(len(sent)-poison) || v.Absent+v.Dropped != 0 {
		t.Errorf("%d events were sent, %d of them poison:\n%s", len(sent), poison, v)
	}
	f.wantEachOnce(t, lake, sinkPrefix)

	back := u.coordinators[(u.Leader(t)+1)%len(u.coordinators)]
	if code := back.process.Stop(t); code != 0 {
		t.Errorf("%s ended with code %d when it was asked to", back.name, code)
	}
	back.binary = older
	u.start(t, back)
	if code := back.process.Wait(t); code == 0 || !strings.Contains(back.process.Tail(), "upgrade this node") {
		t.Errorf("the old build ended with code %d:%s", code, back.process.Tail())
	}
}

// change pauses and resumes a schedule again and again, and reads each change back, until
// settled is called, which returns how many were made.
func (u *upgrade) change(t *testing.T) (settled func() int) {
	ctx, end := context.WithCancel(t.Context())
	changes, failed := 0, make(chan error, 1)
	go func() {
		for paused := true; ctx.Err() == nil; paused = !paused {
			_, err := u.Client().SetSchedule(ctx, &apiv1.SetScheduleRequest{Pipeline: flightPipeline, Paused: paused})
			if err == nil {
				var res *apiv1.GetPipelineResponse
				if res, err = u.Client().GetPipeline(ctx, &apiv1.GetPipelineRequest{Name: flightPipeline}); err == nil && res.Pipeline.Timetable.Paused != paused {
					err = errors.New("a change that was acknowledged is not there")
				}
			}
			if err != nil && ctx.Err() == nil {
				failed <- err
				return
			}
			changes++
		}
		failed <- nil
	}()
	t.Cleanup(end)
	return func() int {
		end()
		if err := <-failed; err != nil {
			t.Errorf("a change failed: %v", err)
		}
		return changes
	}
}

// replace has a node end in order and starts it with the next build, and waits until the
// cluster knows it as such.
func (u *upgrade) replace(t *testing.T, m *member) {
	t.Helper()
	if u.train(t) {
		u.during++
	}
	if code := m.process.Stop(t); code != 0 {
		t.Errorf("%s ended with code %d when it was asked to: %s", m.name, code, m.process.Tail())
	}
	res, err := u.Client().Status(t.Context(), &apiv1.StatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if res.Level != 1 {
		t.Errorf("the cluster acts by level %d before %s knows it", res.Level, m.name)
	}
	m.binary = u.newer
	u.start(t, m)
	process.Until(t, m.name+" to be there with the next build", func(ctx context.Context) error {
		select {
		case <-m.process.Done():
			return fmt.Errorf("%w: it ended: %s", process.ErrHopeless, m.process.Tail())
		default:
		}
		res, err := u.Client().Status(ctx, &apiv1.StatusRequest{})
		if err != nil {
			return err
		}
		for _, n := range res.Nodes {
			if n.Id == m.name && strings.HasPrefix(n.Version, "v2") && n.AppliedIndex+100 >= res.AppliedIndex {
				return nil
			}
		}
		for _, w := range res.Workers {
			if w.Id == m.name && strings.HasPrefix(w.Version, "v2") && w.State == "alive" {
				return nil
			}
		}
		return fmt.Errorf("%v %v", res.Nodes, res.Workers)
	})
}

// train reports whether a run is in its rounds, once one is or ended just now; then it
// starts the next.
func (u *upgrade) train(t *testing.T) bool {
	t.Helper()
	run := waitRun(t, u.cluster, u.run, "rounds", func(r *apiv1.Run, stages map[string]*apiv1.Stage) bool {
		return training(r, stages) || succeeded(r, stages)
	})
	if run.State != "succeeded" {
		return true
	}
	u.ended(t, run)
	u.run = startRun(t, u.cluster, flightPipeline)
	return false
}

// ended checks the model of a run.
func (u *upgrade) ended(t *testing.T, run *apiv1.Run) {
	t.Helper()
	if got := modelOf(t, u.cluster, run); got != u.model {
		t.Errorf("run %s registered model %s, undisturbed %s", run.Id, got, u.model)
	}
}
