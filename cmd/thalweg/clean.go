package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/localdata"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/split"
)

func newClean(g *verb.Globals) *cobra.Command {
	var file, from, into string
	var lookups map[string]string
	cmd := &cobra.Command{
		Use:   "clean -f SPEC --into FILE",
		Short: "Write the training rows as a run cleans and splits them",
		Long: "clean does with the training data what a run does before it trains, and writes each row as\n" +
			"Parquet: the cleaned columns, then _object and _object_row (where the row lies), _split (train,\n" +
			"validation, test or dropped), _reason (why it was dropped) and, where the split has folds,\n" +
			"_fold. A row that a cleaning step dropped has no cleaned values. The splits are those of a run on the same objects. Where data\n" +
			"tests fail as they would fail a run, the rows are written all the same, and the exit code is 1.",
		Example: "  thalweg clean -f flights.yaml --into rows.parquet\n" +
			"  thalweg clean -f flights.yaml --data flights.parquet --into rows.parquet",
		RunE: func(cmd *cobra.Command, _ []string) error {
			spec, text, err := verb.ParseSpec(file)
			if err != nil {
				return err
			}
			conns, err := g.Connections.Open()
			if err != nil {
				return err
			}
			defer conns.Close()
			local, err := localdata.Open(cmd.Context(), conns, "", from, spec)
			if err != nil {
				return err
			}
			warnings, err := local.Join(cmd.Context(), conns, spec, lookups)
			if err != nil {
				return err
			}
			plan, err := pipeline.ParseAndCompile(catalog.All(), file, []byte(text), local.Schema)
			if err != nil {
				return err
			}
			rows, err := local.Clean(cmd.Context(), plan, into)
			if err != nil {
				return err
			}
			rows.Warnings = slices.Concat(warnings, local.LabelWarnings(plan), rows.Warnings)
			labelled := local.Labelled()
			err = g.Print(cmd.OutOrStdout(), rows, func(w io.Writer) {
				fmt.Fprintf(w, "%s rows in %s\n", humanize.Comma(rows.Rows), rows.File)
				for _, name := range split.Names {
					fmt.Fprintf(w, "%s: %s\n", name, humanize.Comma(rows.Splits[name]))
				}
				for _, reason := range slices.Sorted(maps.Keys(rows.Dropped)) {
					fmt.Fprintf(w, "dropped: %s, %s\n", humanize.Comma(rows.Dropped[reason]), reason)
				}
				for _, step := range slices.Sorted(maps.Keys(rows.Unmatched)) {
					fmt.Fprintf(w, "unmatched: %s, %s\n", humanize.Comma(rows.Unmatched[step]), step)
				}
				for _, step := range slices.Sorted(maps.Keys(rows.Repeated)) {
					fmt.Fprintf(w, "repeated: %s, %s\n", humanize.Comma(rows.Repeated[step]), step)
				}
				for _, text := range labelled {
					fmt.Fprintln(w, text)
				}
				for _, text := range local.Rejected(rows.Rows, spec.Spec.Sources.Train.OnBadRow) {
					fmt.Fprintln(w, text)
				}
				if rows.Tests != "" {
					fmt.Fprintf(w, "\n%s\n", rows.Tests)
				}
				for _, text := range rows.Warnings {
					fmt.Fprintf(w, "warning: %s\n", text)
				}
			})
			if err == nil && len(rows.Errors) > 0 {
				err = &thalweg.Error{Op: "test rows", Kind: thalweg.Invalid, Subject: rows.File, Err: errors.New(strings.Join(rows.Errors, "\n")),
					Hint: "a run on these data fails"}
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&file, "file", "f", "", "the spec: a file, or - for standard input")
	flags.StringVar(&from, "data", "", "the training data: a file, a folder, a pattern in quotes, or s3://bucket/prefix/ (default: what the spec names)")
	flags.StringToStringVar(&lookups, "lookup", nil, "NAME=FILE, a local copy of a table of the spec's lookups, or as label_file of its label file (default: what the spec names)")
	flags.StringVar(&into, "into", "", "the Parquet file to write; one of that name is replaced")
	verb.Must(cmd.MarkFlagRequired("file"))
	verb.Must(cmd.MarkFlagRequired("into"))
	return cmd
}
