package runs

import (
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/worker/cluster"
)

func newFollow(g *verb.Globals) *cobra.Command {
	return &cobra.Command{
		Use:   "follow RUN|PIPELINE",
		Short: "Show a run's progress, of a pipeline the latest's, until it ends",
		Example: "  thalweg runs follow flight-delays\n" +
			"  thalweg runs follow flight-delays-1-1",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, args []string) (verb.Answer, error) {
			res, err := c.GetRun(cmd.Context(), &apiv1.GetRunRequest{RunId: args[0]})
			if err != nil {
				return verb.Answer{}, err
			}
			return Followed(cmd, c, res.Run.Id)
		}),
	}
}

// Followed shows a run until it ends, and then how it ended.
func Followed(cmd *cobra.Command, c *cluster.Client, id string) (verb.Answer, error) {
	run, err := terminal.Follow(cmd.Context(), c.Client, cmd.ErrOrStderr(), id)
	return runShown(run), err
}
