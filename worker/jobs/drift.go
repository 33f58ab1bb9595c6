package jobs

import (
	"context"
	"fmt"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/monitor"
	"github.com/thalweg/thalweg/worker/cluster"
	"github.com/thalweg/thalweg/worker/stream/sketch"
	"github.com/thalweg/thalweg/worker/stream/verify"
)

const (
	// MaxDriftWindows bounds the windows of an answer.
	MaxDriftWindows = 1000
	// maxSkewRows bounds the rows that are scored again.
	maxSkewRows = 10_000
)

// Drift asks how far the newest windows of a stream are from what its versions were evaluated
// on.
type Drift struct {
	Windows int `json:"windows"` // so many, from 1 to MaxDriftWindows
}

// Drifted answers Drift.
type Drifted struct {
	*monitor.Report
	// Skew compares some rows, monitoring.skew_sample of those of the windows, with the same
	// events scored as a batch; nil where the spec does not want it.
	Skew *verify.Report `json:"skew,omitempty"`
}

func runDrift(ctx context.Context, j *Job, p Drift) error {
	if p.Windows < 1 || p.Windows > MaxDriftWindows {
		return &thalweg.Error{Op: "--windows", Kind: thalweg.Invalid, Subject: fmt.Sprint(p.Windows), Hint: fmt.Sprintf("want a number from 1 to %d", MaxDriftWindows)}
	}
	s, err := j.OpenStream(ctx, j.Pipeline)
	if err != nil {
		return err
	}
	logs, err := s.Logs(ctx)
	if err != nil {
		return err
	}
	models, err := j.Models(ctx)
	if err != nil {
		return err
	}
	model, err := j.FindModel(ctx, s.Spec.Spec.Registry.Model)
	if err != nil {
		return err
	}
	report, err := sketch.Report(ctx, s.Live.Bucket, logs, s.Spec.Drift(), p.Windows, func(version thalweg.ModelVersion) (*monitor.Reference, error) {
		_, of, err := cluster.VersionOf(model, version)
		if err != nil {
			return nil, err
		}
		a, err := models.Load(ctx, of)
		if err != nil {
			return nil, err
		}
		return a.Monitoring, nil
	})
	if err != nil {
		return err
	}
	out := Drifted{Report: report}
	if m := s.Spec.Spec.Monitoring; m != nil && m.SkewSample > 0 && len(report.Windows) > 0 {
		var rows int64
		for _, w := range report.Windows {
			rows += w.Rows * w.OneIn
		}
		source, err := s.Source()
		if err != nil {
			return err
		}
		defer source.Close()
		some := int(min(max(1, float64(rows)*m.SkewSample.Share()), maxSkewRows))
		if out.Skew, err = verify.Run(ctx, verify.Sources{Events: source, Live: s.Live, Models: models}, verify.Request{Logs: logs, Rows: some}); err != nil {
			return err
		}
	}
	return j.Reply(out)
}
