// Package members is the verb members: the coordinators of the cluster.
package members

import (
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/cmd/thalweg/verb"
)

// New returns the command.
func New(g *verb.Globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "members",
		Short: "List the coordinators, or remove one",
	}
	cmd.AddCommand(newList(g), newRemove(g))
	return cmd
}
