package rollout

import (
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/cmd/thalweg/verb"
)

func newHold(g *verb.Globals) *cobra.Command {
	return newAction(g, "hold", "Keep the candidate at its share until it is resumed", "version %d stays at its share")
}
