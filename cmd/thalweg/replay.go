package main

import (
	"errors"
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

func newReplay(g *verb.Globals) *cobra.Command {
	var r replayFlags
	cmd := &cobra.Command{
		Use:   "replay [PIPELINE] --model VERSION --into s3://BUCKET/PREFIX/",
		Short: "Score a range of a topic again with any version, beside the live stream",
		Long: "replay scores the events of [from, to) of each partition with one model version and\n" +
			"writes the rows under a prefix of its own, in the form of the live ones: Parquet,\n" +
			"dead letters and commit logs. It runs as a job on a worker (thalweg jobs), reads the\n" +
			"topic without a consumer group, and leaves the live stream and its offsets alone.\n" +
			"\n" +
			"What the bounds mean is fixed when a replay begins. To continue one that\n" +
			"was interrupted or killed, run the same command again; it ends with the same rows.\n" +
			"\n" +
			"A bound is earliest, latest, committed (where the live log begins, and what it has\n" +
			"reached), an offset, partition:offset,… for some partitions, or an RFC 3339 time (the\n" +
			"first event at or after it).\n" +
			"\n" +
			"With --diff the rows are then compared with the live ones, as `thalweg diff` does. Exit\n" +
			"code 0: every event has the same outcome, with the same bits. Exit code 1: one differs.",
		Example: "  thalweg replay flight-delays --model 2 --into s3://lake/replays/v2/ --diff\n" +
			"  thalweg replay --topic flights --from 2026-11-26T00:00:00Z --to latest --model champion --into s3://lake/replays/champion/",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, args []string) (verb.Answer, error) {
			r.pipeline = verb.Argument(args, 0)
			return r.run(cmd, c)
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&r.topic, "topic", "", "the topic, instead of the pipeline that scores it")
	flags.StringVar(&r.from, "from", replay.Committed, "the first event")
	flags.StringVar(&r.to, "to", replay.Committed, "the end: the first event that is not replayed")
	flags.StringVar(&r.model, "model", thalweg.DefaultAlias, "a version, an alias, or a checkpoint (key#sha256)")
	flags.StringVar(&r.into, "into", "", "where the rows go: s3://bucket/prefix/")
	flags.StringVar(&r.connection, "into-connection", "", "store connection of --into; default: the sink's")
	flags.IntVar(&r.parallel, "parallel", 2, "how many partitions are scored at once")
	flags.BoolVar(&r.diff, "diff", false, "compare with the live rows afterwards")
	flags.IntVar(&r.top, "top", 10, "with --diff: how many of the largest differences to show")
	verb.Must(cmd.MarkFlagRequired("into"))
	return cmd
}

type replayFlags struct {
	pipeline, topic, from, to, model, into, connection string
	parallel, top                                      int
	diff                                               bool
}

// replayed is what the verb prints.
type replayed struct {
	work.Replayed
	Diff *replay.Report `json:"diff,omitempty"`
}

func (r *replayFlags) run(cmd *cobra.Command, c *cluster.Client) (verb.Answer, error) {
	ctx := cmd.Context()
	if _, err := replay.ParseBound("--from", r.from); err != nil {
		return verb.Answer{}, err
	}
	if _, err := replay.ParseBound("--to", r.to); err != nil {
		return verb.Answer{}, err
	}
	if fault, hint := pipeline.S3PathFault(r.into); fault != "" {
		return verb.Answer{}, &thalweg.Error{Op: "--into", Kind: thalweg.Invalid, Subject: strconv.Quote(r.into), Err: errors.New("it " + fault), Hint: hint}
	}
	if r.parallel < 1 {
		return verb.Answer{}, terminal.UsageError("--parallel", strconv.Itoa(r.parallel), "a number from 1")
	}
	if r.pipeline == "" {
		var err error
		if r.pipeline, err = c.PipelineOf(ctx, r.topic); err != nil {
			return verb.Answer{}, err
		}
	}
	var out replayed
	if err := jobs.Ask(cmd, c, r.pipeline, "replay", work.Replay{Topic: r.topic, From: r.from, To: r.to, Model: r.model,
		Into: r.into, Connection: r.connection, Parallel: r.parallel}, &out.Replayed); err != nil {
		return verb.Answer{}, verb.Interrupted(ctx, "replay", r.into, err)
	}
	if r.diff {
		var err error
		if out.Diff, err = diffWith(cmd, c, r.pipeline, work.Diff{With: r.into, Connection: r.connection, Top: r.top}); err != nil {
			return verb.Answer{}, err
		}
	}
	return verb.Answer{Value: out, Table: out.table, Failed: differing(out.Diff)}, nil
}

func (o *replayed) table(w io.Writer) {
	m := o.Replay
	fmt.Fprintf(w, "%s offsets of %s scored again with %s into %s\n", humanize.Comma(m.Events()), m.Topic, m.Model, o.Into)
	terminal.Row(w, "PARTITION", "FROM", "TO", "OFFSETS")
	for _, p := range m.Partitions {
		terminal.Row(w, p.Partition, p.From, p.To, humanize.Comma(p.To-p.From))
	}
	fmt.Fprintf(w, "%s rows, %s dead letters, in %.1f s\n", humanize.Comma(o.Scored), humanize.Comma(o.Dead), float64(o.TookMS)/1000)
	if o.Diff != nil {
		fmt.Fprintln(w)
		printDiff(w, o.Diff)
	}
}
