package main

import (
	"cmp"
	"io"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/cmd/thalweg/localdata"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
)

func newProfile(g *globals) *cobra.Command {
	var from, file, connection string
	cmd := &cobra.Command{
		Use:   "profile",
		Short: "Say what the rows of a dataset hold",
		Long: "profile reads Parquet, CSV or JSON lines on this machine (a file, a folder, a pattern in\n" +
			"quotes) or in a store (s3://bucket/prefix/), or what the source of a spec names, and says of\n" +
			"each column what its values are: nulls, distinct values, extremes, quantiles, the most frequent\n" +
			"ones, what texts are written as, and what is suspicious. A profile is the same bytes in\n" +
			"whatever order the rows are.",
		Example: "  thalweg profile --from flights.parquet\n" +
			"  thalweg profile --from 'visits-*.csv' -o json > visits.json\n" +
			"  thalweg profile -f flights.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var spec *pipeline.Spec
			if file != "" {
				text, err := readSpec(file)
				if err != nil {
					return err
				}
				if spec, err = pipeline.Parse(catalog.All(), file, text); err != nil {
					return err
				}
				train := spec.Spec.Sources.Train
				connection = cmp.Or(connection, train.Connection)
				if from == "" && train.S3 != nil {
					from = train.S3.Path
				}
			}
			conns, err := g.connections.open()
			if err != nil {
				return err
			}
			defer conns.Close()
			local, err := localdata.Open(cmd.Context(), conns.bucket, connection, from, spec)
			if err != nil {
				return err
			}
			p, err := local.Profile(cmd.Context())
			if err != nil {
				return err
			}
			return g.print(cmd.OutOrStdout(), p, func(w io.Writer) { p.WriteTable(w) })
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&from, "from", "", "the data: a file, a folder, a pattern in quotes, or s3://bucket/prefix/ (default: what the spec names)")
	flags.StringVarP(&file, "file", "f", "", "a spec, whose source says how the data are read: a file, or - for standard input")
	flags.StringVar(&connection, "connection", "", "the store of the data, by its name in the file of --connections")
	cmd.MarkFlagsOneRequired("from", "file")
	return cmd
}
