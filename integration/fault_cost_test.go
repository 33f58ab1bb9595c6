//go:build integration

package integration

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/integration/minio"
	"github.com/thalweg/thalweg/integration/process"
)

const (
	// costReplicas are dealt to costWorkers of one processor each.
	costReplicas, costWorkers = 4, 2
	// costEvery is the time between two faults.
	costEvery = 30 * time.Second
)

const costSpec = `apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: cost}
spec:
  sources: {train: {s3: {path: "s3://lake/flights/*.parquet"}, format: {type: parquet}}}
  input_features: [{name: distance, type: number}, {name: origin, type: category}, {name: destination, type: category}, {name: hour, type: category, expression: "hour(date)"}]
  output_features: [{name: late, type: binary, expression: "delay > 15"}]
  model: {type: mlp, hidden: [64, 32]}
  trainer: {epochs: EPOCHS, early_stop: 0, batch_size: 256, distributed: {replicas: 4, sync_every: 16}}
`

// faultCost is what was measured of a training.
type faultCost struct {
	model         string
	took, cpu     time.Duration // of the train stage
	stalled       time.Duration // without progress, beyond twice the usual time between two reports
	uneven        time.Duration // that even shares of the replicas would have saved
	faults, moved int
}

// TestFaultsCostLittle trains the same model undisturbed, and with a worker that is killed
// again and again (of a training of a minute or more every half minute) and comes back, and
// prints what that cost: of what a training waits and of how the replicas lie, which other load
// on the machine does not change, beside the times. FAULT_COST_SECONDS is how long a training
// takes, FAULT_COST_AWAY how many of them a worker is away.
func TestFaultsCostLittle(t *testing.T) {
	seconds, err := strconv.Atoi(cmp.Or(os.Getenv("FAULT_COST_SECONDS"), "12"))
	if err != nil {
		t.Fatal(err)
	}
	away, err := strconv.Atoi(cmp.Or(os.Getenv("FAULT_COST_AWAY"), "1"))
	if err != nil {
		t.Fatal(err)
	}
	every := min(costEvery, time.Duration(seconds)*time.Second/2)
	server := minio.Start(t)
	newLake(t, server)
	c := startCluster(t, clusterConfig{S3: server, Workers: costWorkers, Env: func(member string) []string {
		if strings.HasPrefix(member, "w") {
			return []string{"GOMAXPROCS=1"}
		}
		return nil
	}})
	spec := func(epochs int) string { return strings.Replace(costSpec, "EPOCHS", fmt.Sprint(epochs), 1) }
	const tried = 30
	trial := c.faultCost(t, apply(t, c, spec(tried)), 0, 0)
	epochs := max(tried+1, int(tried*float64(seconds)/trial.took.Seconds()))
	plain := c.faultCost(t, apply(t, c, spec(epochs)), 0, 0)
	faulty := c.faultCost(t, startRun(t, c, "cost"), every, time.Duration(away)*time.Second)
	if faulty.model != plain.model {
		t.Errorf("the disturbed model is %s, the undisturbed %s", faulty.model, plain.model)
	}
	for name, of := range map[string]faultCost{"undisturbed": plain, "disturbed": faulty} {
		share := func(d time.Duration) float64 { return 100 * d.Seconds() / of.took.Seconds() }
		t.Logf("%s, %d epochs, %d faults: %.1f s, %.1f CPU-s of the workers; %.2f s without progress (%.1f %%), %.2f s by uneven shares (%.1f %%), %d replicas moved",
			name, epochs, of.faults, of.took.Seconds(), of.cpu.Seconds(), of.stalled.Seconds(), share(of.stalled), of.uneven.Seconds(), share(of.uneven), of.moved)
	}
	lost := 100 * float64(faulty.faults*away) / costWorkers / plain.took.Seconds()
	t.Logf("cost: wall %+.1f %%, of it %.1f %% for the workers that are away; CPU %+.1f %%, %.2f s a fault (%.1f %% of what the workers have between two); without progress %.2f s a fault", 100*(faulty.took.Seconds()/plain.took.Seconds()-1), lost, 100*(faulty.cpu.Seconds()/plain.cpu.Seconds()-1),
		(faulty.cpu-plain.cpu).Seconds()/float64(max(1, faulty.faults)), 100*(faulty.cpu-plain.cpu).Seconds()/float64(max(1, faulty.faults))/costWorkers/every.Seconds(),
		(faulty.stalled-plain.stalled).Seconds()/float64(max(1, faulty.faults)))
}

// faultCost waits for a run, in whose training workers are killed in turn, if every is not 0,
// and started again after they have been away.
func (c *cluster) faultCost(t *testing.T, run string, every, away time.Duration) (out faultCost) {
	t.Helper()
	var processes []*process.Process
	for i := range c.workers {
		processes = append(processes, c.Worker(i))
	}
	cpu := func() (sum time.Duration) {
		for _, p := range processes {
			sum += p.CPU(t)
		}
		return sum
	}
	var before time.Duration
	var next, progressed time.Time
	var rows int64
	var waits []time.Duration // between two reports of progress
	var back time.Time        // when the worker that is away comes back
	gone := -1
	holders := map[string]string{}
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		<-ticker.C
		res, err := c.Client().GetRun(t.Context(), &apiv1.GetRunRequest{RunId: run})
		if err != nil {
			t.Fatal(err)
		}
		now, r := time.Now(), res.Run
		stage := r.Stages[slices.IndexFunc(r.Stages, func(s *apiv1.Stage) bool { return s.Name == "train" })]
		if stage.State == "done" && out.cpu == 0 {
			out.cpu = cpu() - before
		}
		switch {
		case r.State == "succeeded":
			out.took = time.Duration(stage.EndedAtUnixMs-stage.StartedAtUnixMs) * time.Millisecond
			out.model = modelOf(t, c, r)
			usual := slices.Sorted(slices.Values(waits))[len(waits)/2]
			for _, wait := range waits {
				out.stalled += max(0, wait-2*usual)
			}
			return out
		case r.State != "running":
			t.Fatalf("run %s is %s: %s", run, r.State, r.Error)
		case stage.State != "running":
			continue
		case next.IsZero():
			before, next, progressed = cpu(), now.Add(every/2), now
		}
		held := map[string]int{}
		for _, task := range stage.Tasks {
			if task.Worker == "" {
				continue
			}
			held[task.Worker]++
			if was := holders[task.Id]; was != "" && was != task.Worker {
				out.moved++
			}
			holders[task.Id] = task.Worker
		}
		if stage.RowsDone > rows {
			wait := now.Sub(progressed)
			if rows > 0 {
				waits = append(waits, wait)
			}
			if most := slices.Max(slices.Collect(maps.Values(held))); gone < 0 && most > costReplicas/costWorkers {
				out.uneven += wait * time.Duration(most-costReplicas/costWorkers) / time.Duration(most)
			}
			rows, progressed = stage.RowsDone, now
		}
		if every > 0 && now.After(next) {
			next = next.Add(every)
			gone, back = out.faults%costWorkers, now.Add(away)
			out.faults++
			c.KillWorker(gone)
		}
		if gone >= 0 && !now.Before(back) {
			c.RestartWorker(t, gone)
			processes, gone = append(processes, c.Worker(gone)), -1
		}
	}
}
