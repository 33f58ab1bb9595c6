package model

import (
	"fmt"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model/layer"
)

// FM is a factorization machine (Rendle 2010): the linear model, and for each two of a row's
// numbers, categories, elements and terms what they say together. Which is the product of
// their factors, so that pairs that training never met have one too. For categories of many
// values, as users and goods are, and for texts and sets.
type FM struct {
	// Factors is how many factors each number, value, element and term has.
	Factors int `yaml:"factors,omitempty" json:"factors,omitempty" jsonschema:"minimum=1,maximum=256" default:"8"`

	pipeline.Uncertain `yaml:",inline" json:",inline"`
}

// maxFactored bounds the factors of a thing for all outputs: so many values of memory a row
// are kept twice, as is all of a chunk.
const maxFactored = 1 << 14

// New implements Spec.
func (o *FM) New(loss Loss, shape kernel.Shape) (*Model, error) {
	if o.Factors < 1 {
		return nil, fmt.Errorf("a factorization machine needs factors")
	}
	if n := o.Factors * loss.Outputs(); n > maxFactored {
		return nil, fmt.Errorf("%d factors for each of %d outputs are %d, the bound is %d: lower model.factors", o.Factors, loss.Outputs(), n, maxFactored)
	}
	return NewNetwork("fm", shape, loss, layer.NewFactors(shape, loss.Outputs(), o.Factors))
}
