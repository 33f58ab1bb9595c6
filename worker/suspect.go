package worker

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/balance"
	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/split"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/worker/train"
)

// maxWarnings bounds those of one task; a run keeps 32.
const maxWarnings = 20

// warn notes what the run's owner should look at.
func (t *Task) warn(format string, args ...any) {
	if len(t.Report.Warnings) < maxWarnings {
		t.Report.Warnings = append(t.Report.Warnings, fmt.Sprintf(format, args...))
	}
}

// warnOfFeatures names the features that have one value in all training rows, and
// those of which training rows have lists of another length.
func (t *Task) warnOfFeatures(transform *feature.Transform) {
	oneValue := func(n feature.Number) bool { return n.Statistics.Count > 0 && n.Statistics.Min == n.Statistics.Max }
	var names []string
	for _, f := range transform.Features() {
		varies := func(n feature.Number) bool { return !oneValue(n) }
		constant := f.Number != nil && oneValue(*f.Number) || f.Category != nil && f.Category.Distinct == 1 ||
			f.Hashed != nil && f.Hashed.Distinct == 1 || f.Valued != nil && f.Valued.Distinct == 1 || f.Bins != nil && f.Bins.Statistics.Count > 0 && len(f.Bins.Cuts) == 0 ||
			f.Periodic != nil && oneValue(feature.Number{Statistics: f.Periodic.Statistics}) ||
			f.Terms != nil && f.Terms.Constant() ||
			f.List != nil && !slices.ContainsFunc(f.List.Elements, varies)
		if constant {
			names = append(names, f.Name)
		}
		if f.List != nil && f.List.Other > 0 {
			t.warn("feature %s: %d training rows have a list of another length than %d, which counts as missing", f.Name, f.List.Other, f.List.Length)
		}
	}
	if len(names) > maxNamed {
		t.warn("%d features have one value in all training rows, and the model learns nothing from them: %s, …", len(names), strings.Join(names[:maxNamed], ", "))
		return
	}
	for _, name := range names {
		t.warn("feature %s has one value in all training rows: the model learns nothing from it", name)
	}
}

// warnOfLone names the numbers that set the scale of a feature by themselves, and their rows,
// which it reads once more.
func (t *Task) warnOfLone(ctx context.Context, d *data, transform *feature.Transform, statistics [][]byte) error {
	lone, err := feature.LoneNumbers(d.plan, transform, statistics)
	if err != nil {
		return err
	}
	for _, l := range lone[:min(len(lone), maxNamed)] {
		what, where := "", ""
		if !d.plan.Spec.HidesValues() {
			what = fmt.Sprintf(", %v", l.Value)
		}
		if l.Shard >= 0 {
			origin := d.manifest.Origin(l.Shard)
			where = " in object " + origin.Object
			if row, ok, err := d.rowOf(ctx, l); err != nil {
				return err
			} else if ok {
				where += fmt.Sprintf(", row %d", origin.First+balance.Original(row))
			}
		}
		t.warn("feature %s: one value of %d%s%s makes %.4g %% of the variance, and all others are scaled by it: if it is wrong, filter it out or clip it (outliers), or write normalization: robust",
			l.Feature, l.Count, what, where, 100*l.Share)
	}
	return nil
}

// rowOf returns the training row of a shard that has a number.
func (d *data) rowOf(ctx context.Context, l feature.Lone) (row int64, found bool, err error) {
	var parts []uint8
	for rows, err := range d.prepared(ctx, l.Shard, false, new(pipeline.Report)) {
		for chunk := 0; err == nil && chunk < rows.Chunks() && !found; chunk++ {
			var batch arrow.Record
			if batch, err = rows.Chunk(chunk); err == nil {
				parts = feature.Splits(batch, parts)
				row, found, err = l.Find(batch, func(i int) bool { return parts[i] == split.Train })
				batch.Release()
			}
		}
		if err != nil || found {
			return row, found, err
		}
	}
	return 0, false, nil
}

// maxNamed is of how many features a warning names each.
const maxNamed = 5

// stillImproving warns of a training that ended too early.
func stillImproving(m *model.Model, r *train.Result) []string {
	if r.Stopped != train.AllEpochsDone || !r.Improving || len(r.Metrics) == 0 {
		return nil
	}
	if m.Forest() != nil {
		return []string{"all trees were grown, and the last were still an improvement: raise model.trees"}
	}
	return []string{fmt.Sprintf("training ended after %d epochs, and the last one was still the best: raise trainer.epochs", r.Epochs)}
}

const (
	// leastAlone is from how many rows on features are tried alone. maxAlone bounds the rows of
	// the first shard that they are tried on, and maxAloneValues the values of all features: 784
	// get 2,675 rows.
	leastAlone     = 100
	maxAlone       = 20_000
	maxAloneValues = 2 << 20
)

// warnOfEvaluation says what is odd about the metrics of a split, given what was minimised,
// and about features that predict the label alone.
func (t *Task) warnOfEvaluation(plan *pipeline.Plan, split string, values map[string]float64, alone map[string]alone) {
	const constant = "the model is no better than a constant: "
	judged := "" // what suits the loss better than the metrics of probabilities and means
	if l, ok := plan.Label.Loss.Options.(pipeline.Judged); ok {
		_, balanced := plan.Balance()
		judged = l.ValidationMetric(plan.Label.Type, balanced)
	}
	p, binary := values[metric.BaseRate]
	auc, ranked := values[metric.ROCAUC]
	r2, number := values[metric.R2]
	switch {
	case judged == metric.ROCAUC && ranked && auc <= 0.5:
		t.warn(constant+"%s.roc_auc is %.4g, that of a constant 0.5", split, auc)
	case judged != "":
	case binary && p > 0 && p < 1 && values[metric.LogLoss] >= -p*math.Log(p)-(1-p)*math.Log1p(-p):
		t.warn(constant+"%s.log_loss is %.4g, that of the %s rows' base rate %.4g",
			split, values[metric.LogLoss], split, -p*math.Log(p)-(1-p)*math.Log1p(-p))
	case number && r2 <= 0:
		t.warn(constant+"%s.r2 is %.4g", split, r2)
	}
	for _, name := range slices.Sorted(maps.Keys(alone)) {
		if a := alone[name]; metric.IsLeak(a.Strength, a.Rows) {
			t.warn("feature %s alone predicts the label (%.4g on %d rows, 1 is always): is it made of the label, or known only after it?", name, a.Strength, a.Rows)
		}
	}
}

// alone is how well one feature predicts the label by itself: the area under the
// curve of a binary label, whichever way round, and the squared correlation with a
// number.
type alone struct {
	Strength float64 `json:"strength"`
	Rows     int     `json:"rows"`
}

// loneFeatures gathers what features bring to rows, up to most.
type loneFeatures struct {
	most   int
	parts  map[string][]float32
	labels []float32
}

// newLoneFeatures returns one for so many features.
func newLoneFeatures(features int) loneFeatures {
	return loneFeatures{most: max(leastAlone, min(maxAlone, maxAloneValues/max(1, features))), parts: map[string][]float32{}}
}

// full reports that no more rows are wanted.
func (l *loneFeatures) full() bool { return len(l.labels) >= l.most }

// observe adds the rows of a batch that have a label; valid nil: all have.
func (l *loneFeatures) observe(parts iter.Seq2[string, []float32], labels []float32, valid []bool) {
	var rows []int
	for i := range labels {
		if (valid == nil || valid[i]) && len(l.labels)+len(rows) < l.most {
			rows = append(rows, i)
		}
	}
	seen := false
	for name, part := range parts {
		seen = true
		for _, i := range rows {
			l.parts[name] = append(l.parts[name], part[i])
		}
	}
	if !seen {
		l.most = 0 // of no feature of this model is a part known
		return
	}
	for _, i := range rows {
		l.labels = append(l.labels, labels[i])
	}
}

func (l *loneFeatures) strengths(binary bool) map[string]alone {
	out := make(map[string]alone, len(l.parts))
	for name, scores := range l.parts {
		out[name] = alone{metric.Alone(scores, l.labels, binary), len(l.labels)}
	}
	return out
}

// extreme is the value farthest from 0 of those that a model reads, and its row.
type extreme struct {
	what  string
	value float32
	shard int
	row   int64 // of the shard
}

// reach takes a value if it is farther.
func (e *extreme) reach(what string, value float32, shard int, row int64) {
	if e.what == "" || math.Abs(float64(value)) > math.Abs(float64(e.value)) {
		*e = extreme{what, value, shard, row}
	}
}

// withExtremes adds to the error of a training that diverged which rows have the largest
// values, as one of them may be why. It reads all rows once more.
func (in *trainingInputs) withExtremes(ctx context.Context, err error) error {
	var of *thalweg.Error
	if !errors.As(err, new(*train.DivergedError)) || !errors.As(err, &of) {
		return err
	}
	extremes, failed := in.extremes(ctx)
	if failed != nil {
		return err // which says more than what kept its rows from being read
	}
	var found []string
	for _, e := range extremes {
		if e.what != "" {
			origin := in.manifest.Origin(e.shard)
			value := fmt.Sprintf(" is %v", e.value)
			if in.plan.Spec.HidesValues() {
				value = ""
			}
			found = append(found, fmt.Sprintf("%s%s in object %s, row %d", e.what, value, origin.Object, origin.First+e.row))
		}
	}
	out := *of
	out.Err = fmt.Errorf("%w; the values farthest from 0 that the model reads: %s", of.Err, strings.Join(found, "; "))
	out.Hint += ", or, if these rows are wrong, filter them out or clip them (outliers)"
	return &out
}

// extremes returns the extreme input of the model, and the extreme label.
func (in *trainingInputs) extremes(ctx context.Context) (of [2]extreme, err error) {
	shape := in.transform.Shape()
	for shard := range in.manifest.Shards {
		for batch, err := range in.Read(ctx, shard) {
			if err != nil {
				return of, err
			}
			keep := table.NewMask(len(batch.Split))
			var rows []int64
			for i, s := range batch.Split {
				if s == train.Training || s == train.Validation {
					keep.Set(i)
					rows = append(rows, balance.Original(batch.Row[i]))
				}
			}
			if err := batch.Fill(keep); err != nil {
				return of, err
			}
			for k, column := range batch.Block.Numbers {
				for i, v := range column {
					of[0].reach("feature "+shape.NumberNames[k], v, shard, rows[i])
				}
			}
			for k, list := range batch.Block.Lists {
				for i, v := range list {
					of[0].reach("feature "+shape.ListNames[k], v, shard, rows[i*len(rows)/len(list)])
				}
			}
			for i, v := range batch.Block.Labels {
				if len(in.transform.Label().Classes) == 0 && math.Abs(float64(v)) > 1 { // neither a class nor true or false
					of[1].reach("the label", v, shard, rows[i])
				}
			}
		}
	}
	return of, nil
}
