package pipeline

import (
	"time"

	"github.com/thalweg/thalweg/pipeline/table"
)

// Sources names the two inputs.
type Sources struct {
	Train  Source  `yaml:"train" json:"train"`
	Events *Source `yaml:"events,omitempty" json:"events,omitempty"`
}

// Source is one input: exactly one of S3 and Kafka, and its format.
type Source struct {
	Connection string       `yaml:"connection,omitempty" json:"connection,omitempty"`
	S3         *S3Location  `yaml:"s3,omitempty" json:"s3,omitempty"`
	Kafka      *KafkaSource `yaml:"kafka,omitempty" json:"kafka,omitempty"`
	Format     Format       `yaml:"format" json:"format"`
}

// S3Location is s3://bucket/key, with * in the last segment of a source.
type S3Location struct {
	Path string `yaml:"path" json:"path"`
}

// KafkaSource is a topic.
type KafkaSource struct {
	Topic              string `yaml:"topic" json:"topic"`
	ConsumerGroup      string `yaml:"consumer_group,omitempty" json:"consumer_group,omitempty"`                 // default: thalweg-<pipeline>
	StartOffset        string `yaml:"start_offset,omitempty" json:"start_offset,omitempty"`                     // earliest | latest
	OnOffsetOutOfRange string `yaml:"on_offset_out_of_range,omitempty" json:"on_offset_out_of_range,omitempty"` // fail
	IsolationLevel     string `yaml:"isolation_level,omitempty" json:"isolation_level,omitempty"`
}

// Format is how rows or events are encoded.
type Format struct {
	Type             string   `yaml:"type" json:"type"` // parquet | json
	OnUnknownField   string   `yaml:"on_unknown_field,omitempty" json:"on_unknown_field,omitempty"`
	TimestampFormats []string `yaml:"timestamp_formats,omitempty" json:"timestamp_formats,omitempty"`
	Compression      string   `yaml:"compression,omitempty" json:"compression,omitempty"` // of a sink: zstd | snappy | none
}

// SchemaSpec declares columns; without it the Parquet file's own are used.
type SchemaSpec struct {
	Timezone  string       `yaml:"timezone,omitempty" json:"timezone,omitempty"` // default UTC
	EventTime string       `yaml:"event_time,omitempty" json:"event_time,omitempty"`
	Columns   []ColumnSpec `yaml:"columns,omitempty" json:"columns,omitempty"`
}

// ColumnSpec declares one column.
type ColumnSpec struct {
	Name        string     `yaml:"name" json:"name"`
	Type        table.Type `yaml:"type" json:"type"`
	Nullable    *bool      `yaml:"nullable,omitempty" json:"nullable,omitempty"` // default true
	AvailableIn []Phase    `yaml:"available_in,omitempty" json:"available_in,omitempty"`
	PII         string     `yaml:"pii,omitempty" json:"pii,omitempty"`
}

// Preprocessing is cleaning and splitting.
type Preprocessing struct {
	Clean       []CleanStep `yaml:"clean,omitempty" json:"clean,omitempty"`
	SampleRatio *float64    `yaml:"sample_ratio,omitempty" json:"sample_ratio,omitempty"`
	Split       Split       `yaml:"split,omitempty" json:"split,omitempty"`
}

// Split says how rows become training, validation and test.
type Split struct {
	Type          string    `yaml:"type,omitempty" json:"type,omitempty"` // random | datetime
	Column        string    `yaml:"column,omitempty" json:"column,omitempty"`
	Probabilities []float64 `yaml:"probabilities,omitempty" json:"probabilities,omitempty"`
}

// CleanStep is one cleaning step: exactly one field is set, and its name is
// the operator's.
type CleanStep struct {
	Trim   *TrimStep   `yaml:"trim,omitempty" json:"trim,omitempty"`
	Case   *CaseStep   `yaml:"case,omitempty" json:"case,omitempty"`
	Filter *FilterStep `yaml:"filter,omitempty" json:"filter,omitempty"`
	Derive *DeriveStep `yaml:"derive,omitempty" json:"derive,omitempty"`
	Cast   *CastStep   `yaml:"cast,omitempty" json:"cast,omitempty"`
	Fill   *FillStep   `yaml:"fill,omitempty" json:"fill,omitempty"`
}

// TrimStep removes leading and trailing white space.
type TrimStep struct {
	Columns []string `yaml:"columns" json:"columns"`
	ApplyTo []Phase  `yaml:"apply_to,omitempty" json:"apply_to,omitempty"`
}

// CaseStep changes the case of letters: upper | lower | title.
type CaseStep struct {
	Columns []string `yaml:"columns" json:"columns"`
	To      string   `yaml:"to" json:"to"`
	ApplyTo []Phase  `yaml:"apply_to,omitempty" json:"apply_to,omitempty"`
}

// FilterStep keeps the rows for which the expression is true; null is false.
type FilterStep struct {
	Expression string  `yaml:"expression" json:"expression"`
	ApplyTo    []Phase `yaml:"apply_to,omitempty" json:"apply_to,omitempty"` // default [training]: it removes rows
}

// DeriveStep adds or replaces a column by an expression.
type DeriveStep struct {
	Column     string  `yaml:"column" json:"column"`
	Expression string  `yaml:"expression" json:"expression"`
	ApplyTo    []Phase `yaml:"apply_to,omitempty" json:"apply_to,omitempty"`
}

// CastStep changes a column's type; a value that has no form in the new type
// becomes null and is counted (on_error: null, the default) or removes the
// row (on_error: drop).
type CastStep struct {
	Column  string     `yaml:"column" json:"column"`
	Type    table.Type `yaml:"type" json:"type"`
	OnError string     `yaml:"on_error,omitempty" json:"on_error,omitempty"`
	ApplyTo []Phase    `yaml:"apply_to,omitempty" json:"apply_to,omitempty"`
}

// FillStep treats missing values of columns: fill_with_const with a value, or
// drop_row.
type FillStep struct {
	Columns  []string `yaml:"columns" json:"columns"`
	Strategy string   `yaml:"strategy" json:"strategy"`
	Value    any      `yaml:"value,omitempty" json:"value,omitempty"`
	ApplyTo  []Phase  `yaml:"apply_to,omitempty" json:"apply_to,omitempty"`
}

// FeatureDefaults are defaults by feature type.
type FeatureDefaults struct {
	Number   FeatureOptions `yaml:"number,omitempty" json:"number,omitempty"`
	Category FeatureOptions `yaml:"category,omitempty" json:"category,omitempty"`
}

// FeatureOptions are the options of an input feature; which apply depends on
// its type.
type FeatureOptions struct {
	MissingValueStrategy string   `yaml:"missing_value_strategy,omitempty" json:"missing_value_strategy,omitempty"` // number: fill_with_mean|fill_with_const|drop_row; category: fill_with_const|fill_with_mode|drop_row
	FillValue            any      `yaml:"fill_value,omitempty" json:"fill_value,omitempty"`
	Normalization        string   `yaml:"normalization,omitempty" json:"normalization,omitempty"` // zscore | minmax | log1p | none
	MostCommon           *int     `yaml:"most_common,omitempty" json:"most_common,omitempty"`
	MinCount             *int     `yaml:"min_count,omitempty" json:"min_count,omitempty"`
	Encoder              *Encoder `yaml:"encoder,omitempty" json:"encoder,omitempty"`
}

// Encoder is how a feature enters the model.
type Encoder struct {
	Type    string `yaml:"type" json:"type"` // onehot (category), none (number)
	Size    *int   `yaml:"size,omitempty" json:"size,omitempty"`
	Buckets *int   `yaml:"buckets,omitempty" json:"buckets,omitempty"`
	Period  *int   `yaml:"period,omitempty" json:"period,omitempty"`
}

// InputFeature is one input of the model: a column, or an expression over
// columns.
type InputFeature struct {
	Name           string `yaml:"name" json:"name"`
	Type           string `yaml:"type" json:"type"` // number | category
	Expression     string `yaml:"expression,omitempty" json:"expression,omitempty"`
	FeatureOptions `yaml:",inline" json:",inline"`
}

// OutputFeature is what the model learns: binary (logistic) or number (linear).
type OutputFeature struct {
	Name       string `yaml:"name" json:"name"`
	Type       string `yaml:"type" json:"type"`
	Expression string `yaml:"expression,omitempty" json:"expression,omitempty"`
	Threshold  any    `yaml:"threshold,omitempty" json:"threshold,omitempty"` // binary: probability from which prediction is true; default 0.5
}

// ModelSpec chooses the model.
type ModelSpec struct {
	Type string `yaml:"type,omitempty" json:"type,omitempty"` // linear
}

// Trainer is how the model is trained.
type Trainer struct {
	Seed               uint64          `yaml:"seed,omitempty" json:"seed,omitempty"`
	Optimizer          Optimizer       `yaml:"optimizer,omitempty" json:"optimizer,omitempty"`
	BatchSize          int             `yaml:"batch_size,omitempty" json:"batch_size,omitempty"` // rows per replica and step
	Epochs             int             `yaml:"epochs,omitempty" json:"epochs,omitempty"`
	EarlyStop          int             `yaml:"early_stop,omitempty" json:"early_stop,omitempty"`               // evaluations without improvement; 0: never
	ValidationMetric   string          `yaml:"validation_metric,omitempty" json:"validation_metric,omitempty"` // log_loss | roc_auc | mse
	Regularization     Regularization  `yaml:"regularization,omitempty" json:"regularization,omitempty"`
	StepsPerCheckpoint int             `yaml:"steps_per_checkpoint,omitempty" json:"steps_per_checkpoint,omitempty"` // 0: at each epoch's end
	Distributed        DistributedSpec `yaml:"distributed,omitempty" json:"distributed,omitempty"`
}

// Optimizer chooses the local update rule.
type Optimizer struct {
	Type         string    `yaml:"type,omitempty" json:"type,omitempty"` // sgd | momentum | adam
	LearningRate float64   `yaml:"learning_rate,omitempty" json:"learning_rate,omitempty"`
	Momentum     float64   `yaml:"momentum,omitempty" json:"momentum,omitempty"`
	Betas        []float64 `yaml:"betas,omitempty" json:"betas,omitempty"`
	Epsilon      float64   `yaml:"epsilon,omitempty" json:"epsilon,omitempty"`
}

// Regularization is the penalty on weights (not on biases).
type Regularization struct {
	L1 float64 `yaml:"l1,omitempty" json:"l1,omitempty"`
	L2 float64 `yaml:"l2,omitempty" json:"l2,omitempty"`
}

// DistributedSpec cuts the work into logical replicas.
type DistributedSpec struct {
	Replicas  int `yaml:"replicas,omitempty" json:"replicas,omitempty"`
	SyncEvery int `yaml:"sync_every,omitempty" json:"sync_every,omitempty"` // local steps per round
}

// Registry says where a trained model goes.
type Registry struct {
	Model string `yaml:"model,omitempty" json:"model,omitempty"` // default metadata.name
	Alias string `yaml:"alias,omitempty" json:"alias,omitempty"` // default champion
}

// Scoring is the stream half.
type Scoring struct {
	Source   string   `yaml:"source" json:"source"` // events
	Batching Batching `yaml:"batching,omitempty" json:"batching,omitempty"`
	Sink     Sink     `yaml:"sink" json:"sink"`
}

// Batching bounds a micro-batch: the first of three to be reached.
type Batching struct {
	Count    int      `yaml:"count,omitempty" json:"count,omitempty"`
	ByteSize ByteSize `yaml:"byte_size,omitempty" json:"byte_size,omitempty"`
	Period   Duration `yaml:"period,omitempty" json:"period,omitempty"`
}

// Sink is where scored rows go.
type Sink struct {
	Connection string      `yaml:"connection,omitempty" json:"connection,omitempty"`
	S3         *S3Location `yaml:"s3,omitempty" json:"s3,omitempty"`
	Format     Format      `yaml:"format" json:"format"`
	Rolling    Rolling     `yaml:"rolling,omitempty" json:"rolling,omitempty"`
}

// Rolling bounds a committed file: the first of three to be reached; the
// period is wall clock and fires on an idle stream.
type Rolling struct {
	Count    int      `yaml:"count,omitempty" json:"count,omitempty"`
	ByteSize ByteSize `yaml:"byte_size,omitempty" json:"byte_size,omitempty"`
	Period   Duration `yaml:"period,omitempty" json:"period,omitempty"`
}

// Duration is a time.Duration spelled as 200ms, 60s, 30m.
type Duration time.Duration

// ByteSize is a number of bytes spelled as 8MiB, 128MB or 4096.
type ByteSize int64
