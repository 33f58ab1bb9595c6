package model

import (
	"fmt"
	"maps"
	"slices"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// Trees is an ensemble of decision trees, each grown to mend what those before it
// leave: gradient boosting (Friedman 2001) on binned features, leaf by leaf, as in
// LightGBM (Ke et al. 2017). Categories are split as they are, numbers by their
// bins, and missing values go to the side that suits them.
type Trees struct {
	// Boosting says how trees come together: of gbdt each mends what those before it leave,
	// of a forest (Breiman 2001) each is grown by itself, and the prediction is the mean of
	// theirs. A forest has other defaults: max_leaves 255, max_depth 16, min_child_rows 1,
	// subsample 0.632, which are the different rows of a bootstrap, and column_sample 0.35.
	Boosting string `yaml:"boosting,omitempty" json:"boosting,omitempty" jsonschema:"enum=gbdt,enum=forest" default:"gbdt"`
	// Trees is how many there are at most; early stopping may end with fewer, of a forest
	// never.
	Trees int `yaml:"trees,omitempty" json:"trees,omitempty" jsonschema:"minimum=1,maximum=10000" default:"100"`
	// MaxLeaves bounds the leaves of a tree.
	MaxLeaves int `yaml:"max_leaves,omitempty" json:"max_leaves,omitempty" jsonschema:"minimum=2,maximum=1024" default:"31"`
	// MaxDepth bounds the splits between the root and a leaf. Each level costs an
	// exchange between workers.
	MaxDepth int `yaml:"max_depth,omitempty" json:"max_depth,omitempty" jsonschema:"minimum=1,maximum=64" default:"10"`
	// LearningRate is the share of a tree's values that is taken; of a forest all.
	LearningRate float64 `yaml:"learning_rate,omitempty" json:"learning_rate,omitempty" jsonschema:"exclusiveMinimum=0,maximum=1" default:"0.1"`
	// MinChildRows is the least training rows of a leaf.
	MinChildRows int `yaml:"min_child_rows,omitempty" json:"min_child_rows,omitempty" jsonschema:"minimum=1" default:"20"`
	// Subsample is the share of the training rows that a tree is grown from; of several
	// classes the trees of a turn have the same. Which rows follows from the seed.
	Subsample float64 `yaml:"subsample,omitempty" json:"subsample,omitempty" jsonschema:"exclusiveMinimum=0,maximum=1" default:"1"`
	// ColumnSample is the share of the features that a tree may split, of a forest a node,
	// rounded up. Which follows from the seed.
	ColumnSample float64 `yaml:"column_sample,omitempty" json:"column_sample,omitempty" jsonschema:"exclusiveMinimum=0,maximum=1" default:"1"`
	// Monotone says of which numbers the prediction never falls as they grow (1), or never
	// rises (-1), all else being equal, as in {distance: 1}; values that are missing have no
	// place in that.
	Monotone map[string]int `yaml:"monotone,omitempty" json:"monotone,omitempty"`
	// From is a model of LightGBM or XGBoost that was imported: what `thalweg models
	// import` has printed. It is used as it is, and nothing is trained.
	From string `yaml:"from,omitempty" json:"from,omitempty" jsonschema:"pattern=^[a-z0-9][a-z0-9-]*@[0-9a-f]{16}$" means:"write what thalweg models import has printed, NAME@HASH" example:"flights-lightgbm@627095d9f7c03a13"`

	pipeline.Uncertain `yaml:",inline" json:",inline"`
}

// Averages implements pipeline.Averaging: a forest's prediction is the mean of its trees'.
func (o *Trees) Averages() bool { return o.Boosting == "forest" }

// Mean implements pipeline.Averaging.
func (*Trees) Mean() string { return "a forest" }

// Instead implements pipeline.Averaging.
func (*Trees) Instead() string { return "write boosting: gbdt" }

// Defaults implements pipeline.Defaulter: those of a forest.
func (o *Trees) Defaults(at pipeline.Place) {
	if !o.Averages() || o.From != "" {
		return
	}
	for name, set := range map[string]func(){
		"learning_rate": func() { o.LearningRate = 1 }, "max_leaves": func() { o.MaxLeaves = 255 }, "max_depth": func() { o.MaxDepth = 16 },
		"min_child_rows": func() { o.MinChildRows = 1 }, "subsample": func() { o.Subsample = 0.632 }, "column_sample": func() { o.ColumnSample = 0.35 },
	} {
		if at.Omits(name) {
			set()
		}
	}
}

// SamplesRows reports whether a tree is grown from some of the rows.
func (o *Trees) SamplesRows() bool { return o.Subsample > 0 && o.Subsample < 1 }

// Imports implements pipeline.Importer.
func (o *Trees) Imports() string { return o.From }

// HasDefaults implements pipeline.Conditional: what is imported grows no trees.
func (o *Trees) HasDefaults() bool { return o.From == "" }

// Directions implements pipeline.Directed.
func (o *Trees) Directions() map[string]int { return o.Monotone }

// Check implements pipeline.Checker.
func (o *Trees) Check(at pipeline.Place) {
	for name, direction := range o.Monotone {
		if direction != 1 && direction != -1 {
			at.Problem("monotone."+name, "write 1 where the prediction rises with the feature, -1 where it falls", "%d is no direction", direction)
		}
	}
	if o.Averages() && o.LearningRate != 1 && o.From == "" {
		at.Problem("learning_rate", "leave it out", "the trees of a forest are averaged")
	}
	if o.From == "" {
		return
	}
	for _, name := range at.Beside("from") {
		if name != "type" && name != "uncertainty" {
			at.Problem(name, "leave it out", "the trees are imported, none is grown")
		}
	}
}

// FeatureDefaults implements pipeline.FeatureDefaulter: numbers are binned, and of
// a category as many values have an id as a split can tell apart.
func (*Trees) FeatureDefaults(feature string) (encoder string, mostCommon int) {
	if feature == "number" {
		return "bins", 0
	}
	return "", MaxIDs - 2
}

// TrainedBy implements pipeline.Trained.
func (o *Trees) TrainedBy() string {
	if o.From != "" {
		return "none"
	}
	return "boosting"
}

// AnswersWith implements pipeline.Selective.
func (o *Trees) AnswersWith() []string {
	if o.From != "" {
		return []string{Binary, Number, Count}
	}
	return []string{Binary, Number, Count, Category, Quantiles}
}

// L2 implements pipeline.Penalized: 1 costs trees of many classes a tenth of the log loss,
// as rows of likely and unlikely classes have little second derivative.
func (*Trees) L2(output string) float64 {
	if output == Category {
		return 0.1
	}
	return 1
}

// Explains implements pipeline.Explained.
func (*Trees) Explains() {}

// StartsWarm implements pipeline.WarmStarter: leaves of the version's trees are refitted.
// What is imported stays as it is.
func (o *Trees) StartsWarm() bool { return o.From == "" }

// MaxIDs is how many ids a slot that trees split may have: 255 bins or values,
// and the id of those that are missing or unknown.
const MaxIDs = 256

// New implements Spec.
func (o *Trees) New(loss Loss, shape kernel.Shape) (*Model, error) {
	switch {
	case o.From != "":
		return nil, fmt.Errorf("model %s was not read", o.From)
	case shape.Numbers > 0:
		return nil, fmt.Errorf("trees split bins: number %q needs the encoder bins", shape.NumberNames[0])
	case len(shape.Lists) > 0:
		return nil, fmt.Errorf("trees read no lists such as %q", shape.ListNames[0])
	case len(shape.Terms) > 0:
		return nil, fmt.Errorf("trees read no terms such as those of %q", shape.TermNames[0])
	}
	for j, n := range shape.Cardinalities {
		if n > MaxIDs {
			return nil, fmt.Errorf("category %q has %d ids, trees tell %d apart: set most_common to %d at most", shape.CategoryNames[j], n, MaxIDs, MaxIDs-2)
		}
	}
	if _, ok := loss.(NewtonLoss); !ok {
		return nil, fmt.Errorf("trees cannot minimise loss %s", loss.Type())
	}
	for _, name := range slices.Sorted(maps.Keys(o.Monotone)) {
		if slot := slices.Index(shape.CategoryNames, name); !slices.Contains(shape.Ordered, slot) {
			return nil, fmt.Errorf("monotone: %q is no number that trees have in bins", name)
		}
	}
	if most := o.routerBytes(shape, loss.Outputs()); most > maxRouterBytes {
		return nil, fmt.Errorf("%d trees of %d leaves may take %d bytes to score by, of %d that they may: lower trees or max_leaves", o.Trees*loss.Outputs(), o.MaxLeaves, most, maxRouterBytes)
	}
	forest := newForest(o, shape, loss.Outputs())
	if o.Averages() {
		means, ok := loss.(pipeline.OfMeans)
		if w, weighs := loss.(pipeline.Weighing); !ok || weighs && w.Weighs() != "" {
			return nil, fmt.Errorf("a forest cannot minimise loss %s", loss.Type())
		}
		forest.means = means
	}
	return NewNetwork("trees", shape, loss, forest)
}

// routerBytes is the most that routers of all trees take: each splits slots with the most
// ids.
func (o *Trees) routerBytes(shape kernel.Shape, outputs int) int {
	ids, of := slices.Sorted(slices.Values(shape.Cardinalities)), 0
	for _, n := range ids[max(0, len(ids)-(o.MaxLeaves-1)):] {
		of += n
	}
	return o.Trees * outputs * ((o.MaxLeaves + 63) / 64) * 8 * of
}

// NewtonLoss is a Loss that trees can minimise, as its second derivative is known.
type NewtonLoss interface {
	Loss
	// Newton overwrites the rows' first and second derivatives by the outputs, those by
	// one output after those by another, in units of 1/kernel.NewtonUnit, and returns the
	// sum of the losses. It may overwrite out.
	Newton(out, labels []float32, first, second []int32) (loss float64)
	// NewtonBound is about the most that a derivative of a row of weight 1 comes to.
	NewtonBound() float64
}

// RenewedLoss is a NewtonLoss whose slopes do not tell how far off an output is: leaves
// get a quantile of what their rows' outputs lack, whatever Newton's step is.
type RenewedLoss interface {
	NewtonLoss
	// Level is that quantile's, of an output.
	Level(output int) float64
}

var _ pipeline.FeatureDefaulter = (*Trees)(nil)
