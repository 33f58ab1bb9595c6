package average_test

import (
	"sync"
	"testing"
	"time"

	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/worker/average"
)

// BenchmarkRounds is one exchange of the histograms of six nodes of a tree of flights,
// two workers and eight replicas: what a round of trees costs beside its computing.
func BenchmarkRounds(b *testing.B) {
	const size, replicas = 6 * 750 * 3, 8
	nodes := []*node{newNode(b, "w0"), newNode(b, "w1")}
	g := newGroup(deal(replicas, nodes...))
	for _, n := range nodes {
		n.join(b, g, average.Config{PollWait: 10 * time.Second})
	}
	vector := kernel.Vector{Int64: make([]int64, size)}
	for i := range vector.Int64 {
		if i/3%3 == 0 {
			vector.Int64[i] = int64(i * i)
		}
	}
	note := []byte(`{"rows":0,"digest":"0000000000000000","loss":0}`)
	sequence := uint64(0)
	before := cpuSeconds(b)
	for b.Loop() {
		var wg sync.WaitGroup
		for _, n := range nodes {
			wg.Go(func() {
				held, _ := n.session.Held()
				ready := make(chan struct{})
				var collecting sync.WaitGroup
				collecting.Go(func() {
					if _, _, err := n.session.Collect(b.Context(), sequence, vector.Zeros(size), ready); err != nil {
						b.Error(err)
					}
				})
				for _, r := range held {
					n.session.Offer(sequence, r, 1, vector, note)
				}
				close(ready)
				collecting.Wait()
				n.session.Advance(sequence+1, snapshotOf(sequence+1))
			})
		}
		wg.Wait()
		sequence++
	}
	b.ReportMetric((cpuSeconds(b)-before)*1e3/float64(b.N)/2, "cpu-ms/worker")
}
