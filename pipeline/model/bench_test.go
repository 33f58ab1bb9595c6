package model_test

import (
	"math/rand/v2"
	"testing"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model"
)

// flightShape is the shape of the five flight features.
func flightShape() kernel.Shape {
	return kernel.Shape{Numbers: 1, NumberNames: []string{"distance"}, Cardinalities: []int{230, 231, 25, 8},
		CategoryNames: []string{"origin", "destination", "hour", "weekday"}}
}

// randomBlock returns rows of a shape with skewed ids, and labels of 0 and 1.
func randomBlock(shape kernel.Shape, rows int, seed uint64) *kernel.Block {
	random := rand.New(rand.NewPCG(seed, 1))
	b := &kernel.Block{Rows: rows, Labels: make([]float32, rows)}
	for range shape.Numbers {
		column := make([]float32, rows)
		for i := range column {
			column[i] = float32(random.NormFloat64())
		}
		b.Numbers = append(b.Numbers, column)
	}
	for _, n := range shape.Cardinalities {
		column := make([]uint32, rows)
		for i := range column {
			column[i] = uint32(min(int(random.ExpFloat64()*float64(n)/4), n-1))
		}
		b.Categories = append(b.Categories, column)
	}
	for _, dimensions := range shape.Lists {
		column := make([]float32, rows*kernel.Elements(dimensions))
		for i := range column {
			column[i] = float32(random.NormFloat64())
		}
		b.Lists = append(b.Lists, column)
	}
	for _, n := range shape.Terms {
		column := make([][]kernel.Term, rows)
		for i := range column {
			for id := random.IntN(n); id < n; id += 1 + random.IntN(n) {
				column[i] = append(column[i], kernel.Term{ID: uint32(id), Weight: float32(random.NormFloat64())})
			}
		}
		b.Terms = append(b.Terms, column)
	}
	for i := range b.Labels {
		b.Labels[i] = float32(random.IntN(2))
	}
	return b
}

// lossOf returns the default loss of a type of label.
func lossOf(label string) pipeline.Choice {
	for _, e := range model.Losses() {
		if e.Options.(pipeline.Typed).For() == label {
			return pipeline.Choice{Name: e.Name, Options: e.Options}
		}
	}
	return pipeline.Choice{Name: label}
}

func BenchmarkLinear(b *testing.B) {
	shape := flightShape()
	m, err := model.New(pipeline.Choice{Name: "linear", Options: new(model.Linear)}, lossOf("binary"), shape)
	if err != nil {
		b.Fatal(err)
	}
	workspace := m.NewWorkspace()
	params, grad := make([]float32, m.Size()), make([]float32, m.Size())
	for i := range params {
		params[i] = float32(i%7) * 0.1
	}
	const rows = 1024
	blocks := make([]*kernel.Block, 64)
	for i := range blocks {
		blocks[i] = randomBlock(shape, rows, uint64(i))
	}
	perSecond := func(b *testing.B) {
		b.ReportMetric(float64(b.N)*rows/b.Elapsed().Seconds()/1e6, "Mrows/s")
	}
	b.Run("gradient", func(b *testing.B) {
		i := 0
		for b.Loop() {
			m.Gradient(workspace, params, blocks[i%len(blocks)], 0, grad)
			i++
		}
		perSecond(b)
	})
	b.Run("predict", func(b *testing.B) {
		out := make([]float32, rows)
		i := 0
		for b.Loop() {
			m.Predict(workspace, params, blocks[i%len(blocks)], out)
			i++
		}
		perSecond(b)
	})
}
