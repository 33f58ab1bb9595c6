package worker

import (
	"context"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/dataset"
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
	m, natural, err := c.discover(ctx, from.Bucket, from.Pattern, dataset.DiscoverConfig{Root: from.Root})
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
