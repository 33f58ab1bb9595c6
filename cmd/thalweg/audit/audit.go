// Package audit is the verb of that name: the records of who changed what are listed
// and verified.
package audit

import (
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/cmd/thalweg/verb"
)

// New is the verb, with those below it.
func New(g *verb.Globals) *cobra.Command {
	cmd := &cobra.Command{Use: "audit", Short: "List who changed what, and verify that the list is whole",
		Long: "Each mutation that somebody asks for leaves a record, refused ones too: who, in which\n" +
			"role, from where, what, about which pipeline, and what came of it. Each record has the\n" +
			"sha256 of the one before."}
	cmd.AddCommand(newList(g), newVerify(g))
	return cmd
}
