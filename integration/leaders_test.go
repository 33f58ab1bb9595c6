//go:build integration

package integration

import (
	"context"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/integration/minio"
	"github.com/thalweg/thalweg/integration/process"
)

// TestWhatWasAcknowledgedSurvivesLeaders submits changes without a pause while one
// leader after the other is killed: each change that was acknowledged is there when it
// is read next. It logs how long a change had to wait for the next leader
// (LEADER_KILLS=200 by `make leaders`).
func TestWhatWasAcknowledgedSurvivesLeaders(t *testing.T) {
	kills := 10
	if n, err := strconv.Atoi(os.Getenv("LEADER_KILLS")); err == nil {
		kills = n
	}
	server := minio.Start(t)
	newLake(t, server)
	c := startCluster(t, clusterConfig{S3: server, Workers: 1})
	apply(t, c, flightsSpec(t, "  schedule: {cron: \"0 0 1 1 *\"}\n"))

	var waits []time.Duration
	for range kills {
		wait := changesOverAKill(t, c)
		waits = append(waits, wait)
	}
	slices.Sort(waits)
	at := func(p float64) time.Duration {
		return waits[int(p*float64(len(waits)-1))].Round(time.Millisecond)
	}
	t.Logf("%d kills of the leader; until the first change that the next acknowledged: median %v, 90 %% %v, 99 %% %v, longest %v",
		kills, at(.5), at(.9), at(.99), at(1))
	for from := time.Duration(0); from < waits[len(waits)-1]; from += 200 * time.Millisecond {
		n := 0
		for _, w := range waits {
			if w >= from && w < from+200*time.Millisecond {
				n++
			}
		}
		t.Logf("%6v %4d %s", from, n, strings.Repeat("#", n))
	}
}

// changesOverAKill pauses and resumes a schedule again and again, kills the leader
// meanwhile, and returns how long it took from the kill to the first change begun
// after it.
func changesOverAKill(t *testing.T, c *cluster) (wait time.Duration) {
	leader := c.Leader(t)
	ctx, end := context.WithCancel(t.Context())
	defer end()
	var changes atomic.Int64
	first := make(chan time.Time, 1)
	var killed atomic.Bool
	failed := make(chan error, 1)
	go func() {
		client := c.Client()
		for paused := true; ctx.Err() == nil; paused = !paused {
			after := killed.Load()
			if _, err := client.SetSchedule(ctx, &apiv1.SetScheduleRequest{Pipeline: "flight-delays", Paused: paused}); err != nil {
				failed <- err
				return
			}
			if after {
				select {
				case first <- time.Now():
				default:
				}
			}
			changes.Add(1)
			res, err := client.GetPipeline(ctx, &apiv1.GetPipelineRequest{Name: "flight-delays"})
			if err == nil && res.Pipeline.Timetable.Paused != paused {
				err = errors.New("a change that was acknowledged is not there")
			}
			if err != nil {
				failed <- err
				return
			}
		}
		failed <- nil
	}()
	process.Until(t, "changes to flow", func(context.Context) error {
		select {
		case err := <-failed:
			t.Fatal(err)
		default:
		}
		if changes.Load() < 20 {
			return errors.New("not yet")
		}
		return nil
	})
	began := time.Now()
	c.KillCoordinator(leader)
	killed.Store(true)
	select {
	case at := <-first:
		wait = at.Sub(began)
	case err := <-failed:
		t.Fatal(err)
	}
	end()
	if err := <-failed; err != nil && ctx.Err() == nil {
		t.Fatal(err)
	}
	c.RestartCoordinator(t, leader)
	process.Until(t, "the killed coordinator to follow", func(ctx context.Context) error {
		res, err := c.Client().Status(ctx, &apiv1.StatusRequest{})
		if err == nil && slices.ContainsFunc(res.Nodes, func(n *apiv1.Node) bool { return n.State == "unreachable" }) {
			err = errors.New("it is unreachable")
		}
		return err
	})
	return wait
}
