package worker

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline/rollout"
	"github.com/thalweg/thalweg/retry"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// pollBackoff spaces polls that get no answer.
var pollBackoff = retry.Backoff{Min: 50 * time.Millisecond, Max: 2 * time.Second}

// poll is the worker's main loop. One call carries everything: what tasks
// reported and how far they are goes in, the complete set of leases comes out,
// so that the next call makes up for a lost one.
func (w *Worker) poll(ctx context.Context) error {
	defer w.tasks.wait()
	defer w.tasks.endAll()
	lastAnswer, failures := time.Now(), 0
	for ctx.Err() == nil {
		res, err := w.pollOnce(ctx)
		switch {
		case err == nil:
			now := time.Now()
			lastAnswer, failures = now, 0
			w.answered.Store(&now)
			w.tasks.forget(res.Accepted)
			w.tasks.reconcile(ctx, res)
			w.looks.want(res.Looks)
			continue
		case ctx.Err() != nil:
		default:
			if time.Since(lastAnswer) > w.cfg.LeaseTTL && w.tasks.endAll() {
				w.log.Warn("no coordinator for the lease's time: all tasks are ended", keyError, err)
			}
			if w.tasks.hasUnsent() {
				continue // a report is waiting: ask again at once
			}
			w.metrics.polls.Inc()
			w.log.Debug("poll failed", keyError, err)
			failures++
			_ = pollBackoff.Wait(ctx, failures)
		}
	}
	return w.leave()
}

// pollOnce makes one call; it ends early when a task has something to report.
func (w *Worker) pollOnce(ctx context.Context) (*apiv1.PollResponse, error) {
	req := w.request()
	callCtx, cancel := context.WithTimeout(ctx, w.cfg.PollWait+5*time.Second)
	defer cancel()
	w.tasks.wakeBy(cancel)
	defer w.tasks.wakeBy(nil)
	return w.coordinator.Poll(callCtx, req)
}

func (w *Worker) request() *apiv1.PollRequest {
	req := &apiv1.PollRequest{
		WorkerId: string(w.cfg.ID), Incarnation: w.incarnation, ExchangeAddress: w.ExchangeAddress(),
		Slots: uint32(w.cfg.Slots), WaitMs: w.cfg.PollWait.Milliseconds(),
		Version: w.cfg.Version, Cores: uint32(runtime.GOMAXPROCS(0)), MemoryBytes: w.cfg.MemoryBytes,
	}
	if certs := w.cfg.Credentials; certs != nil {
		req.CertificateExpiresAtUnixMs = time.Now().Add(certs.ExpiresIn()).UnixMilli()
	}
	addresses := 0
	for _, c := range w.connections.Known() {
		addresses += max(len(c.Addresses), 1)
		req.Connections = append(req.Connections, &apiv1.Connection{Kind: c.Kind, Name: c.Name, Addresses: c.Addresses})
	}
	if addresses > maxAddresses {
		req.Connections = nil // coordinators take no more, and check nothing without them
	}
	w.tasks.fill(req)
	w.fillRollouts(req)
	req.NoRoom = w.full()
	req.Looked = w.looks.take()
	return req
}

// fillRollouts tells what was counted of the rollouts that this worker takes part in.
func (w *Worker) fillRollouts(req *apiv1.PollRequest) {
	steps := make(map[engine.Model]bool)
	for _, r := range w.streams.all() {
		if wanted, _ := r.Candidates(); len(wanted) > 0 && wanted[0].InRollout() {
			steps[wanted[0].Model] = true
		}
	}
	for m, tally := range w.arms.Keep(steps) {
		arms, failure := tally.Counts()
		tally.Fail("") // until somebody finds it again
		c := &apiv1.RolloutCounts{Salt: m.Rollout.Salt, Percent: m.Rollout.Percent, Failure: brief(failure)}
		for i := range arms {
			a := &arms[i]
			c.Arms = append(c.Arms, &apiv1.ArmCounts{Events: a.Events, Dead: a.Dead, Batches: a.Batches, Sum: a.Sum, Squares: a.Squares,
				Scores: rollout.Sparse(a.Scores[:]), Times: rollout.Sparse(a.Times[:])})
		}
		req.Rollouts = append(req.Rollouts, c)
	}
}

// roomGrowth is how much more must be free for a worker to take tasks of runs again whose disk
// was full, than was once the task that filled it had given back its own: more than what comes
// and goes by itself.
const roomGrowth = 64 << 20

// roomAgain is when it takes some all the same: of a disk that is as empty as it ever is, no more
// is ever free. Each that fills it counts as a loss, so that one which fits nowhere ends its run.
const roomAgain = time.Minute

// fullDisk is a disk that a task has filled.
type fullDisk struct {
	at     time.Time
	needed int64 // bytes that must be free for it to have room again
}

// filled notes that a task could not go on for want of disk.
func (w *Worker) filled() {
	if free, err := w.cfg.FreeBytes(w.cfg.spillDir()); err == nil {
		w.noRoom.Store(&fullDisk{time.Now(), free + roomGrowth})
	}
}

// full reports whether a disk was full, and has no more room since.
func (w *Worker) full() bool {
	was := w.noRoom.Load()
	if was == nil {
		return false
	}
	if free, err := w.cfg.FreeBytes(w.cfg.spillDir()); err == nil && free < was.needed && time.Since(was.at) < roomAgain {
		return true
	}
	w.noRoom.CompareAndSwap(was, nil)
	return false
}

// maxAddresses is how many addresses of connections a poll tells of, as many as a
// coordinator takes.
const maxAddresses = 1024

// leaveTimeout bounds the last call. With Config.DrainTimeout before it, and what
// ends afterwards because its context has, a worker is gone within 10 s.
const leaveTimeout = time.Second

// leave drains the tasks and gives the leases back, so that others need not
// wait for them to expire.
func (w *Worker) leave() error {
	w.served.Drain()
	w.tasks.drain(w.cfg.DrainTimeout)
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	req := w.request()
	req.Leaving, req.WaitMs = true, 0
	if _, err := w.coordinator.Poll(ctx, req); err != nil && !thalweg.Is(err, thalweg.Canceled) {
		w.log.Info("left without an answer: the leases expire by themselves", keyError, err)
	}
	return nil
}

// maxLooks bounds the listings that wait, and the answers: a coordinator asks again.
const maxLooks = 64

// looks are listings of training data that coordinators asked for.
type looks struct {
	wanted chan *apiv1.Look
	mu     struct {
		sync.Mutex
		found []*apiv1.Looked
	}
}

// want queues the listings that an answer asks for.
func (l *looks) want(looks []*apiv1.Look) {
	for _, look := range looks {
		select {
		case l.wanted <- look:
		default:
		}
	}
}

// take returns what was found since it was called last.
func (l *looks) take() []*apiv1.Looked {
	l.mu.Lock()
	defer l.mu.Unlock()
	found := l.mu.found
	l.mu.found = nil
	return found
}

// look lists what is asked for until ctx ends.
func (w *Worker) look(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case look := <-w.looks.wanted:
			found := &apiv1.Looked{Pipeline: look.Pipeline, Generation: look.Generation}
			var err error
			if found.Objects, err = w.list(ctx, look); err != nil {
				found.Error = brief(err.Error())
			}
			w.looks.mu.Lock()
			if len(w.looks.mu.found) < maxLooks {
				w.looks.mu.found = append(w.looks.mu.found, found)
			}
			w.looks.mu.Unlock()
		}
	}
}

// list names the objects of a spec's training data, and of its tables, as they are now.
func (w *Worker) list(ctx context.Context, look *apiv1.Look) (objects string, err error) {
	spec, err := w.spec(&apiv1.Lease{Pipeline: look.Pipeline, Spec: look.Spec})
	if err != nil {
		return "", err
	}
	source, err := w.source(ctx, spec)
	if err != nil {
		return "", err
	}
	objects, _, err = w.objects(ctx, spec, source)
	return objects, err
}
