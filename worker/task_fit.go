package worker

import (
	"context"
	"encoding/json"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/clean"
	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/pipeline/split"
)

// fitPartial is what the fit stage learns from one shard: statistics of its
// training rows, and how many cleaned rows fell to each split.
type fitPartial struct {
	Statistics json.RawMessage    `json:"statistics"`
	Rows       [split.Count]int64 `json:"rows"`
}

// fitted is the output of the fit stage.
type fitted struct {
	Transform json.RawMessage `json:"transform"`
	Hash      string          `json:"hash"`
	// Rows[s] are the cleaned rows of shard s by split.
	Rows [][split.Count]int64 `json:"rows"`
}

// runFit gathers the statistics of one shard's training rows.
func runFit(ctx context.Context, j *job) error {
	d, err := j.open(ctx)
	if err != nil {
		return err
	}
	var cuts split.Cuts
	if err := j.input(ctx, "split", &cuts); err != nil {
		return err
	}
	chain, err := clean.New(d.plan, pipeline.InTraining)
	if err != nil {
		return err
	}
	shard := int(j.lease.Index)
	fitter := feature.NewFitter(d.plan)
	var out fitPartial
	var rep pipeline.Report
	var parts []uint8
	err = d.rows(ctx, chain, shard, &rep, func(batch arrow.Record) error {
		j.rowsDone.Store(rep.RowsIn)
		if parts, err = cuts.Assign(batch, shard, parts); err != nil {
			return err
		}
		for _, p := range parts {
			out.Rows[p]++
		}
		return fitter.Observe(batch, parts)
	})
	if err != nil {
		return err
	}
	if out.Statistics, err = fitter.Partial(); err != nil {
		return err
	}
	j.report.Counts["rows"] = rep.RowsIn
	return j.savePartial(ctx, out)
}

// reduceFit merges the statistics in shard order into the fitted transform.
func reduceFit(ctx context.Context, j *job) error {
	d, err := j.open(ctx)
	if err != nil {
		return err
	}
	all, err := partials[fitPartial](ctx, j)
	if err != nil {
		return err
	}
	statistics := make([][]byte, len(all))
	var out fitted
	var total [split.Count]int64
	for i, p := range all {
		statistics[i] = p.Statistics
		out.Rows = append(out.Rows, p.Rows)
		for s, n := range p.Rows {
			total[s] += n
		}
	}
	for s, name := range split.Names {
		j.report.Counts["rows."+name] = total[s]
	}
	if total[split.Train] == 0 {
		return &thalweg.Error{Op: "fit transform", Kind: thalweg.Invalid, Subject: j.lease.Pipeline,
			Hint: "no row is left to train on: look at the filters and the split"}
	}
	transform, err := feature.Finish(d.plan, statistics)
	if err != nil {
		return err
	}
	if out.Transform, err = json.Marshal(transform); err != nil {
		return err
	}
	out.Hash = transform.Hash()
	return j.save(ctx, "transform", "transform", out)
}
