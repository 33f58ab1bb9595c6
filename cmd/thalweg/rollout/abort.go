package rollout

import (
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/cmd/thalweg/verb"
)

func newAbort(g *verb.Globals) *cobra.Command {
	return newAction(g, "abort", "Give the candidate up: the champion scores all", "version %d is given up")
}
