package kernel_test

import (
	"math/rand/v2"
	"testing"

	"github.com/thalweg/thalweg/pipeline/kernel"
)

func BenchmarkLoops(b *testing.B) {
	const rows = 512
	random := rand.New(rand.NewPCG(1, 2))
	z, d, y, x := make([]float32, rows), make([]float32, rows), make([]float32, rows), make([]float32, rows)
	ids, few := make([]uint32, rows), make([]uint32, rows)
	for i := range z {
		z[i], x[i] = float32(random.NormFloat64()), float32(random.NormFloat64())
		y[i] = float32(random.IntN(2))
		ids[i], few[i] = random.Uint32N(230), random.Uint32N(7)
	}
	table, small := make([]float32, 230), make([]float32, 7)
	run := func(name string, f func()) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				f()
			}
			b.ReportMetric(b.Elapsed().Seconds()*1e9/float64(b.N)/rows, "ns/row")
		})
	}
	run("Fill", func() { kernel.Fill(d, 0.5) })
	run("Affine", func() { kernel.Affine(d, x, 0.5, 1) })
	run("AddScaled", func() { kernel.AddScaled(d, x, 1e-9) })
	run("Gather", func() { kernel.Gather(d, table, ids) })
	run("Gather2", func() { kernel.Gather2(d, table, ids, small, few) })
	run("Sigmoid", func() { kernel.Sigmoid(d, z) })
	run("LogisticResidual", func() { kernel.LogisticResidual(d, z, y, 0.001) })
	run("Scatter", func() { kernel.Scatter(table, ids, x) })
	run("Scatter2", func() { kernel.Scatter2(table, ids, small, few, x) })
	run("Dot", func() { kernel.Dot(z, x) })
	run("Sum", func() { kernel.Sum(z) })
}
