package pipeline

import "strings"

// The tags say what a field may hold, for Parse and JSONSchema alike: jsonschema
// has values and ranges, refused the values of the format that this build does not
// support ({} is any mapping), catalog the Kind that the field chooses from, default
// the value in YAML of one that is not set, syntax:"expression" that it is one. A
// field whose yaml tag has no omitempty is rendered even where it is zero.

// Sources names the two inputs.
type Sources struct {
	// Train is the training data: files in S3.
	Train TrainSource `yaml:"train" json:"train"`
	// Events is the stream to score: events in Kafka.
	Events *EventSource `yaml:"events,omitempty" json:"events,omitempty"`
}

// TrainSource is the training data.
type TrainSource struct {
	// Connection names a store that an operator registered: its endpoint, TLS and
	// credentials. Default: the operator's default.
	Connection string `yaml:"connection,omitempty" json:"connection,omitempty"`
	// S3 is where files lie.
	S3 *S3Location `yaml:"s3,omitempty" json:"s3,omitempty"`
	// Stream is not supported here.
	Stream Choice `yaml:",inline" json:"-" catalog:"streams"`
	// Format is how rows are encoded.
	Format Choice `yaml:"format" json:"format" catalog:"dataset_formats" refused:"json,avro"`
	// OnBadRow says what becomes of a row of csv or jsonl that cannot be read as the
	// columns are: fail ends the run with the place of the row; reject leaves it out, and
	// keeps it with place and reason beside the run. Default fail.
	OnBadRow OnBadRow `yaml:"on_bad_row,omitempty" json:"on_bad_row,omitempty"`
	// OnBadShard says what becomes of a shard that a worker cannot read or learn from, twice,
	// as its bytes are damaged or a number in it is near the end of the float64 range: fail ends the run with its name; skip leaves it out of the run and of all that is
	// made in it, and says so there. Default fail.
	OnBadShard OnBadShard `yaml:"on_bad_shard,omitempty" json:"on_bad_shard,omitempty"`
	// LabelFile has columns that rows get by a key before they are cleaned: the label,
	// known later than the rest. Events never have them.
	LabelFile *LabelFile `yaml:"label_file,omitempty" json:"label_file,omitempty"`
	// Freshness says how old the newest row may be when a run begins.
	Freshness *Freshness `yaml:"freshness,omitempty" json:"freshness,omitempty"`
}

// EventSource is the stream to score.
type EventSource struct {
	// Connection names a cluster that an operator registered: its brokers, TLS and
	// credentials. Default: the operator's default.
	Connection string `yaml:"connection,omitempty" json:"connection,omitempty"`
	// S3 is not supported here.
	S3 *S3Location `yaml:"s3,omitempty" json:"s3,omitempty"`
	// Stream is where events come from.
	Stream Choice `yaml:",inline" json:"-" catalog:"streams"`
	// Format is how events are encoded.
	Format Choice `yaml:"format" json:"format" catalog:"event_formats" refused:"jsonl,arrow"`
}

// Reading returns what the stream's options say of it, whatever its kind; nil where
// there is no stream.
func (e *EventSource) Reading() *StreamOptions {
	if e == nil {
		return nil
	}
	if s, ok := e.Stream.Options.(StreamSpec); ok {
		return s.Reading()
	}
	return nil
}

// EventFormat is the options of an entry of the kind EventFormats.
type EventFormat interface {
	// FieldNames are the fields of an event in order; nil where the format or the
	// schema of events names them.
	FieldNames() []string
	// Schema says where the schema of events is: in a file, or in the registry of a
	// connection; both are empty where events need none.
	Schema() (file, registry string)
}

// FlatFormat is an EventFormat whose events have no lists.
type FlatFormat interface{ Flat() }

// S3Location is s3://bucket/key.
type S3Location struct {
	// Path of a source may have *, which stands for any characters but a slash, and
	// **, which between slashes stands for any number of folders; that of a sink ends
	// in /. Folders of training data that are named year=2001 fill a column year of
	// their objects' rows, unless an object has a column of that name itself.
	Path string `yaml:"path" json:"path" jsonschema:"pattern=^s3://[a-z0-9]" means:"write s3://BUCKET/PATH; thalweg put copies files of this machine there"`
}

// StreamSpec is the options of an entry of the kind Streams. Its struct embeds
// StreamOptions, inlined, as its first field.
type StreamSpec interface{ Reading() *StreamOptions }

// StreamOptions are the fields that all streams have.
type StreamOptions struct {
	// Topic is the name of the topic.
	Topic string `yaml:"topic" json:"topic" jsonschema:"pattern=^[-a-zA-Z0-9._]{1\\,249}$" means:"a topic has letters, digits, dots, '_' and '-', at most 249"`
	// ConsumerGroup is written for lag dashboards and never read back. Default
	// thalweg- and the pipeline's name.
	ConsumerGroup string `yaml:"consumer_group,omitempty" json:"consumer_group,omitempty"`
	// StartOffset is where a pipeline begins that has no log yet. Default earliest:
	// all that is there.
	StartOffset string `yaml:"start_offset,omitempty" json:"start_offset,omitempty" jsonschema:"enum=earliest,enum=latest" default:"earliest"`
	// OnOffsetOutOfRange is what happens when events are gone that were not
	// scored: the stream stops, naming them, until an operator skips them; or they
	// are skipped at once and it continues with the earliest record that is left, or
	// with the next to come. What was skipped is on record either way. Default fail:
	// someone should know of lost events.
	OnOffsetOutOfRange string `yaml:"on_offset_out_of_range,omitempty" json:"on_offset_out_of_range,omitempty" jsonschema:"enum=fail,enum=earliest,enum=latest" default:"fail"`
}

// Reading implements StreamSpec.
func (o *StreamOptions) Reading() *StreamOptions { return o }

// Split says how rows become training, validation and test.
type Split struct {
	// Type is random (by the hash of an object's key without its extension and of the row in it), datetime (the
	// earliest rows are for training), hash (by the hash of a key, all rows of which are
	// then in one split, also those that come later), stratify (of each value of a column
	// the same shares, to the row), or fixed (a column says it). With random, hash and
	// fixed a row keeps its split whatever other objects come and go.
	Type string `yaml:"type,omitempty" json:"type,omitempty" catalog:"splits" instead:"group=hash" default:"random"`
	// Column holds the time of a datetime split (null: training), the key of a hash split
	// (null: training), up to 1,000 values of a stratify split (2,000 by folds where there are more than two), or train, validation and
	// test, or 0, 1 and 2, in each row of a fixed split.
	Column string `yaml:"column,omitempty" json:"column,omitempty"`
	// Probabilities are the shares of training, validation and test: of rows, of the keys
	// of a hash split. A fixed split has none. Default [0.7, 0.15, 0.15], which has enough
	// for both judgements of a small table.
	Probabilities []float64 `yaml:"probabilities,omitempty" json:"probabilities,omitempty" jsonschema:"minItems=3,maxItems=3"`
	// Folds, of a random, hash or stratify split, adds k-fold cross-validation: the
	// training and validation rows are cut into so many folds, and for each a model is
	// trained on the others, with encoders and statistics of its own, and measured on it.
	// The run shows the metrics of each fold, their mean, standard deviation and 95 %
	// interval, which a gate can name with over: folds. The test rows are in no fold. The
	// version is trained as without folds.
	Folds int `yaml:"folds,omitempty" json:"folds,omitempty" jsonschema:"minimum=2,maximum=20"`
}

// FeatureDefaults are defaults by feature type.
type FeatureDefaults struct {
	// Number is of features of type number, and of the elements of lists.
	Number FeatureOptions `yaml:"number,omitempty" json:"number,omitempty"`
	// Category is of features of type category.
	Category FeatureOptions `yaml:"category,omitempty" json:"category,omitempty"`
}

// FeatureOptions are the options of an input feature; which apply depends on
// its type.
type FeatureOptions struct {
	// MissingValueStrategy of a number is fill_with_mean, fill_with_median (of up to 16,384
	// training values drawn by hash), fill_with_const, drop_row, or own_bin with encoder bins; of a category fill_with_const, fill_with_mode or
	// drop_row; of a list a number's, for each element. An event whose row is dropped
	// is kept as a dead letter.
	MissingValueStrategy string `yaml:"missing_value_strategy,omitempty" json:"missing_value_strategy,omitempty" catalog:"missing_values" refused:"fill_with_false"`
	// FillValue is what fill_with_const puts in. Default 0 and <MISSING>.
	FillValue any `yaml:"fill_value,omitempty" json:"fill_value,omitempty"`
	// MissingIndicator of a number: whether it is missing is a number more, 1 or 0.
	MissingIndicator bool `yaml:"missing_indicator,omitempty" json:"missing_indicator,omitempty"`
	// Normalization of a number: zscore (mean 0, deviation 1), minmax (from 0 to 1), robust
	// (median 0, quartiles 1 apart), log1p (mirrored for negatives), power (Yeo-Johnson, then
	// zscore), quantile (even from 0 to 1) or none. robust, power and quantile are fitted to
	// up to 16,384 values drawn by hash. Of a list zscore, minmax, log1p or none, each
	// element by itself.
	Normalization string `yaml:"normalization,omitempty" json:"normalization,omitempty" catalog:"normalizations"`
	// MostCommon bounds the values of a category that get an id of their own.
	MostCommon *int `yaml:"most_common,omitempty" json:"most_common,omitempty" jsonschema:"minimum=1,maximum=16777216"`
	// MinCount is how often training must have seen a value for one.
	MinCount *int `yaml:"min_count,omitempty" json:"min_count,omitempty" jsonschema:"minimum=1"`
	// Length of a list: the elements that it has. One of another length counts as
	// missing, and is counted. Default: that of the training rows, which must be one.
	Length *int `yaml:"length,omitempty" json:"length,omitempty" jsonschema:"minimum=1,maximum=4096"`
	// Shape of a list: how its elements lie, for a cnn. [8, 8] is an image of 8 rows of 8, row by
	// row, [8, 8, 3] one of three channels, side by side. The length is their product. Default:
	// a sequence.
	Shape []int `yaml:"shape,omitempty" json:"shape,omitempty" jsonschema:"minItems=1,maxItems=3"`
	// Encoder is how the feature enters the model.
	Encoder Choice `yaml:"encoder,omitempty" json:"encoder,omitempty" catalog:"encoders"`
}

// InputFeature is one input of the model: a column, an expression over columns, or
// many columns alike.
type InputFeature struct {
	// Name is the column's, unless there is an expression.
	Name string `yaml:"name,omitempty" json:"name,omitempty" jsonschema:"minLength=1"`
	// Columns, instead of a name, make each column that they match a feature of its
	// name, in the order of the data: "pixel_*". Left out are columns that are in the
	// list by name, that a pattern before matches, and those that the label reads.
	Columns Patterns `yaml:"columns,omitempty" json:"columns,omitempty"`
	// Type is number for a quantity, category for one of several names, list for numbers
	// of a fixed length, each an input, text for the words of a string, set for any
	// number of names in a string or a list.
	Type string `yaml:"type" json:"type" jsonschema:"enum=number,enum=category,enum=list,enum=text,enum=set"`
	// Expression yields the value from cleaned columns: hour(date).
	Expression     string `yaml:"expression,omitempty" json:"expression,omitempty" syntax:"expression"`
	FeatureOptions `yaml:",inline" json:",inline"`
}

// OutputFeature is what the model learns.
type OutputFeature struct {
	// Name is the column's, unless there is an expression.
	Name string `yaml:"name" json:"name" jsonschema:"minLength=1"`
	// Type is binary (true or false), category (one of up to 1,000 classes, the values
	// that the training rows have), number (a quantity) or count (0 or more, whose
	// effects multiply).
	Type string `yaml:"type" json:"type" jsonschema:"enum=binary,enum=category,enum=number,enum=count"`
	// Expression yields the label from cleaned columns: delay > 15. A row whose
	// label is null is not learned from.
	Expression string `yaml:"expression,omitempty" json:"expression,omitempty" syntax:"expression"`
	// Threshold of a binary output is the probability from which the prediction is true:
	// a number, or how it is chosen once the model is trained. Default 0.5. With loss
	// hinge there is none.
	Threshold *Threshold `yaml:"threshold,omitempty" json:"threshold,omitempty"`
	// Calibration of a binary output or a category makes probabilities as frequent as they
	// say: platt (a logistic regression on the model's output), isotonic (any rising function
	// of it, which wants a thousand rows and more) or temperature (the outputs divided by a
	// number; of several classes the only one). It is fitted to half of the validation rows,
	// drawn by hash; the others alone stop training early and choose the threshold, which is
	// one of calibrated probabilities. Default none.
	Calibration string `yaml:"calibration,omitempty" json:"calibration,omitempty" jsonschema:"enum=none,enum=platt,enum=isotonic,enum=temperature"`
	// Loss is what training minimises. Default cross_entropy for a binary output or a
	// category, squared for a number, poisson for a count.
	Loss Choice `yaml:"loss,omitempty" json:"loss,omitempty" catalog:"losses"`
}

// Trainer is how the model is trained.
type Trainer struct {
	// Seed decides all that is random: splits, shuffling, initial weights. It is
	// fixed by default, so that the same spec gives the same model.
	Seed uint64 `yaml:"seed" json:"seed,omitempty" default:"42"`
	// Optimizer chooses the algorithm: an update rule of SGD with averaging, or
	// lbfgs. Default auto: lbfgs after two epochs of SGD where the model is linear and not wide,
	// boosting where it is trees, else adam, whose rate of a network is 0.001, and with cosine 0.002
	// where batches have 32 rows and 0.003 where they have 256.
	Optimizer Choice `yaml:"optimizer,omitempty" json:"optimizer,omitempty" catalog:"optimizers" default:"auto"`
	// LearningRateScheduler is what the learning rate is multiplied by in the course of
	// training, from step to step of the largest replica, the same on any cluster. Default
	// constant; of an mlp cosine, with which the rate falls to zero over all epochs.
	LearningRateScheduler Choice `yaml:"learning_rate_scheduler,omitempty" json:"learning_rate_scheduler,omitempty" catalog:"schedulers" default:"constant"`
	// BatchSize is the rows per replica and step. Default auto: so many that a small
	// table is learned from in many steps.
	BatchSize Count `yaml:"batch_size" json:"batch_size,omitempty" jsonschema:"maximum=1048576"`
	// Epochs is how often the training rows are gone through at most. Default auto:
	// enough to converge, and more for a small table.
	Epochs Count `yaml:"epochs" json:"epochs,omitempty" jsonschema:"maximum=1000000"`
	// EarlyStop is after how many evaluations without improvement of
	// validation_metric training stops; 0: never. Default 3, after which there is rarely one with
	// improvement; of a cnn 20 and of an mlp 40, which improve for long, but of an mlp 0 with the
	// learning_rate_scheduler that it has by default.
	EarlyStop int `yaml:"early_stop" json:"early_stop,omitempty" jsonschema:"minimum=0"`
	// ValidationMetric is what early_stop and the choice of the best epoch look
	// at, one of the output's type. Default: the one that is nearest to the loss; of rows
	// that are balanced, or weigh by class, roc_auc, and of several classes f1_macro. Of
	// trees the latest epoch is taken that is within about a standard error of the best, and
	// where the learning rate falls to zero that whose log losses, of all validation rows
	// together, are within 4 of the best, as the least of few validation rows is chance.
	ValidationMetric string `yaml:"validation_metric,omitempty" json:"validation_metric,omitempty" catalog:"metrics"`
	// Regularization is the penalty on weights, not on biases.
	Regularization Regularization `yaml:"regularization" json:"regularization,omitempty"`
	// GradientClipping bounds the gradient of each step, regularization included.
	GradientClipping *GradientClipping `yaml:"gradient_clipping,omitempty" json:"gradient_clipping,omitempty"`
	// StepsPerCheckpoint is local steps between checkpoints within an epoch, which then has
	// one at its end too; 0: at the ends of epochs, of as many as take a tenth of the time
	// at most.
	StepsPerCheckpoint int `yaml:"steps_per_checkpoint,omitempty" json:"steps_per_checkpoint,omitempty" jsonschema:"minimum=0"`
	// KeepCheckpoints is how many of the model's newest versions keep their
	// checkpoints. Others keep theirs while an alias names them, while they were
	// replaced last, or while a stream scores with them; without its checkpoint a
	// version can be neither promoted nor replayed, and its rows not be verified. Ten
	// are more than anybody rolls back over.
	KeepCheckpoints int `yaml:"keep_checkpoints" json:"keep_checkpoints,omitempty" jsonschema:"minimum=1,maximum=100000" default:"10"`
	// WarmStart is the version of the model whose weights training starts from: that of
	// registry.alias (champion; a model's first run has none, and starts anew), or one by
	// its number. Features, values and classes are matched by name; what is new starts as
	// what was never seen. Trees keep their splits, the values of their leaves are found
	// anew by the new rows, one tree after the other, and then others are grown until there
	// are model.trees; a leaf of fewer rows than min_child_rows keeps its value. Default none.
	WarmStart WarmStart `yaml:"warm_start,omitempty" json:"warm_start,omitempty"`
	// Privacy makes training differentially private. Default: it is not.
	Privacy *Privacy `yaml:"privacy,omitempty" json:"privacy,omitempty"`
	// Distributed cuts the work into replicas.
	Distributed DistributedSpec `yaml:"distributed" json:"distributed,omitempty"`
}

// Regularization is the penalty on weights (not on biases).
type Regularization struct {
	// L1 is the factor of the sum of the weights' magnitudes beside the sum of the
	// training rows' losses, as l2: 1/C of scikit-learn's LogisticRegression, and its
	// Lasso's alpha times the rows. Weights that the rows do not ask for are really
	// zero, and counted. With l2 it is the elastic net.
	L1 float64 `yaml:"l1,omitempty" json:"l1,omitempty" jsonschema:"minimum=0"`
	// L2 is the factor of half the sum of the weights' squares beside the sum of the
	// training rows' losses, features and a number's label being normalised: the alpha
	// of scikit-learn's Ridge, and 1/C of its LogisticRegression. The default, theirs
	// too, holds small tables back from what chance put into them; that of trees of
	// several classes, whose leaves' values it holds back, is 0.1, that of an mlp 2.
	L2 float64 `yaml:"l2" json:"l2,omitempty" jsonschema:"minimum=0" default:"1"`
	// Decoupled: weights decay by l2 divided by the rows, times the learning rate,
	// before each step, and l2 is not in the gradient, whose scale adaptive rules
	// change (Loshchilov and Hutter 2019). Default: true with adamw, else false.
	Decoupled bool `yaml:"decoupled" json:"decoupled,omitempty"`
}

// GradientClipping bounds the gradient of the mean loss of a batch. Where both are
// given, values are cut first.
type GradientClipping struct {
	// GlobalNorm is the largest Euclidean norm of all parameters' gradients; a longer
	// gradient is shortened to it.
	GlobalNorm float64 `yaml:"global_norm,omitempty" json:"global_norm,omitempty" jsonschema:"exclusiveMinimum=0"`
	// Value is the largest magnitude of each parameter's gradient.
	Value float64 `yaml:"value,omitempty" json:"value,omitempty" jsonschema:"exclusiveMinimum=0"`
}

// OuterOptimizer is the rule by which an average moves the parameters.
type OuterOptimizer struct {
	// Type is sgd, or momentum or nesterov: sgd with a momentum of 0.9 (DiLoCo has
	// nesterov).
	Type string `yaml:"type" json:"type,omitempty" jsonschema:"enum=sgd,enum=momentum,enum=nesterov" default:"sgd"`
	// LearningRate is the share of the way to the replicas' mean that a step goes. Default
	// 1, the mean itself; 0.7 with nesterov, as DiLoCo has it; 0.3 with momentum.
	LearningRate float64 `yaml:"learning_rate,omitempty" json:"learning_rate,omitempty" jsonschema:"exclusiveMinimum=0"`
	// Momentum is the share of the last step that is added to the next. Default 0; 0.9
	// with momentum and nesterov.
	Momentum float64 `yaml:"momentum" json:"momentum,omitempty" jsonschema:"minimum=0,exclusiveMaximum=1"`
	// Nesterov looks a step ahead. Default: with nesterov.
	Nesterov bool `yaml:"nesterov" json:"nesterov,omitempty"`
}

// Plain reports whether the parameters move to the mean.
func (o OuterOptimizer) Plain() bool {
	return (o.LearningRate == 0 || o.LearningRate == 1) && o.Momentum == 0
}

// DistributedSpec cuts the work into logical replicas.
type DistributedSpec struct {
	// Replicas are the parts that training rows are cut into; the result depends on
	// them and not on the number of workers. Default auto: 1 for a small table, 8 for
	// a large one.
	Replicas Count `yaml:"replicas" json:"replicas,omitempty" jsonschema:"maximum=1024"`
	// SyncEvery is local steps between averages. Default auto: 64, and more where a model
	// has so many weights that an average of them takes longer.
	SyncEvery Count `yaml:"sync_every" json:"sync_every,omitempty" jsonschema:"maximum=1000000"`
	// OuterOptimizer is the rule by which an average moves the parameters (DiLoCo,
	// Douillard et al. 2023). The default is plain averaging, weighted by the rows that
	// each replica has used in the round.
	OuterOptimizer OuterOptimizer `yaml:"outer_optimizer,omitempty" json:"outer_optimizer,omitempty"`
	// MinWorkers is how many workers must be alive for a run to get on. With fewer it waits
	// before its next tasks, and training between two rounds, and goes on when they are
	// back; it never fails because of it.
	MinWorkers int `yaml:"min_workers,omitempty" json:"min_workers,omitempty" jsonschema:"minimum=1,maximum=1024" default:"1"`
	// Straggler says which tasks are given to a second worker too.
	Straggler Straggler `yaml:"straggler,omitempty" json:"straggler,omitempty"`
}

// Straggler is a task that takes much longer than the others of its stage. The first
// result counts, and must be that of the other worker if that comes too.
type Straggler struct {
	// BackupAfter is how many times the median of its stage's tasks that are done a task
	// over shards may take before an idle worker does it too, and at least as long as a
	// lease lasts. Replicas of a training wait for each other and have no backup.
	BackupAfter float64 `yaml:"backup_after,omitempty" json:"backup_after,omitempty" jsonschema:"minimum=1,maximum=1000" default:"3"`
}

// Evaluation says how a version is judged: on the test rows, or on those of
// validation where the split has no test rows.
type Evaluation struct {
	// Metrics are those that are measured. Default: all that the output's type has.
	Metrics []string `yaml:"metrics,omitempty" json:"metrics,omitempty" catalog:"metrics"`
	// Slices are parts of the rows that are measured by themselves.
	Slices []SliceSpec `yaml:"slices,omitempty" json:"slices,omitempty"`
	// Gates are what a version must pass for the alias to move to it. One that does not
	// is registered, and says why; the alias stays.
	Gates []GateSpec `yaml:"gates,omitempty" json:"gates,omitempty"`
	// Fairness compares the answers between the values of sensitive columns.
	Fairness *FairnessSpec `yaml:"fairness,omitempty" json:"fairness,omitempty"`
}

// GateSpec is what a metric must be: within bounds, or not much worse than that of the
// version that the alias names, which is measured on the same rows.
type GateSpec struct {
	// Metric is what the gate looks at, one of the output's type.
	Metric string `yaml:"metric,omitempty" json:"metric,omitempty" jsonschema:"minLength=1" catalog:"metrics"`
	// Fairness, instead of a metric, is one of evaluation.fairness: the difference between the
	// groups of each sensitive column must be at most upper_bound.
	Fairness FairnessMetric `yaml:"fairness,omitempty" json:"fairness,omitempty"`
	// LowerBound is the least that it may be.
	LowerBound *float64 `yaml:"lower_bound,omitempty" json:"lower_bound,omitempty"`
	// UpperBound is the most that it may be.
	UpperBound *float64 `yaml:"upper_bound,omitempty" json:"upper_bound,omitempty"`
	// Versus, instead of bounds, is what the metric is compared with. Where there is no
	// champion yet the gate is passed.
	Versus string `yaml:"versus,omitempty" json:"versus,omitempty" jsonschema:"enum=champion"`
	// MaxDecrease is by how much it may be below that of the champion, for a metric of
	// which more is better.
	MaxDecrease *float64 `yaml:"max_decrease,omitempty" json:"max_decrease,omitempty" jsonschema:"minimum=0"`
	// MaxIncrease is by how much it may be above that of the champion, for a metric of
	// which less is better.
	MaxIncrease *float64 `yaml:"max_increase,omitempty" json:"max_increase,omitempty" jsonschema:"minimum=0"`
	// Slices, instead of all rows, are the columns of one of evaluation.slices: each of
	// its slices that has min_rows must pass.
	Slices []string `yaml:"slices,omitempty" json:"slices,omitempty"`
	// Over, instead of the rows that versions are judged by, is folds: the mean over the
	// folds of preprocessing.split.
	Over string `yaml:"over,omitempty" json:"over,omitempty" jsonschema:"enum=folds"`
	// JudgeBy is what must be within the bounds: the value, or the whole of its 95 %
	// interval. Default value with bounds, and interval, of the difference, versus
	// champion.
	JudgeBy string `yaml:"judge_by,omitempty" json:"judge_by,omitempty" jsonschema:"enum=value,enum=interval"`
}

// SliceSpec cuts rows by the values of columns.
type SliceSpec struct {
	// Columns are cleaned columns of type string, int64 or bool: a slice is the rows
	// that have the same value in each of them.
	Columns []string `yaml:"columns" json:"columns" jsonschema:"minItems=1"`
	// MinRows is how many rows a slice must have to be shown and judged by gates.
	MinRows int `yaml:"min_rows,omitempty" json:"min_rows,omitempty" jsonschema:"minimum=1,maximum=1000000000" default:"100"`
}

// Scoring is the stream half.
type Scoring struct {
	// Source names the source of events.
	Source string `yaml:"source" json:"source" jsonschema:"enum=events"`
	// Batching bounds a micro-batch.
	Batching Batching `yaml:"batching,omitempty" json:"batching,omitempty"`
	// OutputColumns are those of the user's columns that scored rows have.
	OutputColumns CarriedColumns `yaml:"output_columns,omitempty" json:"output_columns,omitempty"`
	// Explanations say of each scored row which inputs brought most to its score.
	Explanations *Explanations `yaml:"explanations,omitempty" json:"explanations,omitempty"`
	// Scale says how far behind the stream may be, and how many workers it may want.
	// Default: runs take no account of it.
	Scale *Scale `yaml:"scale,omitempty" json:"scale,omitempty"`
	// Sink is where scored rows go.
	Sink Sink `yaml:"sink" json:"sink"`
	// DeadLetter says what becomes of events that cannot be scored, besides the
	// objects beside the results, which are always written.
	DeadLetter *DeadLetter `yaml:"dead_letter,omitempty" json:"dead_letter,omitempty"`
}

// Scale says how far behind a stream may be. While it is further behind than half of that,
// workers that hold its partitions begin no task of a run, and give those that they have a tenth
// of the time, so streams go first. The cluster says how many workers it wants, as a metric and in its status; who starts them is not part
// of it.
type Scale struct {
	// Min is how many workers the stream wants at least.
	Min int `yaml:"min,omitempty" json:"min,omitempty" jsonschema:"minimum=1,maximum=1024" default:"1"`
	// Max is how many it wants at most. It never wants more than the topic has partitions.
	Max int `yaml:"max,omitempty" json:"max,omitempty" jsonschema:"minimum=1,maximum=1024" default:"16"`
	// TargetLagSeconds is how long ago the first event that is not scored may have been
	// written, by its timestamp.
	TargetLagSeconds float64 `yaml:"target_lag_seconds,omitempty" json:"target_lag_seconds,omitempty" jsonschema:"minimum=0.1,maximum=86400" default:"10"`
}

// CarriedColumns are those of the user's columns, as cleaning leaves them, that
// scored rows have before the columns that scoring adds, or the rows of output.
type CarriedColumns struct {
	// Include are the columns that rows have: names, or patterns such as "pixel_*".
	// Default all.
	Include Patterns `yaml:"include" json:"include,omitempty" default:"[\"*\"]"`
	// Exclude are those of them that rows do not have.
	Exclude Patterns `yaml:"exclude,omitempty" json:"exclude,omitempty"`
	// Split adds a column _split, which says where the rule of preprocessing.split
	// that the version was trained by puts the row: train, validation or test. Events
	// of a time that training knew can be told apart so. A random split goes by the
	// place of a row in the training data, which an event does not have. In output each
	// row has its split, which a pipeline that trains from the table reads again by split:
	// {type: fixed, column: _split}.
	Split bool `yaml:"split,omitempty" json:"split,omitempty"`
}

// DeadLetter says what becomes of events that cannot be scored, besides the
// objects beside the results, which are always written.
type DeadLetter struct {
	// Topic gets each of them too, exactly once for readers of committed records.
	Topic Choice `yaml:",inline" json:"-" catalog:"dead_letter_topics"`
	// MaxRate is the share of events that may be dead letters; above it the
	// stream pauses and says so. Default: no bound.
	MaxRate Percent `yaml:"max_rate,omitempty" json:"max_rate,omitempty" jsonschema:"exclusiveMinimum=0,maximum=100"`
}

// Delivery returns the topic that gets dead letters, whatever its kind; nil where
// there is none.
func (d *DeadLetter) Delivery() *DeadLetterTopic {
	if d == nil {
		return nil
	}
	if t, ok := d.Topic.Options.(DeadLetterSpec); ok {
		return t.Delivery()
	}
	return nil
}

// DeadLetterSpec is the options of an entry of the kind DeadLetterTopics. Its
// struct embeds DeadLetterTopic, inlined.
type DeadLetterSpec interface{ Delivery() *DeadLetterTopic }

// DeadLetterTopic is the fields that all topics of dead letters have.
type DeadLetterTopic struct {
	// Connection names the brokers that an operator registered. Default: those of
	// the events.
	Connection string `yaml:"connection,omitempty" json:"connection,omitempty"`
	// Topic is the name of the topic, which must exist.
	Topic string `yaml:"topic" json:"topic" jsonschema:"pattern=^[-a-zA-Z0-9._]{1\\,249}$" means:"a topic has letters, digits, dots, '_' and '-', at most 249"`
}

// Delivery implements DeadLetterSpec.
func (t *DeadLetterTopic) Delivery() *DeadLetterTopic { return t }

// Batching bounds a micro-batch: the first of three to be reached; the period
// is wall clock and fires on an idle stream. A batch is scored in a few
// milliseconds; 200 ms keep files and log records few on a slow stream.
type Batching struct {
	// Count is of events.
	Count int `yaml:"count,omitempty" json:"count,omitempty" jsonschema:"minimum=1,maximum=10000000" default:"5000"`
	// ByteSize is of events as they were fetched.
	ByteSize ByteSize `yaml:"byte_size,omitempty" json:"byte_size,omitempty" jsonschema:"minimum=1" default:"8MiB"`
	// Period is since the first event, by the clock.
	Period Duration `yaml:"period,omitempty" json:"period,omitempty" jsonschema:"exclusiveMinimum=0" default:"200ms"`
}

// Sink is where scored rows go.
type Sink struct {
	// Connection names a store that an operator registered. Default: the
	// operator's default.
	Connection string `yaml:"connection,omitempty" json:"connection,omitempty"`
	// S3 is the prefix that rows, log and dead letters are written under.
	S3 *S3Location `yaml:"s3,omitempty" json:"s3,omitempty"`
	// Kafka is a topic that gets each row too, as soon as it is scored.
	Kafka *RowsTopic `yaml:"kafka,omitempty" json:"kafka,omitempty"`
	// Format is how scored rows are encoded.
	Format Choice `yaml:"format" json:"format" catalog:"sink_formats" refused:"csv,jsonl,json,avro,arrow"`
	// Rolling bounds a committed file.
	Rolling Rolling `yaml:"rolling,omitempty" json:"rolling,omitempty"`
	// Compaction merges small committed files. Default: none are. A plain glob over
	// the sink sees merged rows twice while it is under way: read by the log or the
	// table.
	Compaction *Compaction `yaml:"compaction,omitempty" json:"compaction,omitempty"`
	// PartitionBy names a timestamp column of the scored rows, or _scored_at: rows
	// of each UTC day get files of their own. Default: none.
	PartitionBy []string `yaml:"partition_by,omitempty" json:"partition_by,omitempty"`
	// Table is how the rows are offered as one table, by a manifest beside them:
	// delta, which pandas, DuckDB and Spark read in one call, or none. Default delta.
	Table Choice `yaml:"table,omitempty" json:"table,omitempty" catalog:"table_formats" key:"format" default:"delta"`
}

// PartitionColumn returns the name of the date column that rows are partitioned
// by, given the column that partition_by names.
func PartitionColumn(column string) string { return strings.TrimLeft(column, "_") + "_date" }

// Compaction says how small committed files become fewer large ones.
type Compaction struct {
	// MinFiles is how many neighbouring files of about one size are merged.
	MinFiles int `yaml:"min_files,omitempty" json:"min_files,omitempty" jsonschema:"minimum=2,maximum=256" default:"16"`
	// ByteSize is the size that a merged file may have.
	ByteSize ByteSize `yaml:"byte_size,omitempty" json:"byte_size,omitempty" jsonschema:"minimum=1" default:"128MiB"`
	// Retention is how long a file that was replaced is kept for those who read it.
	Retention Duration `yaml:"retention,omitempty" json:"retention,omitempty" jsonschema:"exclusiveMinimum=0" default:"10m"`
}

// Rolling bounds a committed file: the first of three to be reached; the
// period is wall clock and fires on an idle stream. Files of about 128 MiB are what
// readers of Parquet like; ten seconds bound how old a scored event is when it can
// be queried.
type Rolling struct {
	// Count is of rows.
	Count int `yaml:"count,omitempty" json:"count,omitempty" jsonschema:"minimum=1,maximum=1000000000" default:"500000"`
	// ByteSize is of the Parquet file.
	ByteSize ByteSize `yaml:"byte_size,omitempty" json:"byte_size,omitempty" jsonschema:"minimum=1" default:"128MiB"`
	// Period is since the first row, by the clock.
	Period Duration `yaml:"period,omitempty" json:"period,omitempty" jsonschema:"exclusiveMinimum=0" default:"10s"`
}

// Schedule says when runs start by themselves. One that finds the objects that the
// newest version was trained on, and no others, says so and makes no version.
type Schedule struct {
	// Cron is when: minute, hour, day of the month, month and day of the week (0 to 6 from
	// Sunday, or SUN to SAT), as in 0 2 * * *; or @hourly, @daily, @weekly, @monthly. A
	// time that clocks leave out in spring comes as much later, one that they show twice
	// in autumn counts once. One run makes up for all times that were missed because no
	// coordinator led.
	Cron string `yaml:"cron,omitempty" json:"cron,omitempty" example:"0 2 * * *"`
	// Timezone is that of cron.
	Timezone string `yaml:"timezone,omitempty" json:"timezone,omitempty" default:"UTC"`
	// OnNewObjects starts a run when the objects that sources.train names are others than
	// those that the newest run found, and two listings, half a minute apart, agree.
	OnNewObjects bool `yaml:"on_new_objects,omitempty" json:"on_new_objects,omitempty"`
	// OnOverlap is what becomes of a time of cron at which a run is still going: it is left
	// out (skip), a new run follows that one (queue), or takes its place (replace). A run for
	// new objects follows that one, or with replace takes its place too. Default skip: the
	// next time is soon enough. The times of a pause (thalweg schedule pause) are left out
	// with skip; else one run follows the pause.
	OnOverlap string `yaml:"on_overlap,omitempty" json:"on_overlap,omitempty" jsonschema:"enum=skip,enum=queue,enum=replace" default:"skip"`
}
