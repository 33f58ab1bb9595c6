package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/jobs"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	"github.com/thalweg/thalweg/worker/cluster"
	work "github.com/thalweg/thalweg/worker/jobs"
)

func newResults(g *verb.Globals) *cobra.Command {
	var head int
	cmd := &cobra.Command{
		Use:   "results PIPELINE",
		Short: "List the committed files of scored rows, or what a table of cleaned rows was made of, or show the first rows",
		Long: "results reads the commit logs and lists the files that hold each scored row once. Where the\n" +
			"sink has a compaction section, a plain glob over data/ also finds files that a merged one has\n" +
			"replaced, for as long as its retention: read the files that are listed here, or the table.\n\n" +
			"Of a pipeline with output it shows the manifest of its table: the objects that were read, with\n" +
			"their ETags, sizes and rows, and what became of the rows; with -o json also its files. A worker\n" +
			"reads them, as a job (thalweg jobs), so no keys of the store are needed.",
		Example: "  thalweg results flight-delays\n" +
			"  thalweg results flight-delays --head 5",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, args []string) (verb.Answer, error) {
			if head > 0 {
				rows, err := jobs.Open(cmd, c, args[0], "results", work.Results{Head: head})
				if err != nil {
					return verb.Answer{}, err
				}
				if n, err := io.Copy(cmd.OutOrStdout(), rows); n > 0 || err != nil {
					return verb.Answer{}, err
				}
			}
			var found work.Found
			if err := jobs.Ask(cmd, c, args[0], "results", work.Results{}, &found); err != nil {
				return verb.Answer{}, err
			}
			if found.Table != "" {
				return tableResults(args[0], &found)
			}
			return verb.Answer{Value: found.Files, Table: func(w io.Writer) {
				if len(found.Files) == 0 {
					fmt.Fprintf(w, "no file is committed yet: `rolling` of the sink says when one is (10 s after its first row by default), `thalweg stream status %s` how far scoring is\n", args[0])
					return
				}
				terminal.Row(w, "FILE", "PARTITION", "OFFSETS", "ROWS", "BYTES", "VERSION")
				for _, f := range found.Files {
					terminal.Row(w, f.Path, f.Partition, fmt.Sprintf("[%d, %d)", f.From, f.To), humanize.Comma(f.Rows), humanize.Comma(f.SizeBytes), f.ScoredBy())
				}
				for _, line := range found.HowTo {
					fmt.Fprintln(w, line)
				}
			}}, nil
		}),
	}
	cmd.Flags().IntVar(&head, "head", 0, "show this many rows as JSON instead of the files")
	return cmd
}

// tableResults shows what the table was made of.
func tableResults(name string, found *work.Found) (verb.Answer, error) {
	m := found.Manifest
	if m == nil {
		return verb.Answer{}, &thalweg.Error{Op: "read table", Kind: thalweg.NotFound, Subject: found.Table, Err: errors.New("no run has written it yet"), Hint: fmt.Sprintf("`thalweg runs show %s` says how far one is", name)}
	}
	return verb.Answer{Value: m, Table: func(w io.Writer) {
		var rows, size int64
		for _, f := range m.Files {
			rows += f.Rows
			size += f.SizeBytes
		}
		fmt.Fprintf(w, "%s version %d of run %s: %s rows in %s files, %s bytes\n\n", found.Table, m.Version, m.Run, humanize.Comma(rows), humanize.Comma(int64(len(m.Files))), humanize.Comma(size))
		terminal.Row(w, "OBJECT", "ETAG", "BYTES", "ROWS")
		for _, o := range m.Objects {
			terminal.Row(w, o.Key, o.ETag, humanize.Comma(o.SizeBytes), humanize.Comma(o.Rows))
		}
		if len(m.Tables) > 0 {
			terminal.Row(w, "\nLOOKUP", "SHA256", "", "ROWS")
			for _, l := range m.Tables {
				terminal.Row(w, l.Name, l.SHA256, "", humanize.Comma(int64(l.Rows)))
			}
		}
		terminal.Row(w, "\nCOUNT", "VALUE")
		for _, k := range slices.Sorted(maps.Keys(m.Counts)) {
			terminal.Row(w, k, humanize.Comma(m.Counts[k]))
		}
		for _, line := range found.HowTo {
			fmt.Fprintln(w, line)
		}
	}}, nil
}
