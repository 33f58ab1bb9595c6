package pipeline

import (
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
