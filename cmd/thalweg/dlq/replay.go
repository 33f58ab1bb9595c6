package dlq

import (
	"io"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/jobs"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	"github.com/thalweg/thalweg/worker/cluster"
	work "github.com/thalweg/thalweg/worker/jobs"
)

func newReplay(g *verb.Globals) *cobra.Command {
	var where, version string
	cmd := &cobra.Command{
		Use:   "replay PIPELINE",
		Short: "Score dead letters again, once the cause is fixed",
		Long: "replay scores the selected dead letters with the champion, or another version, as a\n" +
			"job on a worker, beside the live stream. Each event that can now be scored becomes one\n" +
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
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, args []string) (verb.Answer, error) {
			if _, err := (work.Letters{Where: where}).Selection(); err != nil {
				return verb.Answer{}, err
			}
			var sum letterReplay
			err := jobs.Ask(cmd, c, args[0], "dlq-replay", work.ReplayLetters{Where: where, Model: version}, &sum.LettersReplayed)
			return verb.Answer{Value: sum.LettersReplayed, Table: func(w io.Writer) {
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

// letterReplay is what the verb prints.
type letterReplay struct{ work.LettersReplayed }

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
