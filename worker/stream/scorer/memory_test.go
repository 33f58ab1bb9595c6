package scorer

import (
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
