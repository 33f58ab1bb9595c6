package artifact

import (
	"cmp"
	"fmt"
	"reflect"
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
	// Trees are those whose splits it has.
	Trees int
}

// CheckParent reports a version from which a plan's training cannot start: one of
// another model, or that answers something else.
func CheckParent(plan *pipeline.Plan, parent *Artifact) error {
	want, have := plan.Spec.Spec.Model, parent.Spec.Spec.Model
	if pipeline.Front(want).Name != want.Name { // the network is all that is taken
		want, have = pipeline.Front(want), pipeline.Front(have)
	}
	switch label := parent.plan.Label; {
	case want.Name != have.Name:
		return noParent("it is a model of type %s, the spec's is %s", have.Name, want.Name)
	case label.Type != plan.Label.Type:
		return noParent("it learned the %s output %s, the spec's output %s is a %s", label.Type, label.Name, plan.Label.Name, plan.Label.Type)
	}
	before, now := parent.Spec.Spec.Schema.KeyName(), plan.Spec.Spec.Schema.KeyName()
	if before != "" && now != "" && before != now {
		return noParent("its columns are hashed with key %s, the spec's with %s", before, now)
	}
	for _, c := range plan.Input.Columns {
		if _, had, known := parent.Schema.Lookup(c.Name); known && had.PII != c.PII {
			return noParent("it learned from column %s with pii: %s, the spec has it with pii: %s", c.Name, cmp.Or(had.PII, "none"), cmp.Or(c.PII, "none"))
		}
	}
	why := ""
	switch net := want.Options.(type) {
	case *model.Trees:
		return checkTrees(plan, net, parent)
	case *model.MLP:
		why = net.Unlike(have.Options.(*model.MLP))
	case *model.CNN:
		why = net.Unlike(have.Options.(*model.CNN))
	}
	if why != "" {
		return noParent("%s", why)
	}
	return nil
}

// noParent says why training cannot start from a version.
func noParent(format string, args ...any) error {
	return &thalweg.Error{Op: "start warm", Kind: thalweg.Invalid, Err: fmt.Errorf(format, args...), Hint: "name another version in trainer.warm_start, or leave it out"}
}

// checkTrees reports trees of a parent whose leaves cannot be refitted: of other features,
// another loss, or more or larger ones than the spec has room for.
func checkTrees(plan *pipeline.Plan, trees *model.Trees, parent *Artifact) error {
	f := parent.Model.Forest()
	if f == nil {
		return noParent("its trees are imported, and stay as they are")
	}
	count, leaves := f.Count(parent.Params)/f.Outputs(), 0
	used := make(map[string]bool)
	for t := range f.Count(parent.Params) {
		tree := f.Tree(parent.Params, t)
		leaves = max(leaves, len(tree.Values))
		for _, s := range tree.Splits {
			used[parent.Model.Shape().CategoryNames[s.Slot]] = true
		}
	}
	switch loss, before := plan.Label.Loss.Name, parent.Model.Loss().Type(); {
	case loss != before:
		return noParent("it minimises loss %s, the spec %s", before, loss)
	case f.Options.Boosting != trees.Boosting:
		return noParent("its boosting is %s, the spec's %s", f.Options.Boosting, trees.Boosting)
	case count > trees.Trees:
		return noParent("it has %d trees: write model.trees %d at least, more are grown in addition", count, count)
	case leaves > trees.MaxLeaves:
		return noParent("its trees have up to %d leaves: write model.max_leaves %d at least", leaves, leaves)
	}
	for _, before := range parent.plan.Features {
		if !used[before.Name] {
			continue
		}
		i := slices.IndexFunc(plan.Features, func(f pipeline.Feature) bool { return f.Name == before.Name })
		if i < 0 {
			return noParent("its trees split feature %s, which the spec does not have", before.Name)
		}
		if a, b := before.Options.Encoder, plan.Features[i].Options.Encoder; a.Name != b.Name || a.Name == "hash" && !reflect.DeepEqual(a.Options, b.Options) {
			return noParent("its trees split feature %s by encoder %s, the spec has it by another", before.Name, a.Name)
		}
	}
	return nil
}

// StartFrom returns the parameters that training starts from to go on where a parent's
// ended. Slots are matched by the names of features, values and classes: what the
// parent does not know starts as what it never saw. Weights of numbers are converted to
// how they are normalised now.
func (a *Artifact) StartFrom(parent *Artifact) (params []float32, got Inherited, err error) {
	if err := CheckParent(a.plan, parent); err != nil {
		return nil, got, err
	}
	s := start{to: a, from: parent, params: make([]float32, a.Model.Size()), before: make(map[string]feature.Feature)}
	for _, f := range parent.Transform.Features() {
		s.before[f.Name] = f
	}
	if a.Model.Keeps() == 0 { // else the outputs are those of rows
		if err := s.matchOutputs(&got); err != nil {
			return nil, got, err
		}
	}
	if a.Model.Forest() != nil {
		return s.params, got, s.trees(&got)
	}
	if a.Model.Deep() {
		s.deeper()
	}
	if err := s.checkArray(); err != nil {
		return nil, got, err
	}
	matched := func(name string, ok bool) {
		if ok {
			got.Features++
		} else {
			got.New = append(got.New, name)
		}
	}
	for _, f := range a.Transform.Features() {
		b, known := s.before[f.Name]
		matched(f.Name, known && s.feature(f, b, &got))
	}
	buckets := make(map[string]feature.CrossData)
	for _, c := range parent.Transform.Crosses() {
		buckets[c.Name] = c
	}
	for _, c := range a.Transform.Crosses() {
		b, known := buckets[c.Name]
		matched(c.Name, known && b.Buckets == c.Buckets && s.table("category."+c.Name, func(id int) int { return id }))
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
	before   map[string]feature.Feature // of the parent, by name
	outputs  []int                      // of the parent, by output of the first layer; -1 where it has none
	width    int                        // of the parent's first layer: its outputs
}

// matchOutputs finds the parent's output of each of the model's, and copies the bias.
func (s *start) matchOutputs(got *Inherited) error {
	loss, before := s.to.Model.Loss(), s.from.Model.Loss()
	classes := loss.Answer().Classes
	if len(classes) == 0 && loss.Outputs() != before.Outputs() {
		return noParent("it gives %d outputs, the spec's model %d", before.Outputs(), loss.Outputs())
	}
	bias := "bias"
	if s.to.Model.Deep() {
		bias = outputLayer + ".bias"
	}
	biases, known := s.of(s.to, bias, s.params), s.of(s.from, bias, s.from.Params)
	s.width = before.Outputs()
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
	plain := s.plain(f, before)
	switch {
	case f.Periodic != nil && before.Periodic != nil:
		return plain
	case f.Number != nil && before.Number != nil:
		return s.numbers("number."+f.Name+".weight", []feature.Number{*f.Number}, []feature.Number{*before.Number})
	case f.Valued != nil && before.Valued != nil:
		// Ranks mean something else when there are other values.
		as := func(v *feature.Valued) []feature.Number { return []feature.Number{{Shift: v.Shift, Scale: v.Scale}} }
		same := f.Encoder == before.Encoder && (f.Encoder != "ordinal" || slices.Equal(f.Valued.Numbers, before.Valued.Numbers) && slices.Equal(f.Valued.Values, before.Valued.Values))
		return same && s.numbers("number."+f.Name+".weight", as(f.Valued), as(before.Valued))
	case f.List != nil && before.List != nil && s.to.Model.First() == 0: // arrays are the same
		return true
	case f.List != nil && before.List != nil:
		return s.numbers("list."+f.Name+".weight", f.List.Elements, before.List.Elements)
	}
	if f.Terms != nil {
		return f.Terms.Like(before.Terms) && f.Encoder == before.Encoder && s.table("terms."+f.Name, func(id int) int { return id })
	}
	if f.Encoder != before.Encoder && (f.Encoder == "embedding" || before.Encoder == "embedding") {
		return false
	}
	ids := idsOf(f, before, got)
	if f.Encoder == "embedding" {
		return ids != nil && s.embedding("category."+f.Name, ids)
	}
	return ids != nil && s.table("category."+f.Name, ids)
}

// idsOf returns which id of the parent an id of a feature's slot corresponds to: of bins
// that in which it lies. Nil where none does.
func idsOf(f, before feature.Feature, got *Inherited) func(id int) int {
	switch {
	case f.Bins != nil && before.Bins != nil:
		return func(id int) int {
			if id == 0 {
				return 0
			}
			return before.Bins.Of(f.Bins.Within(id))
		}
	case f.Hashed != nil && before.Hashed != nil && f.Hashed.Buckets == before.Hashed.Buckets:
		return func(id int) int { return id }
	case f.Category != nil && before.Category != nil:
		ids := make(map[string]int, len(before.Category.Values))
		for i, v := range before.Category.Values {
			ids[v] = i + 1
		}
		return func(id int) int {
			if id == 0 {
				return 0
			}
			from := ids[f.Category.Values[id-1]]
			if from == 0 {
				got.Values++
			}
			return from
		}
	}
	return nil
}

// trees copies the parent's trees, each split by the ids that its own correspond to. A
// class that the parent did not know has a leaf in place of each tree.
func (s *start) trees(got *Inherited) error {
	to, from := s.to.Model.Forest(), s.from.Model.Forest()
	shape, names := s.to.Model.Shape(), s.from.Model.Shape().CategoryNames
	ids, slots := make(map[string][]int), make(map[string]int)
	for slot, name := range shape.CategoryNames {
		slots[name] = slot
	}
	for _, f := range s.to.Transform.Features() {
		b, known := s.before[f.Name]
		of := idsOf(f, b, got)
		if !known || of == nil {
			got.New = append(got.New, f.Name)
			continue
		}
		got.Features++
		for id := range shape.Cardinalities[slots[f.Name]] {
			ids[f.Name] = append(ids[f.Name], of(id))
		}
	}
	got.Trees = from.Count(s.from.Params) / from.Outputs()
	for t := range got.Trees * len(s.outputs) {
		tree := model.Tree{Values: []float32{0}}
		if output := s.outputs[t%len(s.outputs)]; output >= 0 {
			tree = from.Tree(s.from.Params, t/len(s.outputs)*from.Outputs()+output)
		}
		for i := range tree.Splits {
			split := &tree.Splits[i]
			name, set := names[split.Slot], model.IDSet{}
			if ids[name] == nil {
				return noParent("its trees split feature %s, which this run encodes otherwise", name)
			}
			for id, b := range ids[name] {
				if split.Set.Has(b) {
					set.Add(id)
				}
			}
			split.Slot, split.Set = slots[name], set
		}
		to.Put(s.params, t, &tree)
	}
	return nil
}

// plain copies the weights of number slots that mean the same in both, and reports
// whether there are any.
func (s *start) plain(f, before feature.Feature) (some bool) {
	if f.Periodic != nil && before.Periodic != nil && f.Periodic.Period != before.Periodic.Period {
		return false
	}
	for _, name := range f.Plain() {
		to, from := s.of(s.to, "number."+name+".weight", s.params), s.of(s.from, "number."+name+".weight", s.from.Params)
		if to == nil || from == nil || !slices.Contains(before.Plain(), name) {
			continue
		}
		some = true
		for k, out := range s.outputs {
			if out >= 0 {
				to[k] = from[out]
			}
		}
	}
	return some
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

// table copies the weights of a category or term slot: those of an id from that which ids says.
func (s *start) table(name string, ids func(id int) int) bool {
	to, from := s.of(s.to, name+".weight", s.params), s.of(s.from, name+".weight", s.from.Params)
	if to == nil || from == nil {
		return false
	}
	width, widthBefore := len(s.outputs), s.width
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
