package artifact

import (
	"reflect"
	"slices"
	"strings"

	"github.com/thalweg/thalweg/pipeline/model"
)

// outputLayer is how the views of a network's last layer begin.
const outputLayer = "output"

// deeper copies the layers behind the first of a network like the parent's, the last one
// by the outputs that were matched, and makes the outputs those of the first layer, whose
// weights are matched by the features.
func (s *start) deeper() {
	initial := make([]float32, len(s.params))
	s.to.Model.Init(initial, s.to.plan.Spec.Spec.Trainer.Seed, 0)
	for _, v := range s.to.Model.Views() {
		to, from := v.Of(s.params), s.of(s.from, v.Name, s.from.Params)
		switch {
		case v.Name == outputLayer+".weight":
			width := len(s.outputs)
			for k, out := range s.outputs {
				for i := 0; out >= 0 && i < len(to)/width; i++ {
					to[i*width+k] = from[i*s.width+out]
				}
			}
		case s.to.Model.Keeps() > 0 && v.Offset >= s.to.Model.Front(): // rows are this run's
		case v.Offset >= s.to.Model.First() && v.Name != outputLayer+".bias" || v.Name == "bias":
			copy(to, from)
		case strings.HasSuffix(v.Name, ".embedding"):
			// With its weights zero it says nothing yet; were it zero too, neither had a
			// gradient.
			copy(to, v.Of(initial))
		}
	}
	s.outputs, s.width = nil, 0
	if first, ok := model.Find(s.to.Model, "bias"); ok { // else it reads an array, and has no weights
		s.width = first.Size()
	}
	for k := range s.width {
		s.outputs = append(s.outputs, k)
	}
}

// checkArray reports an array that a network reads otherwise than the parent's does: each weight
// of a convolution is of many elements, and cannot be converted to how each is normalised now.
func (s *start) checkArray() error {
	if s.to.Model.First() > 0 {
		return nil
	}
	now, was := s.to.Model.Shape().Lists[0], s.from.Model.Shape().Lists[0]
	if !slices.Equal(now, was) {
		return noParent("its list has the shape %v, the spec's %v", was, now)
	}
	for _, f := range s.to.Transform.Features() {
		switch before := s.before[f.Name].List; {
		case f.List == nil:
		case before == nil:
			return noParent("it does not read list %s", f.Name)
		case !reflect.DeepEqual(f.List.Elements, before.Elements):
			return noParent("the elements of list %s are normalised by other training rows than this run's: train the network on the same rows, or with normalization: none", f.Name)
		}
	}
	return nil
}

// embedding copies what a network learned of the values of a category, by the ids that
// they had, and the weights of its numbers.
func (s *start) embedding(name string, ids func(id int) int) bool {
	weights, weightsBefore := s.of(s.to, name+".weight", s.params), s.of(s.from, name+".weight", s.from.Params)
	to, from := s.of(s.to, name+".embedding", s.params), s.of(s.from, name+".embedding", s.from.Params)
	if to == nil || from == nil || len(weights) != len(weightsBefore) {
		return false
	}
	copy(weights, weightsBefore)
	size := len(weights) / s.width
	for id := range len(to) / size {
		copy(to[id*size:][:size], from[ids(id)*size:])
	}
	return true
}
