package models

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	"github.com/thalweg/thalweg/worker/cluster"
)

func newRollback(g *verb.Globals) *cobra.Command {
	return newMove(g, &cobra.Command{
		Use:   "rollback MODEL",
		Short: "Point an alias at the version before its current one",
		Long: "rollback points an alias at the version before its current one. It passes over versions without\n" +
			"a checkpoint, and over those that did not pass their gates and were not promoted all the same.",
		Example: "  thalweg models rollback flight-delays",
	}, func(ctx context.Context, c *cluster.Client, alias string, args []string) (before uint64, err error) {
		m, err := c.FindModel(ctx, args[0])
		for _, v := range m.GetVersions() {
			rejected := v.Rejected != "" && !slices.Contains(m.Replaced[alias].GetVersions(), v.Version)
			if v.Version < m.Aliases[alias] && !v.Retired && !v.Collected && !rejected {
				before = max(before, v.Version)
			}
		}
		if err == nil && before == 0 {
			err = &thalweg.Error{Op: "roll back", Kind: thalweg.NotFound, Subject: args[0],
				Hint: "there is no version before the one that " + alias + " names"}
		}
		return before, err
	})
}
