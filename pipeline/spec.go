// Package pipeline is the user's document and what it means: Spec is the YAML
// as decoded, Render writes every default out, Compile binds it to a schema
// and yields a Plan, and Op is the form of one cleaning step. The children
// carry the plan out: pipeline/clean, pipeline/split, pipeline/feature,
// pipeline/event, pipeline/model, pipeline/optim and pipeline/artifact.
package pipeline

import (
	"fmt"
	"slices"
	"time"

	"github.com/thalweg/thalweg/pipeline/rollout"
	"github.com/thalweg/thalweg/pipeline/table"
)

// Spec is one pipeline document, apiVersion thalweg/v1. It holds what this
// build can fulfil; fields of the format beyond that are refused by name when
// the text is read, never ignored.
type Spec struct {
	// APIVersion is the version of the form of specs.
	APIVersion string `yaml:"apiVersion" json:"apiVersion" jsonschema:"enum=thalweg/v1"`
	// Kind says what the document is.
	Kind string `yaml:"kind" json:"kind" jsonschema:"enum=Pipeline"`
	// Metadata names the pipeline.
	Metadata Metadata `yaml:"metadata" json:"metadata"`
	// Spec says what is trained, and what is scored with it.
	Spec Body `yaml:"spec" json:"spec"`

	catalog Catalog
	source  *source
}

// Metadata names the pipeline.
type Metadata struct {
	// Name is 1 to 63 lower-case letters, digits and hyphens, as a DNS label.
	Name string `yaml:"name" json:"name" jsonschema:"pattern=^[a-z0-9]([-a-z0-9]{0\\,61}[a-z0-9])?$" means:"a name has lower-case letters, digits, and '-' between them, at most 63"`
	// Labels are for people; nothing depends on them.
	Labels map[string]string `yaml:"labels,omitempty" json:"labels,omitempty"`
}

// Optimizer returns what the model is trained by: of one that a single algorithm trains, that
// algorithm, else what the spec chooses.
func (s *Spec) Optimizer() Choice {
	chosen := s.Spec.Trainer.Optimizer
	if m, ok := s.Spec.Model.Options.(Trained); ok && chosen.Name != m.TrainedBy() {
		s.catalog.choose(Optimizers, m.TrainedBy(), "", &chosen)
	}
	return chosen
}

// Entries returns the entries of a kind in the catalog that the spec was read
// with.
func (s *Spec) Entries(kind Kind) []Entry { return s.catalog[kind] }

// EventSchema says where the schema of events is, as EventFormat.Schema does.
func (s *Spec) EventSchema() (file, registry string) {
	if e := s.Spec.Sources.Events; e != nil {
		if f, ok := e.Format.Options.(EventFormat); ok {
			return f.Schema()
		}
	}
	return "", ""
}

// SchemaFile returns the path of the schema of events, empty if the spec names
// none.
func (s *Spec) SchemaFile() string { file, _ := s.EventSchema(); return file }

// SchemaRegistry returns the connection of the registry that has the schemas of
// events, empty if the spec names none.
func (s *Spec) SchemaRegistry() string { _, registry := s.EventSchema(); return registry }

// Body is the spec proper.
type Body struct {
	// Sources are where rows and events come from.
	Sources Sources `yaml:"sources" json:"sources"`
	// Schema declares columns; without it those of the training files count.
	Schema *SchemaSpec `yaml:"schema,omitempty" json:"schema,omitempty"`
	// Lookups are small tables that rows are joined to by a key. Their rows are read when
	// a run begins, and are part of the version that it trains: events are joined to the
	// same ones.
	Lookups []LookupTable `yaml:"lookups,omitempty" json:"lookups,omitempty"`
	// Tests are data quality tests of the rows that cleaning leaves.
	Tests []DataTest `yaml:"tests,omitempty" json:"tests,omitempty" jsonschema:"maxItems=100"`
	// Preprocessing says how rows are cleaned and split.
	Preprocessing Preprocessing `yaml:"preprocessing,omitempty" json:"preprocessing,omitempty"`
	// Defaults are options of all input features of a type.
	Defaults FeatureDefaults `yaml:"defaults,omitempty" json:"defaults,omitempty"`
	// InputFeatures are what the model sees.
	InputFeatures []InputFeature `yaml:"input_features,omitempty" json:"input_features,omitempty" jsonschema:"minItems=1"`
	// Crosses combine input features: [[origin, weekday], …] by name, or pairs for every
	// two categories. Each combination of values has a weight, by its hash.
	Crosses Crosses `yaml:"crosses,omitempty" json:"crosses,omitempty"`
	// OutputFeatures are what the model learns: one.
	OutputFeatures []OutputFeature `yaml:"output_features,omitempty" json:"output_features,omitempty" jsonschema:"minItems=1"`
	// Model chooses the kind of model.
	Model Choice `yaml:"model,omitempty" json:"model,omitempty" catalog:"models" default:"linear"`
	// Trainer says how the model is trained.
	Trainer Trainer `yaml:"trainer,omitempty" json:"trainer,omitempty"`
	// Search looks for the values of fields with which the model is best. Default: the spec
	// is trained as it stands.
	Search *SearchSpec `yaml:"search,omitempty" json:"search,omitempty"`
	// Evaluation says how a version is judged.
	Evaluation Evaluation `yaml:"evaluation,omitempty" json:"evaluation,omitempty"`
	// Registry says where trained models go.
	Registry Registry `yaml:"registry,omitempty" json:"registry,omitempty"`
	// Scoring is the stream half: events scored with the newest champion.
	Scoring *Scoring `yaml:"scoring,omitempty" json:"scoring,omitempty"`
	// Serving is a service that answers for rows over HTTP and gRPC, as the stream half scores
	// events. Default: none.
	Serving *Serving `yaml:"serving,omitempty" json:"serving,omitempty"`
	// Monitoring is how the stream half is watched, and who is told.
	Monitoring *Monitoring `yaml:"monitoring,omitempty" json:"monitoring,omitempty"`
	// Rollout is how a version that passes its gates takes over from the champion, in the stream
	// and in the service. Default: at once.
	Rollout *Rollout `yaml:"rollout,omitempty" json:"rollout,omitempty"`
	// Output is where cleaned rows go, as a table: a pipeline with it has no features and no
	// model, and its runs end once the rows are written. They are those of the training data
	// after all cleaning steps that apply to training. Steps that learn learn from the rows
	// that preprocessing.split has for training; without it, from all.
	Output *Output `yaml:"output,omitempty" json:"output,omitempty"`
	// Schedule is when runs start by themselves. Default: when somebody asks for one.
	Schedule *Schedule `yaml:"schedule,omitempty" json:"schedule,omitempty"`
	// Resources are what its runs need. Default: any worker will do.
	Resources *Resources `yaml:"resources,omitempty" json:"resources,omitempty"`
}

// Trains reports whether a run trains a model; else it writes a table of cleaned rows.
func (s *Spec) Trains() bool { return s.Spec.trains() }

func (b *Body) trains() bool { return b.Output == nil }

// Resources are what a pipeline's runs need.
type Resources struct {
	// Worker is what they need of each worker.
	Worker WorkerResources `yaml:"worker,omitempty" json:"worker,omitempty"`
	// MaxWorkers is on how many workers at once a run of the pipeline may have tasks. Others
	// are left to the runs of other pipelines. Default: as many as there are.
	MaxWorkers int `yaml:"max_workers,omitempty" json:"max_workers,omitempty" jsonschema:"minimum=1,maximum=1024"`
}

// WorkerResources are what the runs of a pipeline need of a worker.
type WorkerResources struct {
	// Memory is what they need of a worker's memory. A worker takes tasks of runs only as
	// long as all pipelines that it works for fit into its memory together. Default: any
	// worker will do.
	Memory ByteSize `yaml:"memory,omitempty" json:"memory,omitempty" jsonschema:"minimum=1"`
}

// SchemaSpec declares columns.
type SchemaSpec struct {
	// Timezone is where timestamps without a zone were written down, and the one
	// that hour(…), day(…) and their like read. Default UTC.
	Timezone string `yaml:"timezone,omitempty" json:"timezone,omitempty" default:"UTC"`
	// EventTime names a timestamp column, as cleaning leaves it, that the windows of
	// monitoring go by. Default: the time that Kafka has of an event.
	EventTime string `yaml:"event_time,omitempty" json:"event_time,omitempty" jsonschema:"minLength=1"`
	// PIIKey names the key that columns with pii: hash are hashed with, which an operator
	// registers among the connections (pii-2026: {key: {secret: {file: …}}}). Another secret
	// is another key of another name: a change trains anew. Default pii, where a column is
	// hashed.
	PIIKey string `yaml:"pii_key,omitempty" json:"pii_key,omitempty" jsonschema:"minLength=1"`
	// Columns are those used, of the training files and of the events; others
	// are left out.
	Columns []ColumnSpec `yaml:"columns,omitempty" json:"columns,omitempty"`
}

// ColumnSpec declares one column.
type ColumnSpec struct {
	// Name is the column's name in the files and events. In JSON a name with dots, as
	// address.city, is that of a field, or a path: the field city of the object address;
	// with more than 10 dots, that of a field only. Expressions write it in backticks.
	Name string `yaml:"name" json:"name" jsonschema:"minLength=1"`
	// Type is that of the files' column.
	Type table.Type `yaml:"type" json:"type"`
	// Nullable says whether values may be missing. Default true.
	Nullable *bool `yaml:"nullable,omitempty" json:"nullable,omitempty" default:"true"`
	// From says what of the record around an event fills the column: key,
	// header:NAME, timestamp, offset or partition. Training reads the column of
	// this name. Default: the field of this name in the event.
	From string `yaml:"from,omitempty" json:"from,omitempty" jsonschema:"pattern=^(key|timestamp|offset|partition|header:.+)$" means:"key, timestamp, offset, partition or header:NAME"`
	// AvailableIn is [training] for a column that events do not have. Default
	// [training, scoring].
	AvailableIn []Phase `yaml:"available_in,omitempty" json:"available_in,omitempty" default:"[training, scoring]"`
	// PII is for values that tell who somebody is. They stay in the reader, in training
	// and scoring, whatever becomes of the row: drop leaves the column out; hash makes
	// each value 32 hex digits of HMAC-SHA256 by pii_key, the same for the same value, of
	// integers and times too; mask keeps the shape of a text (x for a letter, 9 for a
	// digit, of 32 characters at most). Dead letters and rejected rows have no raw bytes
	// then.
	PII string `yaml:"pii,omitempty" json:"pii,omitempty" jsonschema:"enum=drop,enum=hash,enum=mask"`
}

// Protected is the columns of data as they may leave their reader: where columns have
// pii, those that are declared.
func (s *SchemaSpec) Protected(have table.Schema) table.Schema {
	if !s.Private() {
		return have
	}
	out := have
	out.Columns = nil
	for _, c := range have.Columns {
		i := slices.IndexFunc(s.Columns, func(d ColumnSpec) bool { return d.Name == c.Name })
		if i >= 0 && s.Columns[i].PII != table.PIIDrop {
			out.Columns = append(out.Columns, s.Columns[i].protect(c))
		}
	}
	return out
}

// protect is a column as it may leave its reader.
func (c *ColumnSpec) protect(of table.Column) table.Column {
	if of.PII = c.PII; c.PII == table.PIIHash && of.Type != table.String {
		of.Type, of.Raw = table.String, of.Type
	}
	return of
}

// KeyName is the name of the key that columns are hashed with, "" if none is.
func (s *SchemaSpec) KeyName() string {
	if s == nil || !slices.ContainsFunc(s.Columns, func(c ColumnSpec) bool { return c.PII == table.PIIHash }) {
		return ""
	}
	return s.PIIKey
}

// HidesValues reports whether no error may show a value of a row: columns have pii, or the
// training is private.
func (s *Spec) HidesValues() bool { return s.Spec.Schema.Private() || s.NoiseKey() != "" }

// Private reports whether columns have values that must not leave their reader.
func (s *SchemaSpec) Private() bool {
	return s != nil && slices.ContainsFunc(s.Columns, func(c ColumnSpec) bool { return c.PII != "" })
}

// maxServingDelay bounds serving.max_delay.
const maxServingDelay = time.Second

// Serving is the service of a pipeline: workers that answer for rows with the version that
// registry.alias names, over the Open Inference Protocol and POST /v1/score. Coordinators pass
// requests on to them.
type Serving struct {
	// Enabled: there is a service.
	Enabled bool `yaml:"enabled" json:"enabled"`
	// Workers is how many workers answer; no more than there are.
	Workers int `yaml:"workers,omitempty" json:"workers,omitempty" jsonschema:"minimum=1,maximum=64" default:"2"`
	// MaxBatch is how many rows are scored at once, at most.
	MaxBatch int `yaml:"max_batch,omitempty" json:"max_batch,omitempty" jsonschema:"minimum=1,maximum=65536" default:"256"`
	// MaxDelay is how long rows wait for those of requests that have begun, at most.
	MaxDelay Duration `yaml:"max_delay,omitempty" json:"max_delay,omitempty" jsonschema:"minimum=0" default:"1ms"`
	// RateLimit bounds what one client may ask of each coordinator.
	RateLimit RateLimit `yaml:"rate_limit,omitempty" json:"rate_limit,omitempty"`
}

// RateLimit bounds how often somebody is served. What a second allows may come at once.
type RateLimit struct {
	// RequestsPerSecond is how many requests of one client are answered; others are refused
	// with 429, and when to come again.
	RequestsPerSecond float64 `yaml:"requests_per_second,omitempty" json:"requests_per_second,omitempty" jsonschema:"exclusiveMinimum=0,maximum=1000000" default:"2000"`
	// By says what counts as one: a client is a token or a certificate, an address where
	// nobody has to say who it is.
	By string `yaml:"by,omitempty" json:"by,omitempty" jsonschema:"enum=client" default:"client"`
}

// The values of rollout.strategy and rollout.on_inconclusive.
const (
	Shadow    = "shadow"
	Canary    = "canary"
	Immediate = "immediate"
	Hold      = "hold"
	Promote   = "promote"
	Abort     = "abort"
)

// Rollout is how a version that passes its gates takes over from the champion: it scores a
// share of the rows, is judged beside the champion at the end of each interval, and gets a
// larger share or none.
type Rollout struct {
	// Strategy: canary answers for its share of the rows; shadow scores them beside the
	// champion, which answers, and its answers are columns named _shadow_; immediate takes over
	// at once.
	Strategy string `yaml:"strategy,omitempty" json:"strategy,omitempty" jsonschema:"enum=shadow,enum=canary,enum=immediate" default:"canary"`
	// Steps are the shares in percent, one after the other. After the last, and for a canary at
	// 100, the version is promoted. Default [5, 25, 100] of a canary, [100] of a shadow.
	Steps []int `yaml:"steps,omitempty" json:"steps,omitempty" jsonschema:"minItems=1,maxItems=16" default:"[5, 25, 100]"`
	// By is the column of events by whose hash a row is of one or the other: rows with the same
	// value go together. Default: the record's key or, without one, its place in the topic; of
	// a row that somebody asks about, the row itself.
	By string `yaml:"by,omitempty" json:"by,omitempty"`
	// Interval is how long rows are counted before they are judged.
	Interval Duration `yaml:"interval,omitempty" json:"interval,omitempty" jsonschema:"minimum=0" default:"10m"`
	// MinRows is how many rows of each version a verdict needs.
	MinRows int `yaml:"min_rows,omitempty" json:"min_rows,omitempty" jsonschema:"minimum=1" default:"1000"`
	// FailureLimit is the bad verdict that ends the rollout.
	FailureLimit int `yaml:"failure_limit,omitempty" json:"failure_limit,omitempty" jsonschema:"minimum=1,maximum=100" default:"2"`
	// OnInconclusive is what becomes of a version of which too little is known, or nothing for
	// certain: hold waits for more rows, or somebody; promote goes on to the next step; abort
	// gives it up.
	OnInconclusive string `yaml:"on_inconclusive,omitempty" json:"on_inconclusive,omitempty" jsonschema:"enum=hold,enum=promote,enum=abort" default:"hold"`
	// RollbackIf are the conditions of which one makes a verdict bad: METRIC > BOUND. The
	// metrics are error_rate (dead letters and errors of the version, of its rows),
	// error_rate_increase (by how much that is more than the champion's), psi(score) (how far
	// its scores are from the champion's), score_shift (how far the means of their scores are
	// apart), latency_p99 (within which 99 % of the rows were scored with their batch) and
	// latency_ratio (that, of the champion's). Default ["error_rate_increase > 1%",
	// "psi(score) > 0.25"].
	RollbackIf []string `yaml:"rollback_if,omitempty" json:"rollback_if,omitempty" jsonschema:"maxItems=16"`
}

// Conditions are those of rollback_if, which were checked.
func (r *Rollout) Conditions() (all []rollout.Condition) {
	for _, text := range r.RollbackIf {
		if c, err := rollout.ParseCondition(text); err == nil {
			all = append(all, c)
		}
	}
	return all
}

// minRolloutInterval is what counts of workers need to come together, and minDecisiveInterval
// where their absence decides.
const (
	minRolloutInterval  = Duration(time.Second)
	minDecisiveInterval = Duration(10 * time.Second)
)

// check checks what the fields say together.
func (r *Rollout) check(at Place, schema *SchemaSpec) {
	last := 0
	for i, step := range r.Steps {
		if step <= last || step > 100 {
			at.Problem(fmt.Sprintf("steps[%d]", i), "shares in percent that rise, up to 100", "%d after %d", step, last)
		}
		last = step
	}
	if r.Interval < minRolloutInterval {
		at.Problem("interval", "1s or more", "workers tell what they have counted a few times a second")
	}
	if r.OnInconclusive != Hold && r.Interval >= minRolloutInterval && r.Interval < minDecisiveInterval {
		at.Problem("interval", "10s or more, or on_inconclusive: hold", "on_inconclusive: %s would act before workers have told anything", r.OnInconclusive)
	}
	for i, text := range r.RollbackIf {
		if _, err := rollout.ParseCondition(text); err != nil {
			at.Problem(fmt.Sprintf("rollback_if[%d]", i), "", "%v", err)
		}
	}
	if r.By == "" || schema == nil || len(schema.Columns) == 0 {
		return
	}
	i := slices.IndexFunc(schema.Columns, func(c ColumnSpec) bool { return c.Name == r.By })
	switch {
	case i < 0:
		at.Problem("by", "a column of spec.schema.columns", "there is no column %s", r.By)
	case len(schema.Columns[i].AvailableIn) > 0 && !slices.Contains(schema.Columns[i].AvailableIn, InScoring):
		at.Problem("by", "a column that events have", "%s is available in training only", r.By)
	case schema.Columns[i].PII == table.PIIDrop:
		at.Problem("by", "another column, or pii: hash", "the values of %s are dropped", r.By)
	}
}
