package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/worker/cluster"
)

func newRestore(g *verb.Globals) *cobra.Command {
	return &cobra.Command{
		Use:   "restore FILE",
		Short: "Give a new cluster what a backup holds",
		Long: "restore gives coordinators that know no pipeline what `thalweg backup` wrote. Stop what is left\n" +
			"of the old cluster first. Streams go on where their logs in object storage end, so no event is\n" +
			"lost or scored twice; runs that were going are taken up by the new workers. What was changed\n" +
			"after the backup is not in it: apply those specs again, and train those versions anew.",
		Example: "  thalweg restore thalweg.backup",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, args []string) (verb.Answer, error) {
			data, err := os.ReadFile(args[0])
			if err != nil {
				return verb.Answer{}, &thalweg.Error{Op: "restore", Kind: thalweg.KindOf(err), Subject: args[0], Err: err}
			}
			res, err := c.Restore(cmd.Context(), &apiv1.RestoreRequest{Backup: data})
			if err != nil {
				return verb.Answer{}, err
			}
			return verb.Answer{Value: res, Table: func(w io.Writer) {
				fmt.Fprintf(w, "restored: %d pipelines and %d models, as they were at %s\n", res.Pipelines, res.Models, terminal.Clock(res.NewestUnixMs))
			}}, nil
		}),
	}
}
