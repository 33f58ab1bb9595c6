package artifact

import (
	"fmt"
	"slices"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/pipeline/model"
)

// Parent is the version whose weights training started from.
type Parent struct {
	// Version is its number, and Model its sha256.
	Version uint64 `json:"version"`
	Model   string `json:"model_sha256"`
}

// Inherited tells what a start took from its parent.
type Inherited struct {
	// Features are those, crosses included, whose weights it has, and New the others.
	Features int
	New      []string
	// Values are those of categories, and classes, that the parent did not know.
	Values int
}

// CheckParent reports a version from which a plan's training cannot start: one of
// another model, or that answers something else.
func CheckParent(plan *pipeline.Plan, parent *Artifact) error {
	var err error
	want, have := plan.Spec.Spec.Model.Name, parent.Model.Type()
	switch label := parent.plan.Label; {
	case want != have:
		err = fmt.Errorf("it is a model of type %s, the spec's is %s", have, want)
	case label.Type != plan.Label.Type:
		err = fmt.Errorf("it learned the %s output %s, the spec's output %s is a %s", label.Type, label.Name, plan.Label.Name, plan.Label.Type)
	default:
		return nil
	}
	return &thalweg.Error{Op: "start warm", Kind: thalweg.Invalid, Err: err, Hint: "name another version in trainer.warm_start, or leave it out"}
}

// StartFrom returns the parameters that training starts from to go on where a parent's
// ended. Slots are matched by the names of features, values and classes: what the
// parent does not know starts as what it never saw. Weights of numbers are converted to
// how they are normalised now.
func (a *Artifact) StartFrom(parent *Artifact) (params []float32, got Inherited, err error) {
	if err := CheckParent(a.plan, parent); err != nil {
		return nil, got, err
	}
	s := start{to: a, from: parent, params: make([]float32, a.Model.Size())}
	if err := s.matchOutputs(&got); err != nil {
		return nil, got, err
	}
	before := make(map[string]feature.Feature)
	for _, f := range parent.Transform.Features() {
		before[f.Name] = f
	}
	matched := func(name string, ok bool) {
		if ok {
			got.Features++
		} else {
			got.New = append(got.New, name)
		}
	}
	for _, f := range a.Transform.Features() {
		b, known := before[f.Name]
		matched(f.Name, known && s.feature(f, b, &got))
	}
	buckets := make(map[string]feature.CrossData)
	for _, c := range parent.Transform.Crosses() {
		buckets[c.Name] = c
	}
	for _, c := range a.Transform.Crosses() {
		b, known := buckets[c.Name]
		matched(c.Name, known && b.Buckets == c.Buckets && s.table(c.Name, func(id int) int { return id }))
	}
	for i, x := range s.params {
		if x-x != 0 {
			s.params[i] = 0 // of a scale so small that there is no weight for it
		}
	}
	return s.params, got, nil
}

// start is parameters that are being made.
type start struct {
	to, from *Artifact
	params   []float32
	outputs  []int // of the parent, by output; -1 where it has none
}

// matchOutputs finds the parent's output of each of the model's, and copies the bias.
func (s *start) matchOutputs(got *Inherited) error {
	loss, before := s.to.Model.Loss(), s.from.Model.Loss()
	classes := loss.Answer().Classes
	if len(classes) == 0 && loss.Outputs() != before.Outputs() {
		return &thalweg.Error{Op: "start warm", Kind: thalweg.Invalid, Err: fmt.Errorf("the version gives %d outputs, the spec's model %d", before.Outputs(), loss.Outputs()),
			Hint: "name another version in trainer.warm_start, or leave it out"}
	}
	biases, known := s.of(s.to, "bias", s.params), s.of(s.from, "bias", s.from.Params)
	for k, x := range loss.Start(0) {
		from := k
		if len(classes) > 0 {
			from = slices.Index(before.Answer().Classes, classes[k])
		}
		if s.outputs = append(s.outputs, from); from < 0 {
			biases[k] = float32(x)
			got.Values++
			continue
		}
		biases[k] = known[from]
	}
	return nil
}

// of returns the view of a name of an artifact's vector, nil where there is none.
func (s *start) of(a *Artifact, name string, params []float32) []float32 {
	v, ok := model.Find(a.Model, name)
	if !ok {
		return nil
	}
	return v.Of(params)
}

// feature copies the weights of a feature, and reports whether it could.
func (s *start) feature(f, before feature.Feature, got *Inherited) bool {
	switch {
	case f.Number != nil && before.Number != nil:
		return s.numbers("number."+f.Name+".weight", []feature.Number{*f.Number}, []feature.Number{*before.Number})
	case f.List != nil && before.List != nil:
		return s.numbers("list."+f.Name+".weight", f.List.Elements, before.List.Elements)
	case f.Bins != nil && before.Bins != nil:
		return s.table(f.Name, func(id int) int {
			if id == 0 {
				return 0
			}
			return before.Bins.Of(f.Bins.Within(id))
		})
	case f.Hashed != nil && before.Hashed != nil:
		return f.Hashed.Buckets == before.Hashed.Buckets && s.table(f.Name, func(id int) int { return id })
	case f.Category != nil && before.Category != nil:
		ids := make(map[string]int, len(before.Category.Values))
		for i, v := range before.Category.Values {
			ids[v] = i + 1
		}
		return s.table(f.Name, func(id int) int {
			if id == 0 {
				return 0
			}
			from := ids[f.Category.Values[id-1]]
			if from == 0 {
				got.Values++
			}
			return from
		})
	}
	return false
}

// numbers copies the weights of number slots, or of the elements of a list.
func (s *start) numbers(view string, now, before []feature.Number) bool {
	to, from := s.of(s.to, view, s.params), s.of(s.from, view, s.from.Params)
	if to == nil || from == nil || len(now) != len(before) {
		return false
	}
	biases := s.of(s.to, "bias", s.params)
	width, widthBefore := len(to)/len(now), len(from)/len(now)
	some := false
	for i := range now {
		factor, offset, ok := now[i].Converted(&before[i])
		some = some || ok
		for k, out := range s.outputs {
			if !ok || out < 0 {
				continue
			}
			w := float64(from[i*widthBefore+out])
			to[i*width+k] = float32(float64(w * factor))
			biases[k] = float32(float64(biases[k]) + float64(w*offset))
		}
	}
	return some
}

// table copies the weights of a category slot: those of an id from that which ids says.
func (s *start) table(name string, ids func(id int) int) bool {
	to, from := s.of(s.to, "category."+name+".weight", s.params), s.of(s.from, "category."+name+".weight", s.from.Params)
	if to == nil || from == nil {
		return false
	}
	width, widthBefore := len(s.outputs), s.from.Model.Outputs()
	for id := range len(to) / width {
		b := ids(id)
		for k, out := range s.outputs {
			if out >= 0 {
				to[id*width+k] = from[b*widthBefore+out]
			}
		}
	}
	return true
}
