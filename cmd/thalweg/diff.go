package main

import (
	"fmt"
	"io"
	"strconv"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/jobs"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/worker/cluster"
	work "github.com/thalweg/thalweg/worker/jobs"
	"github.com/thalweg/thalweg/worker/stream/replay"
)

func newDiff(g *verb.Globals) *cobra.Command {
	var with, connection string
	var top int
	cmd := &cobra.Command{
		Use:   "diff PIPELINE --with s3://BUCKET/PREFIX/",
		Short: "Compare the rows of a replay with the live rows of the same events",
		Long: "diff reads the rows that a replay wrote and the live rows of the same events, in the\n" +
			"order of offsets. It reports how many have the same prediction and probability or\n" +
			"score, bit for bit, how much the others differ, for each pair of versions, and which\n" +
			"differ most. It runs as a job on a worker (thalweg jobs).\n" +
			"\n" +
			"Exit code 0: every event has the same outcome in both, with the same bits if it was\n" +
			"scored. Exit code 1: an event differs, or the comparison failed; the last line says\n" +
			"which.",
		Example: "  thalweg diff flight-delays --with s3://lake/replays/v2/\n" +
			"  thalweg diff flight-delays --with s3://lake/replays/v2/ -o json",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, args []string) (verb.Answer, error) {
			if _, _, err := pipeline.SplitS3Path(with); err != nil {
				return verb.Answer{}, terminal.UsageError("--with", with, "s3://bucket/prefix/")
			}
			report, err := diffWith(cmd, c, args[0], work.Diff{With: with, Connection: connection, Top: top})
			return verb.Answer{Value: report, Table: func(w io.Writer) { printDiff(w, report) }, Failed: differing(report)}, err
		}),
	}
	cmd.Flags().StringVar(&with, "with", "", "where the replay wrote its rows: s3://bucket/prefix/")
	cmd.Flags().StringVar(&connection, "with-connection", "", "store connection of --with; default: the sink's")
	cmd.Flags().IntVar(&top, "top", 10, "how many of the largest differences to show")
	verb.Must(cmd.MarkFlagRequired("with"))
	return cmd
}

// diffWith has a worker compare.
func diffWith(cmd *cobra.Command, c *cluster.Client, pipeline string, p work.Diff) (*replay.Report, error) {
	if p.Top < 1 {
		return nil, terminal.UsageError("--top", strconv.Itoa(p.Top), "a number from 1")
	}
	report := new(replay.Report)
	if err := jobs.Ask(cmd, c, pipeline, "diff", p, report); err != nil {
		return nil, err
	}
	return report, nil
}

// differing is the error that makes the exit code 1 where sets differ.
func differing(r *replay.Report) error {
	if r == nil || r.Same() {
		return nil
	}
	return &thalweg.Error{Op: "diff", Kind: thalweg.Conflict, Subject: fmt.Sprintf("%s differ from %s", r.Replayed, r.Live),
		Err: fmt.Errorf("%d rows different, %d dead on one side, %d in one set only", r.Differ, r.DeadLive+r.DeadReplayed, r.OnlyLive+r.OnlyReplayed+r.Uncommitted)}
}

func printDiff(w io.Writer, r *replay.Report) {
	terminal.Row(w, "LIVE VERSION", "REPLAYED VERSION", "IN BOTH", "EQUAL BITS", "DIFFERENT", "FLIPPED", "|Δ| MEAN", "P50", "P90", "P99", "P99.9", "MAX")
	line := func(live, replayed string, t replay.Tally) {
		d := t.Delta
		terminal.Row(w, live, replayed, humanize.Comma(t.Both), humanize.Comma(t.Equal), humanize.Comma(t.Differ), humanize.Comma(t.Flipped),
			figures(d.Mean), figures(d.P50), figures(d.P90), figures(d.P99), figures(d.P999), figures(d.Max))
	}
	for _, v := range r.Versions {
		line(fmt.Sprint(v.Live), fmt.Sprint(v.Replayed), v.Tally)
	}
	if len(r.Versions) != 1 {
		line("all", "all", r.Tally)
	}
	fmt.Fprintf(w, "\nonly live: %s, only replayed: %s; dead letters in both: %s, only live: %s, only replayed: %s\n",
		humanize.Comma(r.OnlyLive), humanize.Comma(r.OnlyReplayed), humanize.Comma(r.DeadBoth), humanize.Comma(r.DeadLive), humanize.Comma(r.DeadReplayed))
	if r.Uncommitted > 0 {
		fmt.Fprintf(w, "not committed by the stream yet: %s\n", humanize.Comma(r.Uncommitted))
	}
	printDifferences(w, "\nthe largest differences:", r.Largest)
	printDifferences(w, "\nthe first of those that are dead on one side:", r.Deaths)
	if r.Same() {
		fmt.Fprintln(w, "\nthe sets are the same")
	}
}

func printDifferences(w io.Writer, title string, list []replay.Difference) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintln(w, title)
	terminal.Row(w, "PARTITION", "OFFSET", "|Δ|", "LIVE", "REPLAYED", "EVENT")
	for _, d := range list {
		terminal.Row(w, d.Partition, d.Offset, figures(d.Delta), answerShown(d.Live), answerShown(d.Replayed), d.Event)
	}
}

func answerShown(a replay.Answer) string {
	if a.Value == nil {
		return fmt.Sprintf("dead in v%d (%s)", a.Version, a.Dead)
	}
	return fmt.Sprintf("%v %.6g (v%d)", a.Prediction, *a.Value, a.Version)
}

func figures(f float64) string { return fmt.Sprintf("%.4g", f) }
