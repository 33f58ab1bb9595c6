package main

import (
	"io"
	"log/slog"
	"math/rand/v2"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker/stream/deadletter"
)

func newDLQReplay(g *globals) *cobra.Command {
	var where, version string
	cmd := &cobra.Command{
		Use:   "replay PIPELINE",
		Short: "Score dead letters again, once the cause is fixed",
		Long: "replay scores the selected dead letters with the champion, or another version, in\n" +
			"this process, beside the live stream and without Kafka. Each event that can now be\n" +
			"scored becomes one row of the results, with its own _topic, _partition and _offset,\n" +
			"and the intent of the replay in _replay. The others stay dead letters and can be\n" +
			"replayed again. Each row is written once, even if a replay is killed or two run at\n" +
			"the same time: run the same command again to continue.\n" +
			"\n" +
			"Events that were truncated (longer than the bound of an event, or never fetched)\n" +
			"cannot be scored; they are counted.",
		Example: "  thalweg dlq replay flight-delays --where \"stage == '2 filter' && offset >= 1000\"\n" +
			"  thalweg dlq replay flight-delays --model 2 -o json",
		Annotations: map[string]string{usesFlags: scores},
		RunE: g.ask(func(cmd *cobra.Command, c *cluster, args []string) (answer, error) {
			if _, err := selectLetters(where); err != nil {
				return answer{}, err
			}
			sum, err := c.replayLetters(cmd, args[0], where, version)
			return answer{value: sum, table: func(w io.Writer) {
				terminal.Row(w, "SELECTED", "SCORED", "FAILED AGAIN", "TRUNCATED", "ALREADY REPLAYED", "RECOVERED", "SLOTS")
				terminal.Row(w, humanize.Comma(sum.Selected), humanize.Comma(sum.Scored), humanize.Comma(sum.Dead), humanize.Comma(sum.Truncated), humanize.Comma(sum.Already),
					humanize.Comma(sum.Recovered), humanize.Comma(sum.Slots))
			}}, interrupted(cmd.Context(), "replay dead letters", args[0], err)
		}),
	}
	cmd.Flags().StringVar(&where, "where", "", "select dead letters for which this expression is true; thalweg dlq --help lists the fields")
	cmd.Flags().StringVar(&version, "model", thalweg.DefaultAlias, "the version that scores: a number or an alias")
	return cmd
}

// replayLetters scores dead letters of a pipeline again.
func (c *cluster) replayLetters(cmd *cobra.Command, name, where, version string) (none deadletter.ReplaySummary, err error) {
	ctx := cmd.Context()
	s, err := c.openStream(ctx, name)
	if err != nil {
		return none, err
	}
	partitions, err := s.partitions(ctx)
	if err != nil {
		return none, err
	}
	model, err := findVersion(ctx, c, s.spec.Spec.Registry.Model, version)
	if err != nil {
		return none, err
	}
	if model.RegisteredAtUS == 0 {
		return none, terminal.UsageError("--model", version, "a registered version: its rows become part of the results")
	}
	models, err := c.models(ctx)
	if err != nil {
		return none, err
	}
	if err := storage.Probe(ctx, s.live.Bucket, rand.Uint64()); err != nil {
		return none, err
	}
	log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelInfo}))
	return deadletter.Replay(ctx, s.live.Bucket, models, log, deadletter.ReplayConfig{
		Pipeline: s.cfg.Pipeline, Generation: s.cfg.Generation, Topic: s.cfg.Topic, Partitions: partitions, Prefix: s.cfg.Prefix,
		Model: model, Where: where, PartitionBy: s.cfg.PartitionBy, Schema: s.cfg.Schema, Compression: s.cfg.Compression, MaxEventBytes: s.cfg.MaxEventBytes}, nil)
}
