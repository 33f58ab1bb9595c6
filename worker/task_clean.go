package worker

import (
	"context"
	"encoding/json"

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

// rows streams one shard's cleaned rows. The batch is fn's only for the call.
func (d *data) rows(ctx context.Context, chain *clean.Chain, shard int, rep *pipeline.Report, fn func(batch arrow.Record) error) error {
	return d.shard(ctx, shard, func(batch arrow.Record) error {
		out, err := chain.Apply(ctx, batch, rep)
		if err != nil {
			return err
		}
		defer out.Release()
		return fn(out)
	})
}

// runClean cleans a shard: it counts what the operators do and observes where
// the split's cut points lie. Cleaned rows are not kept: cleaning them again is
// faster than reading them back.
func runClean(ctx context.Context, j *job) error {
	d, err := j.open(ctx)
	if err != nil {
		return err
	}
	chain, err := clean.New(d.plan, pipeline.InTraining)
	if err != nil {
		return err
	}
	observer, err := split.NewObserver(d.plan)
	if err != nil {
		return err
	}
	var out cleaned
	err = d.rows(ctx, chain, int(j.lease.Index), &out.Report, func(batch arrow.Record) error {
		j.rowsDone.Store(out.Report.RowsIn)
		return observer.Observe(batch)
	})
	if err != nil {
		return err
	}
	if out.Split, err = observer.Partial(); err != nil {
		return err
	}
	j.report.Counts["rows"] = out.Report.RowsIn
	return j.savePartial(ctx, out)
}

// reduceClean finds the cut points and adds up the counts.
func reduceClean(ctx context.Context, j *job) error {
	d, err := j.open(ctx)
	if err != nil {
		return err
	}
	all, err := partials[cleaned](ctx, j)
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
	j.report.Counts["rows_in"], j.report.Counts["rows_clean"] = total.RowsIn, total.RowsOut
	for reason, n := range total.Dropped {
		j.report.Counts["dropped: "+reason] = n
	}
	for step, n := range total.Changed {
		j.report.Counts["changed: "+step] = n
	}
	return j.save(ctx, "split", "split", cuts)
}

// open reads what the profile stage found; the number of rows is the shard's.
func (j *job) open(ctx context.Context) (*data, error) {
	d, err := j.worker.openData(ctx, j.lease.Spec, j.lease.Inputs["manifest"])
	if err != nil {
		return nil, err
	}
	if !j.lease.Reduce {
		j.rowsTotal.Store(d.manifest.Shards[j.lease.Index].Rows)
	}
	return d, nil
}
