package main

import (
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	"github.com/thalweg/thalweg/pipeline"
)

func newRender(*verb.Globals) *cobra.Command {
	return &cobra.Command{
		Use:     "render SPEC",
		Short:   "Print a spec with every default written out",
		Example: "  thalweg render flights.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			spec, _, err := verb.ParseSpec(args[0])
			if err != nil {
				return err
			}
			out, err := pipeline.Render(spec)
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(out)
			return err
		},
	}
}
