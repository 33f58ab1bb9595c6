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
	ids, bytes, fewBytes, table4 := make([]uint32, rows), make([]uint8, rows), make([]uint8, rows), make([]float32, rows)
	for i := range z {
		z[i], x[i] = float32(random.NormFloat64()), float32(random.NormFloat64())
		y[i] = float32(random.IntN(2))
		ids[i] = random.Uint32N(230)
		bytes[i], fewBytes[i] = uint8(ids[i]), uint8(random.Uint32N(7))
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
	run("Affine", func() { kernel.Affine(d, [][]float32{x}, 0, []float32{0.5}, 1, nil) })
	run("AddScaled", func() { kernel.AddScaled(d, x, 1e-9) })
	run("Gather", func() { kernel.Gather(d, table, ids) })
	run("Gather of bytes", func() { kernel.Gather(d, table, bytes) })
	run("Gather of 25", func() { kernel.Gather(d, table[:25], fewBytes) })
	run("Gather of 7", func() { kernel.Gather(d, small, fewBytes) })
	run("Sigmoid", func() { kernel.Sigmoid(d, z) })
	run("LogisticResidual", func() { kernel.LogisticResidual(d, z, y, 0.001) })
	run("Scatter", func() { kernel.Scatter(table, ids, x) })
	tables, slots := [][]float32{table, make([]float32, 230), small, make([]float32, 7)}, [][]uint8{bytes, bytes, fewBytes, fewBytes}
	run("ScatterBytes", func() { kernel.ScatterBytes(tables, slots, x) })
	run("AdamStep", func() { kernel.AdamStep(d, x, z, table4, 0.9, 0.1, 0.999, 0.001, 1e-9, 1e-8) })
	columns := [][]float32{x, x, x, x, x, x, x, x}
	run("Affine, 8", func() { kernel.Affine(d, columns, 0, table4[:8], 0.5, nil) })
	run("DotColumns, 8", func() { kernel.DotColumns(table4[:8], x, columns, 0) })
	run("Dot", func() { kernel.Dot(z, x) })
	run("Sum", func() { kernel.Sum(z) })
}
