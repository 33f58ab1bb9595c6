package jobs

import (
	"context"
	"fmt"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/worker/stream/replay"
)

// Diff asks how the rows of a replay differ from the live ones. The answer is a
// replay.Report.
type Diff struct {
	With       string `json:"with"`                 // where the replay wrote its rows: s3://bucket/prefix/
	Connection string `json:"connection,omitempty"` // of that; default: the sink's
	Top        int    `json:"top"`                  // how many of the largest differences are named, from 1
}

func runDiff(ctx context.Context, j *Job, p Diff) error {
	if p.Top < 1 {
		return &thalweg.Error{Op: "--top", Kind: thalweg.Invalid, Subject: fmt.Sprint(p.Top), Hint: "want a number from 1"}
	}
	s, err := j.OpenStream(ctx, j.Pipeline)
	if err != nil {
		return err
	}
	place, err := s.Place(ctx, p.Connection, p.With)
	if err != nil {
		return err
	}
	m, err := replay.ReadManifest(ctx, place.Bucket, place.Prefix)
	if err != nil {
		return err
	}
	if string(m.Pipeline) != j.Pipeline {
		return &thalweg.Error{Op: "--with", Kind: thalweg.Invalid, Subject: fmt.Sprintf("%q", p.With), Hint: fmt.Sprintf("want a replay of %s, not of %s", j.Pipeline, m.Pipeline)}
	}
	report, err := replay.Diff(ctx, m, s.Live, place, p.Top, func(passed int64) { j.Progress(passed, m.Events(), "") })
	if err != nil {
		return err
	}
	return j.Reply(report)
}
