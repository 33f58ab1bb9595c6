package worker

import (
	"context"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/dataset"
)

// parquet reads Parquet files.
type parquet struct{}

func (parquet) Discover(ctx context.Context, _ any, b storage.Bucket, pattern string) (*dataset.Manifest, *arrow.Schema, error) {
	return dataset.Discover(ctx, b, pattern, dataset.DiscoverConfig{})
}

func (parquet) Open(ctx context.Context, _ any, b storage.Bucket, m *dataset.Manifest, shard int, columns []string, cfg dataset.ReaderConfig) (DatasetReader, error) {
	r, err := dataset.OpenShard(ctx, b, m, shard, columns, cfg)
	if err != nil {
		return nil, err
	}
	return r, nil
}
