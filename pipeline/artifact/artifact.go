// Package artifact is what training ships and scoring runs: the spec, the
// schema of its source, the fitted transform and the model's parameters, as
// parts that storage can keep without knowing what they are. A Scorer made
// from an Artifact is the one way from a row to a prediction, for shards in
// evaluation and for events alike.
package artifact

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/drift"
	"github.com/thalweg/thalweg/pipeline/event"
	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/monitor"
	"github.com/thalweg/thalweg/pipeline/optim"
	"github.com/thalweg/thalweg/pipeline/split"
	"github.com/thalweg/thalweg/pipeline/table"
)

// Artifact is one trained model with all that it takes to score rows. It is
// made by Decode, or by New and then given Params and the rest of its
// Provenance; after that it does not change, and may be used from several
// goroutines.
type Artifact struct {
	// Spec is the pipeline that was run, and Schema the columns of its source.
	Spec   *pipeline.Spec
	Schema table.Schema
	// Transform is fitted, Model is built for its shape, and Params, which has
	// Model.Size elements, are finite.
	Transform *feature.Transform
	Model     *model.Model
	Params    []float32
	// Provenance says what it came from.
	Provenance Provenance
	// Dataset is the manifest that Provenance.Dataset names: the objects that were
	// trained on, with sizes and ETags. Nil in artifacts of builds that kept none.
	Dataset []byte
	// References are the values of columns that training saw, where a test of the spec
	// compares later rows with them; else nil.
	References map[string]*drift.Reference
	// Monitoring is the values and scores of the rows that it was evaluated on, which evaluation
	// keeps beside the checkpoint: whoever loads an artifact to watch what it scores sets it. Nil
	// where there is none.
	Monitoring *monitor.Reference
	// EventSchema is the Avro schema of events, where the spec names a file that it
	// was read from; else empty.
	EventSchema string
	// Members are the parameters of the models that were trained beside it, one after the
	// other; nil where the spec asks for none, and before they are.
	Members []float32
	// Adjustment is what was made of the trained model; nil where the spec asks for nothing,
	// and before it is. Model is calibrated where it has a calibration.
	Adjustment *Adjustment
	// Cuts are the split's where the spec wants scored rows to say it; else nil.
	Cuts *split.Cuts
	// Schemas is the registry that knows the schemas of events, where the spec
	// names one. Whoever loads an artifact to score events sets it; it is no part
	// of the artifact.
	Schemas event.Schemas
	// Key hashes the columns of events with pii: hash, likewise.
	Key table.Key
	// Extra holds the parts that Decode was given and that are not of an
	// artifact: what a trainer needs to go on.
	Extra map[string][]byte

	plan    *pipeline.Plan
	catalog pipeline.Catalog
	// bare artifacts score without what their spec makes of the trained model.
	bare bool
	// memberHash is the sha256 of the part that Members were read from.
	memberHash string
	// rendered is the spec as it is written.
	rendered []byte
	// explained is shared with copies that have other parameters.
	explained *explained
}

// Provenance says what a model came from. The same data, spec and seed give
// the same bytes: there is no clock, host or number of workers in it.
type Provenance struct {
	// Dataset names the training data: the sha256 of its manifest.
	Dataset string `json:"dataset"`
	// Spec is the sha256 of the rendered spec, Transform that of the transform.
	Spec      string `json:"spec"`
	Transform string `json:"transform"`
	// Steps is the sha256 of what the cleaning steps have learnt; empty where none
	// learns.
	Steps string `json:"steps,omitempty"`
	// Lookups are the tables that rows are joined to.
	Lookups []Lookup `json:"lookups,omitempty"`
	// Labels are the objects that rows got their labels from; nil where these are theirs.
	Labels *table.LabelObjects `json:"label_file,omitempty"`
	// Imported is the sha256 of the imported model; empty where there is none.
	Imported string `json:"imported,omitempty"`
	// Members is the sha256 of the part PartMembers; empty where there is none.
	Members string `json:"members,omitempty"`
	// Calibration is the sha256 of the part PartCalibration; empty where there is none.
	Calibration string `json:"calibration,omitempty"`
	// Key is the ID of the key that columns were hashed with; empty where none was, and in
	// artifacts of builds that kept none.
	Key string `json:"key,omitempty"`
	// Parent is the version whose weights training started from; nil where it started anew.
	Parent   *Parent `json:"parent,omitempty"`
	Seed     uint64  `json:"seed"`
	Replicas int     `json:"replicas"`
	// Trainer is the spec's, with what auto came to.
	Trainer string `json:"trainer"`
	// Threshold is the one that was chosen, where the spec says how.
	Threshold *float64 `json:"threshold,omitempty"`
	// LabelMeans is the mean of the training labels as rows weighed, of a category the share
	// of each class: what is predicted of a row of which nothing is known. Nil where all rows
	// weighed the same.
	LabelMeans []float64 `json:"label_means,omitempty"`
	// Epochs were completed, and Rounds of averaging.
	Epochs int   `json:"epochs"`
	Rounds int64 `json:"rounds"`
	// Rows counts the rows used, by split.
	Rows map[string]int64 `json:"rows,omitempty"`
	// Metrics are "validation.log_loss" and the like, as far as they are known
	// when the artifact is written.
	Metrics map[string]float64 `json:"metrics,omitempty"`
	// Privacy is what the weights tell of any one training row at most; nil where training was
	// not private. Statistics of features and reports of the run are not in it.
	Privacy *optim.Spent `json:"privacy,omitempty"`
}

// New returns an artifact without parameters: the model that a plan asks for,
// built for the shape of a transform that was fitted by that plan.
func New(plan *pipeline.Plan, transform *feature.Transform) (*Artifact, error) {
	m, err := newModel(plan, transform)
	if err != nil {
		return nil, err
	}
	rendered, err := pipeline.Render(plan.Spec)
	if err != nil {
		return nil, err
	}
	trainer := Trainer(plan, transform)
	return &Artifact{
		Spec: plan.Spec, Schema: plan.Input, Transform: transform, Model: m,
		Provenance: Provenance{
			Spec:      sum(rendered),
			Transform: transform.Hash(),
			Steps:     plan.Learnt.Hash(),
			Lookups:   lookupsOf(plan.Input),
			Labels:    labelsOf(plan.Input),
			Imported:  plan.Imported.Hash(),
			Seed:      plan.Spec.Spec.Trainer.Seed,
			Replicas:  int(trainer.Distributed.Replicas),
			Trainer:   trainer.Text(),
			Rows:      map[string]int64{"train": transform.Label().Statistics.Count},
		},
		plan: plan, rendered: rendered, explained: new(explained),
	}, nil
}

// Lookup is a table that rows are joined to: the sha256 of what it holds, and the objects
// that it was read from.
type Lookup struct {
	Name    string               `json:"name"`
	SHA256  string               `json:"sha256"`
	Rows    int                  `json:"rows"`
	Objects []table.LookupObject `json:"objects"`
}

func labelsOf(schema table.Schema) *table.LabelObjects {
	if schema.Labels == nil {
		return nil
	}
	return &schema.Labels.LabelObjects
}

func lookupsOf(schema table.Schema) (all []Lookup) {
	for _, l := range schema.Lookups {
		all = append(all, Lookup{l.Name, l.SHA256(), l.Rows, l.Objects})
	}
	return all
}

// newModel returns the model of a plan, which may be imported, for the slots and the
// labels of a transform.
func newModel(plan *pipeline.Plan, transform *feature.Transform) (*model.Model, error) {
	label := transform.Label()
	labels := model.Labels{Type: label.Type, Classes: label.Classes, Counts: label.Counts,
		Mean: label.Statistics.Mean, Deviation: label.Statistics.Deviation(), Most: label.Statistics.Max, Constants: label.Constants}
	if s, ok := plan.Spec.Spec.Model.Options.(model.Smoother); ok {
		labels.Smoothing = s.Smoothing(label.Statistics.Count)
	}
	loss, err := model.Bind(plan.Label.Loss, labels)
	if err != nil {
		return nil, err
	}
	if e := plan.Imported; e != nil {
		return model.NewImported(e, loss, transform.Shape())
	}
	chosen := plan.Spec.Spec.Model
	if k, ok := chosen.Options.(model.RowKeeper); ok {
		chosen.Options = k.Keeping(label.Statistics.Count)
	}
	return model.New(chosen, loss, transform.Shape())
}

// Answer says what the model's predictions mean.
func (a *Artifact) Answer() pipeline.Answer {
	answer := a.Model.Loss().Answer()
	answer.Threshold = a.plan.Label.Threshold
	if t := a.Provenance.Threshold; t != nil {
		answer.Threshold = *t
	}
	if a.Adjustment != nil {
		answer.Conformal = a.Adjustment.Conformal
	}
	return answer
}

// Constant returns the prediction of a row of which nothing is known: the mean of the
// training labels, as rows weighed.
func (a *Artifact) Constant() []float32 {
	if means := a.Provenance.LabelMeans; means != nil {
		return a.Model.Constant(means...)
	}
	return a.Model.Constant(a.Transform.Label().Statistics.Mean)
}

// Trainer returns the trainer of a plan with what auto comes to for the training
// rows that the transform was fitted on.
func Trainer(plan *pipeline.Plan, transform *feature.Transform) pipeline.Trainer {
	body := &plan.Spec.Spec
	trainer := body.Trainer
	trainer.Optimizer = plan.Spec.Optimizer()
	return optim.Resolve(trainer, body.Model, transform.Shape(), transform.Label().Statistics.Count)
}

// SetParams takes the parameters that training found. What it never met, it could
// not learn: a category's unknown value gets the mean of the weights of the known
// ones, by how often each was met, unless training met rare values that share it.
func (a *Artifact) SetParams(params []float32) {
	a.Params = slices.Clone(params)
	for _, f := range a.Transform.Features() {
		if f.Category == nil || f.Category.Unknown > 0 || len(f.Category.Values) == 0 {
			continue
		}
		embeds := false
		for _, what := range []string{"embedding", "weight", "factors"} {
			v, ok := model.Find(a.Model, "category."+f.Name+"."+what)
			if !ok || embeds { // the weights of what is embedded are not by value
				continue
			}
			embeds = what == "embedding"
			weights := v.Of(a.Params)
			width := len(weights) / (len(f.Category.Values) + 1)
			for k := range width {
				weights[k] = float32(meanWeight(f.Category, weights, width, k))
			}
		}
	}
}

// Plan returns the spec compiled against the schema.
func (a *Artifact) Plan() *pipeline.Plan { return a.plan }

// ModelSHA256 returns the sha256 of the part PartModel in hex: what two
// trainings must agree on to have made the same model.
func (a *Artifact) ModelSHA256() string { return sum(a.encodeModel()) }

// sum returns the sha256 of data in hex.
func sum(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}

// check reports parameters that are not the model's or not finite.
func (a *Artifact) check() error {
	if len(a.Params) != a.Model.Size() {
		return fmt.Errorf("%d parameters, the model has %d", len(a.Params), a.Model.Size())
	}
	for _, v := range a.Model.Views() {
		for i, x := range v.Of(a.Params) {
			if x-x != 0 {
				return fmt.Errorf("parameter %s[%d] is %v", v.Name, i, x)
			}
		}
	}
	return a.Model.CheckParams(a.Params)
}
