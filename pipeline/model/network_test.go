package model

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/thalweg/thalweg/pipeline/kernel"
)

// dense is a layer of outputs that are affine in the values before it, or, as
// the first, in list slot 0.
type dense struct {
	name            string
	inputs, outputs int
}

func (d dense) Outputs() int { return d.outputs }
func (d dense) Scratch() int { return 0 }
func (d dense) Views() []View {
	return []View{{Name: d.name + ".weight", Shape: []int{d.outputs, d.inputs}},
		{Name: d.name + ".bias", Shape: []int{d.outputs}, Offset: d.outputs * d.inputs, Bias: true}}
}

func (d dense) Init(params []float32, seed uint64) {
	for i := range params {
		params[i] = float32(math.Sin(float64(seed%97)+float64(i))) * 0.2
	}
}

func (d dense) in(c *Chunk) []float32 {
	if c.In != nil {
		return c.In
	}
	return c.Block.Lists[0][c.From*d.inputs : c.To*d.inputs]
}

func (d dense) Forward(c *Chunk, params, out []float32) {
	in, biases := d.in(c), params[d.outputs*d.inputs:]
	for i := range c.To - c.From {
		for o := range d.outputs {
			out[i*d.outputs+o] = biases[o] + kernel.Dot(params[o*d.inputs:(o+1)*d.inputs], in[i*d.inputs:(i+1)*d.inputs])
		}
	}
}

func (d dense) Backward(c *Chunk, params, outGrad, grad []float32) {
	in := d.in(c)
	clear(c.InGrad)
	for i := range c.To - c.From {
		for o, x := range outGrad[i*d.outputs : (i+1)*d.outputs] {
			grad[d.outputs*d.inputs+o] += x
			kernel.AddScaled(grad[o*d.inputs:(o+1)*d.inputs], in[i*d.inputs:(i+1)*d.inputs], x)
			if c.InGrad != nil {
				kernel.AddScaled(c.InGrad[i*d.inputs:(i+1)*d.inputs], params[o*d.inputs:(o+1)*d.inputs], x)
			}
		}
	}
}

func (d dense) Rescale(params []float32, offsets []float64, scale float64) {
	for i := range params {
		params[i] *= float32(scale)
	}
	for i := d.outputs * d.inputs; i < len(params); i++ {
		params[i] += float32(offsets[i-d.outputs*d.inputs])
	}
}

// dropout passes each value on with probability 1/2, doubled, while training.
type dropout struct{ width int }

func (d dropout) Outputs() int           { return d.width }
func (d dropout) Scratch() int           { return d.width } // the factors
func (d dropout) Views() []View          { return nil }
func (d dropout) Init([]float32, uint64) {}

func (d dropout) Forward(c *Chunk, _, out []float32) {
	for i, v := range c.In {
		c.Scratch[i] = 1
		if c.Training {
			x := (c.Seed + uint64(c.From*d.width+i)) * 0xbf58476d1ce4e5b9
			c.Scratch[i] = float32((x ^ x>>31) % 2 * 2)
		}
		out[i] = v * c.Scratch[i]
	}
}

func (d dropout) Backward(c *Chunk, _, outGrad, _ []float32) {
	for i, x := range outGrad {
		c.InGrad[i] = x * c.Scratch[i]
	}
}

// gaussian is the negative log likelihood of a normal distribution whose mean
// and log deviation are a row's two outputs.
type gaussian struct{ Squared }

func (*gaussian) Type() string                       { return "gaussian" }
func (*gaussian) Reported(float64) (float64, string) { return 1, "" }
func (*gaussian) Outputs() int                       { return 2 }
func (*gaussian) Scale(_, _ float64) Scale           { return Scale{} }
func (*gaussian) Start(mean float64) []float64       { return []float64{mean, 0} } // of deviation 1
func (*gaussian) Gradient(out, labels []float32, weight float32) (loss float64) {
	for i, y := range labels {
		mean, log := float64(out[2*i]), float64(out[2*i+1])
		z := (float64(y) - mean) / math.Exp(log)
		loss += log + z*z/2
		out[2*i], out[2*i+1] = weight*float32(-z/math.Exp(log)), weight*float32(1-z*z)
	}
	return loss
}

var arrays = kernel.Shape{Lists: [][]int{{3, 2}}, ListNames: []string{"image"}}

func netOf(t *testing.T, l Loss, layers ...Layer) *Model {
	t.Helper()
	m, err := NewNetwork("network", arrays, l, layers...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestLayersAreChained(t *testing.T) {
	first, drop, second := dense{"first", 6, 4}, dropout{4}, dense{"second", 4, 1}
	for _, l := range losses(t) {
		if l.Outputs() == 1 {
			checkModel(t, netOf(t, l, first, drop, second))
		}
		checkModel(t, netOf(t, l, dense{"only", 6, l.Outputs()}))
	}
}

func TestRowCanHaveSeveralOutputs(t *testing.T) {
	checkLoss(t, new(gaussian))
	m := netOf(t, new(gaussian), dense{"first", 6, 3}, dense{"second", 3, 2})
	if m.Outputs() != 2 {
		t.Errorf("%d outputs", m.Outputs())
	}
	checkModel(t, m)
}

func TestEachStepDrawsAnewAndPredictionsDrawNothing(t *testing.T) {
	m := netOf(t, new(CrossEntropy), dense{"first", 6, 4}, dropout{4}, dense{"second", 4, 1})
	without := netOf(t, new(CrossEntropy), dense{"first", 6, 4}, dense{"second", 4, 1})
	b, params := sample(arrays, Binary, 50), make([]float32, m.Size())
	m.Init(params, 1, 0.5)
	one, two := make([]float32, m.Size()), make([]float32, m.Size())
	m.Gradient(m.NewWorkspace(), params, b, 1, one)
	m.Gradient(m.NewWorkspace(), params, b, 2, two)
	if equalBits(one, two) {
		t.Error("two seeds give one gradient")
	}
	one, two = make([]float32, b.Rows), make([]float32, b.Rows)
	m.Predict(m.NewWorkspace(), params, b, one)
	without.Predict(without.NewWorkspace(), params, b, two)
	if !equalBits(one, two) {
		t.Error("a prediction was drawn")
	}
}

func TestNetworkRefusesLayersThatDoNotFit(t *testing.T) {
	for says, layers := range map[string][]Layer{
		"without layers":       nil,
		"has 0 outputs":        {dense{"a", 6, 0}},
		"called a.weight":      {dense{"a", 6, 2}, dense{"a", 2, 1}},
		"gives 2 values a row": {dense{"a", 6, 2}},
		"cannot be rescaled":   {dense{"a", 6, 1}, dropout{1}},
	} {
		if _, err := NewNetwork("n", arrays, new(Squared), layers...); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v, want %q", err, says)
		}
	}
}

func TestNetworksOfTooMuchMemoryAreRefused(t *testing.T) {
	wide := &MLP{Activation: "gelu", Normalization: "layer", Dropout: 0.5, Hidden: []int{8192, 1, 8192, 1, 8192, 1, 8192, 1}}
	if _, err := wide.New(new(Squared), arrays); err == nil || !strings.Contains(err.Error(), "lower model.hidden") {
		t.Errorf("wide layers: %v", err)
	}
	shape := kernel.Shape{}
	for i := range 1000 {
		shape.Cardinalities, shape.Embeddings = append(shape.Cardinalities, 2), append(shape.Embeddings, 1024)
		shape.CategoryNames = append(shape.CategoryNames, fmt.Sprint("c", i))
	}
	narrow := &MLP{Activation: "relu", Hidden: []int{1}}
	if _, err := narrow.New(new(Squared), shape); err == nil || !strings.Contains(err.Error(), "lower the size of the encoders") {
		t.Errorf("many embeddings: %v", err)
	}
}

func TestAPredictorHasTheBitsOfAWorkspace(t *testing.T) {
	for _, normalization := range []string{"none", "layer", "batch"} {
		o := &MLP{Activation: "gelu", Normalization: normalization, Dropout: 0.5, Hidden: []int{7, 3, 9, 5}}
		m, err := o.New(new(CrossEntropy), arrays)
		if err != nil {
			t.Fatal(err)
		}
		b, params := sample(arrays, Binary, 1100), make([]float32, m.Size())
		m.Init(params, 7, 0.5)
		want, got := make([]float32, b.Rows), make([]float32, b.Rows)
		m.Predict(m.NewWorkspace(), params, b, want)
		m.Predict(m.NewPredictor(), params, b, got)
		if !equalBits(got, want) {
			t.Errorf("normalization %s: other predictions", normalization)
		}
	}
}
