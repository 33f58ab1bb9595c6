// Package scorer turns the events of one topic partition into scored rows in a
// bucket, each exactly once.
//
// A Scorer reads its partition from a connectors.Source, decodes and cleans
// events, predicts with the newest model version that its Models offer, and
// commits files of rows and of dead letters through a worker/stream/commitlog. A
// state machine without clock or I/O decides what to do next; the runner around
// it carries out effects and feeds back events. DESIGN.md draws the machine and
// says what is promised.
package scorer

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker/stream/budget"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/compact"
	"github.com/thalweg/thalweg/worker/stream/crash"
	"github.com/thalweg/thalweg/worker/stream/deadletter"
	"github.com/thalweg/thalweg/worker/stream/engine"
	"github.com/thalweg/thalweg/worker/stream/machine"
	"github.com/thalweg/thalweg/worker/stream/sketch"
)

// Scorer scores one partition of a topic.
type Scorer struct {
	cfg     Config
	source  connectors.Source
	bucket  storage.Bucket
	models  engine.Models
	log     *slog.Logger
	latency latency
	sent    sentRows
	clock   func() time.Time // tells what is written down and measured; timers are the runtime's
	nudge   chan struct{}    // paused or resumed has changed
	mu      struct {
		sync.Mutex
		asked  asked // resumed: and not told to the machine
		status Status
	}
}

// New returns a Scorer that reads source and keeps its log and its rows in
// bucket. Neither is used before Run.
func New(source connectors.Source, bucket storage.Bucket, models engine.Models, log *slog.Logger, cfg Config) (*Scorer, error) {
	log = log.With(slog.String(keyPipeline, string(cfg.Pipeline)), slog.String(keyTopic, cfg.Topic), slog.Int(keyPartition, cfg.Partition))
	asked := cfg.Compaction.Bytes
	cfg = cfg.withDefaults()
	if n := cfg.Compaction.Bytes; n < asked {
		log.Info("merged files are smaller than the spec asks for: the worker's memory for streams bounds them", slog.Int64(keyByteSize, asked), slog.Int64(keyAtMost, n))
	}
	s := &Scorer{cfg: cfg, source: source, bucket: bucket, models: models, log: log, clock: time.Now, nudge: make(chan struct{}, 1)}
	s.mu.status = Status{State: thalweg.StreamWaiting, Committed: -1, Scored: -1, End: -1, Oldest: unknownTime}
	if _, err := s.openLog(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Scorer) openLog() (*commitlog.Log, error) {
	return commitlog.New(s.bucket, commitlog.Config{Prefix: s.cfg.Prefix, Pipeline: s.cfg.Pipeline, Topic: s.cfg.Topic, Partition: s.cfg.Partition,
		// The scorer tries again without end and says so; layers that all do multiply.
		Attempts: 1, Backoff: s.cfg.MinBackoff})
}

// Run scores until ctx ends or going on is impossible. When ctx ends it takes
// two steps: it fetches no more and commits what is scored, for at most
// Config.DrainTimeout; then it abandons what is left, which its successor does
// again. The error is nil after an orderly end; otherwise it says why nothing
// can be scored any more: Lost naming the missing offsets, Corrupt naming a
// damaged object, Invalid, Unsupported.
//
// When Run returns, nothing of it is left running.
func (s *Scorer) Run(ctx context.Context) error {
	log, err := s.openLog()
	if err != nil {
		return err
	}
	r := newRunner(s, log)
	err = r.run(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.status.State, s.mu.status.RowsPerSecond = thalweg.StreamStopped, 0
	if err != nil {
		s.mu.status.Message = err.Error()
	}
	return err
}

// Pause makes the scorer commit what it has and rest, or go on.
func (s *Scorer) Pause(paused bool) { s.ask(func() { s.mu.asked.paused = paused }) }

// Resume lets a scorer go on that rests because too many events were dead
// letters, and count them anew.
func (s *Scorer) Resume() { s.ask(func() { s.mu.asked.resumed, s.mu.status.Tripped = true, "" }) }

// Skip hands on an operator's permission to give up offsets that are lost. It has no
// effect unless it names exactly what this scorer finds missing. A scorer that has
// already stopped without it does not resume: it has to be started again.
func (s *Scorer) Skip(authorization SkipAuthorization) {
	s.ask(func() { s.mu.asked.skip = authorization })
}

func (s *Scorer) ask(change func()) {
	s.mu.Lock()
	change()
	s.mu.Unlock()
	signal(s.nudge)
}

// signal wakes who waits for ch, which has room for one.
func signal(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// asked returns what is asked of the scorer; resumed only once.
func (s *Scorer) asked() asked {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.mu.asked
	s.mu.asked.resumed = false
	return a
}

// runner is one Run: the loop that feeds the machine, and the goroutines that
// carry out its effects. All fields belong to the loop.
type runner struct {
	*Scorer
	machine *partition
	logbook *commitlog.Log
	backlog engine.Backlog
	engines map[engine.Model]engine.Engine

	begun          time.Time
	ctx            context.Context //nolint:containedctx // of all effects; outlives Run's own for the drain
	results        chan func() event
	memoryPressure chan struct{} // memory is short: a file is to be committed early
	memoryWait     chan struct{} // a fetch waits for it
	work           sync.WaitGroup
	spawn          func(work func(ctx context.Context) (apply func() event)) // has work done beside the loop, and apply called by it
	prepare        func(ctx context.Context, m engine.Model) (engine.Engine, error)
	newID          func() string // of an intent
	files          compact.Files
	outbox         deadletter.Deliverer
	counts         *sketch.Store          // used by the publication under way
	line           atomic.Pointer[string] // that rows are sent in: the ID of the log's first intent; nil while there is none
	stopped        bool
	err            error

	cancelFetch context.CancelFunc
	quiet       int             // fetches in a row to which nothing came
	scoring     *span           // that a goroutine is writing to
	sweeper     compact.Sweeper // used by the sweep under way
	partitions  int
	watched     watched
	newest      int64 // timestamp of the last event that was scored, microseconds; 0: none yet
	rate        rate
	failing     [nOps]bool
	fetches     []fetched // whose records are not scored yet, where there are traces
}

func newRunner(s *Scorer, log *commitlog.Log) *runner {
	r := &runner{Scorer: s, logbook: log, machine: newPartition(s.cfg, newJitter()), begun: s.clock(),
		engines: make(map[engine.Model]engine.Engine), newID: commitlog.NewID, outbox: deadletter.Deliverer{Outbox: s.cfg.Outbox, Log: log},
		// Room for an answer to every op and to the look at the topic, so that
		// a goroutine can always end.
		results: make(chan func() event, nOps+1), memoryPressure: make(chan struct{}, 1), memoryWait: make(chan struct{}, 1)}
	r.backlog.Share = s.cfg.Memory
	if s.cfg.Rows != nil {
		r.backlog.Want |= connectors.Keys // rows have them
	}
	r.spawn = func(work func(ctx context.Context) (apply func() event)) {
		r.work.Go(func() { r.results <- work(r.ctx) })
	}
	r.files = compact.Files{Log: log, Bucket: s.bucket, NewMerger: func(room int64) compact.Merger { return compact.NewParquetMerger(s.cfg.Compression, room) }}
	r.counts = sketch.NewStore(s.bucket, commitlog.Config{Prefix: s.cfg.Prefix, Topic: s.cfg.Topic, Partition: s.cfg.Partition})
	r.sweeper = compact.Sweeper{Bucket: s.bucket, Log: log}
	r.prepare = func(ctx context.Context, m engine.Model) (e engine.Engine, err error) {
		err = s.cfg.Hook.Do(ctx, crash.LoadModel, func() error {
			var err error
			e, err = engine.Open(ctx, s.models, m, engine.Config{Compression: s.cfg.Compression, MaxEventBytes: s.cfg.MaxEventBytes, Pool: s.cfg.Memory.Writers(),
				Failed: s.cfg.TestFailed, Tally: s.cfg.Tally})
			return err
		})
		return e, err
	}
	return r
}

func (r *runner) now() machine.Instant { return machine.At(r.begun, r.clock()) }

func (r *runner) run(ctx context.Context) error {
	effects, abandon := context.WithCancel(context.WithoutCancel(ctx))
	r.ctx = effects
	defer func() {
		abandon()
		r.work.Wait()
		if s := r.scoring; s != nil {
			s.rows.Release()
		}
		for _, s := range r.machine.slots.drop() {
			r.release(s)
		}
		r.cfg.Memory.Detach()
	}()
	r.cfg.Memory.Attach(func() { signal(r.memoryPressure) }, func() { signal(r.memoryWait) })
	r.watchTopic()
	candidates, changed := r.models.Candidates()
	r.step(modelsOffered{candidates})
	r.step(r.asked())
	timer := time.NewTimer(0)
	defer timer.Stop()
	asked := ctx.Done()
	var deadline <-chan time.Time
	for !r.stopped {
		r.arm(timer)
		select {
		case apply := <-r.results:
			if ev := apply(); ev != nil {
				r.step(ev)
			}
		case <-changed:
			candidates, changed = r.models.Candidates()
			r.step(modelsOffered{candidates})
		case <-r.nudge:
			if err := r.at(crash.Pause, r.asked()); err != nil {
				return err
			}
		case <-r.memoryPressure:
			r.step(memoryShort{})
		case <-r.memoryWait:
			r.backlog.Trim()
			r.settle()
		case <-timer.C:
			r.step(ticked{})
		case <-asked:
			asked = nil
			drain := time.NewTimer(r.cfg.DrainTimeout)
			defer drain.Stop()
			deadline = drain.C
			if err := r.at(crash.Drain, drainAsked{}); err != nil {
				return err
			}
		case <-deadline:
			r.log.Warn("stopped before everything scored was committed", slog.Int64(keyCommitted, r.machine.slots.committed), slog.Int64(keyScored, r.machine.slots.scoredTo()))
			return nil
		}
	}
	return r.err
}

func (r *runner) arm(timer *time.Timer) {
	at, ok := r.machine.wake()
	if !ok {
		timer.Stop()
		return
	}
	timer.Reset(max(0, at-r.now().Mono))
}

func (r *runner) step(ev event) { r.stepAt(r.now(), ev) }

// at is step at a point where a test may end the process, which is what an
// error says.
func (r *runner) at(p crash.Point, ev event) error {
	return r.cfg.Hook.Do(r.ctx, p, func() error { r.step(ev); return nil })
}

func (r *runner) stepAt(now machine.Instant, ev event) {
	before := r.machine.versions.current
	for _, e := range r.machine.step(now, ev) {
		r.carryOut(e)
	}
	r.settle()
	r.report(before)
}

// settle tells the process's Memory what the scorer holds.
func (r *runner) settle() {
	m := r.machine
	h := budget.Holding{Backlog: r.backlog.SizeBytes(), Unscored: m.source.bytes}
	if s := m.slots.open; s != nil {
		h.Span, h.Recovering, h.Open = s.id, s.limit >= 0, s.rowBytes+s.outgoing.Bytes
	}
	if s := m.slots.closing; s != nil {
		h.Stuck, h.Closing = m.Retry(s.stage).Failures > 0, s.rowBytes+s.outgoing.Bytes
	}
	r.cfg.Memory.Settle(h)
}
