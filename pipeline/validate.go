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
	formatParquet = "parquet"
	formatJSON    = "json"
	formatCSV     = "csv"
	formatAvro    = "avro"

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
	found := &diagnostics{source: s.source}
	s.validate(found)
	return found.err()
}

func (s *Spec) validate(found *diagnostics) {
	checkRules(reflect.ValueOf(s).Elem(), "", found)
	v := validator{found}
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

// validator applies the rules between fields. A problem of a field that
// something has been said about already is not noted again.
type validator struct{ found *diagnostics }

func (v validator) add(path, hint, format string, args ...any) {
	if !v.found.covers(path) {
		v.found.add(path, hint, format, args...)
	}
}

func (v validator) sources(s *Sources) {
	const train, events = "spec.sources.train", "spec.sources.events"
	v.location(train, &s.Train)
	switch {
	case s.Train.Kafka != nil && s.Train.S3 == nil:
		v.refuse(train+".kafka", "train from s3", "training from a stream")
	case isEventFormat(s.Train.Format.Type):
		v.refuse(train+".format.type", "this build trains from parquet", s.Train.Format.Type+" files")
	}
	v.plainFormat(train, s.Train.Format)
	if s.Train.S3 != nil {
		v.path(train+".s3.path", s.Train.S3.Path)
		if key := s.Train.S3.Path; strings.Contains(path.Dir(key), "*") {
			v.add(train+".s3.path", "", "a * can only stand in the last part of the path")
		} else if strings.HasSuffix(key, "/") {
			v.add(train+".s3.path", "write "+key+"*.parquet", "the path names no files")
		}
	}
	if e := s.Events; e != nil {
		v.location(events, e)
		switch {
		case e.S3 != nil && e.Kafka == nil:
			v.refuse(events+".s3", "events come from kafka", "scoring files")
		case e.Format.Type == formatParquet:
			v.add(events+".format.type", "events are json, csv or avro", "parquet is a format of files")
		}
		v.eventFormat(events+".format", e.Format)
	}
}

func (v validator) refuse(path, hint, what string) {
	if !v.found.covers(path) {
		v.found.refuse(path, hint, what)
	}
}

// location checks that a source is in one place.
func (v validator) location(path string, s *Source) {
	switch {
	case s.S3 == nil && s.Kafka == nil:
		v.add(path, "", "one of s3 and kafka is missing")
	case s.S3 != nil && s.Kafka != nil:
		v.add(path, "", "only one of s3 and kafka can be there")
	}
}

func (v validator) path(path, value string) {
	_, key, err := SplitS3Path(value)
	switch {
	case err != nil:
		v.add(path, "a bucket's name has 3 to 63 lower-case letters, digits, dots and hyphens", "%q is not s3://bucket/key", value)
	case strings.Contains(key, "//") || strings.HasPrefix(key, "/") || slices.Contains(strings.Split(key, "/"), ".."):
		v.add(path, "", "%q has an empty part, or one of two dots", value)
	}
}

func (v validator) schema(s *SchemaSpec) {
	if s == nil {
		return
	}
	if _, err := time.LoadLocation(s.Timezone); err != nil || s.Timezone == "Local" {
		v.add("spec.schema.timezone", "write UTC or a name such as Europe/Paris", "%q is not a time zone", s.Timezone)
	}
	names := v.names("spec.schema.columns", "column")
	for i, c := range s.Columns {
		at := fmt.Sprintf("spec.schema.columns[%d]", i)
		names(i, c.Name)
		v.columnName(at+".name", c.Name)
		if len(c.AvailableIn) > 0 && !slices.Contains(c.AvailableIn, InTraining) {
			v.refuse(at+".available_in", "a model cannot learn from it", "a column that training does not have")
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
			v.add(fmt.Sprintf("%s[%d].name", path, i), fmt.Sprintf("%s[%d] has it too", path, first), "a second %s of the name %s", what, name)
			return
		}
		seen[name] = i
	}
}

// columnName keeps names free that scoring adds, _row among them.
func (v validator) columnName(path, name string) {
	if strings.HasPrefix(name, "_") {
		v.add(path, "", "%q is not allowed: names that begin with _ are Thalweg's own", name)
	}
}

func (v validator) phases(path string, phases []Phase) {
	if len(phases) == 2 && phases[0] == phases[1] {
		v.add(path, "", "%s is there twice", phases[0])
	} else if len(phases) > 2 {
		v.add(path, "", "there are two phases, training and scoring")
	}
}

func (v validator) step(c *CleanStep, path string) {
	var set []string
	for _, f := range fields(reflect.ValueOf(c).Elem()) {
		if !f.value.IsNil() {
			set = append(set, f.name)
		}
	}
	switch {
	case len(set) == 0:
		v.add(path, "", "the step is empty: one of trim, case, filter, derive, cast, fill belongs here")
		return
	case len(set) > 1:
		v.add(path, "write each as a step of its own", "a step is one operator, not %s", strings.Join(set, " and "))
		return
	}
	path += "." + set[0]
	_, applyTo := c.operator()
	v.phases(path+".apply_to", *applyTo)
	switch {
	case c.Derive != nil:
		v.columnName(path+".column", c.Derive.Column)
	case c.Cast != nil && c.Cast.OnError == "drop" && v.found.source != nil && !v.found.source.has(path+".apply_to"):
		v.add(path+".on_error", "write apply_to: [training, scoring], or [training]", "a step that removes rows must say where it applies")
	case c.Fill != nil:
		switch {
		case c.Fill.Strategy == fillWithConst && c.Fill.Value == nil:
			v.add(path, "", "fill_with_const needs a value")
		case c.Fill.Strategy == dropRow && c.Fill.Value != nil:
			v.add(path+".value", "", "drop_row takes no value")
		}
	}
}

func (v validator) split(s *Split) {
	const at = "spec.preprocessing.split"
	switch {
	case s.Type == "datetime" && s.Column == "":
		v.add(at, "", "a datetime split needs the column of the time")
	case s.Type == "random" && s.Column != "":
		v.add(at+".column", "write type: datetime to split by it", "a random split has no column")
	}
	sum := 0.0
	for i, p := range s.Probabilities {
		if p < 0 || p > 1 {
			v.add(fmt.Sprintf("%s.probabilities[%d]", at, i), "", "%v is not a probability", p)
		}
		sum += p
	}
	// Three shares written with up to six digits.
	if math.Abs(sum-1) > 1e-6 {
		v.add(at+".probabilities", "", "the probabilities add up to %v, not 1", math.Round(sum*1e9)/1e9)
	}
	if len(s.Probabilities) == 3 && s.Probabilities[0] == 0 {
		v.add(at+".probabilities[0]", "", "nothing is left to learn from")
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

// encoders are the encoder of each type of feature.
var encoders = map[string]string{inputNumber: "none", inputCategory: "onehot"}

func (v validator) options(path, kind string, o FeatureOptions) {
	allowed, ok := strategies[kind]
	if !ok {
		return
	}
	if !slices.Contains(allowed, o.MissingValueStrategy) {
		v.add(path+".missing_value_strategy", oneOf(allowed), "a %s has no %s", kind, o.MissingValueStrategy)
	}
	if o.FillValue != nil && o.MissingValueStrategy != fillWithConst {
		v.add(path+".fill_value", "", "the value has no meaning with %s", o.MissingValueStrategy)
	}
	if o.Encoder != nil && o.Encoder.Type != encoders[kind] {
		v.add(path+".encoder.type", "it has "+encoders[kind], "a %s has no encoder %s", kind, o.Encoder.Type)
	}
	if kind == inputCategory {
		if o.Normalization != "" {
			v.add(path+".normalization", "", "a category has no normalization")
		}
		return
	}
	switch o.FillValue.(type) {
	case string, bool:
		v.add(path+".fill_value", "", "a number belongs here, not %v", o.FillValue)
	}
	if o.MostCommon != nil {
		v.add(path+".most_common", "", "a number has no most_common")
	}
	if o.MinCount != nil {
		v.add(path+".min_count", "", "a number has no min_count")
	}
}

func (v validator) output(b *Body) {
	if len(b.OutputFeatures) > 1 {
		v.refuse("spec.output_features[1]", "", "a second output")
	}
	for i, o := range b.OutputFeatures {
		path := fmt.Sprintf("spec.output_features[%d]", i)
		for k, in := range b.InputFeatures {
			if in.Name == o.Name && o.Name != "" {
				v.add(path+".name", fmt.Sprintf("spec.input_features[%d] has it too", k), "an input feature has the name %s", o.Name)
			}
		}
		v.threshold(path+".threshold", o)
	}
}

func (v validator) threshold(path string, o OutputFeature) {
	p, ok := toNumber(o.Threshold)
	switch {
	case o.Threshold == nil:
	case o.Type == outputNumber:
		v.add(path, "", "a number has no threshold")
	case !ok:
		v.add(path, "", "a probability belongs here, not %v", o.Threshold)
	case p < 0 || p > 1:
		v.add(path, "", "%v is not a probability", o.Threshold)
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

// metrics are the validation metrics of each type of output.
var metrics = map[string][]string{
	outputBinary: {"log_loss", "roc_auc", "accuracy"},
	outputNumber: {"mse", "rmse", "mae", "r2"},
}

func (v validator) trainer(b *Body) {
	const path = "spec.trainer"
	t := &b.Trainer
	if len(b.OutputFeatures) == 1 {
		kind := b.OutputFeatures[0].Type
		if allowed := metrics[kind]; allowed != nil && !slices.Contains(allowed, t.ValidationMetric) {
			v.add(path+".validation_metric", oneOf(allowed), "a %s output has no %s", kind, t.ValidationMetric)
		}
	}
	o := &t.Optimizer
	if o.Type != "momentum" && o.Momentum != 0 {
		v.add(path+".optimizer.momentum", "", "the field belongs to the momentum rule")
	}
	if o.Type != "adam" && len(o.Betas) > 0 {
		v.add(path+".optimizer.betas", "", "the field belongs to adam")
	}
	if o.Type != "adam" && o.Epsilon != 0 {
		v.add(path+".optimizer.epsilon", "", "the field belongs to adam")
	}
	for i, beta := range o.Betas {
		if beta < 0 || beta >= 1 {
			v.add(fmt.Sprintf("%s.optimizer.betas[%d]", path, i), "", "%v is out of range: it must be at least 0 and below 1", beta)
		}
	}
	if t.Regularization.L1 > 0 {
		v.refuse(path+".regularization.l1", "use l2", "a penalty other than l2")
	}
}

// maxMergedBytes bounds a merged file, which a scorer holds in memory.
const maxMergedBytes = 512 << 20

func (v validator) scoring(b *Body) {
	const path = "spec.scoring"
	s := b.Scoring
	if b.Sources.Events == nil {
		v.add(path+".source", "add spec.sources.events", "there is no source %s", s.Source)
	}
	if s.Sink.S3 == nil {
		v.add(path+".sink", "", "s3 is missing")
	} else {
		v.path(path+".sink.s3.path", s.Sink.S3.Path)
		if p := s.Sink.S3.Path; !strings.HasSuffix(p, "/") {
			v.add(path+".sink.s3.path", "write "+p+"/", "the path of a sink is a prefix and ends in /")
		} else if strings.Contains(p, "*") {
			v.add(path+".sink.s3.path", "", "a sink cannot have a *")
		}
	}
	if isEventFormat(s.Sink.Format.Type) {
		v.refuse(path+".sink.format.type", "this build writes parquet", s.Sink.Format.Type+" files")
	}
	v.plainFormat(path+".sink", s.Sink.Format)
	if c := s.Sink.Compaction; c != nil && int64(c.ByteSize) > maxMergedBytes {
		v.add(path+".sink.compaction.byte_size", fmt.Sprintf("at most %d", maxMergedBytes), "a merged file is made in memory")
	}
	if len(s.Sink.PartitionBy) > 1 {
		v.refuse(path+".sink.partition_by[1]", "name one column", "a second partition column")
	}
	if d := s.DeadLetter; d != nil && d.Kafka != nil && b.Sources.Events != nil {
		if e := b.Sources.Events; e.Kafka != nil && e.Kafka.Topic == d.Kafka.Topic && e.Connection == d.Kafka.Connection {
			v.add(path+".dead_letter.kafka.topic", "", "dead letters would come back as events: %s is the topic of the events", d.Kafka.Topic)
		}
	}
}
