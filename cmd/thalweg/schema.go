package main

import (
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
)

func newSchema(*verb.Globals) *cobra.Command {
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
