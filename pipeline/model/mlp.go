package model

import (
	"fmt"
	"slices"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model/layer"
)

// MLP is a multilayer perceptron: layers of sums of what comes before, each followed by an
// activation, and one that gives the outputs.
type MLP struct {
	// Hidden is how many values each hidden layer has, from the first on. Default [64, 32].
	Hidden []int `yaml:"hidden,omitempty" json:"hidden,omitempty" jsonschema:"minItems=1,maxItems=16"`
	// Activation follows each hidden layer.
	Activation string `yaml:"activation,omitempty" json:"activation,omitempty" jsonschema:"enum=relu,enum=gelu,enum=tanh,enum=sigmoid" default:"relu"`
	// Dropout is the share of each hidden layer's values that a step of training leaves out.
	// Which follows from the seed and the row. The default, with the l2 of 2 that networks have,
	// holds small tables back: without, their log loss is a tenth higher on some.
	Dropout float64 `yaml:"dropout" json:"dropout,omitempty" jsonschema:"minimum=0,exclusiveMaximum=1" default:"0.1"`
	// Normalization brings what each hidden layer sums to mean 0 and deviation 1 before the
	// activation: layer, over the values of a row; batch, over up to 512 rows of a step's batch,
	// and in predictions by the means that training keeps. Then each value has a scale and
	// a shift of its own.
	Normalization string `yaml:"normalization,omitempty" json:"normalization,omitempty" jsonschema:"enum=none,enum=layer,enum=batch" default:"none"`

	// NumberEmbedding is what a number enters as besides itself: periodic, three sums of 16 cosines
	// of it, whose frequencies and phases are learned (RealMLP's). A network then bends within a
	// deviation of a number; it takes some ten times as long for each number.
	NumberEmbedding string `yaml:"number_embedding,omitempty" json:"number_embedding,omitempty" jsonschema:"enum=none,enum=periodic" default:"none"`

	pipeline.Uncertain `yaml:",inline" json:",inline"`
}

// periodicNumbers is the number_embedding of NewPeriodicInput.
const periodicNumbers = "periodic"

// maxHidden bounds a hidden layer.
const maxHidden = 8192

// Defaults implements pipeline.Defaulter.
func (o *MLP) Defaults(at pipeline.Place) { pipeline.DefaultList(at, "hidden", &o.Hidden, 64, 32) }

// Check implements pipeline.Checker.
func (o *MLP) Check(at pipeline.Place) {
	for i, n := range o.Hidden {
		if n < 1 || n > maxHidden {
			at.Problem(fmt.Sprintf("hidden[%d]", i), "", "%d is out of range: it must be at least 1 and at most %d", n, maxHidden)
			return
		}
		if n == 1 && o.Normalization == "layer" {
			at.Problem(fmt.Sprintf("hidden[%d]", i), "write normalization: batch, or 2 and more values", "normalization: layer makes zero of a layer's only value")
		}
	}
	if layers, err := o.layers(kernel.Shape{}); err == nil {
		if err := checkWorkspace(layers, chunkRows); err != nil {
			at.Problem("hidden", "", "%v", err)
		}
	}
}

// Descends implements Descended.
func (*MLP) Descends() {}

// LearnsEmbeddings implements pipeline.Embedding.
func (*MLP) LearnsEmbeddings() {}

// Explains implements pipeline.Explained.
func (*MLP) Explains() {}

// Drops reports whether there is dropout, by which predictions can be sampled.
func (o *MLP) Drops() bool { return o.Dropout > 0 }

// StartsWarm implements pipeline.WarmStarter.
func (*MLP) StartsWarm() bool { return true }

// Unlike returns in what the network of a version differs, so that training cannot start
// from its weights; "" where it can.
func (o *MLP) Unlike(before *MLP) string {
	switch {
	case !slices.Equal(o.Hidden, before.Hidden):
		return fmt.Sprintf("its hidden layers are %v, the spec's %v", before.Hidden, o.Hidden)
	case o.Activation != before.Activation:
		return fmt.Sprintf("its activation is %s, the spec's %s", before.Activation, o.Activation)
	case o.NumberEmbedding != before.NumberEmbedding:
		return fmt.Sprintf("its number_embedding is %s, the spec's %s", before.NumberEmbedding, o.NumberEmbedding)
	case o.NumberEmbedding == periodicNumbers:
		return "its periodic embeddings are of numbers as its own training rows scaled them"
	case o.Normalization != before.Normalization:
		return fmt.Sprintf("its normalization is %s, the spec's %s", before.Normalization, o.Normalization)
	}
	return ""
}

// LeastBatch implements pipeline.Batched.
func (o *MLP) LeastBatch() (rows int, why, instead string) {
	if o.Normalization == "batch" {
		return 2, "normalization: batch takes mean and deviation over the rows of a batch, and one row has none", "write 2 or more, auto, or model.normalization: layer"
	}
	return 0, "", ""
}

// L2 implements pipeline.Penalized: of 0.3, 1, 2 and 3, with dropout, it is the best on the tables
// of make quality.
func (*MLP) L2(string) float64 { return 2 }

// EarlyStop implements pipeline.Patient, where the rate does not fall: what validation rows say of
// a network falls for a long time, and not with every epoch. Three epochs cost small tables a
// tenth of the loss.
func (*MLP) EarlyStop() int { return 40 }

// Scheduler implements pipeline.Annealed: a rate that falls to zero ends where steps of a constant
// one wander around. So the last epoch is as good as any, and few validation rows need not choose.
func (*MLP) Scheduler() string { return "cosine" }

// Smoothing implements Smoother: of rows that can be told apart the losses fall for ever, and the
// few that cannot then cost most of the log loss. What is learned from so many rows is wrong about
// a part of them that falls with their number.
func (*MLP) Smoothing(rows int64) float64 { return min(0.01, 5/float64(max(1, rows))) }

// New implements Spec.
func (o *MLP) New(loss Loss, shape kernel.Shape) (*Model, error) {
	layers, width, rows, err := o.hidden(shape)
	if err != nil {
		return nil, err
	}
	return newNetwork("mlp", shape, loss, rows, append(layers, layer.NewDense("output", width, loss.Outputs(), 1))...)
}

// hidden implements network.
func (o *MLP) hidden(shape kernel.Shape) (layers []Layer, width, rows int, err error) {
	layers, err = o.layers(shape)
	return layers, o.least(), chunkRows, err
}

// least implements network.
func (o *MLP) least() int {
	if len(o.Hidden) == 0 {
		return 0
	}
	return o.Hidden[len(o.Hidden)-1]
}

// layers returns the hidden layers.
func (o *MLP) layers(shape kernel.Shape) ([]Layer, error) {
	f, ok := layer.FindActivation(o.Activation)
	switch {
	case !ok:
		return nil, fmt.Errorf("no activation is called %q", o.Activation)
	case len(o.Hidden) == 0:
		return nil, fmt.Errorf("an mlp needs a hidden layer")
	case !(o.Dropout >= 0 && o.Dropout < 1):
		return nil, fmt.Errorf("dropout is %v, not in [0, 1)", o.Dropout)
	}
	var layers []Layer
	for i, n := range o.Hidden {
		if n < 1 || n > maxHidden {
			return nil, fmt.Errorf("hidden layer %d has %d values", i, n)
		}
		switch {
		case i == 0 && o.NumberEmbedding == periodicNumbers:
			layers = append(layers, layer.NewPeriodicInput(shape, n, f.Gain))
		case i == 0:
			layers = append(layers, layer.NewInput(shape, n, f.Gain))
		default:
			layers = append(layers, layer.NewDense(fmt.Sprintf("hidden.%d", i), o.Hidden[i-1], n, f.Gain))
		}
		switch o.Normalization {
		case "", "none":
		case "layer":
			layers = append(layers, layer.NewLayerNorm(fmt.Sprintf("normalization.%d", i), n))
		case "batch":
			layers = append(layers, layer.NewBatchNorm(fmt.Sprintf("normalization.%d", i), n))
		default:
			return nil, fmt.Errorf("no normalization is called %q", o.Normalization)
		}
		layers = append(layers, layer.NewActivation(f, n))
		if o.Dropout > 0 {
			layers = append(layers, layer.NewDropout(n, o.Dropout))
		}
	}
	return layers, nil
}
