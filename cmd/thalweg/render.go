package main

import (
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
)

func newRender(*globals) *cobra.Command {
	return &cobra.Command{
		Use:     "render SPEC",
		Short:   "Print a spec with every default written out",
		Example: "  thalweg render flights.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			spec, _, err := parseSpec(args[0])
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

func newSchema(*globals) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the spec, for editors",
		Example: "  thalweg schema > thalweg.schema.json\n" +
			"  # then, in an editor with YAML support: # yaml-language-server: $schema=thalweg.schema.json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := pipeline.JSONSchema(catalog.All())
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(append(out, '\n'))
			return err
		},
	}
}
