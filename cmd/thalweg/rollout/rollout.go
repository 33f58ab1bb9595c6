// Package rollout is the verb of that name: how a version takes over step by step is watched,
// held and ended.
package rollout

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/worker/cluster"
)

// New is the verb, with those below it.
func New(g *verb.Globals) *cobra.Command {
	cmd := &cobra.Command{Use: "rollout", Short: "Watch, hold and end the rollout of a new version",
		Example: "  thalweg rollout status flight-delays"}
	cmd.AddCommand(newStatus(g), newPromote(g), newHold(g), newResume(g), newAbort(g))
	return cmd
}

// newAction is a verb by which somebody decides about a rollout; done says what came of it.
func newAction(g *verb.Globals, name, short, done string) *cobra.Command {
	return &cobra.Command{
		Use:     name + " PIPELINE",
		Short:   short,
		Example: "  thalweg rollout " + name + " flight-delays",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, args []string) (verb.Answer, error) {
			res, err := c.SetRollout(cmd.Context(), &apiv1.SetRolloutRequest{Pipeline: args[0], Action: name})
			return verb.Answer{Value: res, Table: func(w io.Writer) {
				fmt.Fprintf(w, "%s: "+done+"\n", args[0], res.Candidate)
			}}, err
		}),
	}
}
