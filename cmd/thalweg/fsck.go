package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/worker/stream/fsck"
	"github.com/thalweg/thalweg/worker/stream/replay"
)

func newFsck(g *globals) *cobra.Command {
	var at string
	cmd := &cobra.Command{
		Use:   "fsck PIPELINE",
		Short: "Prove that each event of a stream is in exactly one committed row",
		Long: "fsck reads the commit logs, every object that they name and the model registry. It\n" +
			"proves that offsets are contiguous, that each event is in exactly one scored or\n" +
			"dead-letter row, that every object exists with its sha256, and that each row's model\n" +
			"version was registered before its record. Files that a compaction has merged may be\n" +
			"deleted; while they exist, each moved row is compared with its original. Offsets that\n" +
			"an operator gave up, and dead letters that were scored again, are counted. fsck\n" +
			"shares no code with the writers.",
		Example: "  thalweg fsck flight-delays\n  thalweg fsck flight-delays --at s3://lake/replays/v2/ -o json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, conns, hangUp, err := g.dial()
			if err != nil {
				return err
			}
			defer hangUp()
			verdict, err := judge(cmd.Context(), c, conns, args[0], at)
			if err != nil {
				return err
			}
			if err := g.print(cmd.OutOrStdout(), verdict, func(w io.Writer) { printVerdict(w, verdict) }); err != nil {
				return err
			}
			if !verdict.OK() {
				return &thalweg.Error{Op: "fsck " + args[0], Kind: thalweg.Corrupt, Subject: fmt.Sprintf("%d violations", len(verdict.Violations))}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&at, "at", "", "check the rows of a replay instead: s3://bucket/prefix/")
	return cmd
}

// judge judges the results of a pipeline, or those of a replay of it.
func judge(ctx context.Context, c *api.Client, conns *connections, name, at string) (*fsck.Verdict, error) {
	if at == "" {
		return checkResults(ctx, c, conns, name)
	}
	s, err := openStream(ctx, c, conns, name)
	if err != nil {
		return nil, err
	}
	place, err := openPlace(ctx, conns, s.sinkConnection, at)
	if err != nil {
		return nil, err
	}
	m, err := replay.ReadManifest(ctx, place.Bucket, place.Prefix)
	if err != nil {
		return nil, err
	}
	return fsck.Run(ctx, place.Bucket, place.Prefix, []fsck.Model{{Name: string(m.Model), Version: uint64(m.Version), Checkpoint: m.Checkpoint, RegisteredAtUS: m.RegisteredAtUS}})
}

// checkResults judges the results of a pipeline's newest generation.
func checkResults(ctx context.Context, c *api.Client, conns *connections, name string) (*fsck.Verdict, error) {
	s, err := openStream(ctx, c, conns, name)
	if err != nil {
		return nil, err
	}
	registered, err := c.ListModels(ctx, &apiv1.ListModelsRequest{})
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
	return fsck.Run(ctx, s.live.Bucket, s.live.Prefix, models)
}

func printVerdict(w io.Writer, v *fsck.Verdict) {
	fmt.Fprint(w, v.String())
}
