package jobs

import (
	"context"
	"fmt"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/worker/cluster"
)

// Checkpoint asks for the verified files of a registered version of a pipeline's model, by
// their names: the answer is a map[string][]byte.
type Checkpoint struct {
	Model   string `json:"model"`
	Version string `json:"version"` // its number, or an alias
}

func runCheckpoint(ctx context.Context, j *Job, p Checkpoint) error {
	m, v, err := j.FindRegistered(ctx, p.Model, p.Version)
	if err != nil {
		return err
	}
	// Who asked may see this pipeline, and not others.
	if v.Pipeline != j.Pipeline {
		return foreign("read checkpoint", fmt.Sprintf("%s %d", m.Name, v.Version), j.Pipeline)
	}
	ref, err := cluster.CheckpointOf(m.Name, v)
	if err != nil {
		return err
	}
	parts, err := j.Checkpoint(ctx, ref)
	if err != nil {
		return err
	}
	return j.Reply(parts)
}

func foreign(op, what, pipeline string) error {
	return &thalweg.Error{Op: op, Kind: thalweg.NotFound, Subject: what, Err: fmt.Errorf("pipeline %s has none of that name", pipeline)}
}
