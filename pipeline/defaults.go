package pipeline

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/table"
)

// fillDefaults fills in what the text of a spec does not set: first what depends
// on other fields, then what default tags and entries of the catalog say.
func (s *Spec) fillDefaults(found *diagnostics) {
	at := Place{found: found}
	name := s.Metadata.Name
	if found.covers("metadata.name") {
		name = ""
	}
	s.Spec.defaults(at.in("spec"), name)
	fillDefaults(reflect.ValueOf(s).Elem(), at)
}

// fillDefaults treats the fields of v, and what is in them.
func fillDefaults(v reflect.Value, at Place) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			fillDefaults(v.Elem(), at)
		}
	case reflect.Slice:
		for i := range v.Len() {
			fillDefaults(v.Index(i), at.item(i))
		}
	case reflect.Struct:
		if d, ok := optionsOf(v).(Defaulter); ok {
			d.Defaults(at)
		}
		if c, ok := optionsOf(v).(Conditional); ok && !c.HasDefaults() {
			for _, f := range fields(v) {
				if f.value.Type() == choiceType { // what is chosen has its own
					fillDefaults(f.value, at.in(f.name))
				}
			}
			return
		}
		b, _ := v.Addr().Interface().(*Body)
		for _, f := range fields(v) {
			if b != nil && b.without(f.name) {
				continue
			}
			f.fillDefault(at)
			fillDefaults(f.value, at.in(f.name))
		}
	}
}

// fillDefault gives a field the value of its default tag, which is YAML.
func (f field) fillDefault(at Place) {
	text := f.tag.Get("default")
	if f.value.Type() == choiceType {
		c := f.value.Addr().Interface().(*Choice)
		c.Key = f.tag.Get("key")
		at.in(f.name).choose(Kind(f.tag.Get("catalog")), text, c)
		return
	}
	if text == "" || !f.value.IsZero() || !at.Omits(f.name) {
		return
	}
	into := f.value.Addr()
	if f.value.Kind() == reflect.Pointer {
		into = reflect.New(f.value.Type().Elem())
		f.value.Set(into)
	}
	if err := yaml.Unmarshal([]byte(text), into.Interface()); err != nil {
		panic(fmt.Sprintf("pipeline: default of %s: %v", f.name, err)) // any spec meets it
	}
}

// Defaults implements Defaulter: columns that are hashed need a key.
func (s *SchemaSpec) Defaults(at Place) {
	if slices.ContainsFunc(s.Columns, func(c ColumnSpec) bool { return c.PII == table.PIIHash }) {
		Default(at, "pii_key", &s.PIIKey, "pii")
	}
}

// Defaults implements Defaulter.
func (s *Split) Defaults(at Place) {
	if m, ok := at.found.catalog.splitMethod(s.Type); !ok || !m.Given() {
		DefaultList(at, "probabilities", &s.Probabilities, 0.7, 0.15, 0.15)
	}
}

// Defaults implements Defaulter.
func (t *Trainer) Defaults(at Place) {
	if _, decays := t.Optimizer.Options.(Decayer); decays {
		Default(at, "regularization.decoupled", &t.Regularization.Decoupled, true)
	}
}

// Defaults implements Defaulter. The rate and the momentum of nesterov are DiLoCo's.
func (o *OuterOptimizer) Defaults(at Place) {
	rate, momentum := 1.0, 0.0
	switch o.Type {
	case "momentum":
		rate, momentum = 0.3, 0.9
	case "nesterov":
		rate, momentum = 0.7, 0.9
		Default(at, "nesterov", &o.Nesterov, true)
	}
	Default(at, "learning_rate", &o.LearningRate, rate)
	Default(at, "momentum", &o.Momentum, momentum)
}

// choose gives a choice the entry of a name, unless there is none or the spec
// names one.
func (p Place) choose(kind Kind, name string, c *Choice) {
	if name != "" && c.Name == "" && p.Omits(c.key()) {
		p.found.catalog.choose(kind, name, "", c)
	}
}

func (b *Body) defaults(at Place, pipeline string) {
	if b.Schema == nil {
		b.Schema = &SchemaSpec{}
	}
	if o := b.Output; o != nil {
		Default(at.in("output"), "connection", &o.Connection, b.Sources.Train.Connection)
		if at.Omits("preprocessing.split") && !o.Columns.Split { // steps learn from all rows
			b.Preprocessing.Split.Probabilities = []float64{1, 0, 0}
		}
		return
	}
	if r := b.Sources.Events.Reading(); r != nil {
		Default(at.in("sources.events").in(b.Sources.Events.Stream.Name), "consumer_group", &r.ConsumerGroup, "thalweg-"+pipeline)
	}
	b.featureDefaults(at)
	if m, ok := b.Model.Options.(Penalized); ok && len(b.OutputFeatures) > 0 {
		Default(at.in("trainer"), "regularization.l2", &b.Trainer.Regularization.L2, m.L2(b.OutputFeatures[0].Type))
	}
	patience := defaultPatience
	if m, ok := b.Model.Options.(Patient); ok {
		patience = m.EarlyStop()
	}
	if b.anneals(at) {
		patience = 0
	}
	Default(at.in("trainer"), "early_stop", &b.Trainer.EarlyStop, patience)
	catalog := at.found.catalog
	for i := range b.OutputFeatures {
		o := &b.OutputFeatures[i]
		if o.answer() == outputBinary && o.Threshold == nil {
			o.Threshold = &Threshold{Value: 0.5} // the likelier answer
		}
		if t, p := o.Threshold, at.in("output_features").item(i).in("threshold"); t != nil && (t.Optimize != "" || t.Split != "") && p.Omits("value") {
			Default(p, "optimize", &t.Optimize, "f1")
			Default(p, "split", &t.Split, "validation")
		}
		at.in("output_features").item(i).in("loss").choose(Losses, catalog.defaultFor(Losses, o.Type), &o.Loss)
		metric := catalog.defaultFor(Metrics, o.answer())
		if l, ok := o.Loss.Options.(Judged); ok {
			_, balanced := (&Spec{Spec: *b}).balancing()
			metric = cmp.Or(l.ValidationMetric(o.Type, balanced), metric)
		}
		Default(at, "trainer.validation_metric", &b.Trainer.ValidationMetric, metric)
	}
	b.searchDefaults(at)
	for i := range b.Evaluation.Gates {
		g := &b.Evaluation.Gates[i]
		judge := "value"
		if g.Versus != "" {
			judge = "interval"
		}
		Default(at.in("evaluation.gates").item(i), "judge_by", &g.JudgeBy, judge)
	}
	Default(at, "registry.model", &b.Registry.Model, pipeline)
	Default(at, "registry.alias", &b.Registry.Alias, thalweg.DefaultAlias)
	if r := b.Rollout; r != nil && r.Strategy != Immediate {
		steps := []int{5, 25, 100}
		if r.Strategy == Shadow {
			steps = []int{100}
		}
		DefaultList(at, "rollout.steps", &r.Steps, steps...)
		DefaultList(at, "rollout.rollback_if", &r.RollbackIf, "error_rate_increase > 1%", "psi(score) > 0.25")
	}
	if s := b.Scoring; s != nil && s.Sink.Kafka != nil && b.Sources.Events != nil {
		Default(at.in("scoring.sink.kafka"), "connection", &s.Sink.Kafka.Connection, b.Sources.Events.Connection)
	}
	if s := b.Scoring; s != nil && s.DeadLetter.Delivery() != nil && b.Sources.Events != nil {
		Default(at.in("scoring.dead_letter").in(s.DeadLetter.Topic.Name), "connection", &s.DeadLetter.Delivery().Connection, b.Sources.Events.Connection)
	}
}

// defaultPatience is the early_stop of most models: three evaluations without improvement are rarely
// followed by one with.
const defaultPatience = 3

// anneals gives a model the scheduler that it has by default, unless the spec names one, the
// optimizer has none, or noise ends training where its budget does; and reports whether it did.
func (b *Body) anneals(at Place) bool {
	m, ok := b.Model.Options.(Annealed)
	if !ok || !at.in("trainer").Omits("learning_rate_scheduler") || b.Trainer.Privacy != nil {
		return false
	}
	if r, ok := b.Trainer.Optimizer.Options.(Restricted); ok && r.Without()["learning_rate_scheduler"] != "" {
		return false
	}
	at.found.catalog.choose(Schedulers, m.Scheduler(), "", &b.Trainer.LearningRateScheduler)
	return true
}

// The values that missing ones get. That of a category, as in Ludwig, has an id
// of its own where training met missing values, else that of the unknown.
const (
	defaultCategoryFill = "<MISSING>"
	defaultNumberFill   = 0.0
)

func (b *Body) featureDefaults(at Place) {
	n, c := &b.Defaults.Number, &b.Defaults.Category
	catalog := at.found.catalog
	number, _ := b.encoder(at, inputNumber)
	n.inherit(at.in("defaults.number"), FeatureOptions{MissingValueStrategy: catalog.defaultFor(MissingValues, inputNumber),
		Normalization: "zscore", Encoder: number}, defaultNumberFill)
	// 10,000 values are more than a linear model learns from most columns, and
	// their weights fit the second-level cache.
	category, most := b.encoder(at, inputCategory)
	most, least := cmp.Or(most, 10_000), 1
	c.inherit(at.in("defaults.category"), FeatureOptions{MissingValueStrategy: catalog.defaultFor(MissingValues, inputCategory),
		MostCommon: &most, MinCount: &least, Encoder: category}, defaultCategoryFill)
	for i := range b.InputFeatures {
		in, at := &b.InputFeatures[i], at.in("input_features").item(i)
		switch in.Type {
		case inputNumber:
			in.inherit(at, *n, defaultNumberFill)
		case inputCategory:
			in.inherit(at, *c, defaultCategoryFill)
		case inputList: // of numbers
			of := *n
			switch of.Encoder.Options.(type) { // elements have their own
			case Binner:
				of.MissingValueStrategy, of.Normalization = catalog.defaultFor(MissingValues, inputList), "zscore"
			case Cyclic:
				of.Normalization = "zscore"
			}
			of.MissingIndicator = false
			of.Encoder, _ = b.encoder(at, inputList)
			in.inherit(at, of, defaultNumberFill)
		case inputText, inputSet: // a missing one has no terms
			encoder, _ := b.encoder(at, in.Type)
			in.inherit(at, FeatureOptions{MissingValueStrategy: catalog.defaultFor(MissingValues, in.Type), Encoder: encoder}, nil)
		}
	}
}

// encoder returns the encoder of a type of feature that the model wants, or that
// comes first in the catalog, and how many values of a category it wants.
func (b *Body) encoder(at Place, kind string) (c Choice, mostCommon int) {
	name := ""
	if m, ok := b.Model.Options.(FeatureDefaulter); ok {
		name, mostCommon = m.FeatureDefaults(kind)
	}
	at.found.catalog.choose(Encoders, cmp.Or(name, at.found.catalog.defaultFor(Encoders, kind)), "", &c)
	return c, mostCommon
}

// elements returns how many elements a shape has: 0 without one, and where it is none.
func elements(shape []int) int {
	n := min(len(shape), 1)
	for _, d := range shape {
		if d < 1 || d > MaxListLength || n > MaxListLength {
			return 0
		}
		n *= d
	}
	return n
}

// inherit fills the options of a feature from those of its type. A fill value
// goes with fill_with_const, and is inherited with it.
func (o *FeatureOptions) inherit(at Place, from FeatureOptions, fillValue any) {
	if o.Encoder.Name == "" {
		o.Encoder = from.Encoder
	}
	if _, bins := o.Encoder.Options.(Binner); bins && from.MissingValueStrategy == at.found.catalog.defaultFor(MissingValues, inputNumber) {
		from.MissingValueStrategy = ownBin
		from.Normalization = noNormalization
	}
	if _, circle := o.Encoder.Options.(Cyclic); circle {
		from.Normalization = noNormalization
	}
	if n := elements(o.Shape); n > 0 && n <= MaxListLength {
		Default(at, "length", &o.Length, &n)
	}
	Default(at, "missing_value_strategy", &o.MissingValueStrategy, from.MissingValueStrategy)
	if _, bins := o.Encoder.Options.(Binner); !bins && o.MissingValueStrategy != dropRow {
		Default(at, "missing_indicator", &o.MissingIndicator, from.MissingIndicator)
	}
	if o.MissingValueStrategy == fillWithConst && o.FillValue == nil {
		if o.FillValue = from.FillValue; o.FillValue == nil {
			o.FillValue = fillValue
		}
	}
	Default(at, "normalization", &o.Normalization, from.Normalization)
	if _, hashed := o.Encoder.Options.(Hasher); hashed {
		return // every value has an id
	}
	Default(at, "most_common", &o.MostCommon, from.MostCommon)
	Default(at, "min_count", &o.MinCount, from.MinCount)
}

// Check implements Checker.
func (d *FeatureDefaults) Check(at Place) {
	d.Number.check(at.in("number"), inputNumber)
	d.Category.check(at.in("category"), inputCategory)
}

// Check implements Checker.
func (f *InputFeature) Check(at Place) {
	switch given := len(f.Columns) > 0 || !at.Omits("columns"); {
	case !given && f.Name == "" && at.Omits("name") &&
		!slices.Contains(at.found.meant, at.at("name")) && !slices.Contains(at.found.meant, at.at("columns")):
		at.Problem("name", "", "the field is missing")
	case given && (f.Name != "" || f.Expression != ""):
		at.Problem("columns", "", "a feature has columns, or a name or an expression, not both")
	case given && len(f.Columns) == 0:
		at.Problem("columns", "", "the list is empty")
	}
	f.FeatureOptions.check(at, f.Type)
}

// check applies the rules of options to those of a feature of a type.
func (o FeatureOptions) check(at Place, kind string) {
	allowed := at.found.catalog.namesFor(MissingValues, kind)
	if allowed == nil {
		return
	}
	if !slices.Contains(allowed, o.MissingValueStrategy) {
		at.Problem("missing_value_strategy", oneOf(allowed), "a %s has no %s", kind, o.MissingValueStrategy)
	}
	if o.FillValue != nil && o.MissingValueStrategy != fillWithConst {
		at.Problem("fill_value", "", "the value has no meaning with %s", o.MissingValueStrategy)
	}
	if e, ok := o.Encoder.Options.(Typed); ok && e.For() != kind {
		at.Problem("encoder.type", "it has "+strings.Join(at.found.catalog.namesFor(Encoders, kind), ", "), "a %s has no encoder %s", kind, o.Encoder.Name)
	}
	_, bins := o.Encoder.Options.(Binner)
	switch {
	case !o.MissingIndicator && at.Omits("missing_indicator"):
	case kind != inputNumber:
		at.Problem("missing_indicator", "", "a %s has no missing_indicator", kind)
	case bins && o.MissingIndicator:
		at.Problem("missing_indicator", "leave it out", "a missing number has a bin of its own")
	case o.MissingValueStrategy == dropRow && o.MissingIndicator:
		at.Problem("missing_indicator", "leave it out", "rows without the number are dropped")
	}
	if kind != inputList && o.Length != nil {
		at.Problem("length", "", "a %s has no length", kind)
	}
	if kind != inputList && o.Shape != nil {
		at.Problem("shape", "", "a %s has no shape", kind)
	} else if n := elements(o.Shape); o.Shape != nil && (n < 1 || n > MaxListLength) {
		at.Problem("shape", "", "%v has a dimension below 1, or more than %d elements in all", o.Shape, MaxListLength)
	} else if o.Shape != nil && o.Length != nil && *o.Length != n {
		at.Problem("length", "leave it out", "a list of shape %v has %d elements, not %d", o.Shape, n, *o.Length)
	}
	if _, hashed := o.Encoder.Options.(Hasher); hashed && (o.MostCommon != nil || o.MinCount != nil) {
		at.Problem("encoder.type", "leave most_common and min_count out", "every value has an id where they are hashed")
	}
	if kind == inputCategory || kind == inputText || kind == inputSet {
		if o.Normalization != "" {
			at.Problem("normalization", "", "a %s has no normalization", kind)
		}
		if kind != inputCategory {
			at.countless(o, kind)
		}
		if _, isFloat := o.FillValue.(float64); isFloat {
			at.Problem("fill_value", "put it in quotes", "a string or a whole number belongs here, not %v", o.FillValue)
		}
		return
	}
	entry, known := at.found.catalog.find(Normalizations, o.Normalization)
	_, circle := o.Encoder.Options.(Cyclic)
	switch {
	case bins && o.Normalization != noNormalization:
		at.Problem("normalization", "leave it out", "bins of a number need no normalization")
	case circle && o.Normalization != noNormalization:
		at.Problem("normalization", "leave it out", "a number on a circle needs no normalization")
	case known && !slices.Contains(typesOf(entry.Options), kind):
		at.Problem("normalization", "write normalization: zscore", "the elements of a list have no normalization %s", o.Normalization)
	case !bins && o.MissingValueStrategy == ownBin:
		at.Problem("missing_value_strategy", "write encoder: {type: bins}", "a missing number has a bin of its own only where numbers are binned")
	}
	switch o.FillValue.(type) {
	case string, bool:
		at.Problem("fill_value", "", "a number belongs here, not %v", o.FillValue)
	}
	at.countless(o, kind)
}

// countless refuses what goes by the counts of values.
func (p Place) countless(o FeatureOptions, kind string) {
	if o.MostCommon != nil {
		p.Problem("most_common", "", "a %s has no most_common", kind)
	}
	if o.MinCount != nil {
		p.Problem("min_count", "", "a %s has no min_count", kind)
	}
}

// without reports whether a part of the spec has neither defaults nor rules, as nothing is
// trained.
func (b *Body) without(field string) bool {
	return !b.trains() && slices.Contains(modelHalf, field)
}
