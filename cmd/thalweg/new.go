package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/cmd/thalweg/embedded"
	"github.com/thalweg/thalweg/cmd/thalweg/localdata"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/draft"
)

func newNew(g *verb.Globals) *cobra.Command {
	from, options := "", draft.Options{Bucket: embedded.Bucket}
	cmd := &cobra.Command{
		Use:   "new --from DATA --label COLUMN_OR_EXPRESSION",
		Short: "Write a spec for a table: features, label, split, with comments",
		Long: "new reads Parquet, CSV or JSON lines on this machine (a file, a folder, a pattern in quotes)\n" +
			"or in a store (s3://bucket/prefix/), and writes a spec for them that can be validated and\n" +
			"trained as it is. What a CSV file's dialect is, its first line says, and its types the first\n" +
			"rows: look at both. Columns that look like identifiers, constants, or known only after the\n" +
			"label are left out, and said; texts and numbers that are times become times.",
		Example: "  thalweg new --from flights.parquet --label 'delay > 15' > delays.yaml\n" +
			"  thalweg new --from 'visits-*.parquet' --label outcome --topic visits > visits.yaml\n" +
			"  thalweg new --from visits.csv.gz --label outcome > visits.yaml\n" +
			"  thalweg new --from s3://lake/flights/ --label 'delay > 15' > delays.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			conns, err := g.Connections.Open()
			if err != nil {
				return err
			}
			defer conns.Close()
			local, err := localdata.Open(cmd.Context(), conns, options.Connection, from, nil)
			if err != nil {
				return err
			}
			text, err := draft.Spec(cmd.Context(), local.Source(), options)
			if err != nil {
				return err
			}
			if _, err := pipeline.ParseAndCompile(catalog.All(), "the drafted spec", []byte(text), local.Schema); err != nil {
				return err
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), text)
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&from, "from", "", "the data: a file, a folder, a pattern in quotes, or s3://bucket/prefix/")
	flags.StringVar(&options.Label, "label", "", "what to predict: a column, or an expression over columns")
	flags.StringVar(&options.Topic, "topic", "", "the Kafka topic whose JSON events are scored; without it nothing is")
	flags.StringVar(&options.Path, "path", "", "where local data will lie (s3://bucket/prefix/*.parquet); default s3://lake/NAME/*.parquet")
	flags.StringVar(&options.Connection, "connection", "", "the store of the data, by its name in the file of --connections")
	verb.Must(cmd.MarkFlagRequired("from"))
	verb.Must(cmd.MarkFlagRequired("label"))
	return cmd
}
