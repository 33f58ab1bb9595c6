package onnx

import (
	"fmt"

	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/model/layer"
)

// buildMLP is a multilayer perceptron.
func buildMLP(x *exporter, shape kernel.Shape) (value, error) {
	o, ok := x.plan.Spec.Spec.Model.Options.(*model.MLP)
	if !ok || len(o.Hidden) == 0 {
		return "", fmt.Errorf("model %s is no mlp", x.plan.Spec.Spec.Model.Name)
	}
	activation, ok := activations()[o.Activation]
	if !ok {
		return "", refused("model mlp", fmt.Errorf("activation %s has no form in ONNX", o.Activation))
	}
	normalize, ok := normalizations()[o.Normalization]
	if !ok {
		return "", refused("model mlp", fmt.Errorf("normalization %s has no form in ONNX", o.Normalization))
	}
	if o.NumberEmbedding == "periodic" { // onnxruntime's float32s are off by more than 1e-6
		return "", refused("model mlp", fmt.Errorf("number_embedding periodic has no form in ONNX that gives the same scores"))
	}
	v := x.inputLayer(shape, o.Hidden[0])
	for i, width := range o.Hidden {
		if i > 0 {
			v = x.dense(fmt.Sprintf("hidden.%d", i), v, o.Hidden[i-1], width)
		}
		v = activation(x, normalize(x, v, fmt.Sprintf("normalization.%d", i), width))
	}
	k := x.artifact.Model.Outputs()
	v = x.dense("output", v, o.Hidden[len(o.Hidden)-1], k)
	if k == 1 {
		v = x.row(v)
	}
	return v, nil
}

// activations are those of hidden layers, by name.
func activations() map[string]func(x *exporter, v value) value {
	return map[string]func(x *exporter, v value) value{
		"relu":    func(x *exporter, v value) value { return x.op("Relu", v) },
		"gelu":    (*exporter).gelu,
		"tanh":    (*exporter).tanh,
		"sigmoid": (*exporter).sigmoid,
	}
}

// normalizations are those of hidden layers, by name.
func normalizations() map[string]func(x *exporter, v value, name string, width int) value {
	none := func(_ *exporter, v value, _ string, _ int) value { return v }
	return map[string]func(x *exporter, v value, name string, width int) value{
		"": none, "none": none,
		"layer": func(x *exporter, v value, name string, width int) value {
			by, axis := x.float(1/float32(width)), x.ints("axis", 1)
			mean := x.op("Mul", x.op("ReduceSum", v, axis), by)
			centred := x.op("Sub", v, mean)
			variance := x.op("Mul", x.op("ReduceSum", x.op("Mul", centred, centred), axis), by)
			return x.normalized(centred, variance, name)
		},
		"batch": func(x *exporter, v value, name string, width int) value {
			mean, variance := x.floats(name+".mean", x.parameters(name+".mean"), width), x.floats(name+".variance", x.parameters(name+".variance"), width)
			return x.normalized(x.op("Sub", v, mean), x.op("Max", variance, x.float(0)), name)
		},
	}
}

// normalized brings centred values to deviation 1, and gives each a scale and a shift.
func (x *exporter) normalized(centred, variance value, name string) value {
	by := x.op("Div", x.float(1), x.op("Sqrt", x.op("Add", variance, x.float(layer.NormEpsilon))))
	scale, shift := x.parameters(name+".scale"), x.parameters(name+".shift")
	n := x.op("Mul", x.op("Mul", centred, by), x.floats(name+".scale", scale, len(scale)))
	return x.op("Add", n, x.floats(name+".shift", shift, len(shift)))
}

// dense is a layer of biases and weighted sums.
func (x *exporter) dense(name string, v value, inputs, outputs int) value {
	w := x.floats(name+".weight", x.parameters(name+".weight"), inputs, outputs)
	return x.op("Add", x.op("MatMul", v, w), x.floats(name+".bias", x.parameters(name+".bias"), outputs))
}

// inputLayer is the first layer, over the slots.
func (x *exporter) inputLayer(shape kernel.Shape, outputs int) value {
	bias := x.floats("bias", x.parameters("bias"), outputs)
	return x.op("Add", bias, x.slotSums(shape, outputs, false, func(name string) []float32 { return x.parameters(name + ".weight") }))
}

// slotSums are the sums of what the slots have times weights, of each row so many, or of its
// squares. Categories that are embedded enter by their numbers.
func (x *exporter) slotSums(shape kernel.Shape, outputs int, squared bool, weightsOf func(name string) []float32) value {
	var sum value
	add := func(v value) { sum = x.either("Add", sum, v) }
	var columns []value
	var weights []float32
	for i, name := range shape.NumberNames {
		columns = append(columns, x.column(x.slots.numbers[i]))
		weights = append(weights, weightsOf("number."+name)...)
	}
	for i, name := range shape.ListNames {
		columns = append(columns, x.slots.lists[i])
		weights = append(weights, weightsOf("list."+name)...)
	}
	for j, name := range shape.CategoryNames {
		if size := shape.Embedding(j); size > 0 {
			table := x.floats("category."+name+".embedding", x.parameters("category."+name+".embedding"), shape.Cardinalities[j], size)
			columns = append(columns, x.gather(table, x.slots.categories[j].id()))
			weights = append(weights, weightsOf("category."+name)...)
		}
	}
	if len(columns) > 0 {
		all := x.concat(columns...)
		if squared {
			all = x.op("Mul", all, all)
		}
		add(x.op("MatMul", all, x.floats("numbers", weights, len(weights)/outputs, outputs)))
	}
	for j, name := range shape.CategoryNames {
		if shape.Embedding(j) == 0 {
			table := x.floats("category."+name, weightsOf("category."+name), shape.Cardinalities[j], outputs)
			add(x.gather(table, x.slots.categories[j].id()))
		}
	}
	return sum
}
