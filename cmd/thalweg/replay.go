package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/worker/stream/engine"
	"github.com/thalweg/thalweg/worker/stream/replay"
)

func newReplay(g *globals) *cobra.Command {
	var r replayFlags
	cmd := &cobra.Command{
		Use:   "replay [PIPELINE] --model VERSION --into s3://BUCKET/PREFIX/",
		Short: "Score a range of a topic again with any version, beside the live stream",
		Long: "replay scores the events of [from, to) of each partition with one model version and\n" +
			"writes the rows under a prefix of its own, in the form of the live ones: Parquet,\n" +
			"dead letters and commit logs. It runs in this process, not on the workers, reads the\n" +
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
		RunE: g.ask(func(cmd *cobra.Command, c *cluster, args []string) (answer, error) {
			r.pipeline = argument(args, 0)
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
	must(cmd.MarkFlagRequired("into"))
	return cmd
}

type replayFlags struct {
	pipeline, topic, from, to, model, into, connection string
	parallel, top                                      int
	diff                                               bool
}

// replayed is what the verb prints.
type replayed struct {
	Replay *replay.Manifest `json:"replay"`
	Into   string           `json:"into"`
	Scored int64            `json:"scored"`
	Dead   int64            `json:"dead"`
	TookMS int64            `json:"took_ms"`
	Diff   *replay.Report   `json:"diff,omitempty"`
}

func (r *replayFlags) run(cmd *cobra.Command, c *cluster) (answer, error) {
	ctx := cmd.Context()
	from, err := replay.ParseBound("--from", r.from)
	if err != nil {
		return answer{}, err
	}
	to, err := replay.ParseBound("--to", r.to)
	if err != nil {
		return answer{}, err
	}
	if fault, hint := pipeline.S3PathFault(r.into); fault != "" {
		return answer{}, &thalweg.Error{Op: "--into", Kind: thalweg.Invalid, Subject: strconv.Quote(r.into), Err: errors.New("it " + fault), Hint: hint}
	}
	if r.parallel < 1 {
		return answer{}, terminal.UsageError("--parallel", strconv.Itoa(r.parallel), "a number from 1")
	}
	if r.pipeline == "" {
		if r.pipeline, err = c.pipelineOf(ctx, r.topic); err != nil {
			return answer{}, err
		}
	}
	s, err := c.openStream(ctx, r.pipeline)
	if err != nil {
		return answer{}, err
	}
	if r.topic != "" && r.topic != s.cfg.Topic {
		return answer{}, terminal.UsageError("--topic", r.topic, "the topic of "+r.pipeline+", "+s.cfg.Topic)
	}
	into, err := s.place(ctx, r.connection, r.into)
	if err != nil {
		return answer{}, err
	}
	taken, err := c.claims(ctx)
	if err != nil {
		return answer{}, err
	}
	model, err := findVersion(ctx, c, s.spec.Spec.Registry.Model, r.model)
	if err != nil {
		return answer{}, err
	}
	source, err := s.source()
	if err != nil {
		return answer{}, err
	}
	defer source.Close()
	models, err := c.models(ctx)
	if err != nil {
		return answer{}, err
	}
	artifact, err := models.Load(ctx, model.Model)
	if err == nil {
		err = artifact.Protects(s.spec.Spec.Schema)
	}
	if err != nil {
		return answer{}, err
	}
	byTime, ok := source.(replay.Source)
	if !ok {
		return answer{}, &thalweg.Error{Op: "replay", Kind: thalweg.Unsupported, Subject: s.cfg.Topic, Hint: "its source cannot be read by time"}
	}
	m, err := replay.Open(ctx, byTime, replay.Request{Pipeline: s.cfg.Pipeline, Generation: s.cfg.Generation, Topic: s.cfg.Topic, Model: model,
		From: from, To: to, Live: s.live, Into: into, IntoConnection: cmp.Or(r.connection, s.sink().Connection),
		Taken: taken, Connections: c.conns.Known(), NowUS: time.Now().UnixMicro()})
	if err != nil {
		return answer{}, err
	}
	log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	began := time.Now()
	runner := replay.New(m, source, into.Bucket, into.Prefix, artifact, log,
		replay.Config{Parallel: r.parallel, Score: s.cfg})
	stop := terminal.ShowProgress(cmd.ErrOrStderr(), "replay", func() (done, total int64, message string) {
		p := runner.Progress()
		return p.Done, p.Total, p.Message
	})
	err = runner.Run(ctx)
	stop()
	if err != nil {
		return answer{}, interrupted(ctx, "replay", into.String(), err)
	}
	p := runner.Progress()
	out := replayed{Replay: m, Into: into.String(), Scored: p.Scored, Dead: p.Dead, TookMS: time.Since(began).Milliseconds()}
	if r.diff {
		if out.Diff, err = diffWith(cmd, m, s.live, into, r.top); err != nil {
			return answer{}, err
		}
	}
	return answer{out, out.table, differing(out.Diff)}, nil
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

// findVersion returns what a user calls a version: its number, an alias, or a
// checkpoint, which need not be registered.
func findVersion(ctx context.Context, c *cluster, model, text string) (engine.Candidate, error) {
	m, err := findModel(ctx, c, model)
	if err != nil {
		return engine.Candidate{}, err
	}
	version, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		version = m.Aliases[text]
	}
	for _, v := range m.Versions {
		if v.Version == version || v.Checkpoint == text {
			ref, err := checkpointOf(model, v)
			return engine.Candidate{RegisteredAtUS: v.RegisteredAtUnixMs * 1000,
				Model: engine.Model{Name: thalweg.ModelName(model), Version: thalweg.ModelVersion(v.Version), Checkpoint: ref}}, err
		}
	}
	ref, err := thalweg.ParseObjectRef(text)
	if err != nil {
		return engine.Candidate{}, noVersion(m, text, "a version or an alias of `thalweg models`, or a checkpoint as key#sha256")
	}
	// Not registered, so it has no number: its rows are those of a model that is
	// named for the checkpoint.
	return engine.Candidate{Model: engine.Model{Name: thalweg.ModelName(model + "@" + ref.SHA256[:12]), Version: 1, Checkpoint: ref}}, nil
}
