package optim

import (
	"fmt"
	"math"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model"
)

// Memorize makes the training rows the model, the one algorithm for a model of type knn. It
// has one epoch, in which each row is read once. The network on whose hidden layer rows are
// compared stays as it was.
type Memorize struct{}

// Without implements pipeline.Restricted.
func (*Memorize) Without() map[string]string {
	without := WithoutSteps("leave it out: rows are kept as they are")
	without["regularization.l1"] = "leave it out: rows are kept as they are"
	return without
}

// Resolve implements Resolver.
func (*Memorize) Resolve(t pipeline.Trainer, _ any, _ int64) pipeline.Trainer {
	t.Epochs = 1
	return t
}

// New implements Spec.
func (*Memorize) New(m *model.Model, _ *pipeline.Trainer) (Algorithm, error) {
	if m.Keeps() == 0 {
		return nil, &thalweg.Error{Op: "build optimizer", Kind: thalweg.Unsupported, Subject: "optimizer memorize", Err: fmt.Errorf("a %s model keeps no rows", m.Type())}
	}
	return memorize{once{m}}, nil
}

type memorize struct{ once }

// Zeros implements Algorithm: the bits of two parameters are one integer. Each is of one
// replica's rows, so that the sum is what it has.
func (a memorize) Zeros(*State, Round) kernel.Vector {
	return kernel.Vector{Int64: make([]int64, (a.model.Size()-a.model.Front()+1)/2)}
}

// fronted returns parameters that have the state's network, and no rows.
func (a memorize) fronted(s *State) []float32 {
	params := make([]float32, a.model.Size())
	copy(params, s.Vector[:a.model.Front()])
	return params
}

// Contribute implements Algorithm.
func (a memorize) Contribute(r *Replica, s *State, at Round) (v kernel.Vector, _ float64, err error) {
	if r.Rows != int64(a.model.Keeps()) {
		return v, 0, fmt.Errorf("there are %d training rows, and the model is of %d", r.Rows, a.model.Keeps())
	}
	params, next := a.fronted(s), int(r.Before)
	for step, err := range r.Steps(at.Epoch, 0, math.MaxInt) {
		if err != nil {
			return v, 0, err
		}
		a.model.Remember(r.Workspace, params, next, step.Block)
		next += step.Block.Rows
	}
	v = a.Zeros(s, at)
	for i, x := range params[a.model.Front():] {
		v.Int64[i/2] |= int64(math.Float32bits(x)) << (i % 2 * 32)
	}
	return v, 0, nil
}

// Apply implements Algorithm.
func (a memorize) Apply(s *State, _ Round, sum kernel.Vector) (bool, error) {
	params := a.fronted(s)
	rows := params[a.model.Front():]
	for i := range rows {
		rows[i] = math.Float32frombits(uint32(sum.Int64[i/2] >> (i % 2 * 32)))
	}
	if i := kernel.Finite(rows); i >= 0 {
		return false, fmt.Errorf("value %d of the training rows is not finite", i)
	}
	return a.finish(s, params)
}
