package scorer

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/connectors/kafka"
)

// cutSource is a topic whose log was cut below next and has grown again, as brokers tell whoever
// says in which leader's term the record before next was written.
type cutSource struct {
	connectors.Source
	at, next int64
	told     atomic.Int32 // the term that was said
}

func (s *cutSource) Fetch(ctx context.Context, partition int, offset int64, wait time.Duration, bytes int, dst *connectors.Records) error {
	if offset == s.next && dst.LeaderEpoch > 0 {
		s.told.Store(dst.LeaderEpoch)
		first, next, err := s.Bounds(ctx, partition)
		if err != nil {
			return err
		}
		dst.Reset()
		return &thalweg.Error{Op: "fetch", Kind: thalweg.Lost, Err: &connectors.MissingRange{Topic: topic, Partition: partition, From: s.at, To: s.next, Cut: true, First: first, Next: next}}
	}
	return s.Source.Fetch(ctx, partition, offset, wait, bytes, dst)
}

// startCut runs a scorer on a topic that was cut.
func (w *world) startCut(at, next int64, authorization SkipAuthorization, change ...func(*Config)) (*active, *cutSource) {
	w.t.Helper()
	of, err := kafka.New(w.kafka())
	if err != nil {
		w.t.Fatal(err)
	}
	cfg := w.config
	for _, c := range change {
		c(&cfg)
	}
	source := &cutSource{Source: of, at: at, next: next}
	s, err := New(source, w.sink, w.registry, slog.New(slog.DiscardHandler), cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	s.Skip(authorization)
	ctx, cancel := context.WithCancel(context.Background())
	r := &active{Scorer: s, t: w.t, cancel: cancel, ended: make(chan error, 1)}
	go func() {
		err := s.Run(ctx)
		of.Close()
		r.ended <- err
	}()
	w.t.Cleanup(func() { r.stop() })
	return r, source
}

func TestScoredOffsetsThatAreGoneStopTheStreamUntilAnOperatorGivesThemUp(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	s := w.start()
	w.produceGood(0, 50)
	s.waitCommitted(50)
	s.stop()
	w.produceGood(50, 20)
	id := w.topicID()
	right := SkipAuthorization{From: 30, To: 50, TopicID: id}
	for _, authorization := range []SkipAuthorization{{}, {From: 30, To: 49, TopicID: id}, {From: 29, To: 50, TopicID: id}, {From: 50, To: 70, TopicID: id}, {From: 30, To: 50}, {From: 30, To: 50, TopicID: id, Accept: id}} {
		s, source := w.startCut(30, 50, authorization)
		if missing := s.mustLose(); missing.From != 30 || missing.To != 50 || !missing.Cut {
			t.Fatalf("with the authorization %v: %+v", authorization, missing)
		}
		status := s.Status()
		if status.State != thalweg.StreamStopped || *status.Lost != right || status.Committed != 50 || !strings.Contains(status.Message, "--skip 30-50") ||
			!strings.Contains(status.Message, topic+"/0: offsets [30, 50) were read and are gone") {
			t.Errorf("%+v", status)
		}
		if source.told.Load() < 1 {
			t.Error("the log does not say in which leader's term offset 49 was written")
		}
	}
	s, _ = w.startCut(30, 50, right)
	s.waitCommitted(70)
	s.stop()
	s = w.start() // the newest slot has the term of what was scored since
	w.produceGood(70, 5)
	if status := s.waitCommitted(75); status.Missing != 0 {
		t.Errorf("%+v", status)
	}
	s.stop()
	if v := w.judge(); v.Missing != 0 || v.Scored != 75 {
		t.Errorf("%d missing, %d scored", v.Missing, v.Scored)
	}
}

func TestScoredOffsetsThatAreGoneAreGivenUpAtOnceWhereTheSpecSaysSo(t *testing.T) {
	for _, policy := range []string{Earliest, Latest} {
		w := newWorld(t, 1)
		w.promote(1)
		s := w.start()
		w.produceGood(0, 50)
		s.waitCommitted(50)
		s.stop()
		w.produceGood(50, 20)
		s, _ = w.startCut(30, 50, SkipAuthorization{}, func(c *Config) { c.OnLost = policy })
		s.waitCommitted(70)
		s.stop()
		if v := w.judge(); v.Missing != 0 || v.Scored != 70 {
			t.Errorf("%s: %d missing, %d scored", policy, v.Missing, v.Scored)
		}
	}
}

// Where the log ends before what is scored, what comes there would be taken for it: there is no way on.
func TestALogThatEndsBeforeWhatIsScoredIsNotGoneOnWith(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	s := w.start()
	w.produceGood(0, 50)
	s.waitCommitted(50)
	s.stop()
	s, source := w.startCut(30, 50, SkipAuthorization{From: 30, To: 50, TopicID: w.topicID()})
	s.wait("the source is asked in which term offset 49 was written", func(Status) bool { return source.told.Load() > 0 })
	s.stop()
	missing := &connectors.MissingRange{From: 30, To: 50, Cut: true, Next: 40}
	m := &partition{}
	m.slots.committed, m.loss.found = 50, &loss{missing: missing}
	if m.skippable() {
		t.Errorf("gone on with %+v", missing)
	}
}
