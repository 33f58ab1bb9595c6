package onnx

import (
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// buildLinear adds up as the model's layer does, slot after slot in float32, so that the
// bits are the same.
func buildLinear(x *exporter, shape kernel.Shape) (value, error) {
	k := x.artifact.Model.Outputs()
	weights := func(name string, rows int) value {
		w := x.parameters(name)
		switch {
		case k == 1 && rows == 1:
			return x.float(w[0])
		case k == 1:
			return x.floats(name, w, rows)
		case rows == 1:
			return x.floats(name, w, 1, k)
		}
		return x.floats(name, w, rows, k)
	}
	z := weights("bias", 1)
	for i, name := range shape.NumberNames {
		v := x.slots.numbers[i]
		if k > 1 {
			v = x.column(v)
		}
		z = x.op("Add", z, x.op("Mul", v, weights("number."+name+".weight", 1)))
	}
	for j, name := range shape.CategoryNames {
		z = x.op("Add", z, x.gather(weights("category."+name+".weight", shape.Cardinalities[j]), x.slots.categories[j].id()))
	}
	for i, name := range shape.ListNames {
		w := x.parameters("list." + name + ".weight")
		n := kernel.Elements(shape.Lists[i])
		table := x.floats("list."+name+".weight", w, n, k)
		sum := x.op("MatMul", x.slots.lists[i], table)
		if k == 1 {
			sum = x.row(sum)
		}
		z = x.op("Add", z, sum)
	}
	return z, nil
}
