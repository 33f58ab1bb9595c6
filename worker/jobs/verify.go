package jobs

import (
	"context"
	"fmt"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/worker/stream/verify"
)

// MaxVerifiedRows bounds the rows that are compared at once: they and their events are in
// memory together.
const MaxVerifiedRows = 1_000_000

// Verify asks whether the newest rows of a stream are those of the same events scored as a
// batch.
type Verify struct {
	Rows   int  `json:"rows"`             // so many are compared at most, from 1 to MaxVerifiedRows
	Export bool `json:"export,omitempty"` // the answer has the version's form in ONNX, and the rows
}

// Verified answers Verify.
type Verified struct {
	*verify.Report
	ONNX   []byte `json:"onnx_model,omitempty"`
	Sample []byte `json:"onnx_sample,omitempty"` // as onnx.CheckScript reads it
}

func runVerify(ctx context.Context, j *Job, p Verify) error {
	if p.Rows < 1 || p.Rows > MaxVerifiedRows {
		return &thalweg.Error{Op: "--rows", Kind: thalweg.Invalid, Subject: fmt.Sprint(p.Rows), Hint: fmt.Sprintf("want a number from 1 to %d", MaxVerifiedRows)}
	}
	s, err := j.OpenStream(ctx, j.Pipeline)
	if err != nil {
		return err
	}
	logs, err := s.Logs(ctx)
	if err != nil {
		return err
	}
	source, err := s.Source()
	if err != nil {
		return err
	}
	defer source.Close()
	models, err := j.Models(ctx)
	if err != nil {
		return err
	}
	var out Verified
	if out.Report, err = verify.Run(ctx, verify.Sources{Events: source, Live: s.Live, Models: models}, verify.Request{Logs: logs, Rows: p.Rows}); err != nil {
		return err
	}
	if p.Export && out.Report.Sample != nil {
		out.ONNX, out.Sample = out.Export.Bytes, out.Report.Sample.JSON()
	}
	return j.Reply(out)
}
