package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/coordinator/api"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
)

func newStream(g *globals) *cobra.Command {
	cmd := &cobra.Command{Use: "stream", Short: "Pause, resume and watch streams",
		Example: "  thalweg stream status flight-delays"}
	cmd.AddCommand(newStreamStatus(g),
		newStreamSet(g, "pause", "Commit what is scored and stop fetching", true),
		newStreamSet(g, "resume", "Go on where the stream stopped", false))
	return cmd
}

func newStreamSet(g *globals, verb, short string, paused bool) *cobra.Command {
	return &cobra.Command{
		Use:     verb + " PIPELINE",
		Short:   short,
		Example: "  thalweg stream " + verb + " flight-delays",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := g.client()
			if err != nil {
				return err
			}
			res, err := c.SetStream(cmd.Context(), &apiv1.SetStreamRequest{RequestId: api.NewRequestID(), Pipeline: args[0], Paused: paused})
			if err != nil {
				return err
			}
			return g.print(cmd.OutOrStdout(), res, func(w io.Writer) {
				fmt.Fprintf(w, "%s: %sd\n", args[0], verb)
			})
		},
	}
}

func newStreamStatus(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "status [PIPELINE]",
		Short:   "Show where each partition stands",
		Example: "  thalweg stream status flight-delays -o json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := g.client()
			if err != nil {
				return err
			}
			req := &apiv1.StreamStatusRequest{}
			if len(args) == 1 {
				req.Pipeline = args[0]
			}
			res, err := c.StreamStatus(cmd.Context(), req)
			if err != nil {
				return err
			}
			return g.print(cmd.OutOrStdout(), res, func(w io.Writer) {
				row(w, "PIPELINE", "TOPIC", "PARTITION", "STATE", "COMMITTED", "SCORED", "END", "LAG", "ROWS", "DEAD", "VERSION", "ROWS/S", "WORKER", "MESSAGE")
				for _, p := range res.Partitions {
					row(w, p.Pipeline, p.Topic, p.Partition, p.State, p.Committed, p.Scored, p.End, max(0, p.End-p.Scored),
						thousands(p.ScoredRows), thousands(p.DeadLetters), p.ModelVersion, fmt.Sprintf("%.0f", p.RowsPerSecond), p.Worker, p.Message)
				}
			})
		},
	}
}
