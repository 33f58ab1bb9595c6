package worker

import (
	"context"
	"slices"

	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage/dataset"
)

// parquet reads Parquet files.
type parquet struct{}

func (parquet) Discover(ctx context.Context, from DatasetSource) (*dataset.Manifest, table.Schema, error) {
	m, natural, err := dataset.Discover(ctx, from.Bucket, from.Pattern, dataset.DiscoverConfig{Root: from.Root})
	if err != nil {
		return nil, table.Schema{}, err
	}
	return m, table.FromArrow(natural), nil
}

func (parquet) Open(ctx context.Context, from DatasetSource, m *dataset.Manifest, shard int, columns table.Schema, cfg dataset.ReaderConfig) (DatasetReader, error) {
	r, err := dataset.OpenShard(ctx, from.Bucket, m, shard, slices.Collect(columns.Names()), cfg)
	if err != nil {
		return nil, err
	}
	return parquetReader{r}, nil
}

type parquetReader struct{ *dataset.Reader }

// Place implements DatasetReader.
func (r parquetReader) Place() (at table.Place) {
	at.Object, at.RowGroup, at.Row = r.Reader.Place()
	return at
}
