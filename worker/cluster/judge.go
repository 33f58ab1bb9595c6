package cluster

import (
	"context"
	"fmt"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/worker/stream/fsck"
	"github.com/thalweg/thalweg/worker/stream/replay"
)

// Judge judges the results of a pipeline's newest generation, or those of a
// replay of it.
func (c *Client) Judge(ctx context.Context, name, at string) (*fsck.Verdict, error) {
	s, err := c.OpenStream(ctx, name)
	if err != nil {
		return nil, err
	}
	if at != "" {
		place, err := s.Place(ctx, "", at)
		if err != nil {
			return nil, err
		}
		m, err := replay.ReadManifest(ctx, place.Bucket, place.Prefix)
		if err != nil {
			return nil, err
		}
		if string(m.Pipeline) != name {
			return nil, &thalweg.Error{Op: "--at", Kind: thalweg.Invalid, Subject: at, Err: fmt.Errorf("it is a replay of %s", m.Pipeline)}
		}
		return fsck.Run(ctx, place.Bucket, string(m.Pipeline), place.Prefix, []fsck.Model{{Name: string(m.Name), Version: uint64(m.Version), Checkpoint: m.Checkpoint, RegisteredAtUS: m.RegisteredAtUS}})
	}
	registered, err := c.ListModels(ctx, &apiv1.ListModelsRequest{Retired: true}) // rows are kept longer
	if err != nil {
		return nil, err
	}
	var models []fsck.Model
	for _, m := range registered.Models {
		for _, v := range m.Versions {
			ref, err := thalweg.ParseObjectRef(v.Checkpoint)
			if err != nil {
				return nil, err
			}
			models = append(models, fsck.Model{Name: m.Name, Version: v.Version, Checkpoint: ref, RegisteredAtUS: v.RegisteredAtUnixMs * 1000})
		}
	}
	return fsck.Run(ctx, s.Live.Bucket, name, s.Live.Prefix, models)
}
