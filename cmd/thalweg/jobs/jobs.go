// Package jobs has the verb `thalweg jobs`, and how other verbs have workers do jobs for
// them.
package jobs

import (
	"fmt"
	"io"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/worker/cluster"
)

// New returns the verb with those below it.
func New(g *verb.Globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "jobs [PIPELINE]",
		Short: "List and cancel what verbs have workers do",
		Long: "Verbs that look at rows, or score events again, have a worker do it, so that who asks needs a\n" +
			"role and no keys of a store or a broker. jobs lists this work, the newest first; the last 20 of\n" +
			"each pipeline are kept. A job whose worker is lost is done again by another.",
		Example: "  thalweg jobs\n  thalweg jobs flight-delays -o json",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, args []string) (verb.Answer, error) {
			res, err := c.ListJobs(cmd.Context(), &apiv1.ListJobsRequest{Pipeline: verb.Argument(args, 0)})
			return verb.Answer{Value: res, Table: func(w io.Writer) { printJobs(w, res.Jobs) }}, err
		}),
	}
	cmd.AddCommand(newCancel(g))
	return cmd
}

func printJobs(w io.Writer, jobs []*apiv1.Job) {
	if len(jobs) == 0 {
		fmt.Fprintln(w, "no jobs")
		return
	}
	terminal.Row(w, "JOB", "KIND", "STATE", "BY", "WORKER", "STARTED", "TOOK", "DONE", "MESSAGE")
	for _, j := range jobs {
		done := ""
		if j.Total > 0 {
			done = humanize.Comma(j.Done) + "/" + humanize.Comma(j.Total)
		}
		message := j.Message
		if j.Error != "" {
			message = j.Error
		}
		terminal.Row(w, j.Id, j.Kind, j.State, j.By, j.Worker, terminal.Clock(j.StartedAtUnixMs), terminal.Took(j.StartedAtUnixMs, j.EndedAtUnixMs), done, terminal.Shorten(message, 80))
	}
}
