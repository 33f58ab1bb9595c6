package dlq

import (
	"fmt"
	"io"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/cmd/thalweg/jobs"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	"github.com/thalweg/thalweg/worker/cluster"
	work "github.com/thalweg/thalweg/worker/jobs"
)

func newList(g *verb.Globals) *cobra.Command {
	var flags letterFlags
	var limit int
	cmd := &cobra.Command{
		Use:   "list PIPELINE",
		Short: "Count dead letters by stage and reason",
		Example: "  thalweg dlq list flight-delays\n" +
			"  thalweg dlq list flight-delays --where \"model_version == 3 && timestamp >= '2026-11-01'\" -o json",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, args []string) (verb.Answer, error) {
			if limit < 1 {
				return verb.Answer{}, terminal.UsageError("--limit", fmt.Sprint(limit), "a number from 1")
			}
			selected, err := flags.selected(limit)
			if err != nil {
				return verb.Answer{}, err
			}
			var counts letterCounts
			if err := jobs.Ask(cmd, c, args[0], "dlq-list", selected, &counts.LetterCounts); err != nil {
				return verb.Answer{}, err
			}
			return verb.Answer{Value: counts.LetterCounts, Table: counts.table}, nil
		}),
	}
	flags.register(cmd)
	cmd.Flags().IntVar(&limit, "limit", 50, "how many reasons to list")
	return cmd
}

// letterCounts is what the verb prints.
type letterCounts struct{ work.LetterCounts }

func (c *letterCounts) table(w io.Writer) {
	terminal.Row(w, "EVENTS", "STAGE", "REASON", "FIRST", "LAST", "FAILED REPLAYS", "REPLAYED")
	for _, r := range c.Reasons {
		terminal.Row(w, humanize.Comma(r.Events), r.Stage, terminal.Shorten(r.Reason, 100), r.First, r.Last, humanize.Comma(r.Again), humanize.Comma(r.Replayed))
	}
	if c.Others > 0 {
		terminal.Row(w, humanize.Comma(c.Others), "", "other reasons", "", "", "", "")
	}
	terminal.Row(w, humanize.Comma(c.Events), "", "in all", "", "", humanize.Comma(c.Again), humanize.Comma(c.Replayed))
}
