package scorer

import (
	"strings"
	"testing"
	"time"

	"github.com/thalweg/thalweg/connectors/kafka"
	"github.com/thalweg/thalweg/worker/stream/budget"
)

// shared runs a scorer of each partition on one Memory.
func (w *world) shared(memory *budget.Memory, partitions int, change ...func(*Config)) []*active {
	w.t.Helper()
	var all []*active
	for p := range partitions {
		share := memory.Share()
		w.t.Cleanup(share.Close)
		all = append(all, w.startOn(func(c *kafka.Config) { c.Large = share.Large }, append(change, func(c *Config) {
			c.Partition, c.Memory = p, share
		})...))
	}
	return all
}

func TestManyPartitionsKeepWithinOneMemory(t *testing.T) {
	const partitions, each, limit = 8, 40_000, 8 << 20
	w := newWorld(t, partitions)
	w.promote(1)
	for i := 0; i < each*partitions; i += 10_000 {
		w.produceGood(i, 10_000)
	}
	memory := budget.NewMemory(limit, 2)
	scorers := w.shared(memory, partitions, func(c *Config) {
		c.Batching, c.Rolling = Limits{}, Limits{Count: 1_000_000, Period: time.Hour} // only memory has files committed
	})
	most := int64(0)
	for _, s := range scorers[:partitions-1] {
		s.wait("most of it", func(status Status) bool {
			used, _ := memory.Used()
			most = max(most, used)
			return status.End > 0 && status.Scored == status.End
		})
	}
	for _, s := range scorers {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	}
	t.Logf("at most %d of %d bytes", most, limit)
	if most > limit*11/10 || most < limit/4 {
		t.Errorf("at most %d bytes were held, the bound is %d", most, limit)
	}
	for p := range partitions {
		w.start(func(c *Config) { c.Partition = p }).wait("the rest", func(s Status) bool { return s.End > 0 && s.Committed == s.End })
	}
	w.judge()
}

// keepsWithin waits until all scorers have committed all there is, and returns the
// most that was used of their memory meanwhile.
func keepsWithin(t *testing.T, memory *budget.Memory, scorers []*active) (most int64) {
	t.Helper()
	for _, s := range scorers {
		s.wait("all of it", func(status Status) bool {
			used, _ := memory.Used()
			most = max(most, used)
			return status.End > 0 && status.Committed == status.End
		})
	}
	return most
}

// TestTwentyStreamsOnPoisonAndLargeEventsKeepWithinTheBudget and leave next to
// nothing of it in use when they are idle, nor with the operating system.
func TestTwentyStreamsOnPoisonAndLargeEventsKeepWithinTheBudget(t *testing.T) {
	const streams, limit = 20, 24 << 20
	w := newWorld(t, streams)
	w.promote(1)
	large := strings.Repeat("x", 150_000)
	for range streams {
		var events []string
		for i := range 400 {
			events = append(events, "no JSON at all, but a line of a log as programs write them", goodEvent(i),
				`{"date":"2001-03-01 10:00:00","distance":"far`+strings.Repeat("y", 200)+`"}`)
		}
		for range 12 {
			events = append(events, `{"date":"2001-03-01 10:00:00","distance":500,"origin":"`+large+`"}`, `{"distance":"`+large+`"}`)
		}
		w.produce(events...)
	}
	memory := budget.NewMemory(limit, 2)
	scorers := w.shared(memory, streams, func(c *Config) { c.Rolling = Limits{Period: time.Second} })
	most := keepsWithin(t, memory, scorers)
	t.Logf("at most %d of %d bytes", most, limit)
	if most > limit || most < limit/4 {
		t.Errorf("at most %d bytes were used, the bound is %d", most, limit)
	}
	for _, s := range scorers {
		s.wait("rest", func(Status) bool { used, _ := memory.Used(); return used < streams*minIdle })
	}
	for _, s := range scorers {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	}
	w.judge()
}

// minIdle is what the fetch of an idle stream reserves, and the buffer that it
// keeps for it.
const minIdle = 64<<10*8 + 128<<10

// TestTheLargestEventInTheSmallestMemoryIsScoredInTheEnd: who needs more than there
// is waits for the turn to have it, and whoever has the turn waits for nobody.
func TestTheLargestEventInTheSmallestMemoryIsScoredInTheEnd(t *testing.T) {
	const streams = 4
	w := newWorld(t, streams)
	w.promote(1)
	huge, err := kafka.NewProducer(w.kafka(), kafka.ProducerConfig{Compression: "zstd"})
	if err != nil {
		t.Fatal(err)
	}
	defer huge.Close()
	padded := []byte(goodEvent(1) + strings.Repeat(" ", 48<<20))
	for range 2 {
		w.produceGood(0, 100*streams)
		for range streams {
			if err := huge.Produce(t.Context(), []kafka.Message{{Value: padded, Time: time.Now()}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	memory := budget.NewMemory(8<<20, 2)
	scorers := w.shared(memory, streams, func(c *Config) { c.Rolling = Limits{Period: time.Second} })
	most := keepsWithin(t, memory, scorers)
	t.Logf("at most %d bytes", most)
	dead := int64(0)
	for _, s := range scorers {
		dead += s.Status().DeadLetters
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	}
	if dead != 2*streams {
		t.Errorf("%d dead letters of %d events that are too large", dead, 2*streams)
	}
	w.judge()
}
