package model

import (
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// catalog is the table of model types by their name in a spec: to add one,
// write its file and its line. The shape has been checked.
var catalog = map[string]func(pipeline.ModelSpec, Loss, kernel.Shape) (Model, error){
	"linear": newLinear,
}

// losses is the table of losses; the first of a label's is its default. To add
// one, write its file and its line.
var losses = []Loss{crossEntropy{}, squared{}}
