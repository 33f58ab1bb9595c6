package main

import (
	"crypto/rand"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/connections"
	"github.com/thalweg/thalweg/cmd/thalweg/localdata"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/worker"
)

func newValidate(g *verb.Globals) *cobra.Command {
	var data, eventSchema string
	var lookups map[string]string
	cmd := &cobra.Command{
		Use:   "validate SPEC",
		Short: "Check a spec without a cluster; --data also checks columns and types",
		Example: "  thalweg validate flights.yaml\n" +
			"  thalweg validate flights.yaml --data flights.parquet\n" +
			"  thalweg validate flights.yaml --data s3://lake/flights/\n" +
			"  thalweg validate flights-avro.yaml --data flights.parquet --event-schema flight.avsc",
		RunE: func(cmd *cobra.Command, args []string) error {
			if eventSchema != "" && data == "" {
				return terminal.UsageError("--event-schema", eventSchema, "--data with the columns that it is checked against")
			}
			text, err := verb.ReadSpec(args[0])
			if err != nil {
				return err
			}
			var spec *pipeline.Spec
			checked, notes := "fields", []string(nil)
			if data == "" {
				if spec, err = pipeline.Parse(catalog.All(), args[0], text); err != nil {
					return err
				}
			} else {
				conns, err := g.Connections.Open()
				if err != nil {
					return err
				}
				defer conns.Close()
				parsed, _ := pipeline.Parse(catalog.All(), args[0], text) // its mistakes are told below
				keys := anyKey{Set: conns}
				local, err := localdata.Open(cmd.Context(), &keys, "", data, parsed)
				if err != nil {
					return err
				}
				var warnings []string
				if parsed != nil {
					if warnings, err = local.Join(cmd.Context(), conns, parsed, lookups); err != nil {
						return err
					}
				}
				plan, err := pipeline.ParseAndCompile(catalog.All(), args[0], text, local.Schema)
				if err != nil {
					return err
				}
				if keys.missing != "" {
					notes = append(notes, "key "+keys.missing+" is not registered here: rows are counted with another")
				}
				rows, err := local.Check(cmd.Context(), plan)
				if err != nil {
					return err
				}
				spec, checked = plan.Spec, "fields, columns and types"
				notes = append(notes, local.Labelled()...)
				for _, text := range slices.Concat(local.Manifest.Warnings, warnings, local.LabelWarnings(plan), worker.GapWarnings(plan, local.Manifest)) {
					notes = append(notes, "warning: "+text)
				}
				notes = append(notes, local.Rejected(rows.RowsIn, spec.Spec.Sources.Train.OnBadRow)...)
				if text := worker.PartitionColumns(local.Manifest, local.Schema); text != "" {
					notes = append(notes, "columns of folders: "+text)
				}
				for _, text := range plan.Matched {
					notes = append(notes, "features "+text)
				}
				if !spec.Learns() { // else the steps that learn have their say too
					use := "to learn from and to judge by"
					if !spec.Trains() {
						use = "for the table"
					}
					notes = append(notes, fmt.Sprintf("rows: %d read, %d %s", rows.RowsIn, rows.RowsOut, use))
					for _, reason := range slices.Sorted(maps.Keys(rows.Dropped)) {
						notes = append(notes, fmt.Sprintf("dropped: %d, %s", rows.Dropped[reason], reason))
					}
					for _, step := range slices.Sorted(maps.Keys(rows.Unmatched)) {
						notes = append(notes, fmt.Sprintf("unmatched: %d, %s", rows.Unmatched[step], step))
					}
				}
				if eventSchema != "" {
					if err := checkEventSchema(plan, eventSchema); err != nil {
						return err
					}
					checked = "fields, columns, types and the schema of events"
				}
			}
			result := map[string]any{"pipeline": spec.Metadata.Name, "valid": true, "checked": checked}
			if notes != nil {
				result["notes"] = notes
			}
			unread := spec.SchemaFile()
			if unread != "" && eventSchema == "" {
				result["not_read"] = unread
			}
			return g.Print(cmd.OutOrStdout(), result, func(w io.Writer) {
				fmt.Fprintf(w, "%s: valid (%s)\n", args[0], checked)
				for _, text := range notes {
					fmt.Fprintln(w, text)
				}
				if result["not_read"] != nil {
					fmt.Fprintf(w, "not read: %s, whose fields the first stage of a run checks; --data and --event-schema check a local copy now\n", unread)
				}
			})
		},
	}
	cmd.Flags().StringVar(&eventSchema, "event-schema", "", "with --data: a local copy of the Avro schema that schema_file names")
	cmd.Flags().StringToStringVar(&lookups, "lookup", nil, "with --data: NAME=FILE, a local copy of a table of the spec's lookups, or as label_file of its label file (default: what the spec names)")
	cmd.Flags().StringVar(&data, "data", "", "the training data, or some of it: a file, a folder, a pattern in quotes, or s3://bucket/prefix/ of the store that the spec names")
	return cmd
}

// anyKey has a key of any name: one that is not registered here may be elsewhere. Rows
// count as they do there unless an expression has a hash.
type anyKey struct {
	*connections.Set
	missing string // the name of one that is not registered
}

// Key implements localdata.Connections.
func (k *anyKey) Key(name string) (table.Key, error) {
	key, err := k.Set.Key(name)
	if thalweg.Is(err, thalweg.NotFound) {
		k.missing = name
		return table.NewKey([]byte(rand.Text()))
	}
	return key, err
}

// checkEventSchema checks a local copy of the schema file that a spec names.
func checkEventSchema(plan *pipeline.Plan, file string) error {
	names := plan.Spec.SchemaFile()
	if names == "" {
		return terminal.UsageError("--event-schema", file, "a spec that names a schema_file")
	}
	text, err := terminal.ReadFile("read --event-schema", file, terminal.MaxFileBytes, "name a local copy of "+names)
	if err != nil {
		return err
	}
	if err := artifact.CheckEvents(plan, string(text)); err != nil {
		return &thalweg.Error{Op: "read --event-schema", Kind: thalweg.Invalid, Subject: file, Err: err}
	}
	return nil
}
