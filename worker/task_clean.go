package worker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/dustin/go-humanize"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/balance"
	"github.com/thalweg/thalweg/pipeline/clean"
	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/pipeline/split"
	"github.com/thalweg/thalweg/pipeline/table"
)

// cleaned is what the clean stage learns from one shard.
type cleaned struct {
	Report pipeline.Report `json:"report"`
	Split  json.RawMessage `json:"split"`
	// Failing refers to the rows that fail data tests.
	Failing string `json:"failing,omitempty"`
	// Newest is the newest value of the column that freshness names; nil: there is none.
	Newest *int64 `json:"newest,omitempty"`
}

// mapClean cleans shards: it counts what the operators do and observes where the
// split's cut points lie. Where there is nothing to clean, it reads no more than the
// column that rows are split by, if there is one.
func mapClean(ctx context.Context, t *Task) error {
	return mapShards(ctx, t, func(d *data, shard int) (cleaned, error) {
		observer, err := split.NewObserver(d.plan, d.origin(shard))
		if err != nil {
			return cleaned{}, err
		}
		if !d.plan.Spec.Trains() && split.Blind(observer) { // the rows are counted where they are written
			var out cleaned
			d.progress.Add(d.manifest.Shards[shard].Rows)
			out.Split, err = observer.Partial()
			return out, err
		}
		tests, err := d.tests(ctx, shard, false)
		if err != nil {
			return cleaned{}, err
		}
		if !d.plan.Spec.Trains() {
			tests = nil
		}
		if len(d.plan.Steps) == 0 && split.Blind(observer) && !d.rejects() && d.source.Share == 0 && tests == nil && d.plan.Spec.Spec.Sources.Train.Freshness == nil {
			n := d.manifest.Shards[shard].Rows
			if d.manifest.Shards[shard].Skipped != "" {
				n = 0
			}
			d.progress.Add(n)
			out := cleaned{Report: pipeline.Report{RowsIn: n, RowsOut: n}}
			out.Split, err = observer.Partial()
			return out, err
		}
		out, err := remembered(ctx, d, shard, d.keeping.clean, func() (out cleaned, err error) {
			d.newest = nil
			for batch, err := range d.observed(ctx, shard, tests != nil, &out.Report) {
				if err == nil {
					err = observer.Observe(batch)
				}
				if err == nil && tests != nil {
					err = tests.Observe(batch, d.at, d.first, &out.Report)
				}
				if err != nil {
					return out, err
				}
			}
			out.Newest = d.newest
			out.Split, err = observer.Partial()
			return out, err
		})
		if err == nil {
			out.Failing, err = t.setAside(ctx, shard, &out.Report)
		}
		return out, err
	})
}

// observed yields what the observer of a split has to see of a shard's cleaned rows, or
// where they are tested all of them.
func (d *data) observed(ctx context.Context, shard int, tested bool, rep *pipeline.Report) iter.Seq2[arrow.Record, error] {
	if len(d.plan.Steps) > 0 || tested {
		return d.cleaned(ctx, clean.BeforeLearning(d.plan), shard, rep)
	}
	// A row is rejected for a bad value in any column, so that all are read.
	fresh := d.plan.Spec.Spec.Sources.Train.Freshness
	if _, c, ok := d.plan.Input.Lookup(d.plan.Spec.Spec.Preprocessing.Split.Column); (ok || fresh != nil) && !d.rejects() {
		d.input.Columns = nil
		if ok {
			d.input.Columns = append(d.input.Columns, c)
		}
		if fresh != nil && fresh.Column != c.Name {
			_, c, _ = d.plan.Input.Lookup(fresh.Column)
			d.input.Columns = append(d.input.Columns, c)
		}
	}
	return through(d.batches(ctx, shard, rep), func(batch arrow.Record) (arrow.Record, error) {
		rep.RowsIn += batch.NumRows()
		rep.RowsOut += batch.NumRows()
		batch.Retain()
		return batch, nil
	})
}

// reduceClean finds the cut points and adds up the counts.
func reduceClean(ctx context.Context, t *Task) error {
	d, all, err := shardResults[cleaned](ctx, t)
	if err != nil {
		return err
	}
	var total pipeline.Report
	var newest *int64
	splits, failing := make([][]byte, len(all)), make([]string, len(all))
	for i := range all {
		failing[i] = all[i].Failing
		total.Merge(&all[i].Report)
		splits[i] = all[i].Split
		newest = later(newest, all[i].Newest)
	}
	cuts, err := split.Finish(d.plan, splits)
	if err != nil || !d.plan.Spec.Trains() { // all else is said where the rows are written
		return cmp.Or(err, t.Save(ctx, "split", cuts))
	}
	if err := t.judgeFreshness(d, newest); err != nil {
		return err
	}
	if err := t.count(ctx, d, &total); err != nil {
		return err
	}
	if err := t.judge(ctx, d, false, &total, failing); err != nil {
		return err
	}
	if d.plan.Spec.Spec.Sources.Train.Freshness != nil {
		t.endIfKnown(t.Lease.Inputs[stages.ObjectsOutput], len(d.manifest.Objects))
	}
	return t.Save(ctx, "split", cuts)
}

// judgeFreshness fails where the newest row is too old.
func (t *Task) judgeFreshness(d *data, newest *int64) error {
	fresh := d.plan.Spec.Spec.Sources.Train.Freshness
	if fresh == nil {
		return nil
	}
	text, failed := fresh.Judge(newest, time.UnixMilli(t.Lease.RunStartedAtUnixMs))
	if failed {
		return &thalweg.Error{Op: "look at freshness", Kind: thalweg.Invalid, Subject: d.manifest.Path, Err: errors.New(text),
			Hint: "bring newer rows, or raise sources.train.freshness.error_after"}
	}
	if text != "" {
		t.warn("%s", text)
	}
	return nil
}

// later returns the later of two times; nil is none.
func later(a, b *int64) *int64 {
	if a == nil || b != nil && *b > *a {
		return b
	}
	return a
}

// newestIn returns the newest value that a batch has of the column that freshness names.
func (d *data) newestIn(batch arrow.Record) (newest *int64) {
	fresh := d.plan.Spec.Spec.Sources.Train.Freshness
	if fresh == nil {
		return nil
	}
	for _, at := range batch.Schema().FieldIndices(fresh.Column) {
		column := batch.Column(at).(*array.Timestamp)
		for row, v := range column.TimestampValues() {
			if us := int64(v); column.IsValid(row) && (newest == nil || us > *newest) {
				newest = &us
			}
		}
	}
	return newest
}

// reasons lists why rows were dropped.
func reasons(total *pipeline.Report) (text string) {
	for _, reason := range slices.Sorted(maps.Keys(total.Dropped)) {
		text += fmt.Sprintf("; dropped %d: %s", total.Dropped[reason], reason)
	}
	return text
}

// count reports what the cleaning steps did. The fit stage reports it again, of steps
// that learn too, with the rows that cleaning left and that cannot be used: rows_in is
// the sum of what was dropped and of what the splits have. Rows that cannot be read are
// beside it; too many of them are an error.
func (t *Task) count(ctx context.Context, d *data, total *pipeline.Report) error {
	t.Report.Counts["rows_in"], t.Report.Counts["rows_clean"] = total.RowsIn, total.RowsOut
	for reason, n := range total.Dropped {
		t.Report.Counts["dropped: "+reason] = n
	}
	for step, n := range total.Changed {
		t.Report.Counts["changed: "+step] = n
	}
	for step, n := range total.Unmatched {
		t.Report.Counts["unmatched: "+step] = n
	}
	for step, n := range total.Repeated {
		t.Report.Counts["repeated: "+step] = n
	}
	for test, of := range total.Tests {
		t.Report.Counts["failed: test "+test] = of.Failed
	}
	if total.Rejected == 0 {
		return nil
	}
	t.Report.Counts["rows_rejected"] = total.Rejected
	return t.keepBadRows(ctx, d, total)
}

// shownBadRows bounds the bad rows that a run shows.
const shownBadRows = 5

// keepBadRows writes the rows that cannot be read beside the run, shows the first, and
// fails if they are more than the spec allows.
func (t *Task) keepBadRows(ctx context.Context, d *data, total *pipeline.Report) error {
	ref, err := putLines(ctx, t, t.Lease.Kind+"-rejected.jsonl", total.BadRows)
	if err != nil {
		return err
	}
	var shown strings.Builder
	for _, row := range total.BadRows[:min(len(total.BadRows), shownBadRows)] {
		fmt.Fprintf(&shown, "\n%s: %s", row.Place(), row.Reason)
	}
	allowed, of := d.plan.Spec.Spec.Sources.Train.OnBadRow, total.RowsIn+total.Rejected
	text := fmt.Sprintf("%s of %s rows cannot be read and are left out, %.3g%%, %s are allowed; the first %s of them are in object %s of the state bucket, with place and reason%s",
		humanize.Comma(total.Rejected), humanize.Comma(of), 100*float64(total.Rejected)/float64(of), allowed.MaxRate, humanize.Comma(int64(len(total.BadRows))), ref.Key, shown.String())
	if allowed.Exceeded(total.Rejected, total.RowsIn) {
		return &thalweg.Error{Op: "read dataset", Kind: thalweg.Invalid, Subject: d.manifest.Path, Err: errors.New(text),
			Hint: "mend the files, say what their dialect is, or raise sources.train.on_bad_row.max_rate"}
	}
	t.Report.Outputs["bad_rows"] = shortened(text)
	return nil
}

// mapLearn shows shards' training rows to the cleaning steps that learn.
func mapLearn(ctx context.Context, t *Task) error {
	return mapShards(ctx, t, func(d *data, shard int) (map[string]json.RawMessage, error) {
		learning := clean.NewLearning(d.plan)
		settled, err := d.settled(ctx, shard)
		if err != nil {
			return nil, err
		}
		learning.With(settled)
		var parts []uint8
		assign := func(cleaned arrow.Record) (_ []uint8, err error) {
			parts, err = d.cuts.Assign(d.plan, cleaned, d.origin(shard), parts)
			return parts, err
		}
		for batch, err := range d.batches(ctx, shard, new(pipeline.Report)) {
			if err == nil {
				err = learning.Observe(ctx, batch, assign)
			}
			if err != nil {
				return nil, err
			}
		}
		return learning.Partial()
	})
}

// reduceLearn merges what the steps gathered, in shard order.
func reduceLearn(ctx context.Context, t *Task) error {
	d, all, err := shardResults[map[string]json.RawMessage](ctx, t)
	if err != nil {
		return err
	}
	learnt, err := clean.FinishLearning(d.plan, all)
	if err != nil {
		return err
	}
	return t.Save(ctx, "learnt", learnt)
}

// mapBalance counts shards' training rows by the values that they are balanced by.
func mapBalance(ctx context.Context, t *Task) error {
	return mapShards(ctx, t, func(d *data, shard int) (balance.Counts, error) {
		of, _ := d.plan.Balance()
		counts := make(balance.Counts)
		var parts []uint8
		for batch, err := range d.cleaned(ctx, clean.New(d.plan, pipeline.InTraining), shard, new(pipeline.Report)) {
			if err == nil {
				parts, err = d.cuts.Assign(d.plan, batch, d.origin(shard), parts)
			}
			var training table.Mask
			if err == nil {
				training, err = d.training(batch, parts)
			}
			if err == nil {
				err = counts.Observe(of.By, batch, training)
			}
			if err != nil {
				return nil, err
			}
		}
		return counts, nil
	})
}

// training marks the rows of a cleaned batch that are learned from.
func (d *data) training(cleaned arrow.Record, parts []uint8) (table.Mask, error) {
	usable, err := feature.Usable(d.plan, cleaned, new(pipeline.Report))
	if err != nil {
		return usable, err
	}
	return balance.Training(parts, usable), nil
}

// reduceBalance adds the counts up.
func reduceBalance(ctx context.Context, t *Task) error {
	d, all, err := shardResults[balance.Counts](ctx, t)
	if err != nil {
		return err
	}
	of, _ := d.plan.Balance()
	total := make(balance.Counts)
	for _, counts := range all {
		if err := total.Merge(of.By, counts); err != nil {
			return err
		}
	}
	warnings := balance.New(of, total).Warnings
	if of.Method == pipeline.Weights {
		warnings = balance.NewWeights(of, total).Warnings()
	}
	for _, text := range warnings {
		t.warn("%s", text)
	}
	return t.Save(ctx, "balance", total)
}
