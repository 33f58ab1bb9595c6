package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/jobs"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	"github.com/thalweg/thalweg/worker/cluster"
	work "github.com/thalweg/thalweg/worker/jobs"
)

func newFsck(g *verb.Globals) *cobra.Command {
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
			"shares no code with the writers. It runs as a job on a worker (thalweg jobs).\n\n" +
			"Of a pipeline with output it holds the table against its manifest: the files of the log, the\n" +
			"sha256 of each, and the counts of rows.",
		Example: "  thalweg fsck flight-delays\n  thalweg fsck flight-delays --at s3://lake/replays/v2/ -o json",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, args []string) (verb.Answer, error) {
			var v work.Verdict
			if err := jobs.Ask(cmd, c, args[0], "fsck", work.Fsck{At: at}, &v); err != nil {
				return verb.Answer{}, err
			}
			if v.Table != nil {
				return judged(args[0], v.Table, len(v.Table.Violations)), nil
			}
			return judged(args[0], v.Stream, len(v.Stream.Violations)), nil
		}),
	}
	cmd.Flags().StringVar(&at, "at", "", "check the rows of a replay instead: s3://bucket/prefix/")
	return cmd
}

// verdict is what there is to say of a stream or a table.
type verdict interface {
	fmt.Stringer
	OK() bool
}

// judged prints a verdict; the exit code is 1 if anything is violated.
func judged(name string, verdict verdict, violations int) verb.Answer {
	a := verb.Answer{Value: verdict, Table: func(w io.Writer) { fmt.Fprint(w, verdict) }}
	if !verdict.OK() {
		a.Failed = &thalweg.Error{Op: "fsck " + name, Kind: thalweg.Corrupt, Subject: fmt.Sprintf("%d violations", violations)}
	}
	return a
}
