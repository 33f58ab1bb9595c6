package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/endpoint"
	"github.com/thalweg/thalweg/worker/product"
)

// cleanedTable is the table of a pipeline that writes cleaned rows.
type cleanedTable struct {
	product.Table
	cluster *cluster
	spec    *pipeline.Spec
}

// fetchTable finds the table of a pipeline, without its bucket; nil if its spec writes none.
func (c *cluster) fetchTable(ctx context.Context, name string) (*cleanedTable, error) {
	spec, _, err := fetchSpec(ctx, c, name)
	if err != nil || spec.Trains() {
		return nil, err
	}
	o := spec.Spec.Output
	t := &cleanedTable{product.Table{Owner: thalweg.PipelineName(name), Use: product.CleanedRows}, c, spec}
	t.Name, t.Prefix, err = pipeline.SplitS3Path(o.S3.Path)
	return t, err
}

// openTable is fetchTable with the bucket.
func (c *cluster) openTable(ctx context.Context, name string) (*cleanedTable, error) {
	t, err := c.fetchTable(ctx, name)
	if t != nil && err == nil {
		t.Bucket, err = c.conns.Bucket(ctx, t.spec.Spec.Output.Connection, t.Name)
	}
	return t, err
}

// results shows what the table was made of, or its first rows.
func (t *cleanedTable) results(ctx context.Context, w io.Writer, head int) (answer, error) {
	m, err := t.Manifest(ctx)
	if err != nil {
		return answer{}, err
	}
	if m == nil {
		return answer{}, &thalweg.Error{Op: "read table", Kind: thalweg.NotFound, Subject: t.String(), Err: fmt.Errorf("no run has written it yet"), Hint: fmt.Sprintf("`thalweg runs show %s` says how far one is", t.Owner)}
	}
	if head > 0 {
		s := &stream{cluster: t.cluster}
		s.live = t.Place
		var files []committedFile
		for _, f := range m.Files {
			files = append(files, committedFile{Key: t.Prefix + f.Path})
		}
		return answer{}, s.head(ctx, w, files, head)
	}
	howToRead := t.spec.Spec.Output.Table.Options.(endpoint.Table).HowToRead(t.cluster.conns.Reach(t.spec.Spec.Output.Connection), t.Name+"/"+strings.TrimSuffix(t.Prefix, "/"))
	return answer{value: m, table: func(w io.Writer) {
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
		for _, line := range howToRead {
			fmt.Fprintln(w, line)
		}
	}}, nil
}
