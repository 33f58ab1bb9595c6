package artifact

import (
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
		case v.Offset >= s.to.Model.First() && v.Name != outputLayer+".bias" || v.Name == "bias":
			copy(to, from)
		case strings.HasSuffix(v.Name, ".embedding"):
			// With its weights zero it says nothing yet; were it zero too, neither had a
			// gradient.
			copy(to, v.Of(initial))
		}
	}
	first, _ := model.Find(s.to.Model, "bias")
	s.outputs, s.width = nil, first.Size()
	for k := range s.width {
		s.outputs = append(s.outputs, k)
	}
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
