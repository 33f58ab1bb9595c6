package cluster

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline/spelling"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// FindModel returns a model with all its versions.
func (c *Client) FindModel(ctx context.Context, name string) (*apiv1.Model, error) {
	res, err := c.ListModels(ctx, &apiv1.ListModelsRequest{Model: name, Retired: true})
	if err != nil {
		return nil, err
	}
	for _, m := range res.Models {
		if m.Name == name {
			return m, nil
		}
	}
	return nil, &thalweg.Error{Op: "find model", Kind: thalweg.NotFound, Subject: name, Hint: "see `thalweg models`"}
}

// NoVersion says that a model has no such version, and which alias may be meant.
func NoVersion(m *apiv1.Model, text, want string) error {
	return &thalweg.Error{Op: "find model version", Kind: thalweg.NotFound, Subject: m.Name + " " + text,
		Hint: cmp.Or(spelling.Hint(text, maps.Keys(m.Aliases)), want)}
}

// CheckpointOf returns the checkpoint of a version, if it is kept.
func CheckpointOf(model string, v *apiv1.ModelVersion) (thalweg.CheckpointRef, error) {
	if v.Collected {
		return thalweg.CheckpointRef{}, &thalweg.Error{Op: "find model version", Kind: thalweg.NotFound, Subject: fmt.Sprintf("%s %d", model, v.Version),
			Hint: "its checkpoint was collected (trainer.keep_checkpoints); `thalweg models` tells which versions have theirs"}
	}
	return thalweg.ParseObjectRef(v.Checkpoint)
}

// FindRegistered finds a registered version by its number or an alias.
func (c *Client) FindRegistered(ctx context.Context, model, text string) (*apiv1.Model, *apiv1.ModelVersion, error) {
	m, err := c.FindModel(ctx, model)
	if err != nil {
		return nil, nil, err
	}
	number, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		number = m.Aliases[text]
	}
	for _, v := range m.Versions {
		if v.Version == number {
			return m, v, nil
		}
	}
	return nil, nil, NoVersion(m, text, "a number or an alias of `thalweg models`")
}

// VersionOf returns a version that is registered by its number, and what it is loaded by.
func VersionOf(m *apiv1.Model, number thalweg.ModelVersion) (v *apiv1.ModelVersion, of engine.Model, err error) {
	i := slices.IndexFunc(m.Versions, func(v *apiv1.ModelVersion) bool { return v.Version == uint64(number) })
	if i < 0 {
		return nil, of, NoVersion(m, strconv.FormatUint(uint64(number), 10), "it was deleted, or its rows are those of another model")
	}
	v = m.Versions[i]
	of = engine.Model{Name: thalweg.ModelName(m.Name), Version: number}
	of.Checkpoint, err = CheckpointOf(m.Name, v)
	return v, of, err
}

// FindVersion returns what a user calls a version: its number, an alias, or a
// checkpoint, which need not be registered.
func (c *Client) FindVersion(ctx context.Context, model, text string) (engine.Candidate, error) {
	m, err := c.FindModel(ctx, model)
	if err != nil {
		return engine.Candidate{}, err
	}
	version, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		version = m.Aliases[text]
	}
	for _, v := range m.Versions {
		if v.Version == version || v.Checkpoint == text {
			ref, err := CheckpointOf(model, v)
			return engine.Candidate{RegisteredAtUS: v.RegisteredAtUnixMs * 1000,
				Model: engine.Model{Name: thalweg.ModelName(model), Version: thalweg.ModelVersion(v.Version), Checkpoint: ref}}, err
		}
	}
	ref, err := thalweg.ParseObjectRef(text)
	if err != nil {
		return engine.Candidate{}, NoVersion(m, text, "a version or an alias of `thalweg models`, or a checkpoint as key#sha256")
	}
	// Not registered, so it has no number: its rows are those of a model that is
	// named for the checkpoint.
	return engine.Candidate{Model: engine.Model{Name: thalweg.ModelName(model + "@" + ref.SHA256[:12]), Version: 1, Checkpoint: ref}}, nil
}
