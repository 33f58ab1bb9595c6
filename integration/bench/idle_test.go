package bench

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/thalweg/thalweg/connectors/kafka"
	"github.com/thalweg/thalweg/storage/memory"
	"github.com/thalweg/thalweg/worker/stream/budget"
	"github.com/thalweg/thalweg/worker/stream/engine"
	"github.com/thalweg/thalweg/worker/stream/scorer"
)

// idleBed is a broker in a process of its own, with topics of events that are
// there already and topics that have none.
type idleBed struct {
	address  string
	bucket   *memory.Bucket
	registry *engine.Registry
	events   []kafka.Message
	quiet    []*kafka.Producer // of topics without events
	round    int
}

// fleet is some streams that share a process as those of a worker do.
type fleet struct {
	bed     *idleBed
	memory  *budget.Memory
	buffers *kafka.Pool
	running sync.WaitGroup
}

// start runs a scorer of a topic's partition until ctx ends.
func (f *fleet) start(ctx context.Context, b *testing.B, name string) *scorer.Scorer {
	share := f.memory.Share()
	source, err := kafka.New(kafka.Config{Brokers: []string{f.bed.address}, Topic: name, Large: share.Large, Pool: f.buffers})
	check(b, err)
	s, err := scorer.New(source, f.bed.bucket, f.bed.registry, slog.New(slog.DiscardHandler),
		scorer.Config{Pipeline: "flights", Generation: 1, Topic: name, Prefix: fmt.Sprintf("%d/%s/", f.bed.round, name), Memory: share})
	check(b, err)
	f.running.Go(func() {
		defer share.Close()
		defer source.Close()
		if err := s.Run(ctx); err != nil {
			b.Error(err)
		}
	})
	return s
}

// eventsPerCPU scores the events of some topics beside idle streams, of which
// trickling get an event now and then, and returns the processor time that this
// process took for it.
func (t *idleBed) score(b *testing.B, busy []string, idle, trickling int) time.Duration {
	t.round++
	ctx, cancel := context.WithCancel(b.Context())
	f := &fleet{bed: t, memory: budget.NewMemory(0, runtime.GOMAXPROCS(0)), buffers: kafka.NewPool()}
	defer func() { cancel(); f.running.Wait() }()
	var others []*scorer.Scorer
	for i := range idle {
		others = append(others, f.start(ctx, b, fmt.Sprintf("quiet-%d", i)))
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for _, s := range others { // what a stream does to begin is not what it costs to be there
		for s.Status().End < 0 {
			<-tick.C
		}
	}
	began := cpu(b)
	var scorers []*scorer.Scorer
	for _, name := range busy {
		scorers = append(scorers, f.start(ctx, b, name))
	}
	behind := func(s *scorer.Scorer) bool { return s.Status().Scored < int64(len(t.events)) }
	next := time.Now()
	for i := 0; slices.ContainsFunc(scorers, behind); <-tick.C {
		if now := time.Now(); trickling > 0 && now.After(next) { // one a second and stream
			next = now.Add(time.Second / time.Duration(trickling))
			check(b, t.quiet[i%trickling].Produce(ctx, t.events[i:i+1]))
			i++
		}
	}
	return cpu(b) - began
}

// BenchmarkBesideIdleStreams scores topics that are there already beside idle
// streams of the same process. Speeds are per second of processor time of this
// process, what the idle ones cost included; the broker is another. goal: at
// least 0.9 of the speed without the idle ones.
func BenchmarkBesideIdleStreams(b *testing.B) {
	const n, most = 1_000_000, 100
	f := open(b)
	f.fit(b)
	t := &idleBed{address: broker(b), events: f.events(b, n)}
	t.bucket, t.registry = f.registered(b)
	busy := []string{"busy-0", "busy-1", "busy-2", "busy-3"}
	for _, name := range busy {
		p := topic(b, t.address, name)
		for i := 0; i < n; i += 10_000 {
			check(b, p.Produce(b.Context(), t.events[i:i+10_000]))
		}
	}
	for i := range most {
		t.quiet = append(t.quiet, topic(b, t.address, fmt.Sprintf("quiet-%d", i)))
	}
	t.score(b, busy[:1], 0, 0) // the first one pays for what all have afterwards
	for _, streams := range []int{1, 4} {
		for _, c := range []struct{ idle, trickling int }{{0, 0}, {14, 0}, {100, 0}, {100, 100}} {
			b.Run(fmt.Sprintf("busy=%d/idle=%d/trickling=%d", streams, c.idle, c.trickling), func(b *testing.B) {
				var beside, alone time.Duration
				rounds := 0
				for b.Loop() { // by turns, so that what else the machine does is the same for both
					beside += t.score(b, busy[:streams], c.idle, c.trickling)
					alone += t.score(b, busy[:streams], 0, 0)
					rounds++
				}
				b.ReportMetric(float64(rounds*streams*n)/beside.Seconds()/1e6, "Mevents/core-s")
				b.ReportMetric(alone.Seconds()/beside.Seconds(), "x-alone")
			})
		}
	}
}
