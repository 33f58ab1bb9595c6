package runs

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/worker/cluster"
)

func newCancel(g *verb.Globals) *cobra.Command {
	return &cobra.Command{
		Use:   "cancel RUN|PIPELINE",
		Short: "Cancel a run, of a pipeline the latest; the objects that it wrote are removed within minutes",
		Example: "  thalweg runs cancel flight-delays\n" +
			"  thalweg runs cancel flight-delays-2-1",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, args []string) (verb.Answer, error) {
			latest, err := c.GetRun(cmd.Context(), &apiv1.GetRunRequest{RunId: args[0]})
			if err != nil {
				return verb.Answer{}, err
			}
			res, err := c.CancelRun(cmd.Context(), &apiv1.CancelRunRequest{RunId: latest.Run.Id})
			return verb.Answer{Value: res, Table: func(w io.Writer) { fmt.Fprintln(w, latest.Run.Id+" is canceled") }}, err
		}),
	}
}
