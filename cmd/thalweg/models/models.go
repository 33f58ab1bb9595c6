// Package models is the verb of that name: models, their versions and aliases, are
// listed, shown, compared, promoted, rolled back, exported and imported.
package models

import (
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/cmd/thalweg/verb"
)

// New is the verb, with those below it.
func New(g *verb.Globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "models",
		Short: "List models, their versions and aliases; show, promote, roll back or export a version, or import trees",
		Example: "  thalweg models\n" +
			"  thalweg models promote flight-delays 2",
		RunE: listModels(g),
	}
	cmd.AddCommand(newList(g), newShow(g), newCompare(g), newCard(g), newPromote(g), newRollback(g), newExport(g), newImport(g))
	return cmd
}
