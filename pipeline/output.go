package pipeline

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/thalweg/thalweg/pipeline/conformal"
	"github.com/thalweg/thalweg/pipeline/table"
)

// Answer is what a model says of a row.
type Answer struct {
	// Type is that of the label, binary (the probability of true), number or count (the
	// value) or category (the probability of each class), unless the loss says something
	// else: margin (above 0 where a binary label is true) or quantiles (of a number).
	Type string
	// Threshold is the probability from which a binary answer is true.
	Threshold float64 `json:",omitempty"`
	// Classes are the names of a category's, in the order of their probabilities.
	Classes []string `json:",omitempty"`
	// Levels are those of quantiles.
	Levels []float64 `json:",omitempty"`
	// Conformal says how far answers may be off; nil: it is not known.
	Conformal *conformal.Conformal `json:",omitempty"`
}

// Middle is the quantile that stands for all: the one whose level is nearest to 0.5.
func (a *Answer) Middle() int {
	best := 0
	for k, level := range a.Levels {
		if math.Abs(level-0.5) < math.Abs(a.Levels[best]-0.5) {
			best = k
		}
	}
	return best
}

// Judged is options of a loss that another validation metric suits than the first of
// its answers, for a type of output; "" where none does. balanced: a cleaning step balances the
// training rows, and no others.
type Judged interface {
	ValidationMetric(output string, balanced bool) string
}

// Weighing is options of a loss that can weigh rows or move labels, and names the option by
// which it does, "" if it does not.
type Weighing interface{ Weighs() string }

// Sampled is options of a loss that must know more of the labels than their mean: it
// makes constants of a sorted sample of those of the training rows, and gets these
// when it is made.
type Sampled interface {
	Constants(sorted []float64) []float64
}

// Answering is options of a loss by which a model does not answer with the type of
// its label.
type Answering interface{ Answers() string }

// Threshold is a probability, which may stand for the mapping, or how one is chosen.
type Threshold struct {
	// Value is the probability.
	Value float64 `yaml:"value,omitempty" json:"value,omitempty" jsonschema:"minimum=0,maximum=1"`
	// Optimize, instead of a value, is the metric that is to be best: f1, if only a split is
	// named. What was chosen is part of the version.
	Optimize string `yaml:"optimize,omitempty" json:"optimize,omitempty" jsonschema:"enum=f1,enum=accuracy"`
	// Split has the rows by which it is chosen. Default validation.
	Split string `yaml:"split,omitempty" json:"split,omitempty" jsonschema:"enum=validation"`
}

// decodeShort implements shortForm: the probability.
func (t *Threshold) decodeShort(d *decoder, n ast.Node, path string) bool {
	if isMapping(n) || isNull(n) {
		return false
	}
	d.value(n, path+".value", reflect.ValueOf(&t.Value).Elem())
	return true
}

// short implements shortened.
func (t Threshold) short() (reflect.Value, bool) { return reflect.ValueOf(t.Value), t.Optimize == "" }

// answer returns the type of what a model says.
func (o *OutputFeature) answer() string {
	if l, ok := o.Loss.Options.(Answering); ok {
		return l.Answers()
	}
	return o.Type
}

// Calibration names the calibration of the spec's output; "" where there is none.
func (s *Spec) Calibration() string {
	if len(s.Spec.OutputFeatures) == 0 {
		return ""
	}
	return s.Spec.OutputFeatures[0].Calibration
}

// Halves reports whether half of the validation rows are kept for what is made of the
// trained model: the others alone stop training early and choose the threshold.
func (s *Spec) Halves() bool {
	_, conformal := s.Conformal()
	return conformal || s.Calibration() != ""
}

// Uncertain is the options that all models have.
type Uncertain struct {
	// Uncertainty adds columns to scored rows that say how far their answers may be off, and
	// metrics that say of how many rows that is true.
	Uncertainty Choice `yaml:"uncertainty,omitempty" json:"uncertainty,omitempty" catalog:"uncertainties"`
}

// Asked returns the name of the uncertainty that is asked for, "" where none is.
func (u *Uncertain) Asked() string { return u.Uncertainty.Name }

func (u *Uncertain) uncertainty() any { return u.Uncertainty.Options }

// UncertaintySpec is the options of an entry of the kind Uncertainties.
type UncertaintySpec interface {
	// Columns are those that scored rows have besides, for a type of answer.
	Columns(answer string) []table.Column
	// Refuses says with which field of the options, and why, a model with a loss cannot have
	// it, and what can be done; "" where it can.
	Refuses(model, loss any, answer string) (field, why, hint string)
}

// ConformalSpec is an UncertaintySpec that is found in validation rows which training does
// not look at.
type ConformalSpec interface {
	UncertaintySpec
	// Conformal returns what is to be found for a type of answer.
	Conformal(answer string) conformal.Conformal
}

// SamplingSpec is an UncertaintySpec that predicts each row several times.
type SamplingSpec interface {
	UncertaintySpec
	// Sampling returns how often, and the levels of the quantiles of what comes out.
	Sampling() (samples int, levels []float64)
}

// MemberSpec is a SamplingSpec whose predictions are those of models that are trained beside
// the version's.
type MemberSpec interface {
	SamplingSpec
	// MemberModels returns how many there are.
	MemberModels() int
}

// Members returns how many models are trained beside the version's; 0: none.
func (s *Spec) Members() int {
	if u, ok := s.Uncertainty().(MemberSpec); ok {
		return u.MemberModels()
	}
	return 0
}

// HasMembers reports whether models are trained beside the version's.
func (s *Spec) HasMembers() bool { return s.Members() > 0 }

// UncertaintyMetric is options of a metric that may be of intervals or sets of labels, and
// reports whether it is.
type UncertaintyMetric interface{ OfUncertainty() bool }

// uncertainty returns that of the model; nil where there is none.
func (b *Body) uncertainty() UncertaintySpec {
	if m, ok := b.Model.Options.(interface{ uncertainty() any }); ok {
		u, _ := m.uncertainty().(UncertaintySpec)
		return u
	}
	return nil
}

// Uncertainty returns the options of the model's; nil where there are none.
func (s *Spec) Uncertainty() UncertaintySpec { return s.Spec.uncertainty() }

// Conformal returns what is to be found in the validation rows that training does not look
// at; ok is false where nothing is.
func (s *Spec) Conformal() (of conformal.Conformal, ok bool) {
	if u, ok := s.Uncertainty().(ConformalSpec); ok && len(s.Spec.OutputFeatures) > 0 {
		return u.Conformal(s.Spec.OutputFeatures[0].answer()), true
	}
	return of, false
}

// metrics are the names of those that an answer can have: of intervals and sets only where
// there are some.
func (b *Body) metrics(c Catalog, answer string) []string {
	_, conformal := b.uncertainty().(ConformalSpec)
	return slices.DeleteFunc(c.namesFor(Metrics, answer), func(name string) bool {
		return !conformal && slices.ContainsFunc(c[Metrics], func(e Entry) bool {
			m, ok := e.Options.(UncertaintyMetric)
			return e.Name == name && ok && m.OfUncertainty()
		})
	})
}

// answerColumns are the columns that a type of answer adds to a scored row,
// originColumns those that say where the row came from and what scored
// it.
var (
	answerColumns = map[string][]table.Column{
		"binary":    {{Name: "prediction", Type: table.Bool}, {Name: "probability", Type: table.Float64}},
		"number":    {{Name: "prediction", Type: table.Float64}, {Name: "score", Type: table.Float64}},
		"margin":    {{Name: "prediction", Type: table.Bool}, {Name: "score", Type: table.Float64}},
		"count":     {{Name: "prediction", Type: table.Float64}, {Name: "score", Type: table.Float64}},
		"quantiles": {{Name: "prediction", Type: table.Float64}, {Name: "score", Type: table.Float64}, {Name: "quantiles", Type: table.Float64List}},
		"category": {{Name: "prediction", Type: table.String}, {Name: "probability", Type: table.Float64},
			{Name: "probabilities", Type: table.Float64List}},
	}
	originColumns = []table.Column{
		{Name: "_topic", Type: table.String},
		{Name: "_partition", Type: table.Int64},
		{Name: "_offset", Type: table.Int64},
		{Name: "_model_version", Type: table.Int64},
		{Name: "_transform_hash", Type: table.String},
		{Name: "_spec_generation", Type: table.Int64},
		{Name: "_scored_at", Type: table.Timestamp},
		{Name: "_replay", Type: table.String, Nullable: true},
	}
	// datasetColumns are the same of rows of a dataset. There is no clock in them, so that
	// rows scored again are the same ones.
	datasetColumns = []table.Column{
		{Name: "_object", Type: table.String},
		{Name: "_row", Type: table.Int64},
		{Name: "_model_version", Type: table.Int64},
		{Name: "_transform_hash", Type: table.String},
	}
)

// splitColumn is the one that a spec asks for.
var splitColumn = table.Column{Name: "_split", Type: table.String}

// OutputColumns returns the columns that scoring adds after the user's, for an
// answer of the given type, with the split or without, and with what the model says
// besides. A cleaned column of one of
// these names could not be carried.
func OutputColumns(answer string, split bool, besides ...table.Column) []table.Column {
	return outputColumns(answer, split, besides, originColumns)
}

// DatasetColumns returns the columns that scoring adds to the rows of a dataset.
func DatasetColumns(answer string, split bool, besides ...table.Column) []table.Column {
	return outputColumns(answer, split, besides, datasetColumns)
}

func outputColumns(answer string, split bool, besides, origin []table.Column) []table.Column {
	out := slices.Concat(answerColumns[answer], besides, origin)
	if split {
		out = append(out, splitColumn)
	}
	return out
}

// RowsTopic is a topic of Kafka that gets each scored row, exactly once for readers of
// committed records and in the order of its partition: as JSON, with the columns and the
// values of the table, under the key of the event. Where columns have pii rows have no
// key. A row is there some 50 ms after its event, and in the table a rolling period later.
type RowsTopic struct {
	// Connection names the brokers that an operator registered. Default: those of
	// the events.
	Connection string `yaml:"connection,omitempty" json:"connection,omitempty"`
	// Topic is the name of the topic, which must exist. It should have as many partitions
	// as that of the events: rows of a partition go to the one of its number, modulo theirs.
	Topic string `yaml:"topic" json:"topic" jsonschema:"pattern=^[-a-zA-Z0-9._]{1\\,249}$" means:"a topic has letters, digits, dots, '_' and '-', at most 249"`
	// Period is the time between two transactions of a partition: events that come
	// meanwhile are scored and sent together, and a batching period that is longer does not
	// delay them.
	Period Duration `yaml:"period,omitempty" json:"period,omitempty" jsonschema:"exclusiveMinimum=0" default:"20ms"`
}

// MaxExplained bounds Explanations.Top.
const MaxExplained = 20

// Explanations add to each scored row the inputs that brought most to its raw score (the
// log-odds of a binary label, the logarithm of a count's mean, of several classes that of
// the likeliest one, else the value itself) and what each brought: _feature_1,
// _contribution_1 and so on, _other_contributions, _base_score and _raw_score, which is the
// sum of all. Trees are explained by TreeSHAP, linear models by weight times distance from
// the mean of the training rows, networks by integrated gradients.
type Explanations struct {
	// Top is how many inputs are named, the strongest first.
	Top int `yaml:"top,omitempty" json:"top,omitempty" jsonschema:"minimum=1,maximum=20" default:"3"`
}

// Explained is options of a model whose predictions can be explained.
type Explained interface{ Explains() }

// Explains returns how many inputs are named of each scored row; 0 where rows are not
// explained.
func (s *Spec) Explains() int {
	if s.Spec.Scoring == nil || s.Spec.Scoring.Explanations == nil {
		return 0
	}
	return s.Spec.Scoring.Explanations.Top
}

// ExplanationColumns are those of a scored row that explain it. The raw score is the sum
// of the base, of what the named inputs brought and of what the others brought together.
func ExplanationColumns(top int) []table.Column {
	if top == 0 {
		return nil
	}
	number := func(name string) table.Column { return table.Column{Name: name, Type: table.Float64, Nullable: true} }
	out := []table.Column{number("_raw_score"), number("_base_score")}
	for k := range top {
		out = append(out, table.Column{Name: fmt.Sprintf("_feature_%d", k+1), Type: table.String, Nullable: true}, number(fmt.Sprintf("_contribution_%d", k+1)))
	}
	return append(out, number("_other_contributions"))
}

// checkExplanations refuses explanations of a model that has none.
func (b *Body) checkExplanations(at Place) {
	if b.Scoring == nil || b.Scoring.Explanations == nil || b.Model.Options == nil {
		return
	}
	if _, ok := b.Model.Options.(Explained); !ok {
		at.Unsupported("scoring.explanations", "leave it out, or choose another model", "explanations of a "+b.Model.Name+" model")
	}
}

// SaysSplit reports whether scored rows say which split they would be in.
func (s *Spec) SaysSplit() bool { return s.Spec.Scoring != nil && s.Spec.Scoring.OutputColumns.Split }

// Output is a table of cleaned rows: those of the training data after all cleaning steps
// that apply to training. A run replaces its contents at once, once each row of the data
// is written, dropped by a step or rejected, and no data test fails; one on the objects of
// the run before finds nothing new. Files of objects that did not change are kept, unless
// what a step looks at in other rows has changed.
type Output struct {
	// Connection names a store that an operator registered. Default: that of the training
	// data.
	Connection string `yaml:"connection,omitempty" json:"connection,omitempty"`
	// S3 is the prefix of the table.
	S3 *S3Location `yaml:"s3" json:"s3"`
	// Format is how rows are encoded.
	Format Choice `yaml:"format,omitempty" json:"format,omitempty" catalog:"sink_formats" refused:"csv,jsonl,json,avro,arrow" default:"parquet"`
	// Columns are those that rows have.
	Columns CarriedColumns `yaml:"columns,omitempty" json:"columns,omitempty"`
	// PartitionBy names a timestamp column: rows of each UTC day get files of their own, in
	// folders date_date=2001-01-31. Default: none.
	PartitionBy []string `yaml:"partition_by,omitempty" json:"partition_by,omitempty"`
	// Table is the format by which readers see all rows of a run or none: delta.
	Table Choice `yaml:"table,omitempty" json:"table,omitempty" catalog:"table_formats" key:"format" refused:"iceberg" default:"delta"`
	// Retention is how long files that are no more in the table are kept for those who
	// read it, a training run for example. Default 24h: a day's readers end by then.
	Retention Duration `yaml:"retention,omitempty" json:"retention,omitempty" jsonschema:"exclusiveMinimum=0" default:"24h"`
}

// Transactional is options of a format of tables that replaces all rows at once.
type Transactional interface{ ReplacesAtOnce() }

// TableSource is options of a format of datasets whose path is the prefix of a table, the
// log of which names the files.
type TableSource interface{ NamesTable() }

// Check implements Checker.
func (o *Output) Check(at Place) {
	if o.S3 != nil {
		at.prefix("s3.path", o.S3.Path)
	}
	if _, ok := o.Table.Options.(Transactional); !ok && o.Table.Name != "" {
		at.Problem("table.format", "write table: {format: delta}", "without a table readers would see a part of a run's rows")
	}
	if len(o.PartitionBy) > 1 {
		at.in("partition_by").item(1).Unsupported("", "name one column", "a second partition column")
	}
}

// prefix checks the path of what is written below it.
func (p Place) prefix(path, value string) {
	p.S3Path(path, value)
	switch {
	case !strings.HasSuffix(value, "/"):
		p.Problem(path, "write "+value+"/", "the path of %s is a prefix and ends in /", p.sinkOrTable())
	case strings.Contains(value, "*"):
		p.Problem(path, "", "%s cannot have a *", p.sinkOrTable())
	case len(value) > maxSinkBytes:
		p.Problem(path, fmt.Sprintf("at most %d", maxSinkBytes), "the path has %d bytes, and keys below it would be too long", len(value))
	}
}

// sinkOrTable is what a prefix is of.
func (p Place) sinkOrTable() string {
	if strings.HasSuffix(p.path, "sink") {
		return "a sink"
	}
	return "a table"
}

// modelHalf are the parts of a spec that a pipeline with output does not have.
var modelHalf = []string{"input_features", "output_features", "crosses", "model", "trainer", "evaluation", "registry", "defaults", "scoring", "serving", "monitoring", "search"}

// checkHalves checks that a spec trains a model or writes a table of cleaned rows.
func (b *Body) checkHalves(at Place) {
	if b.trains() {
		for _, f := range []struct {
			name  string
			given int
		}{{"input_features", len(b.InputFeatures)}, {"output_features", len(b.OutputFeatures)}} {
			if f.given == 0 && at.Omits(f.name) && !slices.Contains(at.found.meant, at.at(f.name)) && !slices.Contains(at.found.meant, at.at("output")) {
				at.Problem(f.name, "without a model, say in output where cleaned rows go", "the field is missing")
			}
		}
		b.checkExplanations(at)
		return
	}
	if !at.Omits("scoring") {
		at.Problem("scoring", "leave it out, or output, and add input_features and output_features", "a stream is scored by a model, and a pipeline with output trains none")
	}
	for _, name := range modelHalf {
		if name != "scoring" && !at.Omits(name) {
			at.Problem(name, "leave it out; a pipeline of its own trains from the table, or with the same cleaning steps from the files", "a pipeline with output trains no model")
		}
	}
	if !at.Omits("sources.events") {
		at.Problem("sources.events", "leave it out", "a pipeline with output scores no events")
	}
	if b.Preprocessing.Split.Folds > 0 {
		at.Problem("preprocessing.split.folds", "leave it out", "folds measure models, and a pipeline with output trains none")
	}
	for i, step := range b.Preprocessing.Clean {
		if s, ok := step.Options.(StepSpec); ok && !slices.Contains(s.Phases().ApplyTo, InTraining) {
			at.in("preprocessing.clean").item(i).in(step.Name).Problem("apply_to", "leave it out", "the step applies to no row: a pipeline with output scores none")
		}
		if _, ok := step.Options.(BalancingSpec); ok {
			at.in("preprocessing.clean").item(i).Problem(step.Name, "leave it out, and balance in the pipeline that trains", "training rows are balanced, and a pipeline with output has none")
		}
	}
}

// cleanedColumns resolves which columns the table of cleaned rows has.
func (c *compiler) cleanedColumns() {
	o := c.spec.Spec.Output
	if o == nil {
		return
	}
	const path, leaveOut = "spec.output", "leave the column out: name it in spec.output.columns.exclude"
	include := c.match(path+".columns.include", o.Columns.Include, c.training.schema, c.training)
	exclude := c.match(path+".columns.exclude", o.Columns.Exclude, c.training.schema, c.training)
	maps.DeleteFunc(include, func(name string, _ bool) bool { return exclude[name] })
	if len(include) == 0 && !c.found.covers(path+".columns") {
		c.found.add(path+".columns", "name some", "the table would have no columns")
	}
	c.plan.Carried = include
	names := make(map[string]string, len(include))
	for name := range c.training.schema.Names() {
		if !include[name] {
			continue
		}
		folded := strings.ToLower(name)
		if other, taken := names[folded]; taken {
			c.found.add(path, leaveOut, "columns %s and %s differ in case only: readers of tables do not tell them apart", other, name)
		}
		if o.Columns.Split && folded == splitColumn.Name {
			c.found.add(path, leaveOut, "the table has a column %s of its own", splitColumn.Name)
		}
		names[folded] = name
		c.uses(c.training, []string{name}, "the table")
	}
	if len(o.PartitionBy) > 0 {
		c.partitioned(path+".partition_by[0]", o.PartitionBy[0], c.training.schema, c.training, names)
	}
}

// partitionName are the columns that rows can be partitioned by: directories
// have the name.
var partitionName = regexp.MustCompile(`^_?[a-zA-Z][a-zA-Z0-9_]{0,99}$`)

// partition checks that scored rows can be partitioned as the sink wants it. names
// are those of the user's columns, by their lower case.
func (c *compiler) partition(names map[string]string) {
	by := c.spec.Spec.Scoring.Sink.PartitionBy
	if len(by) == 0 {
		return
	}
	const path = "spec.scoring.sink.partition_by[0]"
	rows := table.Schema{Columns: slices.Concat(c.scoring.schema.Columns, OutputColumns(c.plan.Label.Answer, false, c.plan.Label.Besides...))}
	c.partitioned(path, by[0], rows, c.scoring, names)
}

// partitioned checks that rows can be partitioned by a column.
func (c *compiler) partitioned(path, by string, rows table.Schema, at *stage, names map[string]string) {
	of, rowsOf, others := "spec.scoring.output_columns", "scored rows", ", or _scored_at"
	if at.phase == InTraining {
		of, rowsOf, others = "spec.output.columns", "rows of the table", ""
	}
	_, column, ok := rows.Lookup(by)
	switch {
	case !ok:
		c.missing(path, by, rows, at)
	case at.from[by] != nil && !c.plan.Carried[by]:
		c.found.add(path, "let "+of+" have it", "%s do not have column %s", rowsOf, by)
	case column.Type != table.Timestamp:
		c.found.add(path, "name a timestamp column"+others, "column %s is %s: rows are partitioned by days", by, column.Type)
	case !partitionName.MatchString(by):
		c.found.add(path, "derive a column of another name", "column %.60q cannot name directories: letters, digits and underscores can", by)
	}
	if name, taken := names[strings.ToLower(PartitionColumn(by))]; taken {
		c.found.add(path, "give that column another name", "partitioning makes a column %s, and %s have %s", PartitionColumn(by), rowsOf, name)
	}
}

// ProductHash returns the sha256 in hex of all of a spec that the rows of its table, and
// whether they are accepted, depend on, beside the data.
func ProductHash(s *Spec) string {
	c := *s
	c.source, c.catalog, c.Metadata, c.Spec.Schedule = nil, nil, Metadata{}, nil
	c.Spec.Sources.Train = c.Spec.Sources.Train.ageless()
	if c.Spec.Output != nil {
		o := *c.Spec.Output
		o.Connection, o.S3, o.Retention = "", &S3Location{}, 0
		c.Spec.Output = &o
	}
	return hashOf(fieldsText(c))
}

// Registry says where a trained model goes.
type Registry struct {
	// Model names the line of versions. Default metadata.name.
	Model string `yaml:"model,omitempty" json:"model,omitempty" jsonschema:"pattern=^[a-z0-9]([-a-z0-9]{0\\,61}[a-z0-9])?$" means:"a name has lower-case letters, digits, and '-' between them, at most 63"`
	// Alias is what streams follow. Default champion.
	Alias string `yaml:"alias,omitempty" json:"alias,omitempty" jsonschema:"pattern=^[a-z0-9]([-a-z0-9]{0\\,61}[a-z0-9])?$" means:"a name has lower-case letters, digits, and '-' between them, at most 63"`
	// Export lists the formats that a version is kept in besides its own: onnx, one model
	// of features and model from cleaned rows on. `thalweg models show` names the objects.
	Export []ExportFormat `yaml:"export,omitempty" json:"export,omitempty"`
}

// ExportFormat is a format of versions besides their own.
type ExportFormat string

// ONNX is what onnxruntime runs.
const ONNX ExportFormat = "onnx"

// FairnessSpec compares groups of rows: their labels before training and the answers
// after it, of a binary output.
type FairnessSpec struct {
	// Sensitive are cleaned columns of type string, int64 or bool, which need not be
	// features: each value is a group.
	Sensitive []string `yaml:"sensitive" json:"sensitive" jsonschema:"minItems=1,maxItems=20"`
	// Metrics are compared between the groups: the share of true answers
	// (demographic_parity), and that among rows whose label is true
	// (equal_opportunity). Default both.
	Metrics []FairnessMetric `yaml:"metrics,omitempty" json:"metrics,omitempty" default:"[demographic_parity, equal_opportunity]"`
	// MinRows is how many rows a group must have to be compared.
	MinRows int `yaml:"min_rows,omitempty" json:"min_rows,omitempty" jsonschema:"minimum=1,maximum=1000000000" default:"100"`
	// Remedy is what is done about it: none, or reweigh, by which a training row of group g, by
	// the values of all sensitive columns together, and label y counts
	// (rows of g * rows of y) / (rows * rows of g and y) times (Kamiran and Calders 2012): as
	// weighed, the label is as frequent in each group. Probabilities are then those of rows so
	// weighed. Validation and test rows stay as they are.
	Remedy string `yaml:"remedy,omitempty" json:"remedy,omitempty" jsonschema:"enum=none,enum=reweigh" default:"none"`
}

// Reweighs reports whether training rows are weighed by group and label; a nil spec does not.
func (f *FairnessSpec) Reweighs() bool { return f != nil && f.Remedy == "reweigh" }

// FairnessMetric is a rate that groups are compared by.
type FairnessMetric string

// The metrics of FairnessSpec.
const (
	DemographicParity FairnessMetric = "demographic_parity"
	EqualOpportunity  FairnessMetric = "equal_opportunity"
)

// fairnessGate applies the rules of a gate on the difference between groups; ok: it is one, or
// on nothing.
func (e *Evaluation) fairnessGate(g *GateSpec, at Place) (ok bool) {
	if g.Fairness == "" {
		if ok = g.Metric == "" && at.Omits("metric"); ok {
			at.Problem("metric", "or write fairness", "the field is missing")
		}
		return ok
	}
	if e.Fairness == nil || !slices.Contains(e.Fairness.Metrics, g.Fairness) {
		at.Problem("fairness", "add it to evaluation.fairness.metrics", "groups are not compared by %s", g.Fairness)
	}
	if g.UpperBound == nil {
		at.Problem("upper_bound", "write the largest difference", "the field is missing")
	}
	for _, name := range []string{"metric", "lower_bound", "versus", "max_decrease", "max_increase", "slices", "over"} {
		if !at.Omits(name) {
			at.Problem(name, "leave it out", "a gate on fairness has an upper_bound alone")
		}
	}
	return true
}
