package stream

import (
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/worker/cluster"
)

func newPause(g *verb.Globals) *cobra.Command {
	return &cobra.Command{
		Use:     "pause PIPELINE",
		Short:   "Pause a stream: commit what is scored, then stop fetching",
		Example: "  thalweg stream pause flight-delays",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, args []string) (verb.Answer, error) {
			return set(cmd.Context(), c, "paused", &apiv1.SetStreamRequest{Pipeline: args[0], Paused: true})
		}),
	}
}
