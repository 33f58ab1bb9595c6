package jobs

import (
	"context"

	"github.com/thalweg/thalweg/worker/product"
	"github.com/thalweg/thalweg/worker/stream/fsck"
)

// Fsck asks for the proof that what a pipeline has written is whole.
type Fsck struct {
	At string `json:"at,omitempty"` // the rows of a replay instead: s3://bucket/prefix/
}

// Verdict answers Fsck: one of the two.
type Verdict struct {
	Table  *product.Verdict `json:"table,omitempty"`
	Stream *fsck.Verdict    `json:"stream,omitempty"`
}

func runFsck(ctx context.Context, j *Job, p Fsck) (err error) {
	table, err := j.OpenTable(ctx, j.Pipeline)
	if err != nil {
		return err
	}
	var v Verdict
	if table != nil {
		v.Table, err = table.Check(ctx)
	} else {
		v.Stream, err = j.Judge(ctx, j.Pipeline, p.At)
	}
	if err != nil {
		return err
	}
	return j.Reply(v)
}
