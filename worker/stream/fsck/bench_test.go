package fsck

import (
	"testing"
)

// BenchmarkJudging judges 300,000 rows in three objects, and a compaction of two
// of them.
func BenchmarkJudging(b *testing.B) {
	const n = 100_000
	t := &testing.T{}
	store := write(t, slot{from: 0, to: n}, slot{from: n, to: 2 * n}, slot{from: 2 * n, to: 3 * n},
		slot{from: 3 * n, moves: [2]uint64{0, 2}, inputs: []uint64{0, 1}})
	b.ReportAllocs()
	for b.Loop() {
		v, err := Run(b.Context(), store, "flights", prefix, registered)
		if err != nil || !v.OK() || v.Scored != 3*n {
			b.Fatal(err, v)
		}
	}
	b.ReportMetric(float64(3*n)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
