package view

import (
	"maps"
	"slices"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/state"
)

// Version returns a model's version as the RPC shows it.
func Version(v *state.ModelVersion) *apiv1.ModelVersion {
	return &apiv1.ModelVersion{
		Version: uint64(v.Version), Checkpoint: v.Checkpoint, RunId: string(v.Run), Pipeline: string(v.Pipeline),
		Generation: uint64(v.Generation), RegisteredAtUnixMs: v.RegisteredMS, RegisteredIndex: v.Index,
		Metrics: maps.Clone(v.Metrics), Warnings: slices.Clone(v.Warnings), ModelSha256: v.ModelSHA256, TransformHash: v.TransformHash,
		Retired: v.Retired, Collected: v.Collected, Parent: uint64(v.Parent), Rejected: v.Rejected, Exports: maps.Clone(v.Exports),
	}
}
