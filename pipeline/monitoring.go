package pipeline

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/thalweg/thalweg/pipeline/table"
)

// Monitoring is how the stream half is watched: what it scores is held against what the
// version was judged by before it scored. Without it there is Drift with its defaults.
type Monitoring struct {
	// Drift compares the values of features and the scores of each window of time with those
	// of the rows that the version was evaluated on.
	Drift Drift `yaml:"drift,omitempty" json:"drift,omitempty"`
	// SkewSample is the share of the rows of a window that thalweg drift fetches and scores
	// again, as a batch, to compare the bits. Default: none.
	SkewSample Percent `yaml:"skew_sample,omitempty" json:"skew_sample,omitempty" jsonschema:"exclusiveMinimum=0,maximum=100"`
	// Labels are the true values of what was scored, which come later. thalweg quality joins
	// them to the scored rows and says how good the answers were. Default: none are known.
	Labels *LateLabels `yaml:"labels,omitempty" json:"labels,omitempty"`
	// Alerts are the webhooks that get the alerts of the pipeline: thalweg alerts lists them.
	// Default: nobody is told.
	Alerts []AlertSpec `yaml:"alerts,omitempty" json:"alerts,omitempty" jsonschema:"maxItems=16"`
	// Rules change what alerts fire for. Default: docs/alerts.md has them.
	Rules []AlertRule `yaml:"rules,omitempty" json:"rules,omitempty" jsonschema:"maxItems=64"`
}

// Drift is how far the rows of a window may be from those that the version was evaluated on.
type Drift struct {
	// Enabled: rows are counted as they are scored. Default true.
	Enabled *bool `yaml:"enabled,omitempty" json:"enabled,omitempty" default:"true"`
	// Window is how long a window is, a part of a day or days: they begin at multiples of it
	// since 1970 UTC. Where rows differ by the time of day, as flights at night do, a day has
	// all of them. Default 1h.
	Window Duration `yaml:"window,omitempty" json:"window,omitempty" jsonschema:"exclusiveMinimum=0"`
	// Metric is how the distance is measured: psi, the population stability index, or
	// jensen_shannon, the divergence, from 0 to 1. Default psi.
	Metric string `yaml:"metric,omitempty" json:"metric,omitempty" jsonschema:"enum=psi,enum=jensen_shannon"`
	// Warn is the distance that the whole 95 % interval is above where there is a warning.
	// Default 0.1 of psi, 0.02 of jensen_shannon.
	Warn *float64 `yaml:"warn,omitempty" json:"warn,omitempty" jsonschema:"minimum=0"`
	// Error is the same for an error. Default 0.25 of psi, 0.05 of jensen_shannon.
	Error *float64 `yaml:"error,omitempty" json:"error,omitempty" jsonschema:"minimum=0"`
	// MinRows is how many rows of a window must be counted for it to be judged. Default 1000.
	MinRows int `yaml:"min_rows,omitempty" json:"min_rows,omitempty" jsonschema:"minimum=1,maximum=1000000000"`
	// OneIn: one row in so many is counted, chosen by the hash of its offset. 1, all rows, is
	// for a stream of few. Default 16.
	OneIn int `yaml:"one_in,omitempty" json:"one_in,omitempty" jsonschema:"minimum=1,maximum=65536"`
	// Ignore names features that are counted and not judged. Those that are computed from
	// timestamps alone, as the hour is, are not judged in windows of less than a week.
	Ignore []string `yaml:"ignore,omitempty" json:"ignore,omitempty"`
}

// The measures of distance.
const (
	MetricPSI = "psi"
	MetricJS  = "jensen_shannon"
)

const (
	// minDriftWindow bounds how many windows there are.
	minDriftWindow = time.Minute
	maxDriftWindow = 366 * 24 * time.Hour
)

// standardDrift is what a spec means that says nothing of it.
func standardDrift(metric string) Drift {
	enabled, warn, fail := true, 0.1, 0.25
	if metric == MetricJS {
		warn, fail = 0.02, 0.05
	}
	return Drift{Enabled: &enabled, Window: Duration(time.Hour), Metric: MetricPSI, Warn: &warn, Error: &fail, MinRows: 1000, OneIn: 32}
}

// Defaults implements Defaulter.
func (d *Drift) Defaults(at Place) {
	standard := standardDrift(d.Metric)
	Default(at, "window", &d.Window, standard.Window)
	Default(at, "metric", &d.Metric, standard.Metric)
	Default(at, "warn", &d.Warn, standard.Warn)
	Default(at, "error", &d.Error, standard.Error)
	Default(at, "min_rows", &d.MinRows, standard.MinRows)
	Default(at, "one_in", &d.OneIn, standard.OneIn)
}

// Check implements Checker.
func (d *Drift) Check(at Place) {
	if d.Warn != nil && d.Error != nil && *d.Warn > *d.Error {
		at.Problem("warn", "warn earlier", "it is an error above %v anyway", *d.Error)
	}
	w, day := time.Duration(d.Window), 24*time.Hour
	if w != 0 && (w < minDriftWindow || w > maxDriftWindow || w%day != 0 && day%w != 0) {
		at.Problem("window", "write 15m, 1h or 24h: from 1m to 366 days, a part of a day or whole days", "%s is no window", d.Window)
	}
}

// Drift returns how a spec's stream is watched, whether it says so or not.
func (s *Spec) Drift() Drift {
	if m := s.Spec.Monitoring; m != nil {
		return m.Drift
	}
	return standardDrift(MetricPSI)
}

// On reports whether rows are counted.
func (d *Drift) On() bool { return d.Enabled == nil || *d.Enabled }

// watching checks what windows go by, and the features that are not judged.
func (c *compiler) watching() {
	if by := c.spec.Spec.Schema.EventTime; by != "" && c.spec.Spec.Scoring != nil {
		const path = "spec.schema.event_time"
		switch _, column, ok := c.scoring.schema.Lookup(by); {
		case !ok:
			c.missing(path, by, c.scoring.schema, c.scoring)
		case column.Type != table.Timestamp:
			c.found.add(path, "name a timestamp column", "column %s is %s", by, column.Type)
		}
	}
	if m := c.spec.Spec.Monitoring; m != nil {
		for i, name := range m.Drift.Ignore {
			if !slices.ContainsFunc(c.plan.Features, func(f Feature) bool { return f.Name == name }) {
				c.found.add(fmt.Sprintf("spec.monitoring.drift.ignore[%d]", i), "name an input feature", "there is no feature %s", name)
			}
		}
	}
}

// AlertSpec is who is told of a pipeline's alerts.
type AlertSpec struct {
	// Webhook names one that an operator registered in the file of --connections of the
	// coordinators.
	Webhook string `yaml:"webhook" json:"webhook" jsonschema:"pattern=^[-a-zA-Z0-9._]{1\\,64}$" means:"the name of a connection" example:"ops"`
	// Severity is that from which on alerts go there: warning, all of them, or error, what
	// stands still or is lost.
	Severity string `yaml:"severity,omitempty" json:"severity,omitempty" jsonschema:"enum=warning,enum=error" default:"warning"`
}

// AlertRule changes one rule of alerts.
type AlertRule struct {
	// Alert is the rule.
	Alert string `yaml:"alert" json:"alert" jsonschema:"enum=run_failed,enum=run_waits,enum=shards_skipped,enum=gates_failed,enum=stream_stopped,enum=stream_paused,enum=stream_lag,enum=dead_letters,enum=service_degraded,enum=rollout_waits,enum=rollout_bad,enum=rolled_back,enum=deletion_stuck"`
	// For is how long its condition has to hold before it fires. Default: the rule's.
	For *Duration `yaml:"for,omitempty" json:"for,omitempty" jsonschema:"minimum=0"`
	// Severity is error, warning, or none: it never fires. Default: the rule's.
	Severity string `yaml:"severity,omitempty" json:"severity,omitempty" jsonschema:"enum=error,enum=warning,enum=none"`
}

// Check implements Checker.
func (m *Monitoring) Check(at Place) {
	for i, a := range m.Alerts {
		if slices.ContainsFunc(m.Alerts[:i], func(o AlertSpec) bool { return o.Webhook == a.Webhook }) {
			at.in("alerts").item(i).Problem("webhook", "leave one out", "webhook %s appears twice", a.Webhook)
		}
	}
	for i, r := range m.Rules {
		if slices.ContainsFunc(m.Rules[:i], func(o AlertRule) bool { return o.Alert == r.Alert }) {
			at.in("rules").item(i).Problem("alert", "leave one out", "alert %s appears twice", r.Alert)
		}
	}
}

// LateLabels are the true values of scored rows, one by one or in files. Of several with one
// key the last counts: of a topic the one with the latest timestamp, then offset; of files
// that in the last file by name, then row. A row without one is not measured.
type LateLabels struct {
	// Connection names the store or the cluster that an operator registered. Default: the
	// operator's default.
	Connection string `yaml:"connection,omitempty" json:"connection,omitempty"`
	// S3 is where files lie, as those of training data.
	S3 *S3Location `yaml:"s3,omitempty" json:"s3,omitempty"`
	// Stream is a topic of labels instead: JSON objects with the key and the column as
	// fields. Where the schema fills the key from the record's, a label's is filled so too.
	Stream Choice `yaml:",inline" json:"-" catalog:"streams"`
	// Format is how files are encoded, as that of training data; a row that cannot be read is
	// counted. Default parquet; a topic has none.
	Format Choice `yaml:"format,omitempty" json:"format,omitempty" catalog:"dataset_formats" refused:"json,avro"`
	// Key is the column, of labels and of scored rows, by which they are joined: a string, a
	// whole number or a timestamp.
	Key string `yaml:"key" json:"key" jsonschema:"minLength=1" example:"flight_id"`
	// Column is that of the labels from which the output is computed, as in training: its
	// type is that of the training data's column of this name.
	Column string `yaml:"column" json:"column" jsonschema:"minLength=1" example:"delay"`
	// Within is how long ago rows may have been scored.
	Within Duration `yaml:"within,omitempty" json:"within,omitempty" jsonschema:"exclusiveMinimum=0" default:"7d"`
}

const lateLabelsPath = "spec.monitoring.labels"

// Defaults implements Defaulter.
func (l *LateLabels) Defaults(at Place) {
	if l.S3 != nil {
		at.in("format").choose(DatasetFormats, "parquet", &l.Format)
	}
}

// Check implements Checker.
func (l *LateLabels) Check(at Place) {
	at.location(l.S3, l.Stream)
	switch {
	case l.S3 != nil:
		at.files(l.S3.Path, l.Format)
	case l.Stream.Name != "" && l.Format.Name != "":
		at.Problem("format", "leave it out", "labels of a topic are JSON")
	}
	if l.Key != "" && l.Key == l.Column {
		at.Problem("column", "name the column that has the true value", "column %s is the key", l.Key)
	}
}

// lateLabels checks that what the label reads is in scored rows, or comes later.
func (c *compiler) lateLabels() {
	m := c.spec.Spec.Monitoring
	if m == nil || m.Labels == nil {
		return
	}
	l := m.Labels
	if c.spec.Spec.Scoring == nil {
		c.found.add(lateLabelsPath, "leave it out, or add spec.scoring", "the spec scores no stream: no row waits for a label")
		return
	}
	_, key, known := c.scoring.schema.Lookup(l.Key)
	switch path := lateLabelsPath + ".key"; {
	case !known:
		c.missing(path, l.Key, c.scoring.schema, c.scoring)
	case !c.plan.Carried[l.Key]:
		c.found.add(path, "let spec.scoring.output_columns have it", "scored rows do not have column %s", l.Key)
	case !slices.Contains(labelKeyTypes, key.Type):
		c.found.add(path, "", "column %s is %s: rows are joined by %s", l.Key, key.Type, anyOf(labelKeyTypes))
	case key.PII == table.PIIMask:
		c.found.add(path, "write pii: hash", "column %s has pii: mask, and no value of it is left to join by", l.Key)
	}
	_, column, known := c.plan.Cleaned.Lookup(l.Column)
	switch path := lateLabelsPath + ".column"; {
	case !known:
		c.missing(path, l.Column, c.plan.Cleaned, c.training)
	case !slices.Contains(table.ValueTypes, column.Type):
		c.found.add(path, "", "a label is no %s", column.Type)
	}
	reads := []string{c.plan.Label.Column}
	if c.plan.Label.Expression != nil {
		reads = c.plan.Label.Expression.Columns()
	}
	for _, name := range reads {
		if name != "" && name != l.Column && !c.plan.Carried[name] {
			c.found.add(lateLabelsPath+".column", "let spec.scoring.output_columns have it, or write the output as an expression of "+cmp.Or(l.Column, "the label's column")+" and columns of scored rows",
				"the output reads column %s, which neither scored rows nor labels have", name)
		}
	}
}
