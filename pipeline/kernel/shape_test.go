package kernel_test

import (
	"testing"

	"github.com/thalweg/thalweg/pipeline/kernel"
)

func TestShapeCheckNamesWhatIsWrong(t *testing.T) {
	shape := kernel.Shape{Numbers: 1, Cardinalities: []int{3}, NumberNames: []string{"x"}, CategoryNames: []string{"c"}}
	good := func() *kernel.Block {
		return &kernel.Block{Rows: 2, Numbers: [][]float32{{1, 2}}, Categories: [][]uint32{{0, 2}}}
	}
	if problem := shape.Check(good()); problem != "" {
		t.Errorf("a good block: %s", problem)
	}
	for name, spoil := range map[string]func(*kernel.Block){
		"missing number slot":   func(b *kernel.Block) { b.Numbers = nil },
		"missing category slot": func(b *kernel.Block) { b.Categories = nil },
		"short number slot":     func(b *kernel.Block) { b.Numbers[0] = b.Numbers[0][:1] },
		"short category slot":   func(b *kernel.Block) { b.Categories[0] = b.Categories[0][:1] },
		"short labels":          func(b *kernel.Block) { b.Labels = []float32{1} },
	} {
		b := good()
		spoil(b)
		if shape.Check(b) == "" {
			t.Errorf("%s: not noticed", name)
		}
	}
}
