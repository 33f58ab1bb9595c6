package stream

import (
	"fmt"
	"io"
	"slices"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/worker/cluster"
)

func newStatus(g *verb.Globals) *cobra.Command {
	return &cobra.Command{
		Use:     "status [PIPELINE]",
		Short:   "Show state, offsets and lag of each partition",
		Example: "  thalweg stream status flight-delays -o json",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, args []string) (verb.Answer, error) {
			res, err := c.StreamStatus(cmd.Context(), &apiv1.StreamStatusRequest{Pipeline: verb.Argument(args, 0)})
			return verb.Answer{Value: res, Table: func(w io.Writer) {
				sends := slices.ContainsFunc(res.Partitions, func(p *apiv1.StreamPartition) bool { return p.RowsTopic != "" })
				header := []any{"PIPELINE", "TOPIC", "PARTITION", "STATE", "COMMITTED", "SCORED", "END", "LAG", "BEHIND", "ROWS", "DEAD", "MISSING", "VERSION", "ROWS/S"}
				if sends {
					header = append(header, "SENT", "SENT P50", "SENT P99")
				}
				terminal.Row(w, append(header, "WORKER", "MESSAGE")...)
				for _, p := range res.Partitions {
					// Counts and speed are known with the log, of which committed is the end.
					rows, dead, missing, speed := "", "", "", ""
					if p.Committed >= 0 {
						rows, dead, missing, speed = humanize.Comma(p.ScoredRows), humanize.Comma(p.DeadLetters), humanize.Comma(p.Missing), fmt.Sprintf("%.0f", p.RowsPerSecond)
					}
					cells := []any{p.Pipeline, p.Topic, p.Partition, p.State, offsetShown(p.Committed), offsetShown(p.Scored), offsetShown(p.End), lagShown(p), terminal.Seconds(p.LagSeconds),
						rows, dead, missing, terminal.CountOrDash(p.ModelVersion), speed}
					if sends {
						cells = append(cells, humanize.Comma(p.RowsSent), fmt.Sprintf("%.1f ms", p.SentP50Ms), fmt.Sprintf("%.1f ms", p.SentP99Ms))
					}
					terminal.Row(w, append(cells, p.Worker, p.Message)...)
				}
			}}, err
		}),
	}
}

// offsetShown prints an offset, of which -1 says that it is not known.
func offsetShown(offset int64) string {
	if offset < 0 {
		return ""
	}
	return fmt.Sprint(offset)
}

// lagShown prints how many events of a partition have not been scored.
func lagShown(p *apiv1.StreamPartition) string {
	if p.End < 0 || p.Scored < 0 {
		return ""
	}
	return fmt.Sprint(max(0, p.End-p.Scored))
}
