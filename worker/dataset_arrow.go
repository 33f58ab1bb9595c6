package worker

import (
	"context"
	"slices"

	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage/dataset"
)

// arrowIPC reads files of Arrow IPC.
type arrowIPC struct{}

func (arrowIPC) Discover(ctx context.Context, from DatasetSource) (*dataset.Manifest, table.Schema, error) {
	m, natural, err := dataset.DiscoverArrow(ctx, from.Bucket, from.Pattern, dataset.DiscoverConfig{Root: from.Root})
	if err != nil {
		return nil, table.Schema{}, err
	}
	return m, table.FromArrow(natural), nil
}

func (arrowIPC) Open(ctx context.Context, from DatasetSource, m *dataset.Manifest, shard int, columns table.Schema, cfg dataset.ReaderConfig) (DatasetReader, error) {
	r, err := dataset.OpenArrow(ctx, from.Bucket, m, shard, slices.Collect(columns.Names()), cfg)
	if err != nil {
		return nil, err
	}
	return arrowReader{r}, nil
}

type arrowReader struct{ *dataset.ArrowReader }

// Place implements DatasetReader.
func (r arrowReader) Place() (at table.Place) {
	at.Object, at.RowGroup, at.Row = r.ArrowReader.Place()
	return at
}
