package token

import (
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/worker/cluster"
)

func newList(g *verb.Globals) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the tokens, without their secrets, which nobody knows",
		Example: "  thalweg token list",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, _ []string) (verb.Answer, error) {
			res, err := c.ListTokens(cmd.Context(), &apiv1.ListTokensRequest{})
			return verb.Answer{Value: res, Table: func(w io.Writer) {
				terminal.Row(w, "TOKEN", "ROLE", "PIPELINES", "CREATED", "EXPIRES")
				for _, t := range res.Tokens {
					end := expiry(t.ExpiresAtUnixMs)
					if t.Expired {
						end = "expired " + end
					}
					terminal.Row(w, t.Name, t.Role, strings.Join(t.Pipelines, ","), terminal.Clock(t.CreatedAtUnixMs), end)
				}
			}}, err
		}),
	}
}
