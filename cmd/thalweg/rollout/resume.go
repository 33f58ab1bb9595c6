package rollout

import (
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/cmd/thalweg/verb"
)

func newResume(g *verb.Globals) *cobra.Command {
	return newAction(g, "resume", "Let a rollout that is held go on", "version %d is judged again")
}
