package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/cluster"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	"github.com/thalweg/thalweg/pipeline/endpoint"
	"github.com/thalweg/thalweg/pipeline/event"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker/stream/engine"
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
			"their ETags, sizes and rows, and what became of the rows; with -o json also its files.",
		Example: "  thalweg results flight-delays\n" +
			"  thalweg results flight-delays --head 5",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, args []string) (verb.Answer, error) {
			if table, err := c.OpenTable(cmd.Context(), args[0]); err != nil || table != nil {
				if err != nil {
					return verb.Answer{}, err
				}
				return tableResults(cmd.Context(), c, table, cmd.OutOrStdout(), head)
			}
			s, err := c.OpenStream(cmd.Context(), args[0])
			if err != nil {
				return verb.Answer{}, err
			}
			partitions, err := s.Partitions(cmd.Context())
			if err != nil {
				return verb.Answer{}, err
			}
			files, err := s.Files(cmd.Context(), partitions)
			if err != nil {
				return verb.Answer{}, err
			}
			if head > 0 && len(files) > 0 {
				var keys []string
				for _, f := range files {
					keys = append(keys, f.Key)
				}
				return verb.Answer{}, writeHead(cmd.Context(), cmd.OutOrStdout(), s.Live.Bucket, keys, head)
			}
			lines, err := howToRead(cmd.Context(), s)
			if err != nil {
				return verb.Answer{}, err
			}
			return verb.Answer{Value: files, Table: func(w io.Writer) {
				if len(files) == 0 {
					fmt.Fprintf(w, "no file is committed yet: `rolling` of the sink says when one is (10 s after its first row by default), `thalweg stream status %s` how far scoring is\n", args[0])
					return
				}
				terminal.Row(w, "FILE", "PARTITION", "OFFSETS", "ROWS", "BYTES", "VERSION")
				for _, f := range files {
					terminal.Row(w, f.Path, f.Partition, fmt.Sprintf("[%d, %d)", f.From, f.To), humanize.Comma(f.Rows), humanize.Comma(f.SizeBytes), f.ScoredBy())
				}
				for _, line := range lines {
					fmt.Fprintln(w, line)
				}
			}}, nil
		}),
	}
	cmd.Flags().IntVar(&head, "head", 0, "show this many rows as JSON instead of the files")
	return cmd
}

// howToRead says in a line each how the rows are read as one table; nothing
// where the spec wants none or it has not been written yet.
func howToRead(ctx context.Context, s *cluster.Stream) ([]string, error) {
	table := s.Sink().Table.Options.(endpoint.Table)
	lines := table.HowToRead(s.Conns.Reach(s.Sink().Connection), s.Live.Name+"/"+strings.TrimSuffix(s.Live.Prefix, "/"))
	for _, err := range s.Live.Bucket.List(ctx, s.Live.Prefix+table.LogDir(), "") {
		return lines, err
	}
	return nil, nil
}

// tableResults shows what the table was made of, or its first rows.
func tableResults(ctx context.Context, c *cluster.Client, t *cluster.Table, w io.Writer, head int) (verb.Answer, error) {
	m, err := t.Manifest(ctx)
	if err != nil {
		return verb.Answer{}, err
	}
	if m == nil {
		return verb.Answer{}, &thalweg.Error{Op: "read table", Kind: thalweg.NotFound, Subject: t.String(), Err: fmt.Errorf("no run has written it yet"), Hint: fmt.Sprintf("`thalweg runs show %s` says how far one is", t.Owner)}
	}
	if head > 0 {
		var keys []string
		for _, f := range m.Files {
			keys = append(keys, t.Prefix+f.Path)
		}
		return verb.Answer{}, writeHead(ctx, w, t.Bucket, keys, head)
	}
	lines := t.Spec.Spec.Output.Table.Options.(endpoint.Table).HowToRead(c.Conns.Reach(t.Spec.Spec.Output.Connection), t.Name+"/"+strings.TrimSuffix(t.Prefix, "/"))
	return verb.Answer{Value: m, Table: func(w io.Writer) {
		var rows, size int64
		for _, f := range m.Files {
			rows += f.Rows
			size += f.SizeBytes
		}
		fmt.Fprintf(w, "%s version %d of run %s: %s rows in %s files, %s bytes\n\n", t, m.Version, m.Run, humanize.Comma(rows), humanize.Comma(int64(len(m.Files))), humanize.Comma(size))
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
		for _, line := range lines {
			fmt.Fprintln(w, line)
		}
	}}, nil
}

// writeHead writes the first n rows of objects as JSON lines.
func writeHead(ctx context.Context, w io.Writer, bucket storage.Bucket, keys []string, n int) error {
	for _, key := range keys {
		if n == 0 {
			break
		}
		body, _, err := bucket.Get(ctx, key)
		if err != nil {
			return err
		}
		for batch, err := range engine.ReadRows(key, body) {
			if err != nil {
				return err
			}
			for i := 0; i < int(batch.Rows.NumRows()) && n > 0; i++ {
				n--
				if _, err := w.Write(append(event.AppendJSON(nil, batch.Rows, i), '\n')); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
