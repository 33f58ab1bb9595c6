package rollout

import (
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/cmd/thalweg/verb"
)

func newPromote(g *verb.Globals) *cobra.Command {
	return newAction(g, "promote", "Make the candidate the champion now, whatever is known of it", "version %d is the champion")
}
