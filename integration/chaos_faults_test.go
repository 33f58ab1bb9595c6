//go:build integration

package integration

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/thalweg/thalweg/integration/process"
	"github.com/thalweg/thalweg/worker/stream/crash/crashtest"
)

// moment is something that is done at a time of a run.
type moment struct {
	at time.Duration // since the events began to come
	do func(t *testing.T)
}

// chaosFaults are the kinds of trouble. Each returns what it does and when, from
// a beginning that was drawn.
var chaosFaults = []func(r *chaosRun, at time.Duration) []moment{
	killWorker, stopWorker, crashWorker, crashWorker, crashWorker, spoilNetwork, spoilNetwork, spoilNetwork, killCoordinator, killStore,
}

// disturb draws one to four faults and carries them out while events come.
func (r *chaosRun) disturb(t *testing.T) {
	t.Helper()
	moments := []moment{{chaosFlow, func(*testing.T) {}}}
	for range 1 + r.rng.IntN(4) {
		fault := chaosFaults[r.rng.IntN(len(chaosFaults))]
		moments = append(moments, fault(r, between(r.rng, 0, chaosFlow-500*time.Millisecond))...)
	}
	slices.SortStableFunc(moments, func(a, b moment) int { return int(a.at - b.at) })
	began := time.Now()
	for _, m := range moments {
		r.until(t, began.Add(m.at))
		m.do(t)
	}
}

// until waits for a time. A worker that has ended meanwhile, or has been stopped
// for long enough, is made to go on.
func (r *chaosRun) until(t *testing.T, when time.Time) {
	t.Helper()
	tick := time.NewTicker(chaosWatch)
	defer tick.Stop()
	for time.Now().Before(when) {
		<-tick.C
		for w := range chaosWorkers {
			r.wake(t, w)
		}
	}
}

func between(rng *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(rng.Int64N(int64(high-low)))
}

func (r *chaosRun) tell(format string, args ...any) {
	r.faults = append(r.faults, fmt.Sprintf(format, args...))
}

// killWorker kills one at once and starts another under its name.
func killWorker(r *chaosRun, at time.Duration) []moment {
	w, down := r.rng.IntN(chaosWorkers), between(r.rng, 0, 2*time.Second)
	if r.rng.IntN(3) == 0 {
		down = 7 * time.Second // long enough that its leases run out
	}
	return []moment{{at, func(*testing.T) {
		r.tell("%.1f s kill -9 w%d for %v", at.Seconds(), w, down.Round(100*time.Millisecond))
		r.cluster.KillWorker(w)
		r.workers[w].hold = time.Now().Add(down)
	}}, {at + down, func(*testing.T) {}}}
}

// stopWorker stops one, briefly or until others have taken over, and lets it go
// on as a zombie.
func stopWorker(r *chaosRun, at time.Duration) []moment {
	w, stopped := r.rng.IntN(chaosWorkers), []time.Duration{700 * time.Millisecond, 3 * time.Second, 7 * time.Second}[r.rng.IntN(3)]
	return []moment{{at, func(t *testing.T) {
		if !r.ended(w) {
			r.tell("%.1f s SIGSTOP w%d for %v", at.Seconds(), w, stopped)
			r.cluster.SignalWorker(t, w, syscall.SIGSTOP)
			r.workers[w].stopped, r.workers[w].hold = true, time.Now().Add(stopped)
		}
	}}, {at + stopped, func(*testing.T) {}}}
}

// crashWorker replaces one by a process that dies, stops, or is cut off at a
// step that is drawn.
func crashWorker(r *chaosRun, at time.Duration) []moment {
	at /= 4 // early, so that the step comes about
	w := r.rng.IntN(chaosWorkers)
	steps := slices.DeleteFunc(crashtest.Points(), func(s crashtest.Step) bool {
		if s.Scenario == crashtest.Merging && !r.features.merge || s.Point == crashtest.DeliverDeadLetters && r.features.letters == "" {
			return true // it would never come about
		}
		return slices.ContainsFunc(s.Needs, func(p crashtest.Plan) bool { return p.Action == crashtest.Exit })
	})
	step := steps[r.rng.IntN(len(steps))]
	plan := crashtest.Plan{Point: step.Point, When: crashtest.Whens()[r.rng.IntN(3)], Nth: 1 + r.rng.IntN(3), Action: crashtest.Actions()[r.rng.IntN(4)]}
	var plans []string
	for _, p := range append(step.Needs, plan) {
		plans = append(plans, p.String())
	}
	return []moment{{at, func(t *testing.T) {
		r.tell("%.1f s w%d is to crash at %s", at.Seconds(), w, plan)
		r.cluster.KillWorker(w)
		r.workers[w] = victim{plan: strings.Join(plans, ",")}
		r.cluster.RestartWorker(r.t, w)
		r.workers[w].plan = "" // its successor's life is its own
		r.crashes = append(r.crashes, planned{r.cluster.Worker(w), plan.String()})
	}}}
}

// spoilNetwork does something to one of a worker's connections, or to all.
func spoilNetwork(r *chaosRun, at time.Duration) []moment {
	w, mode := r.rng.IntN(chaosWorkers), []proxyMode{proxyCut, proxyFreeze, proxyMute, proxySlow}[r.rng.IntN(4)]
	for_ := between(r.rng, 300*time.Millisecond, 3*time.Second)
	to := links[r.rng.IntN(len(links)):][:1]
	if r.rng.IntN(4) == 0 {
		to, for_ = links, 7*time.Second // alone, until others have taken over
	}
	set := func(mode proxyMode) {
		for _, l := range to {
			r.proxies[link(w, l)].Set(mode)
		}
	}
	return []moment{
		{at, func(*testing.T) {
			r.tell("%.1f s %s w%d's way to %s for %v", at.Seconds(), mode, w, strings.Join(to, ", "), for_.Round(100*time.Millisecond))
			set(mode)
		}},
		{at + for_, func(*testing.T) { set(proxyPass) }},
	}
}

func killCoordinator(r *chaosRun, at time.Duration) []moment {
	down := between(r.rng, 0, 2*time.Second)
	return []moment{
		{at, func(*testing.T) {
			r.tell("%.1f s kill -9 the coordinator for %v", at.Seconds(), down.Round(100*time.Millisecond))
			r.cluster.KillCoordinator(0)
		}},
		{at + down, func(t *testing.T) {
			select {
			case <-r.cluster.Coordinator(0).Done():
				r.cluster.RestartCoordinator(r.t, 0)
			default:
			}
		}},
	}
}

// killStore kills MinIO, which keeps what it has acknowledged.
func killStore(r *chaosRun, at time.Duration) []moment {
	return []moment{{at, func(t *testing.T) {
		r.tell("%.1f s kill -9 the store and start it again", at.Seconds())
		r.store.Kill()
		r.store.Restart(r.t)
	}}}
}

func (c *chaos) ended(w int) bool {
	select {
	case <-c.cluster.Worker(w).Done():
		return true
	default:
		return false
	}
}

// stallFor is how long a worker that has stopped itself is left so.
const stallFor = 3 * time.Second

// wake starts a worker that has ended again and lets one go on that is stopped,
// once it has been so for long enough.
func (c *chaos) wake(t *testing.T, w int) {
	t.Helper()
	v := &c.workers[w]
	switch {
	case time.Now().Before(v.hold):
	case c.ended(w):
		v.stopped, v.hold = false, time.Now().Add(time.Second) // what cannot start is not started all the time
		c.cluster.RestartWorker(c.t, w)
	case !isStopped(c.cluster.Worker(w)):
		v.stopped = false
	case !v.stopped:
		v.stopped, v.hold = true, time.Now().Add(stallFor)
	default:
		v.stopped = false
		c.cluster.SignalWorker(t, w, syscall.SIGCONT)
	}
}

// isStopped reports whether a process is stopped by a signal, as Linux says.
func isStopped(p *process.Process) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID()))
	if err != nil {
		return false
	}
	_, after, _ := bytes.Cut(stat, []byte(") "))
	return bytes.HasPrefix(after, []byte("T"))
}
