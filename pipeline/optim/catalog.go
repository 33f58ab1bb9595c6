package optim

import "github.com/thalweg/thalweg/pipeline"

// catalog is the table of update rules by their name in a spec: to add one,
// write its file and its line.
var catalog = map[string]func(pipeline.Optimizer) (Optimizer, error){
	"sgd":      newSGD,
	"momentum": newMomentum,
	"adam":     newAdam,
}
