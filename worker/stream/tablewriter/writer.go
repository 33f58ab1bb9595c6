package tablewriter

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/table/delta"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/machine"
)

// Writer keeps one table. All methods may be called concurrently; none but Run
// and Settle waits for the store. Any number of Writers, in any number of
// processes, may keep the same table: each slot lands once.
type Writer struct {
	cfg    Config
	bucket storage.Bucket
	table  *delta.Table
	log    *slog.Logger
	wake   chan struct{} // the mailbox has changed
	mu     struct {
		sync.Mutex
		mail     []event           // sources that were added and removed
		finished map[Source]uint64 // slots
		taken    bool              // from the mailbox, and not done with
		status   Status
		changed  chan struct{} // closed and renewed when status changes
	}
}

// Status is where a Writer stands.
type Status struct {
	Version int64 // of the table; -1: there is none yet, or it is not known
	Commits int64 // made by this Writer
	Lost    int64 // commits that another writer's came before
	Sources map[Source]SourceStatus
}

// SourceStatus is where a Writer stands with one log.
type SourceStatus struct {
	Behind  int64  // finished slots known not to be in the table
	Message string // what keeps them out of it, "" if nothing does
}

// New returns a Writer of the table at the sink's root in bucket, which is not
// used before Run.
func New(bucket storage.Bucket, log *slog.Logger, cfg Config) *Writer {
	cfg = cfg.withDefaults()
	w := &Writer{cfg: cfg, bucket: bucket, wake: make(chan struct{}, 1),
		log:   log.With(slog.String("pipeline", string(cfg.Pipeline)), slog.String("table", cfg.Prefix)),
		table: delta.New(bucket, cfg.Prefix)}
	w.mu.finished = map[Source]uint64{}
	w.mu.status.Version = -1
	w.mu.changed = make(chan struct{})
	return w
}

// Add has the Writer follow a log. To add it again has it try again what it
// refused.
func (w *Writer) Add(s Source) { w.post(sourceAdded{s}) }

// Remove ends that.
func (w *Writer) Remove(s Source) { w.post(sourceRemoved{s}) }

func (w *Writer) post(ev event) {
	w.mu.Lock()
	w.mu.mail = append(w.mu.mail, ev)
	w.mu.Unlock()
	w.notify()
}

// Finished tells the Writer that all slots of a log below next are finished. It
// only saves time: the store is polled for the rest.
func (w *Writer) Finished(s Source, next uint64) {
	w.mu.Lock()
	w.mu.finished[s] = max(w.mu.finished[s], next)
	w.mu.Unlock()
	w.notify()
}

func (w *Writer) notify() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Status returns where the Writer stands.
func (w *Writer) Status() Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.status
}

// Settle waits until the slots of a log that are known to be finished are in
// the table, or cannot be. Canceled if ctx ends before.
func (w *Writer) Settle(ctx context.Context, s Source) error {
	for {
		w.mu.Lock()
		_, told := w.mu.finished[s]
		told = told || w.mu.taken
		status, followed := w.mu.status.Sources[s]
		changed := w.mu.changed
		w.mu.Unlock()
		switch {
		case followed && !told && status.Message != "":
			return &thalweg.Error{Op: "settle table", Kind: thalweg.Unavailable, Subject: s.String(), Err: errors.New(status.Message)}
		case followed && !told && status.Behind == 0:
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return &thalweg.Error{Op: "settle table", Kind: thalweg.Canceled, Subject: s.String(), Err: context.Cause(ctx)}
		}
	}
}

// Run keeps the table until ctx ends; nothing is left running then. It has no
// error: what fails is tried again without end, and shows in Status.
func (w *Writer) Run(ctx context.Context) {
	r := &runner{Writer: w, readers: map[Source]*commitlog.Follower{}, begun: time.Now(), describe: w.describe,
		machine: newMachine(w.cfg, rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())), commitlog.NewID)}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		r.work(ctx)
		if at, ok := r.machine.wake(); ok {
			timer.Reset(max(0, at-time.Since(r.begun)))
		}
		select {
		case <-ctx.Done():
		case <-w.wake:
		case <-timer.C:
		}
	}
}

// runner is one Run. It belongs to one goroutine.
type runner struct {
	*Writer
	machine  *tableMachine
	readers  map[Source]*commitlog.Follower
	begun    time.Time
	describe func(ctx context.Context, o commitlog.Object) (*file, error)
	message  string // last logged
}

// work does what the machine wants until it wants nothing. What comes into the
// mailbox meanwhile reaches the machine before the next effect.
func (r *runner) work(ctx context.Context) {
	events := r.take()
	for {
		e := r.machine.step(r.now(), events...)
		r.report(e == nil)
		if e == nil || ctx.Err() != nil {
			return
		}
		answer := r.carryOut(ctx, e)
		events = append(r.take(), answer)
	}
}

// take empties the mailbox.
func (r *runner) take() []event {
	r.mu.Lock()
	defer r.mu.Unlock()
	events := r.mu.mail
	for _, ev := range events {
		if removed, ok := ev.(sourceRemoved); ok {
			delete(r.readers, removed.source)
		}
	}
	for s, next := range r.mu.finished {
		events = append(events, slotFinished{s, next})
	}
	r.mu.mail, r.mu.finished, r.mu.taken = nil, map[Source]uint64{}, r.mu.taken || len(events) > 0
	return events
}

func (r *runner) now() machine.Instant { return machine.At(r.begun, time.Now()) }

// report publishes the status and logs what keeps slots out of the table. idle: all
// that was taken from the mailbox has had its effect.
func (r *runner) report(idle bool) {
	m := r.machine
	status := Status{Version: -1, Commits: m.commits, Lost: m.lost, Sources: make(map[Source]SourceStatus, len(m.sources))}
	if m.snapshot != nil {
		status.Version = m.snapshot.Version
	}
	message := ""
	for _, f := range m.sources {
		text := m.message(f)
		status.Sources[f.source] = SourceStatus{Behind: m.lag(f), Message: text}
		if text != "" {
			message = text
		}
	}
	if (message == "") != (r.message == "") {
		if message != "" {
			r.log.Warn("the table is behind", slog.String("error", message))
		} else {
			r.log.Info("the table is written again")
		}
	}
	r.message = message
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.status, r.mu.taken = status, r.mu.taken && !idle
	close(r.mu.changed)
	r.mu.changed = make(chan struct{})
}
