package pipeline

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
)

// TrainingHash returns the sha256 in hex of all of a spec that a trained version
// depends on, defaults included: two specs with the same one differ only in how
// the stream runs. What is left out is named here, so that a new field counts
// until somebody says that it need not.
func TrainingHash(s *Spec) string { return hashOf(trainingText(s)) }

// trainingText renders what TrainingHash hashes.
func trainingText(s *Spec) string {
	c := *s
	c.source, c.catalog, c.Metadata.Labels = nil, nil, nil
	if events := c.Spec.Sources.Events; events != nil {
		// Where events come from; how they are read is part of the version.
		e := *events
		e.Connection, e.Stream = "", Choice{}
		c.Spec.Sources.Events = &e
	}
	if scoring := c.Spec.Scoring; scoring != nil {
		// That there is a stream half counts, since a run checks that rows of it can
		// be written; and which columns its rows have and are partitioned by, since
		// only a run knows the columns.
		c.Spec.Scoring = &Scoring{OutputColumns: scoring.OutputColumns, Explanations: scoring.Explanations, Sink: Sink{PartitionBy: scoring.Sink.PartitionBy}}
	}
	c.Spec.Sources.Train = c.Spec.Sources.Train.ageless()
	c.Spec.Schedule, c.Spec.Resources, c.Spec.Serving, c.Spec.Monitoring, c.Spec.Rollout = nil, nil, nil, nil, nil
	c.Spec.Schema = c.Spec.Schema.timeless()
	c.Spec.Trainer.Distributed.Straggler, c.Spec.Trainer.Distributed.MinWorkers = Straggler{}, 0
	c.Spec.Tests = slices.Clone(c.Spec.Tests)
	for i := range c.Spec.Tests {
		c.Spec.Tests[i].StoreFailures = nil // what is kept for people is no part of a version
	}
	c.Spec.Trainer.KeepCheckpoints = 0 // what becomes of versions is no part of them
	if search := c.Spec.Search; search != nil {
		s := *search
		s.ParallelTrials = 0
		c.Spec.Search = &s
	}
	if output := c.Spec.Output; output != nil {
		o := *output
		o.Retention = 0
		c.Spec.Output = &o
	}
	return fieldsText(c)
}

// Text returns a trainer as it stands in a spec, without what says when, and who, does a
// task: that changes no bit.
func (t Trainer) Text() string {
	t.Distributed.Straggler, t.Distributed.MinWorkers = Straggler{}, 0
	return fieldsText(t)
}

// fieldsText renders the fields of a struct of a spec.
func fieldsText[T any](of T) string {
	var text strings.Builder
	renderFields(&text, reflect.ValueOf(&of).Elem(), "")
	return text.String()
}

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// CleaningHash returns the sha256 in hex of all of a spec that its cleaned rows depend
// on, beside the columns that the source turns out to have. What is left out is named
// here and in FittingHash, so that a new field counts until somebody says that it need
// not.
func CleaningHash(s *Spec) string {
	c := *s
	c.Spec.Preprocessing.Split = Split{}
	c.Spec.Defaults, c.Spec.InputFeatures, c.Spec.OutputFeatures, c.Spec.Crosses = FeatureDefaults{}, nil, nil, Crosses{}
	c.Spec.Model = Choice{}
	return FittingHash(&c)
}

// FittingHash is CleaningHash of what features are fitted to: it counts the split,
// features, label and model too.
func FittingHash(s *Spec) string {
	c := *s
	c.source, c.catalog, c.Metadata = nil, nil, Metadata{}
	c.Spec.Sources.Events, c.Spec.Trainer, c.Spec.Evaluation, c.Spec.Registry, c.Spec.Scoring = nil, Trainer{}, Evaluation{}, Registry{}, nil
	c.Spec.Schedule, c.Spec.Tests, c.Spec.Output, c.Spec.Search, c.Spec.Serving, c.Spec.Monitoring, c.Spec.Rollout = nil, nil, nil, nil, nil, nil, nil
	c.Spec.Schema = c.Spec.Schema.timeless()
	c.Spec.Sources.Train = c.Spec.Sources.Train.ageless()
	c.Spec.Sources.Train.OnBadShard = OnBadShard{} // which shards are read, not what is in them
	return hashOf(fieldsText(c))
}

// FitsAlike reports whether two specs fit the same transform: they differ in options of one
// kind of model, and in what FittingHash leaves out.
func FitsAlike(a, b *Spec) bool {
	kind := func(s *Spec) *Spec {
		c := *s
		c.Spec.Model = Choice{Name: s.Spec.Model.Name}
		return &c
	}
	return FittingHash(kind(a)) == FittingHash(kind(b))
}

// ageless is a source without how old its rows may be, which each run judges.
func (s TrainSource) ageless() TrainSource {
	if s.Freshness != nil {
		s.Freshness = &Freshness{Column: s.Freshness.Column}
	}
	return s
}

// timeless is a schema without what says which window a row is counted in.
func (s *SchemaSpec) timeless() *SchemaSpec {
	if s == nil {
		return nil
	}
	c := *s
	c.EventTime = ""
	return &c
}

// TestsHash returns the sha256 in hex of what data tests look for in cleaned rows, without
// how that is judged.
func TestsHash(s *Spec) string {
	tests := slices.Clone(s.Spec.Tests)
	for i := range tests {
		if _, counts := tests[i].Test.Options.(CountSpec); counts {
			tests[i].Test = Choice{}
		}
		tests[i].Severity, tests[i].ErrorIf, tests[i].WarnIf = "", "", ""
	}
	return hashOf(fieldsText(Body{Tests: tests}))
}

// Check implements Checker.
func (s *Split) Check(at Place) {
	method, ok := at.found.catalog.splitMethod(s.Type)
	if !ok {
		return
	}
	switch _, what := method.SplitBy(); {
	case byColumn(method) && s.Column == "":
		at.Problem("", "", "a %s split needs %s", s.Type, what)
	case !byColumn(method) && s.Column != "":
		at.Problem("column", "write type: "+at.found.catalog.splitting(byColumn)+" to split by it", "a %s split has no column", s.Type)
	}
	if s.Folds > 0 && !method.Folded() {
		at.Problem("folds", "write type: "+at.found.catalog.splitting(folded)+", or leave folds out", "a %s split has no folds", s.Type)
	}
	if method.Given() {
		if len(s.Probabilities) > 0 || !at.Omits("probabilities") {
			at.Problem("probabilities", "leave them out", "the shares of a %s split are those of its column", s.Type)
		}
		return
	}
	sum, shares := 0.0, at.in("probabilities")
	for i, p := range s.Probabilities {
		if p < 0 || p > 1 {
			shares.item(i).Problem("", "", "%v is not a probability", p)
		}
		sum += p
	}
	// Three shares written with up to six digits.
	if math.Abs(sum-1) > 1e-6 {
		shares.Problem("", "", "the probabilities add up to %v, not 1", math.Round(sum*1e9)/1e9)
	}
	if len(s.Probabilities) == 3 && s.Probabilities[0] == 0 {
		shares.item(0).Problem("", "", "nothing is left to learn from")
	}
}

// checkFolds refuses what folds would share that must not know the rows which are held out.
func (b *Body) checkFolds(at Place) {
	folds := at.in("preprocessing.split")
	if b.Preprocessing.Split.Folds == 0 {
		return
	}
	for i, c := range b.Preprocessing.Clean {
		if step, ok := c.Options.(StepSpec); ok && learns(step) {
			folds.Unsupported("folds", "let features fill missing values by missing_value_strategy, and normalize them, which each fold learns for itself; or leave folds out",
				fmt.Sprintf("folds beside %s, which learns from the rows of all folds", at.in("preprocessing.clean").item(i).path))
			return
		}
	}
	if m, ok := b.Model.Options.(Importer); ok && m.Imports() != "" {
		folds.Unsupported("folds", "leave folds out", "folds of a model that is imported, and not trained")
	}
	if front := Front(b.Model); front.Name != b.Model.Name {
		folds.Unsupported("folds", "leave folds out", "folds of a model on the hidden layer of a version, which has learnt from the rows of all folds")
	}
}

// defaultTrialFolds is by how many folds trials are compared that the validation rows are too few
// for.
const defaultTrialFolds = 5

// leastCompared is how many validation rows trials are compared by alone: of fewer the best of ten
// trials is one that suits these rows by chance. On tables of some 200 rows, which have 30, it lost
// a tenth more than the best by folds.
const leastCompared = 300

// TrialFolds returns by how many folds of its rows the trials of a search are compared where there
// are so many validation rows; 0: by these alone.
func (s *Spec) TrialFolds(validation int64) int {
	n := s.Folds()
	if of := s.Spec.Search; of == nil || of.Folds == 1 || of.Folds == 0 && validation >= leastCompared {
		return 0
	}
	return n
}

// Folds returns how many folds rows are cut into: those of the split or, where a search may compare
// its trials by folds, as many as it has; 0: none.
func (s *Spec) Folds() int {
	b := &s.Spec
	n := b.Preprocessing.Split.Folds
	if b.Search == nil || n > 0 || b.Search.Folds == 1 {
		return n
	}
	if m, ok := s.catalog.splitMethod(b.Preprocessing.Split.Type); !ok || !m.Folded() {
		return 0
	}
	if s.unfolded() != "" {
		return 0
	}
	return cmp.Or(int(b.Search.Folds), defaultTrialFolds)
}

// SearchText says how many trials a search has, and what they are compared by; "" without one.
func (s *Spec) SearchText() string {
	if s.Spec.Search == nil {
		return ""
	}
	by := "the validation rows"
	if n := s.TrialFolds(leastCompared); n > 0 {
		by = fmt.Sprintf("%d folds", n)
	} else if n = s.TrialFolds(0); n > 0 {
		by += fmt.Sprintf(", of fewer than %d by %d folds", leastCompared, n)
	}
	return fmt.Sprintf("at most %d trials, compared by %s", s.Spec.Search.MaxTrials, by)
}

// checkTrialFolds checks the folds that a search asks for.
func (b *Body) checkTrialFolds(at Place) {
	n := int(b.Search.Folds)
	if n < 2 {
		return
	}
	split := b.Preprocessing.Split
	if m, ok := at.found.catalog.splitMethod(split.Type); ok && !m.Folded() {
		at.Problem("folds", "write type: "+at.found.catalog.splitting(folded)+" in spec.preprocessing.split, or leave folds out", "a %s split has no folds", split.Type)
	} else if split.Folds > 0 && split.Folds != n {
		at.Problem("folds", "leave it out", "the rows are cut into %d folds by preprocessing.split", split.Folds)
	} else if why := (&Spec{Spec: *b}).unfolded(); why != "" {
		at.Problem("folds", "leave folds out", "trials cannot be compared by folds: %s", why)
	}
}

// unfolded says why no fold can be kept from what its models learn, "" where each can.
func (s *Spec) unfolded() string {
	switch {
	case s.Learns():
		return "a cleaning step learns from the rows of all folds"
	case s.Balances():
		return "a row that is balanced may be in two"
	case Front(s.Spec.Model).Name != s.Spec.Model.Name:
		return "the version that the hidden layer is of has learnt from the rows of all folds"
	}
	return ""
}

// stepwise lists the fields that are set and mean something only to rules that make
// steps on batches, and L1, which not all have.
func (t *Trainer) stepwise() (set []string) {
	for _, f := range []struct {
		path string
		set  bool
	}{
		{"learning_rate_scheduler", !t.steady()},
		{"gradient_clipping", t.GradientClipping != nil},
		{"regularization.l1", t.Regularization.L1 > 0},
		{"regularization.decoupled", t.Regularization.Decoupled},
		{"distributed.outer_optimizer", !t.Distributed.OuterOptimizer.Plain()},
		{"privacy", t.Privacy != nil},
	} {
		if f.set {
			set = append(set, f.path)
		}
	}
	return set
}

// steady reports whether the learning rate is always the same.
func (t *Trainer) steady() bool {
	w, ok := t.LearningRateScheduler.Options.(interface{ Warm() int })
	return t.LearningRateScheduler.Name == "" || t.LearningRateScheduler.Name == "constant" && (!ok || w.Warm() == 0)
}

// Sparse reports whether training looks for weights that are zero.
func (t *Trainer) Sparse() bool {
	s, ok := t.Optimizer.Options.(interface{ Sparse() bool })
	return t.Regularization.L1 > 0 || ok && s.Sparse()
}

// Allows reports whether an optimizer has a meaning for all that is set.
func (t *Trainer) Allows(optimizer any) bool {
	r, ok := optimizer.(Restricted)
	return !ok || !slices.ContainsFunc(t.stepwise(), func(path string) bool { return r.Without()[path] != "" })
}

// checkWithout notes what is set that an optimizer has no meaning for.
func (t *Trainer) checkWithout(optimizer any, what string, at Place) {
	r, ok := optimizer.(Restricted)
	if !ok {
		return
	}
	for _, path := range t.stepwise() {
		if hint := r.Without()[path]; hint != "" {
			at.Problem(path, hint, "%s has no %s", what, path)
		}
	}
}
