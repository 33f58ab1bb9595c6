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
// The training rows are the model: a version holds them, features and labels. They may have
// up to 4,194,304 values together, 16 MiB; a run of more is refused. A prediction takes
// time in proportion to them.
type KNN struct {
	// Neighbours is how many rows have a vote.
	Neighbours int `yaml:"neighbours,omitempty" json:"neighbours,omitempty" jsonschema:"minimum=1,maximum=1024" default:"5"`
	// On is what is compared: the features.
	On string `yaml:"on,omitempty" json:"on,omitempty" jsonschema:"enum=features" default:"features" refused:"hidden"`

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
func (*KNN) Bound(rows int64, values int) error {
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
	if len(shape.Terms) > 0 {
		return nil, fmt.Errorf("neighbours are not compared by terms such as those of %q", shape.TermNames[0])
	}
	l := &neighbours{shape: shape, count: o.Neighbours, means: means, classes: len(loss.Answer().Classes), binary: loss.For() == Binary}
	l.numbers = shape.Numbers
	for _, dimensions := range shape.Lists {
		l.numbers += kernel.Elements(dimensions)
	}
	l.width = l.numbers + len(shape.Cardinalities)
	for j, n := range shape.Cardinalities {
		if n > 1<<24 {
			return nil, fmt.Errorf("category %q has %d ids, neighbours tell %d apart", shape.CategoryNames[j], n, 1<<24)
		}
	}
	if o.rows < int64(o.Neighbours) {
		return nil, fmt.Errorf("%d training rows have no %d neighbours: lower model.neighbours", o.rows, o.Neighbours)
	}
	if err := o.Bound(o.rows, l.width); err != nil {
		return nil, err
	}
	l.rows = int(o.rows)
	return NewNetwork("knn", shape, asTheyAre{loss}, l)
}

// asTheyAre is a loss of labels in their own unit, as rows have them.
type asTheyAre struct{ Loss }

// Scale implements Loss.
func (asTheyAre) Scale(_, _ float64) Scale { return Scale{} }
