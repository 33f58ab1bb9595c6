package dataset

import (
	"context"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
)

// Reader yields the rows of one shard as Arrow batches, in the order of the
// file. One goroutine uses it at a time.
type Reader struct {
	schema   *arrow.Schema
	counters Counters
}

// Counters is what a Reader did so far.
type Counters struct {
	Rows, Batches, RowGroups int64
	// BytesFetched and Requests count what was asked of the bucket.
	BytesFetched, Requests int64
	// Pages counts data pages decoded.
	Pages int64
	// FastColumns and SlowColumns count the columns decoded by the typed path
	// and by the general one; SlowReasons says why, by column.
	FastColumns, SlowColumns int
	SlowReasons              map[string]string
}

// OpenShard opens one shard of m for reading the named columns, in that order;
// no names means all columns. A column that is not asked for is neither
// fetched, where that can be avoided, nor decoded.
//
// ctx bounds the whole reading, not only the opening. Errors: NotFound for an
// unknown column or an object that is gone, Conflict for an object that is not
// the one the manifest names any more, Corrupt naming object, row group and
// column where bytes are not Parquet as it should be.
func OpenShard(ctx context.Context, b storage.Bucket, m *Manifest, shard int, columns []string, cfg ReaderConfig) (*Reader, error) {
	return nil, &thalweg.Error{Op: "open shard", Kind: thalweg.Unsupported, Subject: m.Path}
}

// OpenBytes opens a whole Parquet file that is in memory; name is what errors
// call it. data must not change before Close.
func OpenBytes(name string, data []byte, columns []string, cfg ReaderConfig) (*Reader, error) {
	return nil, &thalweg.Error{Op: "open", Kind: thalweg.Unsupported, Subject: name}
}

// Schema returns the natural Arrow schema of the batches.
func (r *Reader) Schema() *arrow.Schema { return r.schema }

// Next returns the next batch, which the caller releases, or io.EOF after the
// last. A batch shares no memory with the Reader and outlives it. Within a
// batch a string column has one dictionary; batches of one row group may share
// theirs. After an error the Reader gives the same error again.
func (r *Reader) Next() (arrow.Record, error) {
	return nil, &thalweg.Error{Op: "read shard", Kind: thalweg.Unsupported}
}

// Counters returns what was done so far.
func (r *Reader) Counters() Counters { return r.counters }

// Close stops prefetching and gives buffers back. It does not touch batches.
func (r *Reader) Close() error { return nil }

// Pool lends buffers and decompressors to Readers. It may be used by several
// goroutines.
type Pool struct{ maxBytes int64 }

// NewPool returns a pool that keeps at most maxBytes of idle buffers; 0 means
// 256 MiB.
func NewPool(maxBytes int64) *Pool { return &Pool{maxBytes: maxBytes} }
