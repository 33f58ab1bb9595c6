package jobs

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/evaluation"
	"github.com/thalweg/thalweg/worker/cluster"
	work "github.com/thalweg/thalweg/worker/jobs"
)

// Checkpoint has a worker read the verified files of a version, by their names.
func Checkpoint(cmd *cobra.Command, c *cluster.Client, model string, v *apiv1.ModelVersion) (parts map[string][]byte, err error) {
	ref, err := cluster.CheckpointOf(model, v)
	if err != nil {
		return nil, err
	}
	err = Ask(cmd, c, v.Pipeline, "checkpoint", work.Checkpoint{Model: model, Version: fmt.Sprint(v.Version)}, &parts)
	if v.Retired && thalweg.Is(err, thalweg.NotFound) {
		return nil, &thalweg.Error{Op: "read checkpoint", Kind: thalweg.NotFound, Subject: fmt.Sprintf("%s %d", model, v.Version), Err: err,
			Hint: "its pipeline was deleted, and workers read for pipelines that are there; the state bucket still has " + ref.Key}
	}
	return parts, err
}

// Artifact is Checkpoint for the model in it.
func Artifact(cmd *cobra.Command, c *cluster.Client, model string, v *apiv1.ModelVersion) (*artifact.Artifact, error) {
	parts, err := Checkpoint(cmd, c, model, v)
	if err != nil {
		return nil, err
	}
	return artifact.Decode(catalog.All(), parts)
}

// Evaluation has a worker read what the evaluation of a run has found.
func Evaluation(cmd *cobra.Command, c *cluster.Client, run *apiv1.Run) (*evaluation.Document, error) {
	found := new(evaluation.Document)
	return found, Ask(cmd, c, run.Pipeline, "evaluation", work.Evaluation{Run: run.Id}, found)
}
