package token

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/worker/cluster"
)

func newRevoke(g *verb.Globals) *cobra.Command {
	return &cobra.Command{
		Use:     "revoke NAME",
		Short:   "Make a token good no more, at once",
		Example: "  thalweg token revoke ci",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, args []string) (verb.Answer, error) {
			res, err := c.RevokeToken(cmd.Context(), &apiv1.RevokeTokenRequest{Name: args[0]})
			return verb.Answer{Value: res, Table: func(w io.Writer) { fmt.Fprintf(w, "token %s is good no more\n", args[0]) }}, err
		}),
	}
}
