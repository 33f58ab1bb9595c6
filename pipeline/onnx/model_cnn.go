package onnx

import (
	"fmt"

	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/model/layer"
)

// buildCNN is a convolutional network. Arrays have their channels first in the graph, as its
// operators want them, and last where dense layers read them, as in the model.
func buildCNN(x *exporter, shape kernel.Shape) (value, error) {
	o, ok := x.plan.Spec.Spec.Model.Options.(*model.CNN)
	if !ok {
		return "", fmt.Errorf("model %s is no cnn", x.plan.Spec.Spec.Model.Name)
	}
	array := layer.ArrayOf(shape.Lists[0])
	v := x.op("Reshape", x.slots.lists[0], x.ints("array", -1, int64(array.Rows), int64(array.Columns), int64(array.Channels)))
	v = x.with("Transpose", []attribute{intsAttribute("perm", []int64{0, 3, 1, 2})}, v)
	width := 0 // of what a dense layer reads, once one has
	flatten := func() {
		if width == 0 {
			width = array.Size()
			v = x.with("Transpose", []attribute{intsAttribute("perm", []int64{0, 2, 3, 1})}, v)
			v = x.op("Reshape", v, x.ints("values", -1, int64(width)))
		}
	}
	for i, l := range o.Layers {
		var activation string
		switch {
		case l.Conv != nil:
			v, array = x.convolution(fmt.Sprintf("conv.%d", i), v, array, l.Conv)
			activation = l.Conv.Activation
		case l.Pool != nil:
			v, array = x.pool(v, array, l.Pool)
			continue
		default:
			flatten()
			v = x.dense(fmt.Sprintf("dense.%d", i), v, width, l.Dense.Size)
			width, activation = l.Dense.Size, l.Dense.Activation
		}
		activate, ok := activations()[activation]
		if !ok {
			return "", refused("model cnn", fmt.Errorf("activation %s has no form in ONNX", activation))
		}
		v = activate(x, v)
	}
	flatten()
	k := x.artifact.Model.Outputs()
	v = x.dense("output", v, width, k)
	if k == 1 {
		v = x.row(v)
	}
	return v, nil
}

// window returns how long windows of an array are in its two directions: 1 in one in which the
// array has one place.
func window(a layer.Array, size int) []int {
	sides := []int{size, size}
	for i, places := range []int{a.Rows, a.Columns} {
		if places == 1 {
			sides[i] = 1
		}
	}
	return sides
}

// convolution adds a convolution of an array and returns what that becomes.
func (x *exporter) convolution(name string, v value, in layer.Array, o *model.Conv) (value, layer.Array) {
	sides := window(in, o.Size)
	weights := x.parameters(name + ".weight") // by row and column of the window, channel before and channel after
	places, before, after := sides[0]*sides[1], in.Channels, o.Channels
	turned := make([]float32, len(weights))
	for place := range places {
		for b := range before {
			for a := range after {
				turned[(a*before+b)*places+place] = weights[(place*before+b)*after+a]
			}
		}
	}
	pads := make([]int64, 4) // above, left, below and right
	if o.Padding == "same" {
		for i, side := range sides {
			pads[i] = int64(side-1) / 2
			pads[i+2] = int64(side-1) - pads[i]
		}
	}
	stride := int64(o.Stride)
	v = x.with("Conv", []attribute{intsAttribute("pads", pads), intsAttribute("strides", []int64{stride, stride})}, v,
		x.floats(name+".weight", turned, after, before, sides[0], sides[1]), x.floats(name+".bias", x.parameters(name+".bias"), after))
	_, out := layer.NewConvolution(name, in, o.Channels, o.Size, o.Stride, o.Padding == "same", 1)
	return v, out
}

// pool adds a pool of an array and returns what that becomes.
func (x *exporter) pool(v value, in layer.Array, o *model.Pool) (value, layer.Array) {
	sides := window(in, o.Size)
	length := []int64{int64(sides[0]), int64(sides[1])}
	kind := "MaxPool"
	if o.Kind == "mean" {
		kind = "AveragePool"
	}
	_, out := layer.NewPool(in, o.Size, o.Kind == "mean")
	return x.with(kind, []attribute{intsAttribute("kernel_shape", length), intsAttribute("strides", length)}, v), out
}
