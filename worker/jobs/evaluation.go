package jobs

import (
	"context"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
)

// Evaluation asks for what the evaluation of a run has found: an evaluation.Document.
type Evaluation struct {
	Run string `json:"run"`
}

func runEvaluation(ctx context.Context, j *Job, p Evaluation) error {
	res, err := j.GetRun(ctx, &apiv1.GetRunRequest{RunId: p.Run})
	if err != nil {
		return err
	}
	if res.Run.Pipeline != j.Pipeline {
		return foreign("read evaluation", "run "+p.Run, j.Pipeline)
	}
	found, err := j.Evaluation(ctx, res.Run)
	if err != nil {
		return err
	}
	return j.Reply(found)
}
