package models

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/worker/cluster"
)

func newPromote(g *verb.Globals) *cobra.Command {
	return newMove(g, &cobra.Command{
		Use:     "promote MODEL VERSION",
		Short:   "Point an alias at a version; streams use champion",
		Example: "  thalweg models promote flight-delays 2",
	}, func(ctx context.Context, c *cluster.Client, _ string, args []string) (uint64, error) {
		if v, err := strconv.ParseUint(args[1], 10, 64); err == nil {
			return v, nil
		}
		m, err := c.FindModel(ctx, args[0])
		if err != nil {
			return 0, err
		}
		if v := m.Aliases[args[1]]; v > 0 {
			return v, nil
		}
		return 0, cluster.NoVersion(m, args[1], "a number or an alias of `thalweg models`")
	})
}

// newMove makes a verb of a function that tells which version an alias is to
// point at.
func newMove(g *verb.Globals, cmd *cobra.Command, to func(ctx context.Context, c *cluster.Client, alias string, args []string) (uint64, error)) *cobra.Command {
	alias := cmd.Flags().String("alias", thalweg.DefaultAlias, "the alias to move")
	cmd.RunE = g.Ask(func(cmd *cobra.Command, c *cluster.Client, args []string) (verb.Answer, error) {
		v, err := to(cmd.Context(), c, *alias, args)
		if err != nil {
			return verb.Answer{}, err
		}
		res, err := c.Promote(cmd.Context(), &apiv1.PromoteRequest{Model: args[0], Alias: *alias, Version: v})
		return verb.Answer{Value: res, Table: func(w io.Writer) {
			fmt.Fprintf(w, "%s of %s is now version %d (was %d)\n", *alias, args[0], v, res.Previous)
			if res.Rejected != "" {
				fmt.Fprintln(w, "it did not pass its gates: "+res.Rejected)
			}
		}}, err
	})
	return cmd
}
