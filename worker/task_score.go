package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/event"
	"github.com/thalweg/thalweg/pipeline/monitor"
	"github.com/thalweg/thalweg/retry"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker/serve"
	"github.com/thalweg/thalweg/worker/stream/budget"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/engine"
	"github.com/thalweg/thalweg/worker/stream/scorer"
	"github.com/thalweg/thalweg/worker/stream/sketch"
)

const (
	// streamBackoff bounds the pause before a stream tries again what failed.
	streamBackoff = 2 * time.Second
	// stoppedBackoff, at most, is the pause before a stream that has stopped begins
	// again: what was damaged or missing in the store may have been restored.
	maxStoppedBackoff = time.Minute
	// openPause is how long it waits before it tries again to open its store or
	// its topic.
	openPause = time.Second
	// probeTimeout bounds the probe of a sink's store: some 150 requests.
	probeTimeout = 30 * time.Second
	// opening is what the status says of a stream that waits for its store or its
	// topic for the first time.
	opening = "opening the sink and the topic"
)

// scoreTask is the lease of one topic partition. One that cannot go on is stopped,
// saying why: it begins again after a pause, as what it reads may have been
// restored, or when the operator changes something, by a new generation or a
// resume. One that has lost events stays stopped until then.
type scoreTask struct {
	worker   *Worker
	registry *engine.Registry
	model    thalweg.ModelName
	mu       struct {
		sync.Mutex
		lease       *apiv1.Lease
		stream      *stream            // nil while none runs
		stop        context.CancelFunc // ends the attempt, after its scorer has committed; nil before the first
		leaving     bool               // the worker stops
		status      scorer.Status      // of the last scorer
		unavailable string             // why there is no scorer
		// stopped is the status of the last scorer where that stopped, until another
		// has got past what stopped it.
		stopped *scorer.Status
		topic   string
		// generation is what the last scorer scores with: its rate of dead
		// letters says nothing about another.
		generation uint64
	}
}

// stream is a scorer that runs, and what it has open.
type stream struct {
	*scorer.Scorer
	table  *member // its share in the sink's table, nil for none
	topics []io.Closer
	target time.Duration             // how far behind it may be; 0: nobody said
	drift  func(ctx context.Context) // looks for it until ctx ends; nil: somebody else does
}

// lookEvery is how often it is looked whether a stream is late: some times within half of the
// shortest lag that a spec can ask for.
const lookEvery = 20 * time.Millisecond

// isLate reports whether a stream is further behind than half of what it may be, as
// coordinators take it: it has the other half to catch up in.
func isLate(s scorer.Status, target time.Duration, now time.Time) bool {
	return s.State == thalweg.StreamRunning && s.Oldest > 0 && now.Sub(time.UnixMicro(s.Oldest)) > target/2
}

// Close leaves the table, then the topics.
func (s *stream) Close() error {
	s.table.leave()
	var failed []error
	for _, c := range s.topics {
		failed = append(failed, c.Close())
	}
	return errors.Join(failed...)
}

func newScoreTask(w *Worker, lease *apiv1.Lease) (runner, error) {
	spec, err := w.spec(lease)
	if err != nil {
		return nil, err
	}
	t := &scoreTask{worker: w, registry: w.streams.registry(w, spec.Spec.Registry.Model), model: thalweg.ModelName(spec.Spec.Registry.Model)}
	t.mu.lease, t.mu.status = lease, scorer.Status{Committed: -1, Scored: -1, End: -1, Oldest: -1} // not known
	t.mu.unavailable, t.mu.leaving = opening, lease.Drain
	t.offer(lease)
	return t, nil
}

// run scores until ctx ends, the worker leaves or the stream ends. Each attempt is
// under one form of the lease, and ends when that form no longer holds.
func (t *scoreTask) run(ctx context.Context) *apiv1.TaskReport {
	for stops := 0; ; {
		attempt, stop := context.WithCancel(ctx)
		t.mu.Lock()
		lease, leaving := t.mu.lease, t.mu.leaving
		t.mu.stop = stop
		t.mu.Unlock()
		if leaving || ctx.Err() != nil {
			stop()
			if lease.Drain && ctx.Err() == nil {
				return &apiv1.TaskReport{}
			}
			return nil
		}
		began := time.Now()
		switch next := t.score(attempt, lease); {
		case next == opensSoon:
			_ = retry.Sleep(attempt, openPause)
		case next == stays:
			<-attempt.Done()
		default:
			if time.Since(began) > maxStoppedBackoff {
				stops = 0
			}
			stops++
			_ = retry.Backoff{Min: streamBackoff, Max: maxStoppedBackoff}.Wait(attempt, stops)
		}
		if attempt.Err() != nil {
			stops = 0 // somebody has changed something
		}
		stop()
	}
}

// outcome is what becomes of a stream after an attempt that nobody ended.
type outcome int

const (
	stays     outcome = iota // until somebody changes something
	opensSoon                // it waits for a bucket or a topic
	retries                  // it has stopped
)

// score opens what a lease names and scores until ctx ends.
func (t *scoreTask) score(ctx context.Context, lease *apiv1.Lease) outcome {
	share := t.worker.streams.memory.Share()
	defer share.Close()
	stream, err := t.open(ctx, lease, share)
	if err != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		if ctx.Err() == nil {
			t.mu.unavailable = err.Error()
		}
		if isWrongInput(err) || thalweg.Is(err, thalweg.Corrupt) || thalweg.Is(err, thalweg.Conflict) {
			return retries
		}
		return opensSoon // a bucket or a topic may yet appear
	}
	defer stream.Close()
	t.mu.Lock()
	if ctx.Err() != nil {
		t.mu.Unlock()
		return stays
	}
	t.mu.stream, t.mu.unavailable, t.mu.generation = stream, "", lease.Generation
	stream.Pause(t.mu.lease.Paused)
	stream.Skip(authorizationOf(t.mu.lease.Skip))
	t.mu.Unlock()
	watch, done := context.WithCancel(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer done()
	if stream.drift != nil {
		watching.Go(func() { stream.drift(watch) })
	}
	if stream.target > 0 {
		watching.Go(func() {
			for retry.Sleep(watch, lookEvery) == nil {
				share.Late(isLate(stream.Status(), stream.target, time.Now()))
			}
		})
	}
	err = stream.Run(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.status, t.mu.stream = stream.Status(), nil
	if err == nil || ctx.Err() != nil {
		return stays
	}
	if before := t.mu.stopped; before == nil || before.Message != t.mu.status.Message {
		t.worker.logOf(lease).Error("stream stopped", keyError, err)
	}
	var lost *connectors.MissingRange
	if t.mu.status.Lost != nil || errors.As(err, &lost) {
		t.mu.stopped = nil
		return stays
	}
	stopped := t.mu.status
	t.mu.stopped = &stopped
	return retries
}

// open makes the scorer that a lease asks for, which keeps to its share of the
// worker's memory.
func (t *scoreTask) open(ctx context.Context, lease *apiv1.Lease, share *budget.Share) (_ *stream, err error) {
	w := t.worker
	spec, err := w.spec(lease)
	if err != nil {
		return nil, err
	}
	cfg, _, err := scorer.ConfigOf(spec, thalweg.Generation(lease.Generation), int(lease.Index))
	if err != nil {
		return nil, err
	}
	cfg.DrainTimeout, cfg.MaxBackoff = w.cfg.DrainTimeout, streamBackoff
	cfg.Memory, cfg.Traces = share, w.cfg.Traces
	cfg.TestFailed = func(test, severity string, events int64) {
		w.metrics.testFailed(string(cfg.Pipeline), inStream, test, severity, events)
	}
	cfg.Tally = w.arms.Of
	if lease.Grown {
		cfg.StartOffset = scorer.Earliest
	}
	t.mu.Lock()
	t.mu.topic = cfg.Topic
	t.mu.Unlock()
	sink := spec.Spec.Scoring.Sink
	bucket, _, err := w.location(ctx, sink.Connection, sink.S3.Path)
	if err != nil {
		return nil, err
	}
	if err := w.streams.probe(ctx, fmt.Sprintf("%s %s of %s", sink.Connection, sink.S3.Path, cfg.Pipeline), bucket, func(ctx context.Context) error {
		return commitlog.CheckSink(ctx, bucket, cfg.Prefix, cfg.Pipeline)
	}); err != nil {
		return nil, err
	}
	events := spec.Spec.Sources.Events
	source, err := w.connections.Source(events.Connection, events.Stream,
		connectors.Reading{Topic: cfg.Topic, Group: events.Reading().ConsumerGroup, Large: share.Large})
	if err != nil {
		return nil, err
	}
	s := &stream{topics: []io.Closer{source}}
	if scale := spec.Spec.Scoring.Scale; scale != nil {
		s.target = time.Duration(scale.TargetLagSeconds * float64(time.Second))
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	outbox, err := w.outbox(spec, cfg)
	if err != nil {
		return nil, err
	}
	if outbox != nil {
		cfg.Outbox = outbox
		s.topics = append(s.topics, outbox)
	}
	if cfg.Rows != nil {
		k := sink.Kafka
		rows, err := w.connections.Appender(k.Connection, k.Topic, cfg.Rows.Group, cfg.Partition)
		if err != nil {
			return nil, err
		}
		cfg.Rows.Appender = rows
		s.topics = append(s.topics, rows)
	}
	topic := source
	if g := w.cfg.Gate; g != nil {
		cfg.Hook, topic, bucket = g.Do, g.Source(source), g.Bucket(bucket)
		cfg.Outbox = g.Outbox(cfg.Outbox)
		if cfg.Rows != nil {
			cfg.Rows.Appender = g.Appender(cfg.Rows.Appender)
		}
	}
	if s.table, err = w.tables.join(w, spec, bucket, cfg); err != nil {
		return nil, err
	}
	if s.table != nil {
		cfg.Finished = s.table.finished
	}
	if cfg.Watch != nil && cfg.Partition == 0 {
		s.drift = t.drift(spec, cfg, source, bucket)
	}
	if s.Scorer, err = scorer.New(topic, bucket, t.registry, w.log, cfg); err != nil {
		return nil, err
	}
	return s, nil
}

// drift returns what looks for drift in all partitions of a stream, which whoever scores the
// first one does.
func (t *scoreTask) drift(spec *pipeline.Spec, cfg scorer.Config, topic connectors.Source, bucket storage.Bucket) func(ctx context.Context) {
	want := spec.Drift()
	reference := func(ctx context.Context, version thalweg.ModelVersion) (*monitor.Reference, error) {
		m, ok := engine.Find(t.registry, version)
		if !ok {
			return nil, &thalweg.Error{Op: "find model version", Kind: thalweg.NotFound, Subject: fmt.Sprintf("%s %d", t.model, version), Err: errors.New("it scores nothing any more")}
		}
		a, err := t.registry.Load(ctx, m)
		if err != nil {
			return nil, err
		}
		return a.Monitoring, nil
	}
	return func(ctx context.Context) {
		t.worker.metrics.drift.Watch(ctx, t.worker.log, string(cfg.Pipeline), want, func(ctx context.Context, windows int) (*monitor.Report, error) {
			is, err := topic.Topic(ctx)
			if err != nil {
				return nil, err
			}
			logs := make([]commitlog.Config, is.Partitions)
			for p := range logs {
				logs[p] = commitlog.Config{Prefix: cfg.Prefix, Pipeline: cfg.Pipeline, Topic: cfg.Topic, Partition: p}
			}
			return sketch.Report(ctx, bucket, logs, want, windows, func(v thalweg.ModelVersion) (*monitor.Reference, error) { return reference(ctx, v) })
		})
	}
}

// outbox opens the topic of dead letters of a partition, nil if the spec has
// none. Whoever scores the partition, wherever, delivers under the same name.
func (w *Worker) outbox(spec *pipeline.Spec, cfg scorer.Config) (connectors.Outbox, error) {
	d := spec.Spec.Scoring.DeadLetter.Delivery()
	if d == nil {
		return nil, nil
	}
	as := fmt.Sprintf("thalweg-%s-%s-%d", cfg.Pipeline, cfg.Topic, cfg.Partition)
	return w.connections.Outbox(d.Connection, d.Topic, as, cfg.Partition)
}

// update takes over a newer form of the lease. Another generation, or the
// operator's resume, begins anew what has stopped.
func (t *scoreTask) update(lease *apiv1.Lease) {
	t.offer(lease)
	t.mu.Lock()
	defer t.mu.Unlock()
	last := t.mu.lease
	t.mu.lease = lease
	resumed, authorized := lease.Resumes != last.Resumes, !proto.Equal(lease.Skip, last.Skip)
	if t.mu.stream != nil {
		if resumed {
			t.mu.stream.Resume()
		}
		if lease.Paused != last.Paused {
			t.mu.stream.Pause(lease.Paused)
		}
		if authorized {
			t.mu.stream.Skip(authorizationOf(lease.Skip))
		}
	}
	if resumed {
		t.registry.Forget() // the operator may have mended what was damaged
	}
	t.mu.leaving = t.mu.leaving || lease.Drain
	if t.mu.stop != nil && (lease.Drain || lease.Generation != last.Generation || (resumed || authorized) && (t.mu.stream == nil || t.mu.stopped != nil)) {
		t.mu.stopped = nil
		t.mu.stop()
	}
}

// authorizationOf returns what an operator said of lost offsets; the zero one if
// nothing.
func authorizationOf(k *apiv1.SkipAuthorization) scorer.SkipAuthorization {
	return scorer.SkipAuthorization{From: k.GetFrom(), To: k.GetTo(), TopicID: k.GetTopicId(), Accept: k.GetAcceptTopic()}
}

// lostOf is the inverse of authorizationOf for an authorization that would be taken.
func lostOf(partition uint32, w *scorer.SkipAuthorization) *apiv1.SkipAuthorization {
	if w == nil {
		return nil
	}
	return &apiv1.SkipAuthorization{Partition: partition, From: w.From, To: w.To, TopicId: w.TopicID, AcceptTopic: w.Accept}
}

// offer hands the registered versions on.
func (t *scoreTask) offer(lease *apiv1.Lease) {
	t.registry.Offer(serve.Candidates(t.model, lease, t.worker.logOf(lease)))
}

// drain commits what is scored and ends the task.
func (t *scoreTask) drain() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.leaving = true
	if t.mu.stop != nil {
		t.mu.stop()
	}
}

// fill tells where the partition stands, and which versions were refused.
func (t *scoreTask) fill(req *apiv1.PollRequest) {
	t.mu.Lock()
	s, lease, generation, topic, unavailable, stream := t.mu.status, t.mu.lease, t.mu.generation, t.mu.topic, t.mu.unavailable, t.mu.stream
	tripped, behind := "", ""
	if stream != nil {
		s = stream.Status()
		tripped, behind = s.Tripped, stream.table.message()
	} else if s.Oldest == 0 {
		s.Oldest = -1 // nobody looks at what comes since
	}
	if s.Begun {
		t.mu.stopped = nil
	}
	if t.mu.stopped != nil {
		s = *t.mu.stopped
		s.Message += fmt.Sprintf(" (it is tried again every %v at most, and at once by `thalweg stream resume %s`)", maxStoppedBackoff, lease.Pipeline)
	}
	t.mu.Unlock()
	if unavailable != "" {
		s.State, s.Message = thalweg.StreamWaiting, unavailable
	}
	if behind != "" {
		s.Message = strings.TrimPrefix(s.Message+"; "+behind, "; ")
	}
	oldest := s.Oldest
	if oldest > 0 {
		oldest = max(1, oldest/1000)
	}
	req.Streams = append(req.Streams, &apiv1.StreamPartition{
		Pipeline: lease.Pipeline, Topic: topic, Partition: int32(lease.Index), Worker: string(t.worker.cfg.ID), State: s.State,
		Committed: s.Committed, Scored: s.Scored, End: s.End, OldestUnixMs: oldest, ModelVersion: uint64(s.Model.Version),
		ScoredRows: s.Rows, DeadLetters: s.DeadLetters, RowsPerSecond: s.RowsPerSecond, Message: s.Message, Partitions: int32(s.Partitions),
		TopicId: s.TopicID, Missing: s.Missing, Lost: lostOf(lease.Index, s.Lost), Tripped: tripped, Generation: generation, Resumes: lease.Resumes,
		RowsTopic: s.RowsTopic, RowsSent: s.Sent, SentP50Ms: milliseconds(s.SentP50), SentP99Ms: milliseconds(s.SentP99)})
	for _, r := range s.Refusals {
		if r.Model.InRollout() && !r.Champion {
			t.worker.arms.Of(r.Model).Fail(r.Reason)
			continue
		}
		req.Refusals = append(req.Refusals, &apiv1.ModelRefusal{Model: string(r.Model.Name), Version: uint64(r.Model.Version), Reason: r.Reason})
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// streams is what the partitions of a worker share. The poll loop needs the
// mutex: nothing that may wait is done under it.
type streams struct {
	memory *budget.Memory
	mu     struct {
		sync.Mutex
		registries map[string]*engine.Registry // by model
		probes     map[string]*probe           // by sink
	}
}

// probe is what is known of the store of a sink.
type probe struct {
	turn   chan struct{} // to probe it; room for one
	passed bool          // whoever has the turn may look
}

func (s *streams) registry(w *Worker, name string) *engine.Registry {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.mu.registries[name]
	if r == nil {
		r = engine.NewRegistry(w.state, w.cfg.SpecCatalog)
		r.Log = w.log
		r.Schemas = func(connection string) (event.Schemas, error) { return w.connections.Schemas(connection) }
		r.Keys = w.connections.Key
		s.mu.registries[name] = r
	}
	return r
}

// all returns the registries of all models.
func (s *streams) all() []*engine.Registry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.mu.registries))
}

// probe makes sure, once for each sink, that it is free, by check, and that of many
// who create an object only one succeeds: without that nothing is exactly once.
func (s *streams) probe(ctx context.Context, sink string, bucket storage.Bucket, check func(context.Context) error) error {
	s.mu.Lock()
	p := s.mu.probes[sink]
	if p == nil {
		p = &probe{turn: make(chan struct{}, 1)}
		s.mu.probes[sink] = p
	}
	s.mu.Unlock()
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return &thalweg.Error{Op: "probe store", Kind: thalweg.Canceled, Subject: sink, Err: ctx.Err()}
	}
	if p.passed {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	err := check(limited)
	if err == nil {
		err = storage.Probe(limited, bucket, rand.Uint64())
	}
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		err = &thalweg.Error{Op: "probe store", Kind: thalweg.Unavailable, Subject: sink, Err: err,
			Hint: fmt.Sprintf("the store does not answer: creating and deleting objects took more than %v", probeTimeout)}
	}
	p.passed = err == nil
	return err
}
