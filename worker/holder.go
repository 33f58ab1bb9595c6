package worker

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
)

// maxReports bounds the reports kept for a coordinator that does not answer;
// a worker cannot hold more leases than this at once.
const maxReports = 4096

// A task is what a lease stands for while it is held.
type task interface {
	// run works until done or ctx ends. A nil report is no report: the task was
	// told to stop.
	run(ctx context.Context) *apiv1.TaskReport
	// update hands over the newest form of the lease: peers, models, pause.
	update(lease *apiv1.Lease)
	// fill adds progress or stream positions to a poll.
	fill(req *apiv1.PollRequest)
}

// held is one lease and the task running for it.
type held struct {
	lease  *apiv1.Lease
	task   task
	cancel context.CancelFunc
	done   chan struct{}
}

// holder owns the worker's tasks: it starts what the coordinator leases, ends
// what it no longer names, and keeps reports until they are accepted.
type holder struct {
	worker *Worker
	mu     struct {
		sync.Mutex
		tasks   map[string]*held
		ending  map[string]*held // told to end; a new lease of the same task waits for them
		reports map[string]*apiv1.TaskReport
		known   string        // hash of the leases last seen
		news    chan struct{} // closed and replaced when a report is added
		fresh   int           // reports added since the last poll was built
	}
}

func newHolder(w *Worker) *holder {
	h := &holder{worker: w}
	h.mu.tasks = make(map[string]*held)
	h.mu.ending = make(map[string]*held)
	h.mu.reports = make(map[string]*apiv1.TaskReport)
	h.mu.news = make(chan struct{})
	return h
}

// reconcile makes the running tasks equal to the leases of res. It does not
// wait for tasks that end: a stream may have something to commit, and the next
// poll is a heartbeat.
func (h *holder) reconcile(ctx context.Context, res *apiv1.PollResponse) {
	want := make(map[string]*apiv1.Lease, len(res.Leases))
	for _, l := range res.Leases {
		want[l.TaskId] = l
	}
	h.mu.Lock()
	h.mu.known = res.LeasesHash
	for id, t := range h.mu.tasks {
		if l, ok := want[id]; !ok || l.Token != t.lease.Token {
			t.cancel()
			h.mu.ending[id] = t
			delete(h.mu.tasks, id)
			delete(h.mu.reports, id)
		}
	}
	h.mu.Unlock()
	for _, l := range res.Leases {
		h.mu.Lock()
		t := h.mu.tasks[l.TaskId]
		h.mu.Unlock()
		if t != nil {
			t.task.update(l)
			continue
		}
		h.start(ctx, l)
	}
}

// start runs the task of a new lease. Its context ends with the lease, not
// with ctx, so that stopping can drain it first.
func (h *holder) start(ctx context.Context, lease *apiv1.Lease) {
	w := h.worker
	runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	t := &held{lease: lease, cancel: cancel, done: make(chan struct{})}
	var err error
	if t.task, err = w.newTask(lease); err != nil {
		t.task = failedTask{err}
	}
	h.mu.Lock()
	h.mu.tasks[lease.TaskId] = t
	before := h.mu.ending[lease.TaskId]
	h.mu.Unlock()
	go func() {
		defer close(t.done)
		defer h.ended(t)
		defer cancel()
		if before != nil {
			<-before.done
		}
		began := time.Now()
		w.log.Debug("task begins", keyTask, lease.TaskId, keyToken, lease.Token)
		restore := func() {}
		if lease.Kind != kindScore {
			restore = w.limit.lift()
		}
		report := t.task.run(runCtx)
		restore()
		if report == nil {
			return
		}
		report.TaskId, report.Token = lease.TaskId, lease.Token
		if report.Error != "" {
			w.log.Warn("task failed", keyTask, lease.TaskId, keyError, report.Error)
		} else {
			w.log.Debug("task done", keyTask, lease.TaskId, keyTook, time.Since(began))
		}
		h.report(t, report)
	}()
}

// ended forgets a task that was told to end and has.
func (h *holder) ended(t *held) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.ending[t.lease.TaskId] == t {
		delete(h.mu.ending, t.lease.TaskId)
	}
}

// report keeps a report until the coordinator has it, and wakes the poll.
func (h *holder) report(t *held, report *apiv1.TaskReport) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.tasks[report.TaskId] != t || len(h.mu.reports) >= maxReports {
		return // the lease is another's by now, and so is its outcome
	}
	h.mu.reports[report.TaskId] = report
	h.mu.fresh++
	close(h.mu.news)
	h.mu.news = make(chan struct{})
}

// fill adds reports, progress and stream positions to a poll.
func (h *holder) fill(req *apiv1.PollRequest) {
	h.mu.Lock()
	req.KnownLeases = h.mu.known
	h.mu.fresh = 0
	tasks := make([]*held, 0, len(h.mu.tasks))
	for id, t := range h.mu.tasks {
		if r, ok := h.mu.reports[id]; ok {
			req.Reports = append(req.Reports, r)
		} else {
			tasks = append(tasks, t)
		}
	}
	h.mu.Unlock()
	for _, t := range tasks {
		t.task.fill(req)
	}
}

// forget drops the reports that the coordinator has dealt with.
func (h *holder) forget(accepted []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, id := range accepted {
		delete(h.mu.reports, id)
	}
}

// onNews calls cancel when a report is added after the last fill; the returned
// function stops watching.
func (h *holder) onNews(cancel context.CancelFunc) (stop func()) {
	h.mu.Lock()
	news, fresh := h.mu.news, h.mu.fresh
	h.mu.Unlock()
	if fresh > 0 {
		cancel()
		return func() {}
	}
	quit := make(chan struct{})
	go func() {
		select {
		case <-news:
			cancel()
		case <-quit:
		}
	}()
	return func() { close(quit) }
}

// woken reports whether there is news that the last poll did not carry: it was
// cut short for it.
func (h *holder) woken() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mu.fresh > 0
}

// stopAll ends every task at once; it reports whether there was any.
func (h *holder) stopAll() bool {
	h.mu.Lock()
	tasks, ending := h.mu.tasks, slices.Collect(maps.Values(h.mu.ending))
	h.mu.tasks = make(map[string]*held)
	h.mu.reports = make(map[string]*apiv1.TaskReport)
	h.mu.known = ""
	h.mu.Unlock()
	for _, t := range tasks {
		t.cancel()
	}
	for _, t := range tasks {
		<-t.done
	}
	for _, t := range ending {
		<-t.done
	}
	return len(tasks) > 0
}

// drainer is a task with something to finish before it stops.
type drainer interface{ drain() }

// drain asks the tasks that can to finish, and waits for them up to timeout.
func (h *holder) drain(timeout time.Duration) {
	h.mu.Lock()
	var draining []*held
	for _, t := range h.mu.tasks {
		if d, ok := t.task.(drainer); ok {
			d.drain()
			draining = append(draining, t)
		}
	}
	h.mu.Unlock()
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	for _, t := range draining {
		select {
		case <-t.done:
		case <-deadline.C:
			return
		}
	}
}
