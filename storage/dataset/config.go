package dataset

import (
	"cmp"
	"fmt"

	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/parquet-go/parquet-go/format"

	"github.com/thalweg/thalweg"
)

// DiscoverConfig says how a dataset is looked at and cut. The zero value is
// ready to use.
type DiscoverConfig struct {
	// ShardRows is the rows up to which small neighbouring row groups of one
	// object become one shard; a row group is never cut. Default 262144.
	ShardRows int64
	// MaxObjects bounds the objects of one dataset: each costs a request and an
	// entry in the manifest, which every task reads. Default 100000.
	MaxObjects int
	// Root is what hints write before keys: "s3://lake/". Default nothing.
	Root string
	// Only, if not nil, are the keys of the objects that are read of those that match, as a
	// table's log names them: none of them is passed over.
	Only map[string]bool
	// Private: no error quotes what objects hold.
	Private bool
	// Skip, if not nil, says whether an object that cannot be looked at, for the given error,
	// is left out (Object.Skipped); else the error ends the looking. It is asked after a
	// second look, and may be called concurrently.
	Skip func(error) bool
}

// look calls do, and once more if the object may be left out, as bytes that were damaged on
// their way look as those that are. It returns why the object is left out.
func (c DiscoverConfig) look(do func() error) (skipped string, err error) {
	err = do()
	if err != nil && c.Skip != nil && c.Skip(err) {
		if err = do(); err != nil && c.Skip(err) {
			return err.Error(), nil
		}
	}
	return "", err
}

func (c DiscoverConfig) withDefaults() DiscoverConfig {
	c.ShardRows = cmp.Or(c.ShardRows, 256<<10)
	c.MaxObjects = cmp.Or(c.MaxObjects, 100_000)
	return c
}

// Validate reports the first field that has an impossible value.
func (c DiscoverConfig) Validate() error {
	return firstNegative("discover", []field{{"ShardRows", c.ShardRows}, {"MaxObjects", int64(c.MaxObjects)}})
}

// ReaderConfig bounds what a Reader holds. The zero value is ready to use.
type ReaderConfig struct {
	// BatchRows is the most rows of a batch; the batches of a shard are full but
	// for the last of each row group, and where columns hold long lists.
	// Default 65536.
	BatchRows int
	// WholeObjectBytes is the size up to which an object is fetched by one
	// request when a shard needs most of it; a larger one is read row group by
	// row group. Default 64 MiB.
	WholeObjectBytes int64
	// PrefetchBytes bounds the bytes of fetched row groups that wait to be
	// decoded, except that one is always fetched, whatever its size. At most two
	// wait. Default 128 MiB.
	PrefetchBytes int64
	// Allocator provides the memory of batches. Default memory.DefaultAllocator.
	Allocator memory.Allocator
	// Pool, if not nil, lends buffers and decompressors, so that readers opened
	// one after the other use the same memory.
	Pool *Pool
}

func (c ReaderConfig) withDefaults() ReaderConfig {
	c.BatchRows = cmp.Or(c.BatchRows, 64<<10)
	c.WholeObjectBytes = cmp.Or(c.WholeObjectBytes, 64<<20)
	c.PrefetchBytes = cmp.Or(c.PrefetchBytes, 128<<20)
	if c.Allocator == nil {
		c.Allocator = memory.DefaultAllocator
	}
	if c.Pool == nil {
		c.Pool = NewPool(0)
	}
	return c
}

// Validate reports the first field that has an impossible value.
func (c ReaderConfig) Validate() error {
	return firstNegative("reader", []field{{"BatchRows", int64(c.BatchRows)}, {"WholeObjectBytes", c.WholeObjectBytes}, {"PrefetchBytes", c.PrefetchBytes}})
}

// Compression names how a Writer compresses pages.
type Compression string

// The compressions that a Writer offers.
const (
	Zstd         Compression = "zstd"
	Snappy       Compression = "snappy"
	Uncompressed Compression = "none"
)

var codecs = map[Compression]format.CompressionCodec{Zstd: format.Zstd, Snappy: format.Snappy, Uncompressed: format.Uncompressed}

// WriterConfig says how Parquet is written. The zero value is ready to use.
// Rows and configuration decide every byte.
type WriterConfig struct {
	// Compression of pages. Default Zstd.
	Compression Compression
	// RowGroupRows is the rows of every row group but the last, fewer only where
	// 128 MiB of distinct strings come together. Default 262144.
	RowGroupRows int
	// Pool, if not nil, lends compressors and the memory that rows are gathered in,
	// so that writers opened one after the other use the same.
	Pool *Pool
}

func (c WriterConfig) withDefaults() WriterConfig {
	c.Compression = cmp.Or(c.Compression, Zstd)
	c.RowGroupRows = cmp.Or(c.RowGroupRows, 256<<10)
	if c.Pool == nil {
		c.Pool = NewPool(0)
	}
	return c
}

// Validate reports the first field that has an impossible value.
func (c WriterConfig) Validate() error {
	if _, known := codecs[c.Compression]; c.Compression != "" && !known {
		return &thalweg.Error{Op: "configure writer", Kind: thalweg.Invalid, Subject: fmt.Sprintf("compression %q", c.Compression),
			Hint: "one of zstd, snappy, none"}
	}
	return firstNegative("writer", []field{{"RowGroupRows", int64(c.RowGroupRows)}})
}

type field struct {
	name  string
	value int64
}

func firstNegative(what string, fields []field) error {
	for _, f := range fields {
		if f.value < 0 {
			return &thalweg.Error{Op: "configure " + what, Kind: thalweg.Invalid, Subject: f.name, Err: fmt.Errorf("%d is negative", f.value)}
		}
	}
	return nil
}
