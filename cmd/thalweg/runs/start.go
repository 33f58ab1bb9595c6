package runs

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/worker/cluster"
)

func newStart(g *verb.Globals) *cobra.Command {
	var wait bool
	cmd := &cobra.Command{
		Use:     "start PIPELINE",
		Short:   "Start a run on the current data: a training run, or one that writes a table of cleaned rows",
		Example: "  thalweg runs start flight-delays --wait",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, args []string) (verb.Answer, error) {
			res, err := c.StartRun(cmd.Context(), &apiv1.StartRunRequest{Pipeline: args[0]})
			if err != nil {
				return verb.Answer{}, err
			}
			if wait {
				return Followed(cmd, c, res.RunId)
			}
			return verb.Answer{Value: res, Table: func(w io.Writer) { fmt.Fprintln(w, res.RunId) }}, nil
		}),
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "show the run's progress and wait until it ends")
	return cmd
}
