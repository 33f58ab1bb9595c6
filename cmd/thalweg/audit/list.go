package audit

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/worker/cluster"
)

func newList(g *verb.Globals) *cobra.Command {
	req := &apiv1.ListAuditRequest{NewestFirst: true}
	var from, to string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the records, newest first",
		Example: "  thalweg audit list\n" +
			"  thalweg audit list --caller ci --command 'apply spec' --pipeline flight-delays --from 2026-01-01",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, _ []string) (a verb.Answer, err error) {
			if req.FromUnixMs, err = parseTime("--from", from); err != nil {
				return a, err
			}
			if req.ToUnixMs, err = parseTime("--to", to); err != nil {
				return a, err
			}
			res, err := c.ListAudit(cmd.Context(), req)
			return verb.Answer{Value: res, Table: func(w io.Writer) {
				terminal.Row(w, "RECORD", "TIME", "CALLER", "ROLE", "FROM", "COMMAND", "PIPELINE", "ABOUT", "OUTCOME")
				for _, r := range res.Records {
					outcome := r.Outcome
					if outcome == "" {
						outcome = "done"
					}
					terminal.Row(w, r.Seq, time.UnixMilli(r.AtUnixMs).UTC().Format(time.RFC3339), r.Kind+" "+r.Caller+" by "+r.By, r.Role, r.Remote, r.Command, r.Pipeline, r.Subject, outcome)
				}
				if res.Next != 0 {
					fmt.Fprintf(w, "\nthere are more: --before %d\n", res.Next)
				}
			}}, err
		}),
	}
	cmd.Flags().StringVar(&req.Caller, "caller", "", "only of who has this name: that of a token, or in a certificate")
	cmd.Flags().StringVar(&req.Command, "command", "", "only of one command, such as 'apply spec'")
	cmd.Flags().StringVar(&req.Pipeline, "pipeline", "", "only about one pipeline")
	cmd.Flags().StringVar(&from, "from", "", "only then or later: 2026-01-31 or 2026-01-31T12:00:00Z")
	cmd.Flags().StringVar(&to, "to", "", "only before")
	cmd.Flags().Uint32Var(&req.PageSize, "limit", 100, "how many records to list, at most 1000")
	cmd.Flags().Uint64Var(&req.After, "before", 0, "only records with smaller numbers")
	return cmd
}

func parseTime(flag, text string) (unixMS int64, err error) {
	if text == "" {
		return 0, nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UnixMilli(), nil
		}
	}
	return 0, terminal.UsageError(flag, text, "a day, 2026-01-31, or a time, 2026-01-31T12:00:00Z")
}
