// Package debug is the verb of that name: it collects what helps to find a fault.
package debug

import (
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/cmd/thalweg/verb"
)

// New is the verb, with those below it.
func New(g *verb.Globals) *cobra.Command {
	cmd := &cobra.Command{Use: "debug", Short: "Collect what helps to find a fault",
		Long: "What these verbs ask for, a coordinator gives to admins of all pipelines alone."}
	cmd.AddCommand(newBundle(g))
	return cmd
}
