package members

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/worker/cluster"
)

func newList(g *verb.Globals) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the coordinators, their addresses, and what each is",
		Long:    "list shows each member. One that is joining gets the log and has no vote yet.",
		Example: "  thalweg members list",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, _ []string) (verb.Answer, error) {
			status, err := c.Status(cmd.Context(), &apiv1.StatusRequest{})
			if err != nil {
				return verb.Answer{}, err
			}
			return verb.Answer{Value: status.Nodes, Table: func(w io.Writer) {
				terminal.Row(w, "COORDINATOR", "API", "RAFT", "STATE")
				for _, n := range status.Nodes {
					terminal.Row(w, n.Id, n.Address, n.RaftAddress, n.State)
				}
			}}, nil
		}),
	}
}
