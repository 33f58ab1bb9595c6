package optim

import (
	"fmt"
	"math"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model"
)

// None trains nothing, the one algorithm for a model that was imported: its one epoch
// reads each row, so that the ledger and the evaluation are those of any model.
type None struct{}

// Resolve implements Resolver.
func (*None) Resolve(t pipeline.Trainer, _ any, _ int64) pipeline.Trainer {
	t.Epochs = 1
	return t
}

// New implements Spec.
func (*None) New(m *model.Model, _ *pipeline.Trainer) (Algorithm, error) {
	if !m.Imported() {
		return nil, &thalweg.Error{Op: "build optimizer", Kind: thalweg.Unsupported, Subject: "optimizer none", Err: fmt.Errorf("a %s model has to be trained", m.Type())}
	}
	return none{once{m}}, nil
}

type none struct{ once }

// Zeros implements Algorithm.
func (none) Zeros(*State, Round) kernel.Vector { return kernel.Vector{Int64: make([]int64, 1)} }

// Contribute implements Algorithm: nothing but the loss.
func (a none) Contribute(r *Replica, s *State, at Round) (v kernel.Vector, loss float64, err error) {
	params := a.params()
	for step, err := range r.Steps(at.Epoch, 0, math.MaxInt) {
		if err != nil {
			return v, 0, err
		}
		loss += a.model.LossOf(r.Workspace, params, step.Block)
	}
	return a.Zeros(s, at), loss, nil
}

// params returns the parameters, which training does not change.
func (a none) params() []float32 {
	params := make([]float32, a.model.Size())
	a.model.Init(params, 0, 0)
	return params
}

// Apply implements Algorithm.
func (a none) Apply(s *State, _ Round, _ kernel.Vector) (bool, error) {
	return a.finish(s, a.params())
}
