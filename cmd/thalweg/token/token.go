// Package token is the verb of that name: tokens are made, listed and revoked.
package token

import (
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/cmd/thalweg/verb"
)

// New is the verb, with those below it.
func New(g *verb.Globals) *cobra.Command {
	cmd := &cobra.Command{Use: "token", Short: "Make, list and revoke tokens, by which users prove who they are",
		Long: "A token gives a role for some pipelines to whoever has its secret. Roles are reader\n" +
			"(looks), submitter (applies specs, starts and cancels runs), operator (promotes, pauses,\n" +
			"deletes) and admin (makes tokens, reads the audit log). The secret is made here and\n" +
			"shown once: the cluster gets its sha256 only."}
	cmd.AddCommand(newCreate(g), newList(g), newRevoke(g))
	return cmd
}
