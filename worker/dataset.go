package worker

import (
	"context"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/dataset"
)

// DatasetFormat reads files of one format. Options are those of its entry in the
// spec.
type DatasetFormat interface {
	// Discover lists the objects that a pattern names and cuts them into shards, as
	// dataset.Discover does.
	Discover(ctx context.Context, options any, b storage.Bucket, pattern string) (*dataset.Manifest, *arrow.Schema, error)
	// Open opens a shard of the manifest, as dataset.OpenShard does.
	Open(ctx context.Context, options any, b storage.Bucket, m *dataset.Manifest, shard int, columns []string, cfg dataset.ReaderConfig) (DatasetReader, error)
}

// DatasetReader yields the rows of a shard, as dataset.Reader does.
type DatasetReader interface {
	Next() (arrow.Record, error)
	Place() (object string, rowGroup int, row int64)
	Close() error
}

// DatasetFormats returns what reads each of endpoint.DatasetFormats. To add one is
// a file dataset_<name>.go and a line here.
func DatasetFormats() map[string]DatasetFormat { return map[string]DatasetFormat{"parquet": parquet{}} }

// unknownFormat says that the spec has an entry that this worker has no code for.
func unknownFormat(what string, c pipeline.Choice) error {
	return outdated("open "+what, "format "+c.Name, nil)
}
