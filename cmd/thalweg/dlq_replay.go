package main

import (
	"io"
	"log/slog"
	"math/rand/v2"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker/stream/deadletter"
	"github.com/thalweg/thalweg/worker/stream/engine"
	"github.com/thalweg/thalweg/worker/stream/scorer"
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
			"  thalweg dlq replay flight-delays --model 4 -o json",
		Args:        cobra.ExactArgs(1),
		Annotations: map[string]string{usesFlags: scores},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := (&letterFlags{where: where}).check(); err != nil {
				return err
			}
			sum, err := g.replayLetters(cmd, args[0], where, version)
			if err != nil {
				if cmd.Context().Err() != nil {
					return &thalweg.Error{Op: "replay dead letters", Kind: thalweg.Canceled, Subject: args[0], Hint: "run the same command again to go on"}
				}
				return err
			}
			return g.print(cmd.OutOrStdout(), sum, func(w io.Writer) {
				row(w, "SELECTED", "SCORED", "DEAD AGAIN", "TRUNCATED", "ALREADY REPLAYED", "RECOVERED", "SLOTS")
				row(w, thousands(sum.Selected), thousands(sum.Scored), thousands(sum.Dead), thousands(sum.Truncated), thousands(sum.Already),
					thousands(sum.Recovered), thousands(sum.Slots))
			})
		},
	}
	cmd.Flags().StringVar(&where, "where", "", "select dead letters for which this expression is true; thalweg dlq --help lists the fields")
	cmd.Flags().StringVar(&version, "model", thalweg.DefaultAlias, "the version that scores: a number or an alias")
	return cmd
}

// replayLetters scores dead letters of a pipeline again.
func (g *globals) replayLetters(cmd *cobra.Command, name, where, version string) (deadletter.ReplaySummary, error) {
	var none deadletter.ReplaySummary
	ctx := cmd.Context()
	c, conns, hangUp, err := g.dial()
	if err != nil {
		return none, err
	}
	defer hangUp()
	s, err := openStream(ctx, c, conns, name)
	if err != nil {
		return none, err
	}
	model, err := findVersion(ctx, c, s.spec.Spec.Registry.Model, version)
	if err != nil {
		return none, err
	}
	if model.RegisteredAtUS == 0 {
		return none, usageError("--model", version, "a registered version: its rows become part of the results")
	}
	partitions, err := streamPartitions(ctx, c, name)
	if err != nil {
		return none, err
	}
	state, _, err := conns.bucketOf(ctx, "", "s3://"+g.connections.state+"/")
	if err != nil {
		return none, err
	}
	if err := storage.Probe(ctx, s.live.Bucket, rand.Uint64()); err != nil {
		return none, err
	}
	cfg, _, err := scorer.ConfigOf(s.spec, s.generation, 0)
	if err != nil {
		return none, err
	}
	log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelInfo}))
	models := engine.NewRegistry(state, catalog.All())
	models.Schemas = conns.eventSchemas
	return deadletter.Replay(ctx, s.live.Bucket, models, log, deadletter.ReplayConfig{
		Pipeline: thalweg.PipelineName(name), Generation: s.generation, Topic: s.topic, Partitions: partitions, Prefix: s.live.Prefix,
		Model: model, Where: where, PartitionBy: cfg.PartitionBy, Compression: cfg.Compression, MaxEventBytes: cfg.MaxEventBytes}, nil)
}
