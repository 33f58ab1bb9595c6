package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/pipeline"
)

func newValidate(g *globals) *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use:   "validate SPEC",
		Short: "Check a spec without a cluster; --data also checks columns and types",
		Example: "  thalweg validate flights.yaml\n" +
			"  thalweg validate flights.yaml --data flights.parquet",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := readSpec(args[0])
			if err != nil {
				return err
			}
			spec, err := pipeline.Parse(args[0], text)
			if err != nil {
				return err
			}
			checked := "fields"
			if data != "" {
				local, err := openLocal(cmd.Context(), data)
				if err != nil {
					return err
				}
				if _, err := pipeline.Compile(spec, local.schema); err != nil {
					return err
				}
				checked = "fields, columns and types"
			}
			result := map[string]any{"pipeline": spec.Metadata.Name, "valid": true, "checked": checked}
			return g.print(cmd.OutOrStdout(), result, func(w io.Writer) {
				fmt.Fprintf(w, "%s: valid (%s)\n", args[0], checked)
			})
		},
	}
	cmd.Flags().StringVar(&data, "data", "", "a local Parquet file with the columns of the training data")
	return cmd
}
