package optim

import "github.com/thalweg/thalweg/pipeline/model"

// once is what algorithms have in common that have the model after one epoch of one round.
type once struct{ model *model.Model }

// Size implements Algorithm: the parameters.
func (a once) Size() int { return a.model.Size() }

// Schedule implements Algorithm.
func (once) Schedule(int) Schedule { return Schedule{Rounds: 1, Passes: 1, Converges: true} }

// finish makes params the model.
func (once) finish(s *State, params []float32) (checkpoint bool, err error) {
	s.Vector, s.Converged = params, true
	s.Blend(params)
	return false, nil
}
