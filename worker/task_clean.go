package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/clean"
	"github.com/thalweg/thalweg/pipeline/split"
)

// cleaned is what the clean stage learns from one shard.
type cleaned struct {
	Report pipeline.Report `json:"report"`
	Split  json.RawMessage `json:"split"`
}

// mapClean cleans shards: it counts what the operators do and observes where the
// split's cut points lie. Where there is nothing to clean, it reads no more than the
// column that rows are split by, if there is one.
func mapClean(ctx context.Context, t *Task) error {
	return mapShards(ctx, t, func(d *data, shard int) (cleaned, error) {
		observer, err := split.NewObserver(d.plan)
		if err != nil {
			return cleaned{}, err
		}
		if len(d.plan.Steps) == 0 && split.Blind(observer) {
			n := d.manifest.Shards[shard].Rows
			d.progress.Add(n)
			out := cleaned{Report: pipeline.Report{RowsIn: n, RowsOut: n}}
			out.Split, err = observer.Partial()
			return out, err
		}
		return remembered(ctx, d, shard, d.keeping.clean, func() (out cleaned, err error) {
			for batch, err := range d.observed(ctx, shard, &out.Report) {
				if err == nil {
					err = observer.Observe(batch)
				}
				if err != nil {
					return out, err
				}
			}
			out.Split, err = observer.Partial()
			return out, err
		})
	})
}

// observed yields what the observer of a split has to see of a shard's cleaned rows.
func (d *data) observed(ctx context.Context, shard int, rep *pipeline.Report) iter.Seq2[arrow.Record, error] {
	if len(d.plan.Steps) > 0 {
		return d.cleaned(ctx, clean.BeforeLearning(d.plan), shard, rep)
	}
	n := d.manifest.Shards[shard].Rows
	rep.RowsIn, rep.RowsOut = n, n
	if at, _, ok := d.plan.Input.Lookup(d.plan.Spec.Spec.Preprocessing.Split.Column); ok {
		d.input.Columns = d.plan.Input.Columns[at : at+1]
	}
	return d.batches(ctx, shard)
}

// reduceClean finds the cut points and adds up the counts.
func reduceClean(ctx context.Context, t *Task) error {
	d, all, err := shardResults[cleaned](ctx, t)
	if err != nil {
		return err
	}
	var total pipeline.Report
	splits := make([][]byte, len(all))
	for i := range all {
		total.Merge(&all[i].Report)
		splits[i] = all[i].Split
	}
	cuts, err := split.Finish(d.plan, splits)
	if err != nil {
		return err
	}
	t.count(&total)
	return t.Save(ctx, "split", cuts)
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
// the sum of what was dropped and of what the splits have.
func (t *Task) count(total *pipeline.Report) {
	t.Report.Counts["rows_in"], t.Report.Counts["rows_clean"] = total.RowsIn, total.RowsOut
	for reason, n := range total.Dropped {
		t.Report.Counts["dropped: "+reason] = n
	}
	for step, n := range total.Changed {
		t.Report.Counts["changed: "+step] = n
	}
}
