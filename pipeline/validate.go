package pipeline

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/thalweg/thalweg/pipeline/calibration"
	"github.com/thalweg/thalweg/pipeline/crontab"
	"github.com/thalweg/thalweg/pipeline/spelling"
	"github.com/thalweg/thalweg/pipeline/table"
)

// Words of the format that the rules between fields speak of.
const (
	inputNumber     = "number"
	inputCategory   = "category"
	inputList       = "list"
	inputText       = "text"
	inputSet        = "set"
	outputBinary    = "binary"
	outputCategory  = "category"
	outputQuantiles = "quantiles"

	fillWithConst = "fill_with_const"
	// ownBin and noNormalization are what numbers in bins have.
	ownBin          = "own_bin"
	noNormalization = "none"
	dropRow         = "drop_row"
)

// MaxListLength bounds the elements of a list feature: the longest embeddings in
// use, or an image of 64 × 64.
const MaxListLength = 4096

// Check implements Checker: rows are trained from files.
func (s *TrainSource) Check(at Place) {
	at.location(s.S3, s.Stream)
	if s.Stream.Name != "" && s.S3 == nil {
		at.Unsupported(s.Stream.Name, "train from s3", "training from a stream")
	}
	if _, rows := s.Format.Options.(RowFormat); s.OnBadRow.Rejects() && !rows && s.Format.Name != "" {
		at.Problem("on_bad_row", "leave it out", "%s files have no single rows that cannot be read: what is damaged there ends the run", s.Format.Name)
	}
	if s.S3 != nil {
		at.files(s.S3.Path, s.Format)
	}
}

// files checks the path of the files of a format.
func (p Place) files(key string, of Choice) {
	if _, ok := of.Options.(TableSource); ok {
		p.prefix("s3.path", key)
		return
	}
	format := of.Name
	p.S3Path("s3.path", key)
	for part := range strings.SplitSeq(key, "/") {
		if part != "**" && strings.Contains(part, "**") {
			p.Problem("s3.path", "write **/"+strings.ReplaceAll(part, "**", "*"), "%s: ** stands for folders, so it stands alone between slashes", part)
		}
	}
	if strings.HasSuffix(key, "/") {
		p.Problem("s3.path", "write "+strings.TrimSuffix(key+"*."+format, ".")+", or "+key+"* for files without an extension", "the path names no files")
	}
}

// Check implements Checker: events are scored from a stream.
func (s *EventSource) Check(at Place) {
	at.location(s.S3, s.Stream)
	if s.S3 != nil && s.Stream.Name == "" {
		at.Unsupported("s3", "events come from "+strings.Join(at.found.catalog.names(Streams), " or "), "scoring files")
	}
}

// location checks that a source is in one place.
func (p Place) location(s3 *S3Location, stream Choice) {
	switch {
	case s3 == nil && stream.Name == "":
		p.Problem("", "", "one of %s is missing", strings.Join(append([]string{"s3"}, p.found.catalog.names(Streams)...), " and "))
	case s3 != nil && stream.Name != "":
		p.Problem("", "", "only one of s3 and %s can be there", stream.Name)
	}
}

// S3Path checks an s3:// path.
func (p Place) S3Path(path, value string) {
	if fault, hint := S3PathFault(value); fault != "" {
		p.Problem(path, hint, "%q %s", value, fault)
	}
}

// topic refuses the names that Kafka does, beyond the pattern of names.
func (p Place) topic(name string) {
	if name == "." || name == ".." {
		p.Problem("topic", "name another", "no topic has the name %q", name)
	}
}

// Check implements Checker.
func (o *StreamOptions) Check(at Place) { at.topic(o.Topic) }

// Check implements Checker.
func (t *DeadLetterTopic) Check(at Place) { at.topic(t.Topic) }

// Check implements Checker.
func (s *SchemaSpec) Check(at Place) {
	at.zone("timezone", s.Timezone)
	names := at.in("columns").names("column")
	for i, c := range s.Columns {
		names(i, c.Name)
	}
}

// zone checks the name of a time zone.
func (p Place) zone(path, name string) {
	if _, err := time.LoadLocation(name); err != nil || name == "Local" {
		p.Problem(path, "write UTC or a name such as Europe/Paris", "%q is not a time zone", name)
	}
}

// Check implements Checker.
func (c *ColumnSpec) Check(at Place) {
	at.ColumnName("name", c.Name)
	if len(c.AvailableIn) > 0 && !slices.Contains(c.AvailableIn, InTraining) {
		at.Unsupported("available_in", "a model cannot learn from it", "a column that training does not have")
	}
	at.phases("available_in", c.AvailableIn)
	switch {
	case c.PII == table.PIIHash && c.Type.Element() != "":
		at.Problem("pii", "write drop", "a %s is not hashed", c.Type)
	case c.PII == table.PIIHash && c.Type == table.Float64: // -0, and values that another precision widens
		at.Problem("pii", "declare it as int64 or string, or write drop", "a float64 is not hashed: equal numbers need not have equal texts")
	case c.PII == table.PIIMask && c.Type != table.String && c.Type != "":
		at.Problem("pii", "write hash or drop", "a %s has no shape to keep", c.Type)
	}
	want := c.Type
	switch c.From {
	case "":
		return
	case "timestamp":
		want = table.Timestamp
	case "offset", "partition":
		want = table.Int64
	default: // key, header:NAME
		if c.Type.Element() != "" {
			at.Problem("from", "leave it out: events hold lists", "the %s of a record is a text, not a %s", c.From, c.Type)
		}
	}
	if c.Type != want {
		at.Problem("from", "declare the column as "+string(want), "the %s of a record is of type %s, not %s", c.From, want, c.Type)
	}
	if len(c.AvailableIn) > 0 && !slices.Contains(c.AvailableIn, InScoring) {
		at.Problem("from", "leave it out, or add scoring to available_in", "a column of training only is not filled from records")
	}
}

// names returns a check that the items of the list at p have different names.
func (p Place) names(what string) func(i int, name string) {
	seen := make(map[string]int)
	return func(i int, name string) {
		if first, twice := seen[name]; twice && name != "" {
			p.item(i).Problem("name", fmt.Sprintf("%s[%d] has it too", p.path, first), "a second %s of the name %s", what, name)
			return
		}
		seen[name] = i
	}
}

func (p Place) phases(field string, phases []Phase) {
	if len(phases) == 2 && phases[0] == phases[1] {
		p.Problem(field, "", "%s appears twice", phases[0])
	} else if len(phases) > 2 {
		p.Problem(field, "", "there are two phases, training and scoring")
	}
}

// Check implements Checker.
func (c *CleanStep) Check(at Place) {
	step, ok := c.Options.(StepSpec)
	if !ok {
		at.Problem("", "", "the step is empty: one of %s belongs here", strings.Join(at.found.catalog.names(Steps), ", "))
		return
	}
	at, phases := at.in(c.Name), step.Phases().ApplyTo
	at.phases("apply_to", phases)
	if learns(step) && !slices.Contains(phases, InTraining) {
		at.Problem("apply_to", "write apply_to: [training, scoring]", "a step that learns from the training rows applies to them")
	}
}

// Check implements Checker.
func (p *Preprocessing) Check(Place) {
	if p.SampleRatio == 1 { // as if nothing were written, so that no version depends on it
		p.SampleRatio = 0
	}
}

// Check implements Checker.
func (o *OutputFeature) Check(at Place) {
	switch t, given := o.Threshold, !at.Omits("threshold.value"); {
	case t == nil:
	case o.answer() != outputBinary && o.Type != "":
		at.Problem("threshold", "", "a %s has no threshold", o.answer())
	case t.Optimize != "" && given:
		at.Problem("threshold", "leave one out", "a threshold has a value, or is chosen by optimize, not both")
	case t.Optimize != "":
	case !given && !at.Omits("threshold"):
		at.Problem("threshold", "write a number, or optimize: f1", "it has no value")
	case t.Split != "":
		at.Problem("threshold.split", "leave it out, or write optimize: f1", "a split has no meaning where nothing is chosen")
	}
	if o.Calibration == calibration.None { // as if nothing were written, so that no version depends on it
		o.Calibration = ""
	}
	switch {
	case o.Calibration == "" || o.Type == "":
	case o.answer() != outputBinary && o.answer() != outputCategory:
		at.Problem("calibration", "leave it out", "a %s has no probability to calibrate", o.answer())
	case o.Type == outputCategory && o.Calibration != calibration.Temperature:
		at.Unsupported("calibration", "write calibration: temperature", o.Calibration+" of a category")
	}
	if types := typesOf(o.Loss.Options); len(types) > 0 && !slices.Contains(types, o.Type) {
		at.Problem("loss.type", "", "loss %s is for a %s output", o.Loss.Name, strings.Join(types, " or "))
	}
	o.checkWeights(at)
}

// Check implements Checker.
func (g *GradientClipping) Check(at Place) {
	if g.GlobalNorm == 0 && g.Value == 0 {
		at.Problem("", "write gradient_clipping: {global_norm: 1}", "nothing bounds the gradient: global_norm and value are missing")
	}
}

// Check implements Checker.
func (o *OuterOptimizer) Check(at Place) {
	if o.Nesterov && o.Momentum == 0 {
		at.Problem("nesterov", "write momentum: 0.9", "without momentum there is no step to look ahead")
	}
}

// Check implements Checker.
func (t *Trainer) Check(at Place) {
	t.checkWithout(t.Optimizer.Options, "optimizer "+t.Optimizer.Name, at)
	t.checkPrivacy(at)
	if s, ok := t.LearningRateScheduler.Options.(Staller); ok && t.EarlyStop > 0 && s.Stalls() >= t.EarlyStop {
		at.Problem("learning_rate_scheduler.patience", fmt.Sprintf("at most %d, or a larger early_stop", t.EarlyStop-1),
			"training ends after %d evaluations without improvement", t.EarlyStop)
	}
}

// maxFileBytes bounds what a scorer holds in memory of a file: its events until it
// is committed, of which a second file's worth may be waiting, or merged rows.
const maxFileBytes = 512 << 20

// maxSinkBytes bounds the path of a sink: keys have up to 1,024 bytes, and what the
// log makes of a long topic below it has 503.
const maxSinkBytes = 512

// Check implements Checker.
func (s *Sink) Check(at Place) {
	if s.S3 == nil {
		at.Problem("", "", "s3 is missing")
	} else {
		at.prefix("s3.path", s.S3.Path)
	}
	if s.Rolling.ByteSize > maxFileBytes {
		at.Problem("rolling.byte_size", fmt.Sprintf("at most %d", maxFileBytes), "the events of a file are in memory until it is committed")
	}
	if c := s.Compaction; c != nil && c.ByteSize > maxFileBytes {
		at.Problem("compaction.byte_size", fmt.Sprintf("at most %d", maxFileBytes), "a merged file is made in memory")
	}
	if len(s.PartitionBy) > 1 {
		at.in("partition_by").item(1).Unsupported("", "name one column", "a second partition column")
	}
}

// maxSliceSpecs bounds the ways of slicing, each of which may have many slices.
const maxSliceSpecs = 8

// check applies the rules of an evaluation to that of an output of a type, which has some
// metrics.
func (e *Evaluation) check(at Place, allowed []string, output string, folds bool) {
	for i, name := range e.Metrics {
		at.in("metrics").item(i).among("", name, allowed, output)
	}
	if len(e.Slices) > maxSliceSpecs {
		at.Problem("slices", "", "there are %d; at most %d are possible", len(e.Slices), maxSliceSpecs)
	}
	if len(e.Gates) > maxGates {
		at.Problem("gates", "", "there are %d; at most %d are possible", len(e.Gates), maxGates)
	}
	for i := range e.Gates {
		e.gate(&e.Gates[i], at.in("gates").item(i), allowed, output, folds)
	}
}

// maxGates bounds the gates of a spec, whose outcomes a run keeps.
const maxGates = 32

// gate applies the rules of a gate.
func (e *Evaluation) gate(g *GateSpec, at Place, allowed []string, output string, folds bool) {
	if e.fairnessGate(g, at) {
		return
	}
	at.among("metric", g.Metric, allowed, output)
	rises := false
	for _, m := range at.found.catalog[Metrics] {
		if d, ok := m.Options.(Ordered); ok && m.Name == g.Metric && slices.Contains(typesOf(m.Options), output) {
			rises = d.Rises()
		}
	}
	bounds := g.LowerBound != nil || g.UpperBound != nil
	switch changes := g.MaxDecrease != nil || g.MaxIncrease != nil; {
	case g.Versus == "" && changes:
		at.Problem("versus", "write versus: champion", "the field is missing")
	case g.Versus == "" && !bounds:
		at.Problem("lower_bound", "or write upper_bound, or versus: champion", "the field is missing")
	case g.Versus != "" && bounds:
		at.Problem("versus", "write two gates", "a gate has bounds, or is versus the champion, not both")
	case g.Versus != "" && rises && g.MaxDecrease == nil:
		at.Problem("max_decrease", "", "the field is missing: of %s more is better", g.Metric)
	case g.Versus != "" && !rises && g.MaxIncrease == nil:
		at.Problem("max_increase", "", "the field is missing: of %s less is better", g.Metric)
	case g.MaxDecrease != nil && g.MaxIncrease != nil:
		at.Problem("max_increase", "leave one out", "a gate has max_decrease or max_increase, not both")
	case g.LowerBound != nil && g.UpperBound != nil && *g.LowerBound > *g.UpperBound:
		at.Problem("lower_bound", "", "it is above upper_bound")
	}
	switch {
	case g.Over == "":
	case g.Versus != "" || len(g.Slices) > 0:
		at.Problem("over", "write two gates", "the mean over folds has bounds alone, and no slices")
	case !folds:
		at.Problem("over", "write preprocessing: {split: {folds: 5}}", "there are no folds")
	}
	if len(g.Slices) > 0 && !slices.ContainsFunc(e.Slices, func(s SliceSpec) bool { return slices.Equal(s.Columns, g.Slices) }) {
		at.Problem("slices", "add them to evaluation.slices", "no rows are sliced by %s", strings.Join(g.Slices, ", "))
	}
}

// among refuses a metric that an output does not have.
func (p Place) among(field, name string, allowed []string, output string) {
	if allowed != nil && !slices.Contains(allowed, name) {
		hint := spelling.Hint(name, slices.Values(allowed))
		p.Problem(field, cmp.Or(hint, oneOf(allowed)), "a %s output has no %s", output, quoteShort(name))
	}
}

// Check implements Checker: the rules between the parts of a spec.
func (b *Body) Check(at Place) {
	b.checkLookups(at)
	b.checkLabelFile(at)
	b.checkHalves(at)
	if least := b.Trainer.Distributed.MinWorkers; b.Resources != nil && b.Resources.MaxWorkers > 0 && b.Resources.MaxWorkers < least {
		at.Problem("resources.max_workers", "raise it, or lower trainer.distributed.min_workers", "a run waits for %d workers, and may use %d", least, b.Resources.MaxWorkers)
	}
	if s := (&Spec{Spec: *b}); s.Balances() && b.Preprocessing.Split.Folds > 0 {
		at.Problem("preprocessing.split.folds", "leave one of the two out", "balance and folds do not go together: a row that is trained on in one fold is judged by in another")
	}
	if b.trains() {
		b.checkModel(at)
		b.checkWeighing(at)
	}
	claims := b.claims()
	for i, c := range claims {
		for _, o := range claims[i+1:] {
			// Where other connections lead to, the cluster knows.
			if why, hint := c.Conflict(o, nil); why != "" && cmp.Or(c.Connection, DefaultConnection) == cmp.Or(o.Connection, DefaultConnection) {
				Place{found: at.found}.Problem(c.Field, hint, "%s", why)
			}
		}
	}
}

// checkModel checks the rules between the parts of a spec that trains a model.
func (b *Body) checkModel(at Place) {
	inputs, outputs := at.in("input_features"), at.in("output_features")
	b.checkFolds(at)
	b.private(at)
	b.checkSearch(at)
	names := inputs.names("feature")
	for i, f := range b.InputFeatures {
		names(i, f.Name)
	}
	if len(b.OutputFeatures) > 1 {
		outputs.item(1).Unsupported("", "", "a second output")
	}
	for i, o := range b.OutputFeatures {
		for k, in := range b.InputFeatures {
			if in.Name == o.Name && o.Name != "" {
				outputs.item(i).Problem("name", inputs.item(k).path+" has it too", "an input feature has the name %s", o.Name)
			}
		}
	}
	if len(b.OutputFeatures) == 1 {
		kind := b.OutputFeatures[0].answer()
		if m, ok := b.Model.Options.(Selective); ok && kind != "" && !slices.Contains(m.AnswersWith(), kind) {
			at.Unsupported("model.type", "write model: {type: linear}", fmt.Sprintf("a %s output of a model of type %s", kind, b.Model.Name))
		}
		at.among("trainer.validation_metric", b.Trainer.ValidationMetric, (&Body{}).metrics(at.found.catalog, kind), kind)
		b.Evaluation.check(at.in("evaluation"), b.metrics(at.found.catalog, kind), kind, b.Preprocessing.Split.Folds > 0)
		shares := b.Preprocessing.Split.Probabilities
		if t := b.OutputFeatures[0].Threshold; t != nil && t.Optimize != "" && len(shares) > 1 && shares[1] == 0 {
			outputs.item(0).Problem("threshold", "write a number, or give validation a share of the rows", "there are no validation rows to choose it by")
		}
		if u := b.uncertainty(); u != nil && kind != "" {
			if field, why, hint := u.Refuses(b.Model.Options, b.OutputFeatures[0].Loss.Options, kind); why != "" {
				at.Problem("model.uncertainty."+field, hint, "%s", why)
			}
			if _, ok := u.(ConformalSpec); ok && len(shares) > 1 && shares[1] == 0 {
				at.Problem("model.uncertainty", "leave it out, or give validation a share of the rows", "there are no validation rows to find it in")
			}
		}
		if b.OutputFeatures[0].Calibration != "" && len(shares) > 1 && shares[1] == 0 {
			outputs.item(0).Problem("calibration", "leave it out, or give validation a share of the rows", "there are no validation rows to fit it to")
		}
	}
	for i, f := range b.InputFeatures {
		if _, ok := f.Encoder.Options.(Supervised); ok && len(b.OutputFeatures) == 1 && b.OutputFeatures[0].Type == outputCategory {
			inputs.item(i).Problem("encoder.type", "write onehot or frequency", "the classes of a category have no mean for the encoder %s", f.Encoder.Name)
		}
	}
	front := Front(b.Model)
	if _, learns := front.Options.(Embedding); !learns && front.Options != nil {
		for i, f := range b.InputFeatures {
			if _, ok := f.Encoder.Options.(Embedder); ok {
				inputs.item(i).Problem("encoder.type", "write onehot, or model: {type: mlp}", "a model of type %s learns no encoder %s", front.Name, f.Encoder.Name)
			}
		}
	}
	if m, ok := front.Options.(Reader); ok {
		for i, f := range b.InputFeatures {
			if reads := m.Reads(); f.Type != "" && !slices.Contains(reads, f.Type) {
				inputs.item(i).Unsupported("type", "it reads "+strings.Join(reads, ", ")+": leave the feature out, or write model: {type: linear}", "a "+f.Type+" of a model of type "+front.Name)
			}
		}
	}
	if m, ok := b.Model.Options.(Batched); ok {
		if least, why, instead := m.LeastBatch(); b.Trainer.BatchSize > 0 && int(b.Trainer.BatchSize) < least {
			at.Problem("trainer.batch_size", instead, "%s", why)
		}
	}
	m, ok := b.Model.Options.(Trained)
	if ok && b.Trainer.Optimizer.Name != "auto" && b.Trainer.Optimizer.Name != m.TrainedBy() {
		at.Problem("trainer.optimizer.type", "leave the optimizer out", "a model of type %s is trained by %s", b.Model.Name, m.TrainedBy())
	} else if ok {
		entry, _ := at.found.catalog.find(Optimizers, m.TrainedBy())
		b.Trainer.checkWithout(entry.Options, "a model of type "+b.Model.Name, at.in("trainer"))
	}
	if d, demands := b.Trainer.Optimizer.Options.(Demanding); demands && !ok && b.Model.Options != nil {
		if why := d.Refuses(b.Model.Options); why != "" {
			at.Problem("trainer.optimizer.type", "leave the optimizer out", "optimizer %s does not train a model of type %s: %s", b.Trainer.Optimizer.Name, b.Model.Name, why)
		}
	}
	if w, ok := b.Model.Options.(WarmStarter); b.Trainer.WarmStart != FromNone && b.Model.Name != "" && (!ok || !w.StartsWarm()) {
		at.Unsupported("trainer.warm_start", "leave it out, or write model: {type: linear}, {type: mlp} or trees that are not imported", "a start of a model of type "+b.Model.Name+" from a version")
	}
	if front.Name != b.Model.Name && b.Trainer.WarmStart == FromNone {
		at.Problem("trainer.warm_start", "train the "+front.Name+" first, and write champion, or the number of its version", "the hidden layer needs a version of the model that has it")
	}
	if m, ok := b.Model.Options.(FeatureDefaulter); ok {
		_, most := m.FeatureDefaults(inputCategory)
		for i, f := range b.InputFeatures {
			if h, ok := f.Encoder.Options.(Hasher); ok && most > 0 && h.HashBuckets() > most {
				inputs.item(i).Problem("encoder.buckets", fmt.Sprintf("at most %d", most), "a model of type %s does not tell %d buckets apart", b.Model.Name, h.HashBuckets())
			}
		}
		var standard Choice
		if name, _ := m.FeatureDefaults(inputNumber); name != "" {
			at.found.catalog.choose(Encoders, name, "", &standard)
		}
		trained := b.InputFeatures
		if m, ok := b.Model.Options.(Importer); ok && m.Imports() != "" {
			trained = nil // how features enter, the imported model says
		}
		for i, f := range trained {
			_, bins := f.Encoder.Options.(Binner)
			if most > 0 && (f.Type == inputText || f.Type == inputSet) {
				inputs.item(i).Unsupported("type", "write model: {type: linear}", "a "+f.Type+" of a model of type "+b.Model.Name)
			}
			if _, numbers := f.Encoder.Options.(Valued); most > 0 && numbers {
				inputs.item(i).Problem("encoder.type", "leave it out", "a model of type %s splits the values of a category, and has no encoder %s", b.Model.Name, f.Encoder.Name)
			}
			if _, want := standard.Options.(Binner); want && f.Type == inputNumber && f.Encoder.Name != "" && !bins {
				inputs.item(i).Problem("encoder.type", "leave the encoder out", "a model of type %s splits %s, and has no encoder %s", b.Model.Name, standard.Name, f.Encoder.Name)
			}
		}
		if most > 0 && len(b.Crosses) > 0 {
			at.Problem("crosses", "leave them out: its splits combine features", "a model of type %s has no crosses", b.Model.Name)
		}
	}
	if m, ok := b.Model.Options.(Averaging); ok && m.Averages() {
		for i, o := range b.OutputFeatures {
			if _, ok := o.Loss.Options.(OfMeans); !ok && o.Loss.Name != "" {
				outputs.item(i).Unsupported("loss.type", m.Instead(), "the loss "+o.Loss.Name+" of "+m.Mean())
			} else if w, ok := o.Loss.Options.(Weighing); ok && w.Weighs() != "" {
				outputs.item(i).Unsupported("loss."+w.Weighs(), m.Instead(), w.Weighs()+" in "+m.Mean())
			}
		}
	}
	b.checkList(at)
	if m, ok := b.Model.Options.(Directed); ok && len(m.Directions()) > 0 {
		b.checkDirections(at, m.Directions())
	}
	if b.Scoring != nil && b.Sources.Events == nil {
		at.Problem("scoring.source", "add "+at.path+".sources.events", "there is no source %s", b.Scoring.Source)
	}
	if b.Serving != nil && b.Serving.MaxDelay > Duration(maxServingDelay) {
		at.Problem("serving.max_delay", "no more than "+maxServingDelay.String(), "clients wait for it")
	}
	if b.Rollout != nil {
		b.Rollout.check(at.in("rollout"), b.Schema)
	}
	if b.Scoring != nil && b.Scoring.Scale != nil && b.Scoring.Scale.Max < b.Scoring.Scale.Min {
		at.Problem("scoring.scale.max", "min or more", "%d workers at most and %d at least", b.Scoring.Scale.Max, b.Scoring.Scale.Min)
	}
}

// checkDirections checks that what has a direction is a number, and the answer has one.
func (b *Body) checkDirections(at Place, directions map[string]int) {
	for _, o := range b.OutputFeatures {
		if answer := o.answer(); answer == outputCategory || answer == outputQuantiles {
			at.Unsupported("model.monotone", "leave it out", "a direction of a "+answer+" output")
			return
		}
	}
	for _, name := range slices.Sorted(maps.Keys(directions)) {
		i := slices.IndexFunc(b.InputFeatures, func(f InputFeature) bool { return f.Name == name })
		patterns := slices.ContainsFunc(b.InputFeatures, func(f InputFeature) bool { return len(f.Columns) > 0 })
		switch {
		case i < 0 && !patterns: // else it may be one of those that a pattern stands for
			at.Problem("model.monotone."+name, "name an input feature", "there is no feature %s", name)
		case i >= 0 && b.InputFeatures[i].Type != inputNumber:
			at.Problem("model.monotone."+name, "leave it out", "a %s has no direction", b.InputFeatures[i].Type)
		}
	}
}

// Check implements Checker.
func (s *Schedule) Check(at Place) {
	at.zone("timezone", s.Timezone)
	if s.Cron == "" && !s.OnNewObjects {
		at.Problem("", "write cron: \"0 2 * * *\", or on_new_objects: true", "a schedule needs a time, or new objects")
	}
	if _, err := crontab.Parse(s.Cron, "UTC"); err != nil && s.Cron != "" {
		at.Problem("cron", "minute, hour, day, month and day of the week (0 to 6 from Sunday), such as 0 2 * * *", "%s", err)
	}
}

// checkWeighing checks that rows weigh by one thing, and that the model learns by their loss.
func (b *Body) checkWeighing(at Place) {
	step, balances := (&Spec{Spec: *b}).balancing()
	balances = balances && step.Balances() == Weights
	at, field, leave := at.in("evaluation.fairness"), "remedy", "leave it out"
	switch m, ok := b.Model.Options.(Trained); {
	case balances && b.Evaluation.Fairness.Reweighs():
		at.Problem(field, "leave one of the two out, or balance by upsample", "rows are weighed by balance already")
		return
	case balances:
		at, field, leave = Place{path: "spec.preprocessing", found: at.found}, "clean", "balance by upsample"
		fallthrough
	case b.Evaluation.Fairness.Reweighs():
		if ok && slices.Contains([]string{"memorize", "none"}, m.TrainedBy()) {
			at.Problem(field, leave, "a model of type %s is not trained by a loss, in which rows could weigh", b.Model.Name)
		}
	}
}

// checkWeights checks that what a loss weighs rows by suits the type of the output.
func (o *OutputFeature) checkWeights(at Place) {
	l, ok := o.Loss.Options.(Weighing)
	if !ok || o.Type == "" {
		return
	}
	switch name := l.Weighs(); {
	case (name == "positive_class_weight" || name == "alpha") && o.Type != outputBinary:
		at.Problem("loss."+name, "leave it out; class_weights says what rows of each class weigh", "a %s has no positive class", o.Type)
	case name == "class_weights" && o.Type != outputCategory:
		at.Problem("loss.class_weights", "write positive_class_weight or alpha", "a %s has no classes by name", o.Type)
	}
}
