package pipeline

import (
	"fmt"
	"reflect"
	"time"

	"github.com/thalweg/thalweg"
)

// The defaults of a spec are in this file, each with its reason.

// defaultChoices are the entries that are chosen where a spec names none.
var defaultChoices = map[Kind]string{
	Models: "linear",
	// Adam needs the least tuning of its rate over features of unlike scales.
	Optimizers: "adam",
}

// WithDefaults returns a copy of s with every default filled in. A zero that
// the text has which s was read from stays; in a spec made by hand zero is not
// set.
func WithDefaults(s *Spec) *Spec {
	out := clone(reflect.ValueOf(s)).Interface().(*Spec)
	out.source, out.catalog = s.source, s.catalog
	filler{Place{found: &diagnostics{source: s.source, catalog: s.catalog}}}.body(&out.Spec, out.Metadata.Name)
	return out
}

// filler fills defaults into what the text has not set.
type filler struct{ Place }

func (f filler) body(b *Body, name string) {
	if b.Schema == nil {
		b.Schema = &SchemaSpec{}
	}
	// Timestamps without a zone are most often UTC.
	Default(f.Place, "spec.schema.timezone", &b.Schema.Timezone, "UTC")
	for i := range b.Schema.Columns {
		c := &b.Schema.Columns[i]
		DefaultPointer(&c.Nullable, true)
		DefaultList(f.Place, fmt.Sprintf("spec.schema.columns[%d].available_in", i), &c.AvailableIn, InTraining, InScoring)
	}
	f.choice("spec.sources.train.format", DatasetFormats, "", &b.Sources.Train.Format)
	if b.Sources.Events != nil {
		f.events(b.Sources.Events, name)
	}
	for i := range b.Preprocessing.Clean {
		f.step(&b.Preprocessing.Clean[i], fmt.Sprintf("spec.preprocessing.clean[%d]", i))
	}
	Default(f.Place, "spec.preprocessing.split.type", &b.Preprocessing.Split.Type, "random")
	// Enough for both judgements of a small table.
	DefaultList(f.Place, "spec.preprocessing.split.probabilities", &b.Preprocessing.Split.Probabilities, 0.7, 0.15, 0.15)
	f.features(b)
	output := ""
	for i := range b.OutputFeatures {
		o := &b.OutputFeatures[i]
		if output = o.Type; output == outputBinary && o.Threshold == nil {
			o.Threshold = 0.5 // the likelier answer
		}
		f.choice(fmt.Sprintf("spec.output_features[%d].loss", i), Losses, f.found.catalog.defaultFor(Losses, o.Type), &o.Loss)
	}
	f.choice("spec.model", Models, defaultChoices[Models], &b.Model)
	f.trainer(&b.Trainer, output)
	Default(f.Place, "spec.registry.model", &b.Registry.Model, name)
	Default(f.Place, "spec.registry.alias", &b.Registry.Alias, thalweg.DefaultAlias)
	if b.Scoring != nil {
		f.scoring(b.Scoring, b.Sources.Events)
	}
}

func (f filler) events(s *EventSource, pipeline string) {
	const path = "spec.sources.events."
	if r := s.Reading(); r != nil {
		at := f.in(path + s.Stream.Name)
		Default(at, "consumer_group", &r.ConsumerGroup, "thalweg-"+pipeline)
		// All that is there, until the stream has a log of its own.
		Default(at, "start_offset", &r.StartOffset, "earliest")
		// Lost events are a fault that someone should know of.
		Default(at, "on_offset_out_of_range", &r.OnOffsetOutOfRange, "fail")
		f.choice(at.path, Streams, "", &s.Stream)
	}
	f.choice(path+"format", EventFormats, "", &s.Format)
}

// step fills in the defaults of an operator. A step applies to both phases
// unless its operator says otherwise.
func (f filler) step(c *CleanStep, path string) {
	step, ok := c.Options.(StepSpec)
	if !ok {
		return
	}
	at := f.in(path).in(c.Name)
	if o, ok := step.(Defaulter); ok {
		o.Defaults(at)
	}
	DefaultList(at, "apply_to", &step.Phases().ApplyTo, InTraining, InScoring)
}

// choice chooses an entry by default where the spec names none, and fills in the
// defaults of the options.
func (f filler) choice(path string, kind Kind, name string, c *Choice) {
	if c.Name == "" && !f.found.source.has(path+"."+c.key()) {
		f.found.catalog.choose(kind, name, c)
	}
	if o, ok := c.Options.(Defaulter); ok {
		o.Defaults(f.in(path))
	}
}

// The values that missing ones get. That of a category, as in Ludwig, has an id
// of its own where training met missing values, else that of the unknown.
const (
	defaultCategoryFill = "<MISSING>"
	defaultNumberFill   = 0.0
)

func (f filler) features(b *Body) {
	n, c := &b.Defaults.Number, &b.Defaults.Category
	f.options(n, "spec.defaults.number", FeatureOptions{MissingValueStrategy: fillWithMean, Normalization: "zscore",
		Encoder: f.encoder(inputNumber)}, defaultNumberFill)
	// 10,000 values are more than a linear model learns from most columns, and
	// their weights fit the second-level cache.
	most, least := 10_000, 1
	f.options(c, "spec.defaults.category", FeatureOptions{MissingValueStrategy: fillWithConst, MostCommon: &most, MinCount: &least,
		Encoder: f.encoder(inputCategory)}, defaultCategoryFill)
	for i := range b.InputFeatures {
		in, path := &b.InputFeatures[i], fmt.Sprintf("spec.input_features[%d]", i)
		switch in.Type {
		case inputNumber:
			f.options(&in.FeatureOptions, path, *n, defaultNumberFill)
		case inputCategory:
			f.options(&in.FeatureOptions, path, *c, defaultCategoryFill)
		}
	}
}

// encoder returns the encoder of a type of feature that comes first in the
// catalog.
func (f filler) encoder(kind string) (c Choice) {
	f.found.catalog.choose(Encoders, f.found.catalog.defaultFor(Encoders, kind), &c)
	return c
}

// options fills the options of a feature from those of its type. A fill value
// goes with fill_with_const, and is inherited with it.
func (f filler) options(o *FeatureOptions, path string, from FeatureOptions, fillValue any) {
	Default(f.Place, path+".missing_value_strategy", &o.MissingValueStrategy, from.MissingValueStrategy)
	if o.MissingValueStrategy == fillWithConst && o.FillValue == nil {
		if o.FillValue = from.FillValue; o.FillValue == nil {
			o.FillValue = fillValue
		}
	}
	Default(f.Place, path+".normalization", &o.Normalization, from.Normalization)
	if from.MostCommon != nil {
		DefaultPointer(&o.MostCommon, *from.MostCommon)
	}
	if from.MinCount != nil {
		DefaultPointer(&o.MinCount, *from.MinCount)
	}
	if o.Encoder.Name == "" {
		o.Encoder = clone(reflect.ValueOf(from.Encoder)).Interface().(Choice)
	}
	f.choice(path+".encoder", Encoders, "", &o.Encoder)
}

func (f filler) trainer(t *Trainer, output string) {
	const path = "spec.trainer."
	// As in Ludwig and TFX: a fixed seed, so that the same spec gives the same
	// model.
	Default(f.Place, path+"seed", &t.Seed, 42)
	f.choice(path+"optimizer", Optimizers, defaultChoices[Optimizers], &t.Optimizer)
	// Small enough for many steps on a small table, large enough that the kernels
	// run at the speed of memory.
	Default(f.Place, path+"batch_size", &t.BatchSize, 1024)
	// Early stopping ends large tables' training after a few; a small one cut into
	// eight replicas needs this many to make enough steps.
	Default(f.Place, path+"epochs", &t.Epochs, 20)
	// Three evaluations without improvement are rarely followed by one.
	Default(f.Place, path+"early_stop", &t.EarlyStop, 3)
	Default(f.Place, path+"validation_metric", &t.ValidationMetric, f.found.catalog.defaultFor(Metrics, output))
	// Enough to keep weights of rare categories finite, too little to be seen in
	// the metrics.
	Default(f.Place, path+"regularization.l2", &t.Regularization.L2, 1e-5)
	// Eight replicas keep eight workers busy, and averages of eight still learn
	// nearly as fast as one stream.
	Default(f.Place, path+"distributed.replicas", &t.Distributed.Replicas, 8)
	// An average costs about a millisecond of network; 64 steps of 1,024 rows
	// take several.
	Default(f.Place, path+"distributed.sync_every", &t.Distributed.SyncEvery, 64)
}

func (f filler) scoring(s *Scoring, events *EventSource) {
	const batching, sink = "spec.scoring.batching.", "spec.scoring.sink."
	// A batch is scored in a few milliseconds; 200 ms keep files and log records
	// few on a slow stream.
	Default(f.Place, batching+"count", &s.Batching.Count, 5000)
	Default(f.Place, batching+"byte_size", &s.Batching.ByteSize, 8<<20)
	Default(f.Place, batching+"period", &s.Batching.Period, Duration(200*time.Millisecond))
	// Half the size of snappy's files at nearly its speed.
	Default(f.Place, sink+"format.compression", &s.Sink.Format.Compression, "zstd")
	// Files of about 128 MiB are what readers of Parquet like; ten seconds bound
	// how old a scored event is when it can be queried.
	Default(f.Place, sink+"rolling.count", &s.Sink.Rolling.Count, 500_000)
	Default(f.Place, sink+"rolling.byte_size", &s.Sink.Rolling.ByteSize, 128<<20)
	Default(f.Place, sink+"rolling.period", &s.Sink.Rolling.Period, Duration(10*time.Second))
	if c := s.Sink.Compaction; c != nil {
		Default(f.Place, sink+"compaction.min_files", &c.MinFiles, 16)
		Default(f.Place, sink+"compaction.byte_size", &c.ByteSize, 128<<20)
		Default(f.Place, sink+"compaction.retention", &c.Retention, Duration(10*time.Minute))
	}
	s.Sink.Table.Key = "format"
	if names := f.found.catalog.names(TableFormats); len(names) > 0 {
		f.choice(sink+"table", TableFormats, names[0], &s.Sink.Table)
	}
	if s.DeadLetter != nil && s.DeadLetter.Kafka != nil && events != nil {
		Default(f.Place, "spec.scoring.dead_letter.kafka.connection", &s.DeadLetter.Kafka.Connection, events.Connection)
	}
}

// clone copies a value and all that it points to. Fields that are not exported
// are left zero.
func clone(v reflect.Value) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			out.Set(reflect.New(v.Type().Elem()))
			out.Elem().Set(clone(v.Elem()))
		}
	case reflect.Slice:
		if !v.IsNil() {
			out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
			for i := range v.Len() {
				out.Index(i).Set(clone(v.Index(i)))
			}
		}
	case reflect.Map:
		if !v.IsNil() {
			out.Set(reflect.MakeMapWithSize(v.Type(), v.Len()))
			for key, value := range v.Seq2() {
				out.SetMapIndex(key, value)
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				out.Field(i).Set(clone(v.Field(i)))
			}
		}
	case reflect.Interface:
		if !v.IsNil() {
			out.Set(clone(v.Elem()))
		}
	default:
		out.Set(v)
	}
	return out
}
