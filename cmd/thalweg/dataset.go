package main

import (
	"context"
	"errors"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/dataset"
	"github.com/thalweg/thalweg/storage/memory"
)

// localDataset is Parquet that this process reads: files on this machine, or
// objects of a store.
type localDataset struct {
	bucket   storage.Bucket
	manifest *dataset.Manifest
	schema   table.Schema
	pattern  string // of the keys in the bucket
}

// toParquet is how rows in other formats become Parquet.
const toParquet = `data is Parquet here; DuckDB makes it of CSV and JSON: duckdb -c "COPY (FROM 'FILE') TO 'FILE.parquet'", and pandas by read_csv("FILE").to_parquet("FILE.parquet")`

// openData opens what a path names on this machine (see findFiles) or, as
// s3://bucket/…, in a store: an object, a pattern, or a folder, of which Parquet
// objects are meant.
func openData(ctx context.Context, conns *connections, connection, from string) (*localDataset, error) {
	if !strings.HasPrefix(from, "s3://") {
		return openLocal(ctx, from)
	}
	name, key, err := pipeline.SplitS3Path(from)
	if err != nil {
		return nil, err
	}
	bucket, err := conns.bucket(ctx, connection, name)
	if err != nil {
		return nil, err
	}
	folder := key == "" || strings.HasSuffix(key, "/")
	if !folder && !strings.ContainsAny(key, `*?[\`) {
		if _, err := bucket.Head(ctx, key); thalweg.Is(err, thalweg.NotFound) {
			key, folder = key+"/", true
		}
	}
	if !folder {
		return discover(ctx, bucket, key, from, "s3://"+name+"/")
	}
	d, err := discover(ctx, bucket, key+"**/*.parquet", from, "s3://"+name+"/")
	if err == nil && !slices.ContainsFunc(d.manifest.Objects, func(o dataset.Object) bool { return strings.Contains(o.Key[len(key):], "/") }) {
		d.pattern = key + "*.parquet"
	}
	return d, err
}

// openLocal opens files on this machine.
func openLocal(ctx context.Context, from string) (*localDataset, error) {
	files, pattern, err := findFiles("open data", from)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(files, func(f localFile) bool { return strings.Contains(f.Key, "/") }) && !strings.Contains(pattern, "/") {
		pattern = "**/" + pattern
	}
	return discover(ctx, &localBucket{memory.New(), files}, pattern, from, "")
}

// discover opens what a pattern names in a bucket; root is what hints write before
// keys.
func discover(ctx context.Context, bucket storage.Bucket, pattern, from, root string) (*localDataset, error) {
	manifest, natural, err := dataset.Discover(ctx, bucket, pattern, dataset.DiscoverConfig{Root: root})
	if err != nil {
		hint := ""
		if slices.Contains([]string{".csv", ".tsv", ".json", ".jsonl", ".ndjson"}, strings.ToLower(path.Ext(strings.TrimSuffix(from, ".gz")))) {
			hint = strings.ReplaceAll(toParquet, "FILE", path.Base(from))
		}
		return nil, &thalweg.Error{Op: "open data", Kind: thalweg.KindOf(err), Subject: from, Err: err, Hint: hint}
	}
	return &localDataset{bucket: bucket, manifest: manifest, schema: table.FromArrow(natural), pattern: pattern}, nil
}

// each calls fn with every batch of rows in order; the batch is fn's only for
// the call.
func (d *localDataset) each(ctx context.Context, fn func(batch arrow.Record) error) error {
	return d.eachPlace(ctx, func(batch arrow.Record, _ int, _ table.Place) error { return fn(batch) })
}

// eachPlace is each, of which fn learns the shard, whose rows the batch counts, and
// where the batch begins.
func (d *localDataset) eachPlace(ctx context.Context, fn func(batch arrow.Record, shard int, at table.Place) error) error {
	for shard := range d.manifest.Shards {
		r, err := dataset.OpenShard(ctx, d.bucket, d.manifest, shard, slices.Collect(d.schema.Names()), dataset.ReaderConfig{})
		if err != nil {
			return err
		}
		for first := int64(0); err == nil; {
			err = d.next(r, &first, func(batch arrow.Record, at table.Place) error { return fn(batch, shard, at) })
		}
		_ = r.Close() // what it cannot read, Next has told
		if err != io.EOF {
			return err
		}
	}
	return nil
}

// next calls fn with the next batch of a shard, whose rows it counts; io.EOF where
// there is none.
func (d *localDataset) next(r *dataset.Reader, first *int64, fn func(batch arrow.Record, at table.Place) error) error {
	natural, err := r.Next()
	if err != nil {
		return err
	}
	defer natural.Release()
	binder, err := table.NewBinder(d.schema, natural.Schema())
	if err != nil {
		return err
	}
	var at table.Place
	at.Object, at.RowGroup, at.Row = r.Place()
	from := *first
	*first += natural.NumRows()
	batch, err := binder.Bind(natural, from)
	if err != nil {
		return at.Of(err, from)
	}
	defer batch.Release()
	if err = fn(batch, at); errors.As(err, new(*table.RowError)) {
		return at.Of(err, from)
	}
	return err
}
