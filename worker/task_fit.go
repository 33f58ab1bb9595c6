package worker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/compact"
	"github.com/thalweg/thalweg/pipeline/conformal"
	"github.com/thalweg/thalweg/pipeline/evaluation"
	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/split"
	"github.com/thalweg/thalweg/pipeline/table"
)

// fitPartial is what the fit stage learns from one shard: statistics of its
// training rows, and how many rows that can be used fell to each split.
type fitPartial struct {
	Statistics json.RawMessage    `json:"statistics"`
	Rows       [split.Count]int64 `json:"rows"`
	// Held are those of the validation rows that are kept for what is made of the trained model.
	Held   int64           `json:"held,omitempty"`
	Report pipeline.Report `json:"report"`
	// Labels are counted by the sensitive columns of the spec.
	Labels evaluation.Labels `json:"labels,omitempty"`
	// Failing refers to the rows that fail data tests.
	Failing string `json:"failing,omitempty"`
}

// fitted is the output of the fit stage.
type fitted struct {
	Transform json.RawMessage `json:"transform"`
	Hash      string          `json:"hash"`
	// Rows[s] are the rows of shard s by split, without those that are not used.
	Rows [][split.Count]int64 `json:"rows"`
	// Labels are counted by group where rows are weighed by group and label.
	Labels evaluation.Labels `json:"labels,omitempty"`
}

// has reports whether a shard has rows of one of the splits that can be used. Rows
// that turn out to lack a label or a feature are counted too.
func (f *fitted) has(shard int, splits ...uint8) bool {
	return slices.ContainsFunc(splits, func(s uint8) bool { return f.Rows[shard][s] > 0 })
}

// mapFit gathers the statistics of shards' training rows.
func mapFit(ctx context.Context, t *Task) error {
	return mapShards(ctx, t, func(d *data, shard int) (fitPartial, error) {
		out, err := remembered(ctx, d, shard, d.keeping.fit, func() (fitPartial, error) { return d.fitShard(ctx, shard, true) })
		if err == nil {
			out.Failing, err = t.setAside(ctx, shard, &out.Report)
		}
		return out, err
	})
}

// fitShard gathers the statistics of a shard's training rows; keep says that its prepared
// rows shall be kept.
func (d *data) fitShard(ctx context.Context, shard int, keep bool) (out fitPartial, err error) {
	fitter := feature.NewFitter(d.plan)
	out.Labels = make(evaluation.Labels)
	var parts []uint8
	for rows, err := range d.prepared(ctx, shard, keep, &out.Report) {
		for chunk := 0; err == nil && chunk < rows.Chunks(); chunk++ {
			parts, err = d.fit(fitter, rows, chunk, shard, parts, &out)
		}
		if err != nil {
			return out, err
		}
	}
	out.Statistics, err = fitter.Partial()
	return out, err
}

// fit shows the rows of a chunk to a fitter, and counts them.
func (d *data) fit(fitter *feature.Fitter, rows *compact.Batch, chunk, shard int, parts []uint8, out *fitPartial) ([]uint8, error) {
	batch, err := rows.Chunk(chunk)
	if err != nil {
		return nil, err
	}
	defer batch.Release()
	parts = feature.Splits(batch, parts)
	usable, err := feature.Usable(d.plan, batch, &out.Report)
	if err != nil {
		return nil, err
	}
	all := usable.Count() == len(parts)
	if f := d.plan.Spec.Spec.Evaluation.Fairness; f != nil {
		labels, valid, err := feature.BinaryLabels(d.plan, batch)
		if err == nil {
			label := func(row int) int {
				if parts[row] != split.Train || !valid[row] || !all && !usable.Has(row) {
					return -1
				}
				return int(labels[row])
			}
			if err = out.Labels.Observe(f.Sensitive, batch, label); err == nil && f.Reweighs() {
				err = out.Labels.ObserveJointly(f.Sensitive, batch, label)
			}
		}
		if err != nil {
			return nil, err
		}
	}
	half, numbers := d.halves(shard), table.Rows(batch)
	for i, p := range parts {
		if (all || usable.Has(i)) && p != split.Unused {
			out.Rows[p]++
			if half != nil && p == split.Validation && split.Held(half(numbers[i])) {
				out.Held++
			}
		}
	}
	if err := fitter.Observe(batch, parts); err != nil {
		return nil, err
	}
	return parts, d.checkRows(shard, fitter.Labelled())
}

// checkRows refuses, of one shard already, more training rows than a model keeps that keeps them.
func (d *data) checkRows(shard int, rows int64) error {
	k, ok := d.plan.Spec.Spec.Model.Options.(model.RowKeeper)
	if !ok || d.plan.Spec.Searches() {
		return nil
	}
	values := 0 // at least
	for _, f := range d.plan.Features {
		if f.Type != "list" {
			values++
		}
	}
	if err := k.Bound(rows, values); err != nil {
		return &thalweg.Error{Op: "fit transform", Kind: thalweg.Invalid, Subject: fmt.Sprintf("shard %d", shard), Err: err}
	}
	return nil
}

// reduceFit merges the statistics in shard order into the fitted transform.
func reduceFit(ctx context.Context, t *Task) error {
	d, all, err := shardResults[fitPartial](ctx, t)
	if err != nil {
		return err
	}
	statistics := make([][]byte, len(all))
	var out fitted
	var total [split.Count]int64
	var held int64
	var report pipeline.Report
	failing := make([]string, len(all))
	labels := make(evaluation.Labels)
	for i, p := range all {
		labels.Merge(p.Labels)
		failing[i] = p.Failing
		statistics[i] = p.Statistics
		report.Merge(&p.Report)
		out.Rows = append(out.Rows, p.Rows)
		held += p.Held
		for s, n := range p.Rows {
			total[s] += n
		}
	}
	if err := t.count(ctx, d, &report); err != nil {
		return err
	}
	if err := t.judge(ctx, d, true, &report, failing); err != nil {
		return err
	}
	if d.plan.Spec.Halves() {
		total[split.Validation] -= held
		t.Report.Counts["rows.calibration"] = held
		if of, ok := d.plan.Spec.Conformal(); ok && held < int64(conformal.Least(of.Coverage)) {
			return &thalweg.Error{Op: "fit transform", Kind: thalweg.Invalid, Subject: "model.uncertainty", Hint: "give validation more rows, half of which are for calibration, or lower coverage",
				Err: fmt.Errorf("a coverage of %v needs at least %d rows for calibration, there are %d", of.Coverage, conformal.Least(of.Coverage), held)}
		}
	}
	for s, name := range split.Names {
		t.Report.Counts["rows."+name] = total[s]
	}
	if total[split.Train] == 0 {
		return &thalweg.Error{Op: "fit transform", Kind: thalweg.Invalid, Subject: t.Lease.Pipeline,
			Hint: "no row is left to train on: look at the filters, the split and the label" + reasons(&report)}
	}
	transform, err := feature.Finish(d.plan, statistics)
	if of := new(feature.ShardError); errors.As(err, &of) {
		err = &thalweg.Error{Op: "fit transform", Kind: thalweg.KindOf(err), Subject: d.manifest.Place(of.Shard), Err: of.Err}
	}
	if err != nil {
		return err
	}
	if !d.plan.Spec.Searches() { // else the model may be searched for
		if err := checkModel(d.plan, transform); err != nil {
			return err
		}
	}
	if out.Transform, err = json.Marshal(transform); err != nil {
		return err
	}
	out.Hash = transform.Hash()
	t.warnOfFeatures(transform)
	if err := t.warnOfLone(ctx, d, transform, statistics); err != nil {
		return err
	}
	if f := d.plan.Spec.Spec.Evaluation.Fairness; f != nil {
		var warnings []string
		t.Report.Outputs["label_rates"], warnings = labels.Table(f, api.MaxOutputBytes)
		for _, w := range warnings {
			t.warn("%s", w)
		}
		if f.Reweighs() {
			reweighing, err := evaluation.NewReweighing(f, labels)
			if err != nil {
				return err
			}
			out.Labels = labels
			t.Report.Outputs["reweighed"] = reweighing.Table(api.MaxOutputBytes)
			for _, w := range reweighing.Warnings() {
				t.warn("%s", w)
			}
		}
	}
	if d.balance != nil {
		t.Report.Outputs["balanced"] = evaluation.TableText(d.balance.Table(report.Balanced), api.MaxOutputBytes)
	}
	if d.weights != nil {
		t.Report.Outputs["balanced"] = evaluation.TableText(d.weights.Table(), api.MaxOutputBytes)
	}
	t.countClasses(transform.Label())
	trainer := artifact.Trainer(d.plan, transform)
	t.Report.Outputs["trainer"] = trainer.Text()
	t.Report.Counts["replicas"] = int64(trainer.Distributed.Replicas)
	if err := cmp.Or(d.collect(ctx), d.dropPieces(ctx, t.Lease.RunId)); err != nil {
		if ctx.Err() != nil {
			return err
		}
		d.worker.logOf(t.Lease).Warn("rows that nobody needs are not removed", keyError, err)
	}
	return t.Save(ctx, "transform", out)
}

// maxCountedClasses bounds the classes whose rows a run tells.
const maxCountedClasses = 64

// countClasses notes how many training rows have each class of the label.
func (t *Task) countClasses(label feature.Label) {
	for k, name := range label.Classes[:min(maxCountedClasses, len(label.Classes))] {
		t.Report.Counts["rows of class "+brief(name)] += label.Counts[k]
	}
}
