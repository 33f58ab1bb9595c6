package shapley

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// BenchmarkExplain explains rows by trees as boosting grows them.
func BenchmarkExplain(b *testing.B) {
	for _, leaves := range []int{31, 255} {
		b.Run(fmt.Sprintf("leaves=%d", leaves), func(b *testing.B) {
			random := rand.New(rand.NewPCG(5, 6))
			var trees []Tree
			for range 100 {
				trees = append(trees, grow(random, 9, leaves))
			}
			e := New(trees, ids[:9])
			rows := block(random, 9, 4096)
			b.ResetTimer()
			for b.Loop() {
				explainAll(e, rows)
			}
			b.ReportMetric(float64(rows.Rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
