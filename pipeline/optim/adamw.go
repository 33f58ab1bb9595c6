package optim

import (
	"fmt"

	"github.com/thalweg/thalweg/pipeline"
)

// AdamW is Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm
// 2), as PyTorch has it: before each step
//
//	w -= rate*weight_decay*w
//
// for weights, not for biases. regularization.l2 decays weights in the same way and
// not by the gradient, unless its decoupled is false.
type AdamW struct {
	Adam `yaml:",inline" json:",inline"`
	// WeightDecay is the share of a weight that decays in a step of rate 1.
	WeightDecay float64 `yaml:"weight_decay" json:"weight_decay,omitempty" jsonschema:"minimum=0,maximum=1"`
}

// Defaults implements pipeline.Defaulter. The decay is PyTorch's.
func (s *AdamW) Defaults(at pipeline.Place) {
	s.Adam.Defaults(at)
	pipeline.Default(at, "weight_decay", &s.WeightDecay, 0.01)
}

// Validate implements Optimizer.
func (s *AdamW) Validate() error {
	if !(s.WeightDecay >= 0 && s.WeightDecay <= 1) {
		return fmt.Errorf("weight_decay is %v, not in [0, 1]", s.WeightDecay)
	}
	return s.Adam.Validate()
}

// Decay implements pipeline.Decayer.
func (s *AdamW) Decay() float64 { return s.WeightDecay }
