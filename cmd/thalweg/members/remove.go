package members

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/worker/cluster"
)

func newRemove(g *verb.Globals) *cobra.Command {
	return &cobra.Command{
		Use:   "remove COORDINATOR",
		Short: "Remove a coordinator from the cluster, dead or alive",
		Long: "remove takes a coordinator out of the cluster. One that runs hands leadership on if\n" +
			"it has it, and ends; its directory is of no use any more. To replace a dead node,\n" +
			"start the new one first where fewer than three would be left.",
		Example: "  thalweg members remove c2",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, args []string) (verb.Answer, error) {
			left, err := c.RemoveMember(cmd.Context(), &apiv1.RemoveMemberRequest{Id: args[0]})
			return verb.Answer{Value: left, Table: func(w io.Writer) {
				fmt.Fprintf(w, "%s is removed; the members are %s.\n", args[0], strings.Join(left.GetMembers(), ", "))
			}}, err
		}),
	}
}
