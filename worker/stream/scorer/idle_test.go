package scorer

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/integration/fault"
	"github.com/thalweg/thalweg/pipeline/catalog"
	bucketmem "github.com/thalweg/thalweg/storage/memory"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// countedTap counts what is asked of it.
type countedTap struct {
	tap
	fetches, looks atomic.Int64
}

func (c *countedTap) Topic(ctx context.Context) (connectors.Topic, error) {
	c.looks.Add(1)
	return c.tap.Topic(ctx)
}

func (c *countedTap) Bounds(ctx context.Context, partition int) (first, next int64, err error) {
	c.looks.Add(1)
	return c.tap.Bounds(ctx, partition)
}

func (c *countedTap) Fetch(ctx context.Context, partition int, offset int64, maxWait time.Duration, maxBytes int, dst *connectors.Records) error {
	c.fetches.Add(1)
	return c.tap.Fetch(ctx, partition, offset, maxWait, maxBytes, dst)
}

// TestAnIdleStreamAsksLittle of its broker and nothing of its store: 70 of them
// cost less than 2 % of a core. The first event after the rest is scored.
func TestAnIdleStreamAsksLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		sink := fault.InterceptBucket(bucketmem.New(), counter{&asked})
		state := bucketmem.New()
		registry := engine.NewRegistry(state, catalog.All())
		registry.Offer([]engine.Candidate{saved(t, state, 1, trained(t, 1))})
		source := &countedTap{tap: tap{began: time.Now(), interval: 20 * time.Minute, last: 1}}
		s, err := New(source, sink, registry, slogDiscard(), Config{Pipeline: "flight-delays", Generation: 1, Topic: topic, Prefix: "scored/"})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- s.Run(ctx) }()
		time.Sleep(10 * time.Minute) // virtual
		fetches, looks, calls := source.fetches.Load(), source.looks.Load(), asked.Load()
		time.Sleep(5 * time.Minute)
		fetches, looks, calls = source.fetches.Load()-fetches, source.looks.Load()-looks, asked.Load()-calls
		t.Logf("in five minutes: %d fetches, %d looks at the topic, %d calls of the store", fetches, looks, calls)
		if fetches > 31 || looks > 21 || calls > 0 {
			t.Error("want at most 31 fetches, 21 looks and no call")
		}
		time.Sleep(5*time.Minute + 2*maxFetchWait) // this broker does not end a fetch that waits
		if status := s.Status(); status.Scored != 1 {
			t.Errorf("after the first event: %+v", status)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// counter counts calls and lets them through.
type counter struct{ calls *atomic.Int64 }

func (c counter) Intercept(ctx context.Context, call fault.Call) error {
	c.calls.Add(1)
	return call.Make(ctx, fault.Hit{})
}
