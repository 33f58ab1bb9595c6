package pipeline

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
)

// LearningSpec is a StepSpec whose operator may have to learn from the training
// rows before it can be applied: a median to fill with, the bounds of outliers.
type LearningSpec interface {
	StepSpec
	// Learns reports whether the step that is specified does. Bind returns a Learner
	// then.
	Learns() bool
}

// Learner is an operator that has to learn before it can be applied. Its step
// leaves the names and types of the columns as they are, which Compile checks.
type Learner interface {
	Op
	// Observer returns what sees the training rows of one shard.
	Observer() Observer
	// Finish merges the partials of all shards, in shard order, into what is learnt:
	// the same partials give the same JSON.
	Finish(partials [][]byte) (json.RawMessage, error)
	// With returns the operator that applies what was learnt, and reports JSON that
	// Finish does not return.
	With(learnt json.RawMessage) (Op, error)
}

// Observer gathers what a Learner needs to know of one shard's training rows. It
// is for one goroutine.
type Observer interface {
	// Observe sees rows as the step finds them, but that the steps before have not
	// done what they learn in the same pass.
	Observe(batch arrow.Record) error
	// Partial returns what was gathered as JSON.
	Partial() ([]byte, error)
}

// MaxLearntBytes bounds Learnt as JSON: it is part of each model version.
const MaxLearntBytes = 4 << 20

// Learnt is what the steps of a plan have learnt, by the step's name. Equal ones
// have equal JSON.
type Learnt map[string]json.RawMessage

// JSON returns the one form of what was learnt.
func (l Learnt) JSON() []byte {
	out, err := json.Marshal(l)
	if err != nil {
		panic(fmt.Sprintf("pipeline: %v", err)) // it is JSON already
	}
	return out
}

// Hash returns the sha256 of the JSON in hex, "" where nothing was learnt.
func (l Learnt) Hash() string {
	if len(l) == 0 {
		return ""
	}
	sum := sha256.Sum256(l.JSON())
	return hex.EncodeToString(sum[:])
}

// learns reports whether a step has to learn.
func learns(step StepSpec) bool {
	l, ok := step.(LearningSpec)
	return ok && l.Learns()
}

// Learns reports whether a cleaning step has to learn from the training rows.
func (s *Spec) Learns() bool {
	for _, c := range s.Spec.Preprocessing.Clean {
		if step, ok := c.Options.(StepSpec); ok && learns(step) {
			return true
		}
	}
	return false
}

// WithLearnt returns the plan whose steps apply what they have learnt, in
// training and in scoring alike.
func (p *Plan) WithLearnt(learnt Learnt) (*Plan, error) {
	out := *p
	out.Learnt, out.Steps = learnt, make([]PlannedStep, len(p.Steps))
	known := 0
	for i, s := range p.Steps {
		for _, op := range []*Op{&s.Training, &s.Scoring} {
			l, ok := (*op).(Learner)
			if !ok {
				continue
			}
			if op == &s.Training {
				known++
			}
			data, ok := learnt[s.Name]
			err := fmt.Errorf("nothing was learnt")
			if ok {
				*op, err = l.With(data)
			}
			if err != nil {
				return nil, &thalweg.Error{Op: "load what was learnt", Kind: thalweg.Corrupt, Subject: "step " + s.Name, Err: err}
			}
		}
		out.Steps[i] = s
	}
	if known != len(learnt) {
		return nil, &thalweg.Error{Op: "load what was learnt", Kind: thalweg.Corrupt, Err: fmt.Errorf("%d steps, the plan has %d that learn", len(learnt), known)}
	}
	return &out, nil
}

// Privacy makes training differentially private: what a model's weights tell about any one
// training row is bounded by ε at δ, whoever sees them. Neighbours are datasets where one row is
// there or not.
type Privacy struct {
	// Type is dp_sgd (Abadi et al. 2016): each step is of a Poisson sample of the rows,
	// the gradient of each row is shortened to clip_norm, and their sum gets Gaussian noise.
	Type string `yaml:"type" json:"type,omitempty" jsonschema:"enum=dp_sgd" default:"dp_sgd"`
	// Key names the registered key that samples and noise follow from: the same key and
	// data give the same model, and who has the key can take the noise off.
	Key string `yaml:"key" json:"key" jsonschema:"minLength=1"`
	// ClipNorm is the largest Euclidean norm of a row's gradient; a longer one is shortened.
	ClipNorm float64 `yaml:"clip_norm" json:"clip_norm,omitempty" jsonschema:"exclusiveMinimum=0" default:"1"`
	// NoiseMultiplier is the noise's standard deviation, in units of clip_norm.
	NoiseMultiplier float64 `yaml:"noise_multiplier" json:"noise_multiplier,omitempty" jsonschema:"exclusiveMinimum=0" default:"1"`
	// Delta is the probability with which ε may be exceeded: less than one in the number of
	// rows.
	Delta float64 `yaml:"delta" json:"delta" jsonschema:"exclusiveMinimum=0,exclusiveMaximum=1"`
	// EpsilonMax ends training before more is spent. 0: all epochs are trained, and what
	// was spent is shown.
	EpsilonMax float64 `yaml:"epsilon_max,omitempty" json:"epsilon_max,omitempty" jsonschema:"minimum=0"`
}

// PrivacyText says what noise private training has, and what averaging costs of it; "" without.
func (s *Spec) PrivacyText() string {
	p := s.Spec.Trainer.Privacy
	if p == nil {
		return ""
	}
	much := "the square root of their number times"
	if n := int(s.Spec.Trainer.Distributed.Replicas); n > 0 {
		much = fmt.Sprintf("%.3g times", math.Sqrt(float64(n)))
	}
	return fmt.Sprintf("noise of %g times clip_norm %g, once a step, on the sum of all replicas: averaging costs none; replicas that average after steps of their own would need %s as much for the same epsilon",
		p.NoiseMultiplier, p.ClipNorm, much)
}

// checkPrivacy notes what has no meaning beside private steps.
func (t *Trainer) checkPrivacy(at Place) {
	if t.Privacy == nil {
		return
	}
	const together = "replicas make each step together"
	for _, f := range []struct {
		path string
		set  bool
		why  string
	}{
		{"gradient_clipping", t.GradientClipping != nil, "each row's gradient is clipped, by privacy.clip_norm"},
		{"regularization.l1", t.Regularization.L1 > 0, "noise leaves no weight at zero"},
		{"warm_start", t.WarmStart != FromNone, "weights from before tell of rows without noise"},
		{"distributed.outer_optimizer", !t.Distributed.OuterOptimizer.Plain(), together},
		{"distributed.sync_every", t.Distributed.SyncEvery > 0, together},
		{"steps_per_checkpoint", t.StepsPerCheckpoint > 0, "checkpoints are made at the end of epochs"},
	} {
		if f.set {
			at.Problem(f.path, "leave it out", "private training has no %s: %s", f.path, f.why)
		}
	}
}

// private notes what would tell of training rows besides the noisy steps.
func (b *Body) private(at Place) {
	if b.Trainer.Privacy == nil || len(b.OutputFeatures) == 0 {
		return
	}
	const hint = "the noise of trainer.privacy covers the steps of training only"
	if b.Preprocessing.Split.Folds > 0 {
		at.Problem("preprocessing.split.folds", "leave them out", "each fold trains a model, and spends as much again")
	}
	if (&Spec{Spec: *b}).HasMembers() {
		at.Problem("model.uncertainty", "leave it out, or write type: conformal", "each member trains a model, and spends as much again")
	}
	if b.Sources.Train.OnBadShard.Skips() {
		at.Problem("sources.train.on_bad_shard", "leave it out", "one row would say whether the others of its shard are learned from")
	}
	if b.Search != nil {
		at.Problem("search", "leave it out", "each trial trains a model, and spends as much again")
	}
	if t := b.OutputFeatures[0].Type; t != outputBinary {
		at.Problem("output_features[0].type", hint, "the label of private training is binary: what a %s is scaled or told apart by is learnt from its rows", t)
	}
	if l, ok := b.OutputFeatures[0].Loss.Options.(Weighing); ok && l.Weighs() != "" {
		at.Problem("output_features[0].loss."+l.Weighs(), hint, "private training has no weights of rows")
	}
	if b.Evaluation.Fairness.Reweighs() {
		at.Problem("evaluation.fairness.remedy", hint, "private training has no weights of rows, which are learnt from all of them")
	}
	for i, s := range b.Preprocessing.Clean {
		shuffles, _ := s.Options.(ShufflingSpec)
		balances, _ := s.Options.(BalancingSpec)
		if step, ok := s.Options.(StepSpec); ok && learns(step) || shuffles != nil || balances != nil {
			at.Problem(fmt.Sprintf("preprocessing.clean[%d]", i), hint, "step %q changes rows by what other rows are", s.Name)
		}
	}
	for i := range b.InputFeatures {
		f := &b.InputFeatures[i]
		field := fmt.Sprintf("input_features[%d]", i)
		switch f.Type {
		case inputNumber, inputList:
			if n := f.Normalization; n != "none" && n != "log1p" && f.Encoder.Name != "periodic" {
				at.Problem(field+".normalization", "write normalization: none, and scale by an expression: distance / 1000", "normalization %s of feature %s is fitted to the training rows", n, f.Name)
			}
			if f.Type == inputList && f.Length == nil {
				at.Problem(field, "write length", "the length of list %s is that of the training rows", f.Name)
			}
			if f.Encoder.Name == "bins" {
				at.Problem(field+".encoder.type", "leave it out", "the bins of feature %s are fitted to the training rows", f.Name)
			}
		case inputCategory:
			if _, ok := f.Encoder.Options.(Hasher); !ok {
				at.Problem(field+".encoder.type", "write encoder: {type: hash}", "the values that encoder %s of feature %s knows are those of the training rows", f.Encoder.Name, f.Name)
			}
		default:
			if f.Encoder.Name != "hashing" {
				at.Problem(field+".encoder.type", "write encoder: {type: hashing}", "encoder %s of feature %s is fitted to the training rows", f.Encoder.Name, f.Name)
			}
		}
		if m := f.MissingValueStrategy; m != "fill_with_const" && m != "drop_row" {
			at.Problem(field+".missing_value_strategy", "write missing_value_strategy: fill_with_const", "%s of feature %s is learnt from the training rows", m, f.Name)
		}
	}
}

// checkList checks that a model which reads one list has one, of a shape that it can read as far
// as that is known.
func (b *Body) checkList(at Place) {
	front := Front(b.Model)
	m, ok := front.Options.(ListReader)
	if !ok {
		return
	}
	first := true
	for i, f := range b.InputFeatures {
		of := at.in("input_features").item(i)
		switch shape := f.Shape; {
		case f.Type != inputList:
		case !first:
			of.Unsupported("", "leave it out, or write model: {type: mlp}", "a second list of a model of type "+front.Name)
		default:
			if first = false; shape == nil && f.Length != nil {
				shape = []int{*f.Length}
			}
			_, wrong := at.found.noted["spec.model"]
			if elements(shape) == 0 || wrong {
				continue
			}
			if err := m.ReadsList(shape); err != nil {
				of.Problem("shape", "write another shape, or other layers", "%v", err)
			}
		}
	}
}

// NoiseKey names the key of private training, "" where training is not.
func (s *Spec) NoiseKey() string {
	if p := s.Spec.Trainer.Privacy; p != nil {
		return p.Key
	}
	return ""
}
