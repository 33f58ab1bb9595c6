package model

import (
	"fmt"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// KNN predicts of a row what the training rows nearest to it have (Cover and Hart 1967): of a
// binary label or of classes the shares of their labels, each row having one vote, of a
// number their mean. All training rows are compared with, by the Euclidean distance of the
// features as they are normalised, categories one-hot, so that nothing is approximate; of
// rows that are equally far the one that comes first in the order of training is the nearer one.
//
// With on: hidden, rows are compared by what the last hidden layer of a network makes of their
// features, in place of these: by what the network has learnt to tell apart. It is the network
// of the version that trainer.warm_start names, whose weights stay as they are.
//
// The training rows are the model: a version holds them, features and labels. They may have
// up to 4,194,304 values together, 16 MiB; a run of more is refused. A prediction takes
// time in proportion to them.
type KNN struct {
	// Neighbours is how many rows have a vote.
	Neighbours int `yaml:"neighbours,omitempty" json:"neighbours,omitempty" jsonschema:"minimum=1,maximum=1024" default:"5"`
	// On is what is compared: the features, or what the last hidden layer of a network makes of
	// them (hidden).
	On string `yaml:"on,omitempty" json:"on,omitempty" jsonschema:"enum=features,enum=hidden" default:"features"`
	// Of is that network, as the spec of its version has it but for its uncertainty.
	Of pipeline.Choice `yaml:"of,omitempty" json:"of,omitempty" catalog:"networks"`

	pipeline.Uncertain `yaml:",inline" json:",inline"`
}

// maxKept bounds the values of all training rows, labels included, that a model keeps.
const maxKept = 1 << 22

// RowKeeper is the options of a model that keeps its training rows.
type RowKeeper interface {
	// Keeping returns the model's options for so many rows, which training must then have.
	Keeping(rows int64) Spec
	// Bound refuses more rows of so many values, without the label, than a model keeps.
	Bound(rows int64, values int) error
}

// onHidden is the value of On by which a network comes before.
const onHidden = "hidden"

// Check implements pipeline.Checker.
func (o *KNN) Check(at pipeline.Place) {
	before, ok := o.Of.Options.(network)
	switch {
	case o.On == onHidden && o.Of.Name == "":
		at.Problem("of", "write of: {type: mlp}, with what the spec of its version has", "a hidden layer needs a network that it is one of")
	case o.On != onHidden && o.Of.Name != "":
		at.Problem("of", "leave it out, or write on: hidden", "a network needs on: hidden: features are compared as they are")
	case ok && before.Asked() != "":
		at.Problem("of.uncertainty", "leave it out: uncertainty is that of the neighbours", "the network predicts nothing here")
	}
}

// Front implements pipeline.Fronted.
func (o *KNN) Front() pipeline.Choice {
	if o.On != onHidden {
		return pipeline.Choice{}
	}
	return o.Of
}

// StartsWarm implements pipeline.WarmStarter: with the network of a version.
func (o *KNN) StartsWarm() bool { return o.On == onHidden }

// Averages implements pipeline.Averaging: a prediction is the mean of labels.
func (*KNN) Averages() bool { return true }

// Mean implements pipeline.Averaging.
func (*KNN) Mean() string { return "a model of type knn" }

// Instead implements pipeline.Averaging.
func (*KNN) Instead() string { return "leave the loss out" }

// AnswersWith implements pipeline.Selective.
func (*KNN) AnswersWith() []string { return []string{Binary, Number, Category} }

// Reads implements pipeline.Reader: what has a distance.
func (*KNN) Reads() []string { return []string{"number", "category", "list"} }

// TrainedBy implements pipeline.Trained.
func (*KNN) TrainedBy() string { return "memorize" }

// New implements Spec: it says that the rows are missing.
func (o *KNN) New(loss Loss, shape kernel.Shape) (*Model, error) {
	return o.Keeping(0).New(loss, shape)
}

// Keeping implements RowKeeper.
func (o *KNN) Keeping(rows int64) Spec { return keptRows{o, rows} }

// Bound implements RowKeeper.
func (o *KNN) Bound(rows int64, values int) error {
	if before, ok := o.Front().Options.(network); ok {
		values = before.least()
	}
	return bound(rows, values)
}

// bound refuses more rows of so many values than are kept.
func bound(rows int64, values int) error {
	if most := int64(maxKept/(values+1)) - kernel.PanelRows; rows > most {
		return fmt.Errorf("%d training rows of %d values and a label are more than the %d values that neighbours may have in all: lower preprocessing.sample_ratio, so that there are at most %d training rows, or write model: {type: trees}",
			rows, values, maxKept, most)
	}
	return nil
}

// keptRows is KNN of so many rows.
type keptRows struct {
	*KNN
	rows int64
}

// New implements Spec.
func (o keptRows) New(loss Loss, shape kernel.Shape) (*Model, error) {
	means, ok := loss.(pipeline.OfMeans)
	if w, weighs := loss.(pipeline.Weighing); !ok || weighs && w.Weighs() != "" {
		return nil, fmt.Errorf("neighbours cannot minimise loss %s", loss.Type())
	}
	l := &neighbours{shape: shape, count: o.Neighbours, means: means, classes: len(loss.Answer().Classes), binary: loss.For() == Binary}
	before, rows, err := o.before(l)
	if err != nil {
		return nil, err
	}
	if o.rows < int64(o.Neighbours) {
		return nil, fmt.Errorf("%d training rows have no %d neighbours: lower model.neighbours", o.rows, o.Neighbours)
	}
	if err := bound(o.rows, l.width); err != nil {
		return nil, err
	}
	l.rows = int(o.rows)
	return newNetwork("knn", shape, asTheyAre{loss}, rows, append(before, l)...)
}

// before returns the layers before a layer of neighbours, which gets the width that it
// compares, and how many rows go through at a time.
func (o keptRows) before(l *neighbours) (layers []Layer, rows int, err error) {
	if o.On == onHidden {
		n, ok := o.Of.Options.(network)
		if !ok {
			return nil, 0, fmt.Errorf("a model of type %q has no hidden layer that neighbours could be searched on", o.Of.Name)
		}
		l.hidden = true
		layers, l.numbers, rows, err = n.hidden(l.shape)
		l.width = l.numbers
		return layers, rows, err
	}
	if len(l.shape.Terms) > 0 {
		return nil, 0, fmt.Errorf("neighbours are not compared by terms such as those of %q", l.shape.TermNames[0])
	}
	l.numbers = l.shape.Numbers
	for _, dimensions := range l.shape.Lists {
		l.numbers += kernel.Elements(dimensions)
	}
	l.width = l.numbers + len(l.shape.Cardinalities)
	for j, n := range l.shape.Cardinalities {
		if n > 1<<24 {
			return nil, 0, fmt.Errorf("category %q has %d ids, neighbours tell %d apart", l.shape.CategoryNames[j], n, 1<<24)
		}
	}
	return nil, chunkRows, nil
}

// asTheyAre is a loss of labels in their own unit, as rows have them.
type asTheyAre struct{ Loss }

// Scale implements Loss.
func (asTheyAre) Scale(_, _ float64) Scale { return Scale{} }
