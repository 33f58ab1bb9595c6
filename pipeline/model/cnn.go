package model

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model/layer"
)

// CNN is a convolutional network of one list feature: a sequence, or by its shape an image.
type CNN struct {
	// Layers are convolutions and pools, and after them dense ones, each reading the values of
	// the one before. One that gives the outputs follows. The default sees small images before a
	// pool takes places away.
	Layers []CNNLayer `yaml:"layers,omitempty" json:"layers,omitempty" jsonschema:"minItems=1,maxItems=32" default:"[{conv: {channels: 32}}, {conv: {channels: 32}}, {pool: {size: 2}}, {dense: {size: 64, dropout: 0.2}}]"`

	pipeline.Uncertain `yaml:",inline" json:",inline"`
}

// CNNLayer is one of the kinds of layers.
type CNNLayer struct {
	// Conv is a convolution: each place gets channels, weighted sums of those around it.
	Conv *Conv `yaml:"conv,omitempty" json:"conv,omitempty"`
	// Pool makes one place of several.
	Pool *Pool `yaml:"pool,omitempty" json:"pool,omitempty"`
	// Dense is a fully connected layer, as the hidden layers of an mlp are.
	Dense *Dense `yaml:"dense,omitempty" json:"dense,omitempty"`
}

// Conv is a convolution.
type Conv struct {
	// Channels is how many values each place gets.
	Channels int `yaml:"channels,omitempty" json:"channels,omitempty" jsonschema:"minimum=1,maximum=1024" default:"16"`
	// Size is how many places a side a window has, of a sequence in all.
	Size int `yaml:"size,omitempty" json:"size,omitempty" jsonschema:"minimum=1,maximum=64" default:"3"`
	// Stride is how many places windows are apart.
	Stride int `yaml:"stride,omitempty" json:"stride,omitempty" jsonschema:"minimum=1,maximum=64" default:"1"`
	// Padding is zeros around the array, so that each place is the middle of a window (same), or
	// nothing (valid).
	Padding string `yaml:"padding,omitempty" json:"padding,omitempty" jsonschema:"enum=same,enum=valid" default:"same"`
	// Activation is applied to the sums.
	Activation string `yaml:"activation,omitempty" json:"activation,omitempty" jsonschema:"enum=relu,enum=gelu,enum=tanh,enum=sigmoid" default:"relu"`
}

// Pool makes one value of those of a window, by channel. Windows lie side by side; places that
// fill none are left out.
type Pool struct {
	// Size is how many places a side a window has, of a sequence in all.
	Size int `yaml:"size,omitempty" json:"size,omitempty" jsonschema:"minimum=1,maximum=64" default:"2"`
	// Kind is the largest value (max), or their mean.
	Kind string `yaml:"kind,omitempty" json:"kind,omitempty" jsonschema:"enum=max,enum=mean" default:"max"`
}

// Dense is a fully connected layer: values that are weighted sums of all before.
type Dense struct {
	// Size is how many values it has.
	Size int `yaml:"size,omitempty" json:"size,omitempty" jsonschema:"minimum=1,maximum=8192" default:"64"`
	// Activation is applied to the sums.
	Activation string `yaml:"activation,omitempty" json:"activation,omitempty" jsonschema:"enum=relu,enum=gelu,enum=tanh,enum=sigmoid" default:"relu"`
	// Dropout is the share of the values that a step of training leaves out.
	Dropout float64 `yaml:"dropout,omitempty" json:"dropout,omitempty" jsonschema:"minimum=0,exclusiveMaximum=1"`
}

// Check implements pipeline.Checker.
func (o *CNN) Check(at pipeline.Place) {
	dense := false
	for i, l := range o.Layers {
		path := fmt.Sprintf("layers[%d]", i)
		n := 0
		for _, has := range []bool{l.Conv != nil, l.Pool != nil, l.Dense != nil} {
			if has {
				n++
			}
		}
		switch {
		case n != 1:
			at.Problem(path, "write {conv: …}, {pool: …} or {dense: …}", "a layer is one of conv, pool and dense, not %d of them", n)
		case dense && l.Dense == nil:
			at.Problem(path, "put it before the dense ones", "a dense layer has no places that a convolution or a pool could read")
		}
		dense = dense || l.Dense != nil
	}
}

// Reads implements pipeline.Reader.
func (*CNN) Reads() []string { return []string{"list"} }

// EarlyStop implements pipeline.Patient.
func (*CNN) EarlyStop() int { return 20 }

// Descends implements Descended.
func (*CNN) Descends() {}

// convolvedRows is how many rows go through a network of arrays at a time: their values are
// many.
const convolvedRows = 64

// Drops reports whether there is dropout, by which predictions can be sampled.
func (o *CNN) Drops() bool {
	return slices.ContainsFunc(o.Layers, func(l CNNLayer) bool { return l.Dense != nil && l.Dense.Dropout > 0 })
}

// ReadsList implements pipeline.ListReader.
func (o *CNN) ReadsList(shape []int) error {
	_, _, err := o.layers(shape)
	return err
}

// New implements Spec.
func (o *CNN) New(loss Loss, shape kernel.Shape) (*Model, error) {
	layers, width, rows, err := o.hidden(shape)
	if err != nil {
		return nil, err
	}
	return newNetwork("cnn", shape, loss, rows, append(layers, layer.NewDense("output", width, loss.Outputs(), 1))...)
}

// hidden implements network.
func (o *CNN) hidden(shape kernel.Shape) (layers []Layer, width, rows int, err error) {
	if len(shape.Lists) != 1 || shape.Numbers+len(shape.Cardinalities)+len(shape.Terms) > 0 {
		return nil, 0, 0, fmt.Errorf("a cnn reads one list, and has %d (%s) besides %d other inputs", len(shape.Lists), strings.Join(shape.ListNames, ", "), shape.Numbers+len(shape.Cardinalities)+len(shape.Terms))
	}
	layers, width, err = o.layers(shape.Lists[0])
	return append([]Layer{layer.NewArray(shape, 0)}, layers...), width, convolvedRows, err
}

// least implements network: what a dense layer has; other layers have what the shape leaves.
func (o *CNN) least() int {
	if n := len(o.Layers); n > 0 && o.Layers[n-1].Dense != nil {
		return o.Layers[n-1].Dense.Size
	}
	return 1
}

// Unlike returns in what the network of a version differs, but for dropout; "" where its
// weights have the same places.
func (o *CNN) Unlike(before *CNN) string {
	if len(o.Layers) != len(before.Layers) {
		return fmt.Sprintf("it has %d layers, the spec %d", len(before.Layers), len(o.Layers))
	}
	for i, l := range o.Layers {
		was := before.Layers[i]
		if l.Dense != nil && was.Dense != nil {
			was.Dense = &Dense{Size: was.Dense.Size, Activation: was.Dense.Activation, Dropout: l.Dense.Dropout}
		}
		if !reflect.DeepEqual(l, was) {
			return fmt.Sprintf("its layer %d is another than the spec's", i)
		}
	}
	return ""
}

// layers returns the layers of a list of a shape, after the first one and before the last, and
// how many values they give.
func (o *CNN) layers(shape []int) (layers []Layer, width int, err error) {
	const most = maxWorkspace / (4 * convolvedRows)
	array := layer.ArrayOf(shape)
	width = array.Size()
	for i, l := range o.Layers {
		kind, activation := l.kind()
		f, ok := layer.FindActivation(activation)
		if !ok && l.Pool == nil {
			return nil, 0, fmt.Errorf("no activation is called %q", activation)
		}
		var next Layer
		switch name := fmt.Sprintf("%s.%d", kind, i); {
		case l.Conv != nil:
			next, array = layer.NewConvolution(name, array, l.Conv.Channels, l.Conv.Size, l.Conv.Stride, l.Conv.Padding == "same", f.Gain)
		case l.Pool != nil:
			next, array = layer.NewPool(array, l.Pool.Size, l.Pool.Kind == "mean")
		default:
			next = layer.NewDense(name, width, l.Dense.Size, f.Gain)
		}
		if width = next.Outputs(); width < 1 || width > most {
			return nil, 0, fmt.Errorf("%s %d has %d values, from 1 to %d can be: the shape %v is smaller or larger than its layers want", kind, i, width, most, shape)
		}
		if layers = append(layers, next); ok {
			layers = append(layers, layer.NewActivation(f, width))
		}
		if l.Dense != nil && l.Dense.Dropout > 0 {
			layers = append(layers, layer.NewDropout(width, l.Dense.Dropout))
		}
	}
	return layers, width, nil
}

// kind names the layer, and the activation that follows it.
func (l *CNNLayer) kind() (kind, activation string) {
	switch {
	case l.Conv != nil:
		return "conv", l.Conv.Activation
	case l.Pool != nil:
		return "pool", ""
	}
	return "dense", l.Dense.Activation
}
