package dataset

import (
	"context"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg/storage"
)

// Summary is what the footer of a Parquet object says of it.
type Summary struct {
	Rows   int64
	Schema *arrow.Schema
}

// Inspect reads the footer of an object of the given size, mostly by one
// request. Errors: NotFound, Corrupt naming the object.
func Inspect(ctx context.Context, b storage.Bucket, key string, sizeBytes int64) (*Summary, error) {
	file, err := readFooter(ctx, b, key, sizeBytes)
	if err != nil {
		return nil, err
	}
	return &Summary{Rows: file.Rows, Schema: arrow.NewSchema(fieldsOf(file), nil)}, nil
}
