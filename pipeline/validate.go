package pipeline

import (
	"fmt"
	"math"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Words of the format that the rules between fields speak of.
const (
	inputNumber   = "number"
	inputCategory = "category"
	outputBinary  = "binary"
	outputNumber  = "number"

	fillWithConst = "fill_with_const"
	fillWithMean  = "fill_with_mean"
	fillWithMode  = "fill_with_mode"
	dropRow       = "drop_row"
)

// Validate reports everything that is wrong with a spec by itself, without its
// data, as a *SpecError: values that are not allowed, references that lead
// nowhere. It expects the defaults to be filled in. Parse calls it.
func Validate(s *Spec) error {
	found := &diagnostics{source: s.source, catalog: s.catalog}
	s.validate(found)
	return found.err()
}

func (s *Spec) validate(found *diagnostics) {
	checkRules(reflect.ValueOf(s).Elem(), "", found)
	v := validator{Place{found: found}}
	b := &s.Spec
	v.sources(&b.Sources)
	v.schema(b.Schema)
	for i := range b.Preprocessing.Clean {
		v.step(&b.Preprocessing.Clean[i], fmt.Sprintf("spec.preprocessing.clean[%d]", i))
	}
	v.split(&b.Preprocessing.Split)
	v.features(b)
	v.output(b)
	v.trainer(b)
	if b.Scoring != nil {
		v.scoring(b)
	}
}

// validator applies the rules between fields.
type validator struct{ Place }

func (v validator) sources(s *Sources) {
	const train, events = "spec.sources.train", "spec.sources.events"
	v.location(train, s.Train.S3, s.Train.Stream)
	if s.Train.Stream.Name != "" && s.Train.S3 == nil {
		v.Unsupported(train+"."+s.Train.Stream.Name, "train from s3", "training from a stream")
	}
	if s.Train.S3 != nil {
		v.S3Path(train+".s3.path", s.Train.S3.Path)
		if key := s.Train.S3.Path; strings.Contains(path.Dir(key), "*") {
			v.Problem(train+".s3.path", "", "a * can only stand in the last part of the path")
		} else if strings.HasSuffix(key, "/") {
			v.Problem(train+".s3.path", "write "+strings.TrimSuffix(key+"*."+s.Train.Format.Name, "."), "the path names no files")
		}
	}
	v.choice(train+".format", s.Train.Format)
	if e := s.Events; e != nil {
		v.location(events, e.S3, e.Stream)
		if e.S3 != nil && e.Stream.Name == "" {
			v.Unsupported(events+".s3", "events come from "+strings.Join(v.found.catalog.names(Streams), " or "), "scoring files")
		}
		v.choice(events+"."+e.Stream.Name, e.Stream)
		v.choice(events+".format", e.Format)
	}
}

// location checks that a source is in one place.
func (v validator) location(path string, s3 *S3Location, stream Choice) {
	switch {
	case s3 == nil && stream.Name == "":
		v.Problem(path, "", "one of %s is missing", strings.Join(append([]string{"s3"}, v.found.catalog.names(Streams)...), " and "))
	case s3 != nil && stream.Name != "":
		v.Problem(path, "", "only one of s3 and %s can be there", stream.Name)
	}
}

// S3Path checks an s3:// path.
func (p Place) S3Path(path, value string) {
	_, key, err := SplitS3Path(value)
	switch {
	case err != nil:
		p.Problem(path, "a bucket's name has 3 to 63 lower-case letters, digits, dots and hyphens", "%q is not s3://bucket/key", value)
	case strings.Contains(key, "//") || strings.HasPrefix(key, "/") || slices.Contains(strings.Split(key, "/"), ".."):
		p.Problem(path, "", "%q has an empty part, or one of two dots", value)
	}
}

func (v validator) schema(s *SchemaSpec) {
	if s == nil {
		return
	}
	if _, err := time.LoadLocation(s.Timezone); err != nil || s.Timezone == "Local" {
		v.Problem("spec.schema.timezone", "write UTC or a name such as Europe/Paris", "%q is not a time zone", s.Timezone)
	}
	names := v.names("spec.schema.columns", "column")
	for i, c := range s.Columns {
		at := fmt.Sprintf("spec.schema.columns[%d]", i)
		names(i, c.Name)
		v.ColumnName(at+".name", c.Name)
		if len(c.AvailableIn) > 0 && !slices.Contains(c.AvailableIn, InTraining) {
			v.Unsupported(at+".available_in", "a model cannot learn from it", "a column that training does not have")
		}
		v.phases(at+".available_in", c.AvailableIn)
		v.columnFrom(at+".from", c)
	}
}

// names returns a check that the items of a list have different names.
func (v validator) names(path, what string) func(i int, name string) {
	seen := make(map[string]int)
	return func(i int, name string) {
		if first, twice := seen[name]; twice && name != "" {
			v.Problem(fmt.Sprintf("%s[%d].name", path, i), fmt.Sprintf("%s[%d] has it too", path, first), "a second %s of the name %s", what, name)
			return
		}
		seen[name] = i
	}
}

func (v validator) phases(path string, phases []Phase) {
	if len(phases) == 2 && phases[0] == phases[1] {
		v.Problem(path, "", "%s appears twice", phases[0])
	} else if len(phases) > 2 {
		v.Problem(path, "", "there are two phases, training and scoring")
	}
}

func (v validator) step(c *CleanStep, path string) {
	step, ok := c.Options.(StepSpec)
	if !ok {
		v.Problem(path, "", "the step is empty: one of %s belongs here", strings.Join(v.found.catalog.names(Steps), ", "))
		return
	}
	path += "." + c.Name
	v.phases(path+".apply_to", step.Phases().ApplyTo)
	if learns(step) && !slices.Contains(step.Phases().ApplyTo, InTraining) {
		v.Problem(path+".apply_to", "write apply_to: [training, scoring]", "a step that learns from the training rows applies to them")
	}
	v.choice(path, c.Choice)
}

// choice applies the rules of an entry's options.
func (v validator) choice(path string, c Choice) {
	if o, ok := c.Options.(Checker); ok {
		o.Check(v.in(path))
	}
}

func (v validator) split(s *Split) {
	const at = "spec.preprocessing.split"
	switch {
	case s.Type == "datetime" && s.Column == "":
		v.Problem(at, "", "a datetime split needs the column of the time")
	case s.Type == "random" && s.Column != "":
		v.Problem(at+".column", "write type: datetime to split by it", "a random split has no column")
	}
	sum := 0.0
	for i, p := range s.Probabilities {
		if p < 0 || p > 1 {
			v.Problem(fmt.Sprintf("%s.probabilities[%d]", at, i), "", "%v is not a probability", p)
		}
		sum += p
	}
	// Three shares written with up to six digits.
	if math.Abs(sum-1) > 1e-6 {
		v.Problem(at+".probabilities", "", "the probabilities add up to %v, not 1", math.Round(sum*1e9)/1e9)
	}
	if len(s.Probabilities) == 3 && s.Probabilities[0] == 0 {
		v.Problem(at+".probabilities[0]", "", "nothing is left to learn from")
	}
}

func (v validator) features(b *Body) {
	v.options("spec.defaults.number", inputNumber, b.Defaults.Number)
	v.options("spec.defaults.category", inputCategory, b.Defaults.Category)
	names := v.names("spec.input_features", "feature")
	for i, f := range b.InputFeatures {
		path := fmt.Sprintf("spec.input_features[%d]", i)
		names(i, f.Name)
		v.options(path, f.Type, f.FeatureOptions)
	}
}

// strategies are the missing_value_strategy of each type of feature.
var strategies = map[string][]string{
	inputNumber:   {fillWithMean, fillWithConst, dropRow},
	inputCategory: {fillWithConst, fillWithMode, dropRow},
}

func (v validator) options(path, kind string, o FeatureOptions) {
	allowed, ok := strategies[kind]
	if !ok {
		return
	}
	if !slices.Contains(allowed, o.MissingValueStrategy) {
		v.Problem(path+".missing_value_strategy", oneOf(allowed), "a %s has no %s", kind, o.MissingValueStrategy)
	}
	if o.FillValue != nil && o.MissingValueStrategy != fillWithConst {
		v.Problem(path+".fill_value", "", "the value has no meaning with %s", o.MissingValueStrategy)
	}
	if e, ok := o.Encoder.Options.(Typed); ok && e.For() != kind {
		v.Problem(path+".encoder.type", "it has "+strings.Join(v.found.catalog.namesFor(Encoders, kind), ", "), "a %s has no encoder %s", kind, o.Encoder.Name)
	}
	v.choice(path+".encoder", o.Encoder)
	if kind == inputCategory {
		if o.Normalization != "" {
			v.Problem(path+".normalization", "", "a category has no normalization")
		}
		return
	}
	switch o.FillValue.(type) {
	case string, bool:
		v.Problem(path+".fill_value", "", "a number belongs here, not %v", o.FillValue)
	}
	if o.MostCommon != nil {
		v.Problem(path+".most_common", "", "a number has no most_common")
	}
	if o.MinCount != nil {
		v.Problem(path+".min_count", "", "a number has no min_count")
	}
}

func (v validator) output(b *Body) {
	if len(b.OutputFeatures) > 1 {
		v.Unsupported("spec.output_features[1]", "", "a second output")
	}
	for i, o := range b.OutputFeatures {
		path := fmt.Sprintf("spec.output_features[%d]", i)
		for k, in := range b.InputFeatures {
			if in.Name == o.Name && o.Name != "" {
				v.Problem(path+".name", fmt.Sprintf("spec.input_features[%d] has it too", k), "an input feature has the name %s", o.Name)
			}
		}
		v.threshold(path+".threshold", o)
		if l, ok := o.Loss.Options.(Typed); ok && l.For() != o.Type {
			v.Problem(path+".loss.type", "", "loss %s is for a %s output", o.Loss.Name, l.For())
		}
		v.choice(path+".loss", o.Loss)
	}
}

func (v validator) threshold(path string, o OutputFeature) {
	p, ok := toNumber(o.Threshold)
	switch {
	case o.Threshold == nil:
	case o.Type == outputNumber:
		v.Problem(path, "", "a number has no threshold")
	case !ok:
		v.Problem(path, "", "a probability belongs here, not %v", o.Threshold)
	case p < 0 || p > 1:
		v.Problem(path, "", "%v is not a probability", o.Threshold)
	}
}

// toNumber returns a scalar of YAML as a float64.
func toNumber(v any) (float64, bool) {
	switch v := v.(type) {
	case int:
		return float64(v), true
	case int64:
		return float64(v), true
	case uint64:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

func (v validator) trainer(b *Body) {
	const path = "spec.trainer"
	t := &b.Trainer
	if len(b.OutputFeatures) == 1 {
		kind := b.OutputFeatures[0].Type
		if allowed := v.found.catalog.namesFor(Metrics, kind); allowed != nil && !slices.Contains(allowed, t.ValidationMetric) {
			v.Problem(path+".validation_metric", oneOf(allowed), "a %s output has no %s", kind, t.ValidationMetric)
		}
	}
	v.choice(path+".optimizer", t.Optimizer)
	v.choice("spec.model", b.Model)
	if t.Regularization.L1 > 0 {
		v.Unsupported(path+".regularization.l1", "use l2", "a penalty other than l2")
	}
}

// maxFileBytes bounds what a scorer holds in memory of a file: its events until it
// is committed, of which a second file's worth may be waiting, or merged rows.
const maxFileBytes = 512 << 20

func (v validator) scoring(b *Body) {
	const path = "spec.scoring"
	s := b.Scoring
	if b.Sources.Events == nil {
		v.Problem(path+".source", "add spec.sources.events", "there is no source %s", s.Source)
	}
	if s.Sink.S3 == nil {
		v.Problem(path+".sink", "", "s3 is missing")
	} else {
		v.S3Path(path+".sink.s3.path", s.Sink.S3.Path)
		if p := s.Sink.S3.Path; !strings.HasSuffix(p, "/") {
			v.Problem(path+".sink.s3.path", "write "+p+"/", "the path of a sink is a prefix and ends in /")
		} else if strings.Contains(p, "*") {
			v.Problem(path+".sink.s3.path", "", "a sink cannot have a *")
		}
	}
	if s.Sink.Rolling.ByteSize > maxFileBytes {
		v.Problem(path+".sink.rolling.byte_size", fmt.Sprintf("at most %d", maxFileBytes), "the events of a file are in memory until it is committed")
	}
	if c := s.Sink.Compaction; c != nil && c.ByteSize > maxFileBytes {
		v.Problem(path+".sink.compaction.byte_size", fmt.Sprintf("at most %d", maxFileBytes), "a merged file is made in memory")
	}
	v.choice(path+".sink.table", s.Sink.Table)
	if len(s.Sink.PartitionBy) > 1 {
		v.Unsupported(path+".sink.partition_by[1]", "name one column", "a second partition column")
	}
	if d := s.DeadLetter; d != nil && d.Kafka != nil && b.Sources.Events != nil {
		if e := b.Sources.Events; e.Stream.Name == "kafka" && e.Reading().Topic == d.Kafka.Topic && e.Connection == d.Kafka.Connection {
			v.Problem(path+".dead_letter.kafka.topic", "", "dead letters would come back as events: %s is the topic of the events", d.Kafka.Topic)
		}
	}
}
