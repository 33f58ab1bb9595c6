package worker

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/tracing"
	"github.com/thalweg/thalweg/worker/average"
)

// A runner carries a lease out while it is held.
type runner interface {
	// run works until done or ctx ends. A nil report is no report: the task was
	// told to stop.
	run(ctx context.Context) *apiv1.TaskReport
	// update hands over the newest form of the lease: peers, models, pause.
	update(lease *apiv1.Lease)
	// fill adds progress or stream positions to a poll.
	fill(req *apiv1.PollRequest)
}

// runningTask is one lease and what carries it out.
type runningTask struct {
	lease  *apiv1.Lease
	runner runner
	report *apiv1.TaskReport // until the coordinator has it; guarded by taskManager.mu
	cancel context.CancelFunc
	done   chan struct{}
}

// taskManager owns the worker's tasks: it starts what the coordinator leases, ends
// what it no longer names, and keeps reports until they are accepted.
type taskManager struct {
	worker *Worker
	mu     struct {
		sync.Mutex
		tasks  map[string]*runningTask
		ending map[string]*runningTask // told to end; a new lease of the same task waits for them
		known  string                  // hash of the leases last seen
		unsent bool                    // whether a report was added since the last poll was built
		wake   context.CancelFunc      // ends the poll under way; nil: there is none
		// broken are peers whose connections broke since the last poll was built, and told
		// when one was last told of.
		broken map[average.Holder]bool
		told   map[average.Holder]time.Time
		cut    time.Time // when a poll was last cut short for one
	}
}

func newTaskManager(w *Worker) *taskManager {
	m := &taskManager{worker: w}
	m.mu.tasks = make(map[string]*runningTask)
	m.mu.ending = make(map[string]*runningTask)
	m.mu.broken, m.mu.told = make(map[average.Holder]bool), make(map[average.Holder]time.Time)
	return m
}

// reconcile makes the running tasks equal to the leases of res. It does not
// wait for tasks that end: a stream may have something to commit, and the next
// poll is a heartbeat.
func (m *taskManager) reconcile(ctx context.Context, res *apiv1.PollResponse) {
	want := make(map[string]*apiv1.Lease, len(res.Leases))
	for _, l := range res.Leases {
		want[l.TaskId] = l
	}
	m.mu.Lock()
	if len(res.Leases) == 0 && res.LeasesHash != "" && res.LeasesHash == m.mu.known {
		m.mu.Unlock()
		return // the coordinator leaves out what it has told
	}
	m.mu.known = res.LeasesHash
	for id, t := range m.mu.tasks {
		if l, ok := want[id]; !ok || l.Token != t.lease.Token {
			t.cancel()
			m.mu.ending[id] = t
			delete(m.mu.tasks, id)
		}
	}
	m.mu.Unlock()
	for _, l := range res.Leases {
		m.mu.Lock()
		t := m.mu.tasks[l.TaskId]
		m.mu.Unlock()
		if t != nil {
			t.runner.update(l)
			continue
		}
		m.start(ctx, l)
	}
}

// start runs the task of a new lease. Its context ends with the lease, not
// with ctx, so that stopping can drain it first.
func (m *taskManager) start(ctx context.Context, lease *apiv1.Lease) {
	w := m.worker
	runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	t := &runningTask{lease: lease, cancel: cancel, done: make(chan struct{})}
	var err error
	if t.runner, err = w.cfg.Stages.begin(w, lease); err != nil {
		t.runner = &Task{Lease: lease, do: func(context.Context, *Task) error { return err }}
	}
	m.mu.Lock()
	m.mu.tasks[lease.TaskId] = t
	before := m.mu.ending[lease.TaskId]
	m.mu.Unlock()
	go func() {
		defer close(t.done)
		defer m.ended(t)
		defer cancel()
		if before != nil {
			<-before.done
		}
		began, log := time.Now(), w.logOf(lease)
		log.Debug("task begins", keyToken, lease.Token)
		restore := func() {}
		if lease.RunId != "" || lease.JobId != "" {
			restore = w.cfg.Memory.Lift()
		}
		report := t.runner.run(runCtx)
		w.traceTask(lease, began, report)
		restore()
		if report == nil {
			return
		}
		report.TaskId, report.Token = lease.TaskId, lease.Token
		if report.OfWorker {
			w.filled()
		}
		outcome := "done"
		if report.Error != "" {
			outcome = "failed"
			log.Warn("task failed", keyError, report.Error)
		} else {
			log.Debug("task done", keyTook, time.Since(began))
		}
		w.metrics.tasks.WithLabelValues(lease.Kind, outcome).Inc()
		m.report(t, report)
	}()
}

// logOf returns a log whose lines name the task, and what it is of.
func (w *Worker) logOf(lease *apiv1.Lease) *slog.Logger {
	log := w.log.With(keyPipeline, lease.Pipeline, keyTask, lease.TaskId)
	if lease.RunId != "" {
		log = log.With(keyRun, lease.RunId)
	}
	if lease.ShardTo > lease.ShardFrom {
		log = log.With(keyShard, fmt.Sprintf("%d-%d", lease.ShardFrom, lease.ShardTo-1))
	}
	return log
}

// traceTask sends the span of a task of a run that ended, with its report or with its
// lease. Its trace and the span of its stage follow from the lease.
func (w *Worker) traceTask(lease *apiv1.Lease, began time.Time, report *apiv1.TaskReport) {
	if w.cfg.Traces == nil || lease.RunId == "" {
		return
	}
	failure := "its lease ended before"
	if report != nil {
		failure = report.Error
	}
	attributes := []tracing.Attribute{tracing.Pipeline.String(lease.Pipeline), tracing.Run.String(lease.RunId), tracing.Stage.String(lease.Kind),
		tracing.Task.String(lease.TaskId), tracing.Worker.String(string(w.cfg.ID))}
	if lease.ShardTo > lease.ShardFrom {
		attributes = append(attributes, tracing.Shards.String(fmt.Sprintf("%d-%d", lease.ShardFrom, lease.ShardTo-1)))
	}
	of := tracing.RunTrace(thalweg.RunID(lease.RunId), lease.RunStartedAtUnixMs)
	w.cfg.Traces.Record(tracing.Span{Trace: of, Parent: tracing.SpanOf(of, lease.Kind), Name: lease.Kind, From: began, To: time.Now(), Err: failure, Attributes: attributes})
}

// ended forgets a task that was told to end and has.
func (m *taskManager) ended(t *runningTask) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.ending[t.lease.TaskId] == t {
		delete(m.mu.ending, t.lease.TaskId)
	}
}

// report keeps a report until the coordinator has it, and wakes the poll.
func (m *taskManager) report(t *runningTask, report *apiv1.TaskReport) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.tasks[report.TaskId] != t {
		return // the lease is another's by now, and so is its outcome
	}
	t.report = report
	m.mu.unsent = true
	if m.mu.wake != nil {
		m.mu.wake()
	}
}

// fill adds reports, progress and stream positions to a poll.
func (m *taskManager) fill(req *apiv1.PollRequest) {
	m.mu.Lock()
	req.KnownLeases = m.mu.known
	m.mu.unsent = false
	for peer := range m.mu.broken {
		req.Unreachable = append(req.Unreachable, &apiv1.Peer{Worker: string(peer.Worker), Address: peer.Address})
	}
	clear(m.mu.broken)
	tasks := make([]*runningTask, 0, len(m.mu.tasks))
	reported := 0
	for _, t := range m.mu.tasks {
		if t.report == nil {
			tasks = append(tasks, t)
			continue
		}
		// What does not fit goes with the next poll: this one is answered at once.
		if reported += proto.Size(t.report); reported <= api.MaxReportBytes || len(req.Reports) == 0 {
			req.Reports = append(req.Reports, t.report)
		}
	}
	m.mu.Unlock()
	for _, t := range tasks {
		t.runner.fill(req)
	}
	// The partitions of a stream refuse the same versions.
	slices.SortFunc(req.Refusals, func(a, b *apiv1.ModelRefusal) int {
		return cmp.Or(cmp.Compare(a.Model, b.Model), cmp.Compare(b.Version, a.Version))
	})
	req.Refusals = slices.CompactFunc(req.Refusals, func(a, b *apiv1.ModelRefusal) bool { return a.Model == b.Model && a.Version == b.Version })
	req.Refusals = req.Refusals[:min(len(req.Refusals), maxRefusals)]
}

// maxRefusals is how many versions that cannot be loaded a poll tells of, as many as
// a coordinator takes.
const maxRefusals = 64

// tellEvery is how often the coordinator is told of a peer whose connections break. They are
// tried again much faster, and each time ends a poll.
const tellEvery = 250 * time.Millisecond

// cutEvery is how often a poll is cut short for such peers, however many they are.
const cutEvery = tellEvery

// unreachable has the coordinator told that connections to a peer break.
func (m *taskManager) unreachable(peer average.Holder) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Since(m.mu.told[peer]) < tellEvery {
		return
	}
	maps.DeleteFunc(m.mu.told, func(_ average.Holder, at time.Time) bool { return time.Since(at) >= tellEvery })
	m.mu.told[peer], m.mu.broken[peer] = time.Now(), true
	if time.Since(m.mu.cut) < cutEvery {
		return // the next poll tells it: one needs the time to be answered
	}
	m.mu.cut, m.mu.unsent = time.Now(), true
	if m.mu.wake != nil {
		m.mu.wake()
	}
}

// forget drops the reports that the coordinator has dealt with.
func (m *taskManager) forget(accepted []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range accepted {
		if t := m.mu.tasks[id]; t != nil {
			t.report = nil
		}
	}
}

// wakeBy has a report end the poll under way; at once if one was added after the
// poll was built. Nil: there is no poll.
func (m *taskManager) wakeBy(cancel context.CancelFunc) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.wake = cancel; cancel != nil && m.mu.unsent {
		cancel()
	}
}

// hasUnsent reports whether there is a report that the last poll did not carry: it
// was cut short for it.
func (m *taskManager) hasUnsent() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.unsent
}

// len returns how many leases are held.
func (m *taskManager) len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.mu.tasks)
}

// endAll tells every task to end, and waits for none; it reports whether there was
// any.
func (m *taskManager) endAll() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	tasks := m.mu.tasks
	m.mu.tasks, m.mu.known = make(map[string]*runningTask), ""
	for id, t := range tasks {
		t.cancel()
		m.mu.ending[id] = t
	}
	return len(tasks) > 0
}

// wait waits until the tasks that were told to end have.
func (m *taskManager) wait() {
	m.mu.Lock()
	ending := slices.Collect(maps.Values(m.mu.ending))
	m.mu.Unlock()
	for _, t := range ending {
		<-t.done
	}
}

// drainer is a task with something to finish before it stops.
type drainer interface{ drain() }

// drain asks the tasks that can to finish, and waits for them up to timeout.
func (m *taskManager) drain(timeout time.Duration) {
	m.mu.Lock()
	var draining []*runningTask
	for _, t := range m.mu.tasks {
		if d, ok := t.runner.(drainer); ok {
			d.drain()
			draining = append(draining, t)
		}
	}
	m.mu.Unlock()
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
