package worker

import (
	"context"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/dataset"
)

// DatasetFormat reads files of one format.
type DatasetFormat interface {
	// Discover lists the objects of a source and cuts them into shards, as
	// dataset.Discover does. It returns the columns that they have, without those of
	// the manifest's Partitions.
	Discover(ctx context.Context, from DatasetSource) (*dataset.Manifest, table.Schema, error)
	// Open opens a shard of the manifest for reading some of the columns. A column
	// that the object lacks is null.
	Open(ctx context.Context, from DatasetSource, m *dataset.Manifest, shard int, columns table.Schema, cfg dataset.ReaderConfig) (DatasetReader, error)
}

// DatasetSource is where a dataset lies, and how it is read.
type DatasetSource struct {
	Format  DatasetFormat
	Options any // of the format in the spec
	Bucket  storage.Bucket
	Pattern string // of keys
	Root    string // what hints write before keys
	// Schema is what the spec says of columns.
	Schema pipeline.SchemaSpec
	// Reject gets the bad rows that are left out; nil: the first ends the reading. It
	// is called by Next.
	Reject func(pipeline.BadRow)
	// Key hashes the columns with pii: hash.
	Key table.Key
}

// Source returns where the training data of a spec lie; the bucket and the pattern are
// the caller's to fill in.
func Source(spec *pipeline.Spec, formats map[string]DatasetFormat) (DatasetSource, error) {
	train := spec.Spec.Sources.Train
	format, ok := formats[train.Format.Name]
	if !ok {
		return DatasetSource{}, unknownFormat("dataset", train.Format)
	}
	from := DatasetSource{Format: format, Options: train.Format.Options}
	if spec.Spec.Schema != nil {
		from.Schema = *spec.Spec.Schema
	}
	return from, nil
}

// DatasetReader yields the rows of a shard, as dataset.Reader does: in the types that
// the file has, to be bound to the columns of the spec, or in their canonical form, with
// table.RowColumn.
type DatasetReader interface {
	Next() (arrow.Record, error)
	Place() table.Place
	Close() error
}

// DatasetFormats returns what reads each of endpoint.DatasetFormats. To add one is
// a file dataset_<name>.go and a line here.
func DatasetFormats() map[string]DatasetFormat {
	return map[string]DatasetFormat{"parquet": parquet{}, "csv": texts{csvText}, "jsonl": texts{jsonlText}}
}

// RowReader yields the rows of a shard in the canonical form. One goroutine uses it at
// a time.
type RowReader struct {
	from    DatasetReader
	columns table.Schema
	object  string
	binder  *table.Binder
	memory  memory.Allocator // dataset.ReaderConfig.Allocator
	base    int64            // the row of the object that the shard begins with
	folders *folders
	// At is where the last batch is, First its first row in the shard.
	At    table.Place
	First int64
}

// Discover lists the objects of a source, cuts them into shards, and returns their
// columns: those in the objects, and those that the folders of keys fill.
func (s DatasetSource) Discover(ctx context.Context) (*dataset.Manifest, table.Schema, error) {
	m, schema, err := s.Format.Discover(ctx, s)
	if err == nil {
		err = s.partitions(m, &schema)
	}
	return m, schema, err
}

// OpenRows opens a shard of a source.
func (s DatasetSource) OpenRows(ctx context.Context, m *dataset.Manifest, shard int, columns table.Schema, cfg dataset.ReaderConfig) (*RowReader, error) {
	columns.Key = s.Key
	origin := m.Origin(shard)
	out := &RowReader{columns: columns, object: origin.Object, memory: cfg.Allocator, base: origin.First}
	err := out.splitColumns(m.Partitions, s.Schema.Timezone)
	if err == nil {
		out.from, err = s.Format.Open(ctx, s, m, shard, out.columns, cfg)
	}
	return out, err
}

// Next returns the next batch, which the caller releases, or io.EOF after the last. At
// is the place of what an error is about; the zero Place where it names it.
func (r *RowReader) Next() (arrow.Record, error) {
	rows, err := r.next()
	if err != nil || r.folders == nil {
		return rows, err
	}
	defer rows.Release()
	return r.folders.join(rows), nil
}

// next returns the next batch of what is in the object.
func (r *RowReader) next() (arrow.Record, error) {
	r.At = table.Place{}
	natural, err := r.from.Next()
	if err != nil {
		return nil, err
	}
	r.At = r.from.Place()
	r.First = r.At.Row - r.base
	if fields := natural.Schema().Fields(); len(fields) > 0 && fields[len(fields)-1].Name == table.RowColumn {
		return natural, nil
	}
	defer natural.Release()
	if r.binder == nil {
		if r.binder, err = table.NewBinder(r.columns, natural.Schema()); err != nil {
			r.At = table.Place{}
			return nil, &thalweg.Error{Op: "read dataset", Kind: thalweg.KindOf(err), Subject: "object " + r.object, Err: err}
		}
		if r.memory != nil {
			r.binder.RowMemory = r.memory
		}
	}
	return r.binder.Bind(natural, r.First)
}

// Close gives up what the reader holds.
func (r *RowReader) Close() error { return r.from.Close() }

// unknownFormat says that the spec has an entry that this worker has no code for.
func unknownFormat(what string, c pipeline.Choice) error {
	return outdated("open "+what, "format "+c.Name, nil)
}
