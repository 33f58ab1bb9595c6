package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/worker/stream/fsck"
	"github.com/thalweg/thalweg/worker/stream/replay"
)

func newFsck(g *globals) *cobra.Command {
	var at string
	cmd := &cobra.Command{
		Use:   "fsck PIPELINE",
		Short: "Prove that each event of a stream is in exactly one committed row, and that a table of cleaned rows is whole",
		Long: "fsck reads the commit logs, every object that they name and the model registry. It\n" +
			"proves that offsets are contiguous, that each event is in exactly one scored or\n" +
			"dead-letter row, that every object exists with its sha256, and that each row's model\n" +
			"version was registered before its record. Files that a compaction has merged may be\n" +
			"deleted; while they exist, each moved row is compared with its original. Offsets that\n" +
			"an operator skipped, and dead letters that were scored again, are counted. fsck\n" +
			"shares no code with the writers.\n\n" +
			"Of a pipeline with output it holds the table against its manifest: the files of the log, the\n" +
			"sha256 of each, and the counts of rows.",
		Example: "  thalweg fsck flight-delays\n  thalweg fsck flight-delays --at s3://lake/replays/v2/ -o json",
		RunE: g.ask(func(cmd *cobra.Command, c *cluster, args []string) (answer, error) {
			if table, err := c.openTable(cmd.Context(), args[0]); err != nil || table != nil {
				return checkTable(cmd.Context(), args[0], table, err)
			}
			verdict, err := c.judge(cmd.Context(), args[0], at)
			if err != nil {
				return answer{}, err
			}
			a := answer{value: verdict, table: func(w io.Writer) { fmt.Fprint(w, verdict) }}
			if !verdict.OK() {
				a.failed = &thalweg.Error{Op: "fsck " + args[0], Kind: thalweg.Corrupt, Subject: fmt.Sprintf("%d violations", len(verdict.Violations))}
			}
			return a, nil
		}),
	}
	cmd.Flags().StringVar(&at, "at", "", "check the rows of a replay instead: s3://bucket/prefix/")
	return cmd
}

// checkTable judges a table of cleaned rows.
func checkTable(ctx context.Context, name string, table *cleanedTable, err error) (answer, error) {
	if err != nil {
		return answer{}, err
	}
	verdict, err := table.Check(ctx)
	if err != nil {
		return answer{}, err
	}
	a := answer{value: verdict, table: func(w io.Writer) { fmt.Fprint(w, verdict) }}
	if !verdict.OK() {
		a.failed = &thalweg.Error{Op: "fsck " + name, Kind: thalweg.Corrupt, Subject: fmt.Sprintf("%d violations", len(verdict.Violations))}
	}
	return a, nil
}

// judge judges the results of a pipeline's newest generation, or those of a
// replay of it.
func (c *cluster) judge(ctx context.Context, name, at string) (*fsck.Verdict, error) {
	s, err := c.openStream(ctx, name)
	if err != nil {
		return nil, err
	}
	if at != "" {
		place, err := s.place(ctx, "", at)
		if err != nil {
			return nil, err
		}
		m, err := replay.ReadManifest(ctx, place.Bucket, place.Prefix)
		if err != nil {
			return nil, err
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
	return fsck.Run(ctx, s.live.Bucket, name, s.live.Prefix, models)
}
