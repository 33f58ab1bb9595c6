package tablewriter

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thalweg/thalweg/integration/fault"
	"github.com/thalweg/thalweg/storage/memory"
)

type counter struct{ calls *atomic.Int64 }

func (c counter) Intercept(ctx context.Context, call fault.Call) error {
	c.calls.Add(1)
	return call.Make(ctx, fault.Hit{})
}

// TestATableOfIdleLogsAsksLittle of the store: every minute for a log,
// every half a one for that of its replays, and soon again once one of them has a slot.
func TestATableOfIdleLogsAsksLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		objects := memory.New()
		replays := Source{Topic: flights.Topic, Partition: flights.Partition, Replay: true}
		a := newAuthor(t, objects, replays, 1)
		w := New(fault.InterceptBucket(objects, counter{&asked}), slog.New(slog.DiscardHandler), Config{Pipeline: "p", Prefix: prefix})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); w.Run(ctx) }()
		w.Add(flights)
		w.Add(replays)
		time.Sleep(10 * time.Minute) // virtual
		before := asked.Load()
		time.Sleep(10 * time.Minute)
		calls := asked.Load() - before
		t.Logf("%d calls of the store in ten minutes", calls)
		if calls > 42 {
			t.Error("want at most 42")
		}
		a.slot(5)
		for wait := 31; w.Status().Commits < 1 && wait > 0; wait-- {
			time.Sleep(time.Second)
		}
		a.slot(5) // while the log is still asked often
		time.Sleep(5 * time.Second)
		if status := w.Status(); status.Version < 0 || status.Sources[replays].Behind != 0 || w.Status().Commits != 2 {
			t.Errorf("after slots of the replay: %+v", status)
		}
		cancel()
		<-ended
	})
}
