package worker

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/dataset"
	"github.com/thalweg/thalweg/storage/table/delta"
)

// columnar reads files of Arrow batches by two functions of package dataset.
type columnar[R batchReader] struct {
	discover func(ctx context.Context, b storage.Bucket, pattern string, cfg dataset.DiscoverConfig) (*dataset.Manifest, *arrow.Schema, error)
	open     func(ctx context.Context, b storage.Bucket, m *dataset.Manifest, shard int, columns []string, cfg dataset.ReaderConfig) (R, error)
}

// batchReader is a DatasetReader but for the type of places, which package dataset
// does not know.
type batchReader interface {
	Next() (arrow.Record, error)
	Place() (object string, rowGroup int, row int64)
	Close() error
}

// Discover implements DatasetFormat.
func (c columnar[R]) Discover(ctx context.Context, from DatasetSource) (*dataset.Manifest, table.Schema, error) {
	m, natural, err := c.discover(ctx, from.Bucket, from.Pattern, dataset.DiscoverConfig{Root: from.Root, Only: from.only, Skip: from.skip})
	if err != nil {
		return nil, table.Schema{}, err
	}
	return m, table.FromArrow(natural), nil
}

// Open implements DatasetFormat.
func (c columnar[R]) Open(ctx context.Context, from DatasetSource, m *dataset.Manifest, shard int, columns table.Schema, cfg dataset.ReaderConfig) (DatasetReader, error) {
	r, err := c.open(ctx, from.Bucket, m, shard, slices.Collect(columns.Names()), cfg)
	if err != nil {
		return nil, err
	}
	return columnarReader{r}, nil
}

type columnarReader struct{ batchReader }

// Place implements DatasetReader.
func (r columnarReader) Place() (at table.Place) {
	at.Object, at.RowGroup, at.Row = r.batchReader.Place()
	return at
}

// deltaFiles reads the Parquet files of the newest version of a Delta table. The pattern
// of its source is the prefix of the table.
type deltaFiles struct{ columnar[*dataset.Reader] }

// Discover implements DatasetFormat.
func (c deltaFiles) Discover(ctx context.Context, from DatasetSource) (*dataset.Manifest, table.Schema, error) {
	files, err := c.files(ctx, from)
	if err != nil {
		return nil, table.Schema{}, err
	}
	m, schema, err := c.columnar.Discover(ctx, files)
	if err == nil && len(m.Objects) != len(files.only) {
		for _, o := range m.Objects {
			delete(files.only, o.Key)
		}
		err = &thalweg.Error{Op: "read table", Kind: thalweg.Corrupt, Subject: from.Pattern, Err: fmt.Errorf("its log has %s, which is missing", slices.Sorted(maps.Keys(files.only))[0]),
			Hint: "read it again: the table may have been replaced, and the file collected"}
	}
	return m, schema, err
}

// files returns the source of the files that the log of a table names.
func (deltaFiles) files(ctx context.Context, from DatasetSource) (DatasetSource, error) {
	fail := func(kind thalweg.Kind, format string, args ...any) (DatasetSource, error) {
		return from, &thalweg.Error{Op: "read table", Kind: kind, Subject: from.Root + from.Pattern, Err: fmt.Errorf(format, args...)}
	}
	log := delta.New(from.Bucket, from.Pattern)
	snapshot, err := log.Load(ctx)
	if err != nil {
		return from, err
	}
	if !snapshot.Exists() {
		return fail(thalweg.NotFound, "there is no Delta table")
	}
	if err := snapshot.Readable(); err != nil {
		return from, err
	}
	prefix := from.Pattern
	from.Pattern, from.only = prefix+"**/*", make(map[string]bool)
	for add, err := range log.Files(ctx, snapshot) {
		if err != nil {
			return from, err
		}
		path, err := url.PathUnescape(add.Path)
		if err != nil || strings.Contains(path, "://") || strings.HasPrefix(path, "/") {
			return fail(thalweg.Unsupported, "file %q lies elsewhere", add.Path)
		}
		from.only[prefix+path] = true
	}
	return from, nil
}

// list is dataset.List of what a source names.
func (s DatasetSource) list(ctx context.Context) (hash string, objects int, err error) {
	if tables, ok := s.Format.(deltaFiles); ok {
		if s, err = tables.files(ctx, s); err != nil {
			return "", 0, err
		}
	}
	return dataset.List(ctx, s.Bucket, s.Pattern, dataset.DiscoverConfig{Only: s.only})
}
