package jobs

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
		Use:     "cancel JOB",
		Short:   "End a job",
		Long:    "cancel ends a job that is waiting or running. Who may start a job of its kind may cancel it.",
		Example: "  thalweg jobs cancel flight-delays-j…",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, args []string) (verb.Answer, error) {
			res, err := c.CancelJob(cmd.Context(), &apiv1.CancelJobRequest{JobId: args[0]})
			return verb.Answer{Value: res, Table: func(w io.Writer) { fmt.Fprintf(w, "job %s is canceled\n", args[0]) }}, err
		}),
	}
}
