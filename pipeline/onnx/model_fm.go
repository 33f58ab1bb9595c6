package onnx

import (
	"fmt"

	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model"
)

// buildFM is a factorization machine: the linear model and, for each two things of a row, the
// product of their factors, by the square of the sums of factors less the sum of squares.
func buildFM(x *exporter, shape kernel.Shape) (value, error) {
	o, ok := x.plan.Spec.Spec.Model.Options.(*model.FM)
	if !ok {
		return "", fmt.Errorf("model %s is no factorization machine", x.plan.Spec.Spec.Model.Name)
	}
	shape.Embeddings = nil
	k, factors := x.artifact.Model.Outputs(), o.Factors
	bias := x.floats("bias", x.parameters("bias"), k)
	linear := x.slotSums(shape, k, false, func(name string) []float32 { return x.parameters(name + ".weight") })
	sums := x.slotSums(shape, k*factors, false, func(name string) []float32 { return x.parameters(name + ".factors") })
	sums = x.op("Reshape", sums, x.ints("factors", -1, int64(k), int64(factors)))
	square := x.with("ReduceSum", []attribute{intAttribute("keepdims", 0)}, x.op("Mul", sums, sums), x.ints("axis", 2))
	own := x.slotSums(shape, k, true, func(name string) []float32 {
		all := x.parameters(name + ".factors")
		squares := make([]float32, len(all)/factors)
		for i, v := range all {
			squares[i/factors] += float32(v * v)
		}
		return squares
	})
	pairs := x.op("Mul", x.op("Sub", square, own), x.float(0.5))
	out := x.op("Add", x.op("Add", bias, linear), pairs)
	if k == 1 {
		out = x.row(out)
	}
	return out, nil
}
