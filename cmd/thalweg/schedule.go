package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
)

func newSchedule(g *globals) *cobra.Command {
	cmd := &cobra.Command{Use: "schedule", Short: "Pause and resume schedules, which status shows",
		Example: "  thalweg schedule pause flight-delays"}
	cmd.AddCommand(
		newScheduleSet(g, "pause", "Pause a schedule: no run starts by it until it is resumed", "paused", true),
		newScheduleSet(g, "resume", "Resume a schedule; with on_overlap queue or replace, one run makes up for the times since its pause", "resumed", false))
	return cmd
}

func newScheduleSet(g *globals, verb, short, done string, paused bool) *cobra.Command {
	return &cobra.Command{
		Use:     verb + " PIPELINE",
		Short:   short,
		Example: "  thalweg schedule " + verb + " flight-delays",
		RunE: g.ask(func(cmd *cobra.Command, c *cluster, args []string) (answer, error) {
			res, err := c.SetSchedule(cmd.Context(), &apiv1.SetScheduleRequest{Pipeline: args[0], Paused: paused})
			return answer{value: res, table: func(w io.Writer) { fmt.Fprintf(w, "schedule of %s: %s\n", args[0], done) }}, err
		}),
	}
}
