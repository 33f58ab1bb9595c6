package dlq

import (
	"io"
	"log/slog"
	"math/rand/v2"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker/cluster"
	"github.com/thalweg/thalweg/worker/stream/deadletter"
)

func newReplay(g *verb.Globals) *cobra.Command {
	var where, version string
	cmd := &cobra.Command{
		Use:   "replay PIPELINE",
		Short: "Score dead letters again, once the cause is fixed",
		Long: "replay scores the selected dead letters with the champion, or another version, in\n" +
			"this process, beside the live stream. Each event that can now be scored becomes one\n" +
			"row of the results, with its own _topic, _partition and _offset, and the intent of\n" +
			"the replay in _replay. The others stay dead letters and can be replayed again. Each\n" +
			"row is written once, even if a replay is killed or two run at the same time: run the\n" +
			"same command again to continue.\n" +
			"\n" +
			"Events that are withheld, since columns have pii, are read from the topic again by\n" +
			"their offsets; Kafka is asked for these only. Those that retention or compaction\n" +
			"took are named by partition and offsets, and a topic that was made anew is refused:\n" +
			"select later ones. What was claimed before it was made anew stays dead letters.\n" +
			"Events that were truncated (longer than the bound of an event, or never fetched)\n" +
			"cannot be scored; they are counted.",
		Example: "  thalweg dlq replay flight-delays --where \"stage == '2 filter' && offset >= 1000\"\n" +
			"  thalweg dlq replay flight-delays --model 2 -o json",
		Annotations: map[string]string{verb.UsesFlags: verb.Scores},
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, args []string) (verb.Answer, error) {
			if _, err := selectLetters(where); err != nil {
				return verb.Answer{}, err
			}
			sum, err := replayLetters(cmd, c, args[0], where, version)
			return verb.Answer{Value: sum, Table: func(w io.Writer) {
				terminal.Row(w, "SELECTED", "SCORED", "FAILED AGAIN", "TRUNCATED", "ALREADY REPLAYED", "LOST TO RETENTION", "TO COMPACTION", "TO RECREATION", "RECOVERED", "SLOTS")
				terminal.Row(w, humanize.Comma(sum.Selected), humanize.Comma(sum.Scored), humanize.Comma(sum.Dead), humanize.Comma(sum.Truncated), humanize.Comma(sum.Already),
					humanize.Comma(sum.Retention), humanize.Comma(sum.Compaction), humanize.Comma(sum.Recreation), humanize.Comma(sum.Recovered), humanize.Comma(sum.Slots))
				sum.printLost(w)
			}}, verb.Interrupted(cmd.Context(), "replay dead letters", args[0], err)
		}),
	}
	cmd.Flags().StringVar(&where, "where", "", "select dead letters for which this expression is true; thalweg dlq --help lists the fields")
	cmd.Flags().StringVar(&version, "model", thalweg.DefaultAlias, "the version that scores: a number or an alias")
	return cmd
}

// replayLetters scores dead letters of a pipeline again.
func replayLetters(cmd *cobra.Command, c *cluster.Client, name, where, version string) (out letterReplay, err error) {
	ctx := cmd.Context()
	s, err := c.OpenStream(ctx, name)
	if err != nil {
		return out, err
	}
	partitions, err := s.Partitions(ctx)
	if err != nil {
		return out, err
	}
	model, err := c.FindVersion(ctx, s.Spec.Spec.Registry.Model, version)
	if err != nil {
		return out, err
	}
	if model.RegisteredAtUS == 0 {
		return out, terminal.UsageError("--model", version, "a registered version: its rows become part of the results")
	}
	models, err := c.Models(ctx)
	if err != nil {
		return out, err
	}
	if err := storage.Probe(ctx, s.Live.Bucket, rand.Uint64()); err != nil {
		return out, err
	}
	log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelInfo}))
	out.ReplaySummary, err = deadletter.Replay(ctx, s.Live.Bucket, models, log, deadletter.ReplayConfig{
		Pipeline: s.Config.Pipeline, Generation: s.Config.Generation, Topic: s.Config.Topic, Partitions: partitions, Prefix: s.Config.Prefix,
		Model: model, Where: where, PartitionBy: s.Config.PartitionBy, Schema: s.Config.Schema, Compression: s.Config.Compression, MaxEventBytes: s.Config.MaxEventBytes,
		Source: s.Source, Lost: out.lose}, nil)
	return out, err
}

// maxLossesShown is how many ranges of lost events are named; the others are counted.
const maxLossesShown = 1000

// letterReplay is what became of dead letters that were scored again.
type letterReplay struct {
	deadletter.ReplaySummary
	Lost       []deadletter.Loss `json:"lost,omitempty"`
	LostOthers int64             `json:"lost_others,omitempty"` // events that were lost too
}

func (r *letterReplay) lose(l deadletter.Loss) {
	if len(r.Lost) < maxLossesShown {
		r.Lost = append(r.Lost, l)
		return
	}
	r.LostOthers += l.Events
}

// printLost names the events that neither the dead letters nor the topic have.
func (r *letterReplay) printLost(w io.Writer) {
	if len(r.Lost) == 0 {
		return
	}
	terminal.Row(w, "\nLOST EVENTS", "PARTITION", "FIRST OFFSET", "LAST OFFSET", "TAKEN BY")
	for _, l := range r.Lost {
		terminal.Row(w, humanize.Comma(l.Events), l.Partition, l.From, l.To-1, l.Why)
	}
	if r.LostOthers > 0 {
		terminal.Row(w, humanize.Comma(r.LostOthers), "", "others", "", "")
	}
}
