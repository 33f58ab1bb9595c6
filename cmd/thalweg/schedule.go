package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"

	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	"github.com/thalweg/thalweg/worker/cluster"
)

func newSchedule(g *verb.Globals) *cobra.Command {
	cmd := &cobra.Command{Use: "schedule", Short: "Pause and resume schedules, which status shows",
		Example: "  thalweg schedule pause flight-delays"}
	cmd.AddCommand(
		newScheduleSet(g, "pause", "Pause a schedule: no run starts by it until it is resumed", "paused", true),
		newScheduleSet(g, "resume", "Resume a schedule; with on_overlap queue or replace, one run makes up for the times since its pause", "resumed", false))
	return cmd
}

func newScheduleSet(g *verb.Globals, name, short, done string, paused bool) *cobra.Command {
	return &cobra.Command{
		Use:     name + " PIPELINE",
		Short:   short,
		Example: "  thalweg schedule " + name + " flight-delays",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, args []string) (verb.Answer, error) {
			res, err := c.SetSchedule(cmd.Context(), &apiv1.SetScheduleRequest{Pipeline: args[0], Paused: paused})
			return verb.Answer{Value: res, Table: func(w io.Writer) { fmt.Fprintf(w, "schedule of %s: %s\n", args[0], done) }}, err
		}),
	}
}
