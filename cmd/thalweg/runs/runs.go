// Package runs is the verb of that name: runs of pipelines are listed, shown, started,
// followed and canceled.
package runs

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/worker/cluster"
)

// New is the verb, with those below it.
func New(g *verb.Globals) *cobra.Command {
	req := &apiv1.ListRunsRequest{}
	cmd := &cobra.Command{
		Use:   "runs",
		Short: "List runs, newest first; show, start, follow or cancel one",
		Example: "  thalweg runs\n" +
			"  thalweg runs --pipeline flight-delays --limit 500\n" +
			"  thalweg runs show flight-delays\n" +
			"  thalweg runs start flight-delays --wait",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, _ []string) (verb.Answer, error) {
			res, err := c.ListRuns(cmd.Context(), req)
			if err != nil {
				return verb.Answer{}, err
			}
			pipelines, err := c.ListPipelines(cmd.Context(), &apiv1.ListPipelinesRequest{})
			if err != nil {
				return verb.Answer{}, err
			}
			pipelines.Pipelines = slices.DeleteFunc(pipelines.Pipelines, func(p *apiv1.Pipeline) bool { return req.Pipeline != "" && p.Name != req.Pipeline })
			return verb.Answer{Value: res, Table: func(w io.Writer) {
				terminal.Row(w, "RUN", "STATE", "STAGE", "STARTED", "BY", "TOOK", "VERSION", "MESSAGE")
				for _, r := range res.Runs {
					terminal.Row(w, r.Id, r.State, r.Stage, terminal.Clock(r.StartedAtUnixMs), cmp.Or(r.Trigger, r.Verb, "-"), terminal.Took(r.StartedAtUnixMs, r.EndedAtUnixMs), terminal.CountOrDash(r.ModelVersion), cmp.Or(r.Error, r.Outputs[stages.EndOutput], r.Waiting))
				}
				terminal.PrintTimetables(w, pipelines.Pipelines)
				if res.NextPageToken != "" {
					fmt.Fprintln(w, "\nthere are more: --page-token "+res.NextPageToken)
				}
			}}, err
		}),
	}
	cmd.Flags().StringVar(&req.Pipeline, "pipeline", "", "list only runs of this pipeline")
	cmd.Flags().Uint32Var(&req.PageSize, "limit", 100, "how many runs to list, at most 1000")
	cmd.Flags().StringVar(&req.PageToken, "page-token", "", "continue after the page that printed this token")
	cmd.AddCommand(newShow(g), newStart(g), newFollow(g), newCancel(g))
	return cmd
}
