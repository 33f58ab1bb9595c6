package main

import (
	"bytes"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/storage/commitlog"
)

func newDLQ(g *globals) *cobra.Command {
	cmd := &cobra.Command{Use: "dlq", Short: "List and show dead letters: events that could not be scored",
		Example: "  thalweg dlq list flight-delays\n  thalweg dlq show flight-delays --limit 10"}
	cmd.AddCommand(newDLQList(g), newDLQShow(g))
	return cmd
}

func newDLQList(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "list PIPELINE",
		Short:   "List the objects that hold dead letters",
		Example: "  thalweg dlq list flight-delays -o json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			sink, err := g.openSink(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			files, err := sink.files(cmd.Context(), commitlog.Dead)
			if err != nil {
				return err
			}
			return g.print(cmd.OutOrStdout(), files, func(w io.Writer) {
				row(w, "OBJECT", "PARTITION", "OFFSETS", "EVENTS")
				for _, f := range files {
					row(w, f.Path, f.Partition, fmt.Sprintf("[%d, %d)", f.From, f.To), thousands(f.Rows))
				}
			})
		},
	}
}

func newDLQShow(g *globals) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:     "show PIPELINE",
		Short:   "Print dead letters as JSON lines: raw bytes, origin and reason",
		Example: "  thalweg dlq show flight-delays --limit 10",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			sink, err := g.openSink(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			files, err := sink.files(cmd.Context(), commitlog.Dead)
			if err != nil {
				return err
			}
			left := limit
			for _, f := range files {
				body, _, err := sink.bucket.Get(cmd.Context(), f.Key)
				if err != nil {
					return err
				}
				for line := range bytes.Lines(body) {
					if left == 0 {
						return nil
					}
					left--
					if _, err := cmd.OutOrStdout().Write(line); err != nil {
						return err
					}
				}
			}
			return nil
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 100, "how many at most")
	return cmd
}
