// Package labels holds what a stream has answered against what turned out to be true: labels
// that come after their rows are joined to these by a key, and each version is measured by
// them as evaluation measures it by the rows that training had kept back.
package labels

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/evaluation"
	"github.com/thalweg/thalweg/pipeline/interval"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker/shuffle"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// The columns of scored rows that are read besides those of the spec.
const (
	versionColumn   = "_model_version"
	timeColumn      = "_scored_at"
	partitionColumn = "_partition"
	offsetColumn    = "_offset"
)

// Sources are where rows, labels and versions are.
type Sources struct {
	Bucket storage.Bucket
	Files  []string // keys of the objects that hold each scored row once
	// Labels calls take with all labels, batch by batch: the key and the label, in the types
	// of the columns that it is given, and what shuffle.Late.AddLabels takes.
	Labels func(ctx context.Context, columns []table.Column, take func(batch arrow.Record, place int, when []int64) error) error
	// Version returns a version that rows are of. NotFound: its checkpoint is not there any
	// more.
	Version func(ctx context.Context, version thalweg.ModelVersion) (*Trained, error)
}

// Trained is a version as training left it.
type Trained struct {
	Artifact *artifact.Artifact
	Judged   string                     // the split that it was judged by
	Metrics  map[string]metric.Estimate // by the rows of that; nil: they are not known
}

// Request says which rows are measured, and by which labels.
type Request struct {
	Spec *pipeline.Spec
	// Key and Label are columns of the labels, the first also of scored rows.
	Key, Label table.Column
	// Since and Until bound when rows were scored.
	Since, Until time.Time
	// Dir and Memory are what the join may use.
	Dir    string
	Memory int64
}

// Report says how good a stream's answers were.
type Report struct {
	Pipeline string    `json:"pipeline"`
	Since    time.Time `json:"since"`
	Until    time.Time `json:"until"`
	// Rows were scored in that time, Labelled of them have a label, which for Null of them is
	// null, and Rate is their share.
	Rows     int64           `json:"rows"`
	Labelled int64           `json:"labelled"`
	Null     int64           `json:"null_labels,omitempty"`
	Rate     metric.Estimate `json:"label_rate"`
	// Labels are those that were read, and Rejected what could not be read as one, First why
	// the first of these.
	Labels   shuffle.LateFound `json:"labels"`
	Rejected int64             `json:"rejected_labels,omitempty"`
	First    string            `json:"first_rejected,omitempty"`
	Versions []*Version        `json:"versions"`
	// Skipped says what is not measured, and why.
	Skipped []string `json:"skipped,omitempty"`
}

// Version is what is known of the answers of one version. Those of a rollout's arms are of two.
type Version struct {
	Version  thalweg.ModelVersion `json:"version"`
	Rows     int64                `json:"rows"`
	Labelled int64                `json:"labelled"`
	Rate     metric.Estimate      `json:"label_rate"`
	// Live are the metrics of the labelled rows, Trained those by which training judged the
	// version, of the split Judged, and Change by how much the former are above the latter.
	Live    map[string]metric.Estimate `json:"live,omitempty"`
	Judged  string                     `json:"judged,omitempty"`
	Trained map[string]metric.Estimate `json:"trained,omitempty"`
	Change  map[string]metric.Estimate `json:"change,omitempty"`
	// Worse are the metrics that have become worse by more than chance explains.
	Worse []string `json:"worse,omitempty"`
	evaluation.Sliced
	// Unmeasured says why there are no metrics.
	Unmeasured string `json:"unmeasured,omitempty"`
}

// run is a measurement under way.
type run struct {
	Sources
	Request
	report *Report
	groups map[thalweg.ModelVersion]*measured
	at     func(done, total int64, message string)
}

// Run measures the rows. It reads each file twice, the second time only those in which a row
// has a label. It calls at with how far it is.
func Run(ctx context.Context, from Sources, what Request, at func(done, total int64, message string)) (*Report, error) {
	r := &run{Sources: from, Request: what, groups: make(map[thalweg.ModelVersion]*measured), at: at,
		report: &Report{Pipeline: what.Spec.Metadata.Name, Since: what.Since.UTC(), Until: what.Until.UTC(), Versions: []*Version{}}}
	late := shuffle.NewLate(what.Dir, what.Memory, what.Key.Name, what.Label.Name)
	defer late.Close()
	for i, name := range from.Files {
		r.at(int64(i), int64(2*len(from.Files)), "rows")
		if err := r.rows(ctx, late, i, name); err != nil {
			return nil, err
		}
	}
	if r.report.Rows > 0 {
		r.at(int64(len(from.Files)), int64(2*len(from.Files)), "labels")
		if err := from.Labels(ctx, []table.Column{what.Key, what.Label}, late.AddLabels); err != nil {
			return nil, err
		}
		if err := r.measure(ctx, late); err != nil {
			return nil, err
		}
	}
	r.report.Labels = late.Found
	return r.report, r.finish()
}

// rows hands the rows of a file that were scored in time to the join.
func (r *run) rows(ctx context.Context, late *shuffle.Late, file int, name string) error {
	without := "" // why rows of the file have no key
	for batch, err := range r.read(ctx, name, []string{r.Key.Name, timeColumn, versionColumn}) {
		if err != nil {
			return err
		}
		times, ok := find[*array.Timestamp](batch, timeColumn)
		versions, alsoOK := find[*array.Int64](batch, versionColumn)
		if !ok || !alsoOK {
			return notScored(name)
		}
		keep := table.NewMask(int(batch.Rows.NumRows()))
		from, to := arrow.Timestamp(r.Since.UnixMicro()), arrow.Timestamp(r.Until.UnixMicro())
		for i, us := range times.TimestampValues() {
			if us < from || us >= to {
				continue
			}
			keep.Set(i)
			r.report.Rows++
			r.group(thalweg.ModelVersion(versions.Value(i))).Rows++
		}
		if keep.Count() == 0 {
			continue
		}
		switch _, key, ok := batch.Schema.Lookup(r.Key.Name); {
		case !ok:
			without = fmt.Sprintf("%s: its rows have no column %s", name, r.Key.Name)
		case key.Type != r.Key.Type:
			without = fmt.Sprintf("%s: column %s of its rows is %s, and of the labels %s", name, r.Key.Name, key.Type, r.Key.Type)
		default:
			if err := late.AddRows(batch.Rows, file, keep); err != nil {
				return err
			}
		}
	}
	if without != "" {
		r.skip("%s", without)
	}
	return nil
}

// maxSkipped bounds what is said of what is not measured.
const maxSkipped = 20

func (r *run) skip(format string, args ...any) {
	if len(r.report.Skipped) < maxSkipped {
		r.report.Skipped = append(r.report.Skipped, fmt.Sprintf(format, args...))
	}
}

// read yields columns of the rows of an object.
func (r *run) read(ctx context.Context, name string, columns []string) func(func(engine.RowBatch, error) bool) {
	return func(yield func(engine.RowBatch, error) bool) {
		body, _, err := r.Bucket.Get(ctx, name)
		if thalweg.Is(err, thalweg.NotFound) {
			err = &thalweg.Error{Op: "read scored rows", Kind: thalweg.Unavailable, Subject: name, Err: err,
				Hint: "a compaction has replaced it meanwhile: ask again, or for fewer days"}
		}
		if err != nil {
			yield(engine.RowBatch{}, err)
			return
		}
		for batch, err := range engine.ReadColumns(name, body, columns) {
			if !yield(batch, err) || err != nil {
				return
			}
		}
	}
}

func notScored(name string) error {
	return &thalweg.Error{Op: "read scored rows", Kind: thalweg.Corrupt, Subject: name, Hint: "its rows lack a column that all scored rows have"}
}

// find returns a column of a type.
func find[A arrow.Array](batch engine.RowBatch, name string) (a A, ok bool) {
	i, _, ok := batch.Schema.Lookup(name)
	if ok {
		a, ok = batch.Rows.Column(i).(A)
	}
	return a, ok
}

// group returns what is measured of the rows of a version.
func (r *run) group(of thalweg.ModelVersion) *measured {
	m := r.groups[of]
	if m == nil {
		m = &measured{Version: Version{Version: of}}
		r.groups[of] = m
	}
	return m
}

// finish puts the report together.
func (r *run) finish() error {
	for _, of := range slices.Sorted(maps.Keys(r.groups)) {
		m := r.groups[of]
		if err := m.finish(r.Spec); err != nil {
			return err
		}
		r.report.Versions = append(r.report.Versions, &m.Version)
	}
	r.report.Rate = share(r.report.Labelled, r.report.Rows)
	return nil
}

// share is how many of some rows are so.
func share(part, of int64) metric.Estimate {
	if of == 0 {
		return metric.Estimate{}
	}
	value := float64(part) / float64(of)
	around := interval.Wilson(value, of)
	return metric.Estimate{Value: value, Interval: &around}
}

// change is by how much a metric is above another that was measured by other rows.
func change(now, then metric.Estimate) metric.Estimate {
	out := metric.Estimate{Value: now.Value - then.Value}
	if now.Interval != nil && then.Interval != nil {
		of := interval.Difference(then.Value, *then.Interval, now.Value, *now.Interval)
		out.Interval = &of
	}
	return out
}
