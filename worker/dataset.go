package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/split"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/dataset"
	"github.com/thalweg/thalweg/storage/table/delta"
	"github.com/thalweg/thalweg/worker/partition"
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
	Pattern string           // of keys
	Root    string           // what hints write before keys
	only    map[string]bool  // dataset.DiscoverConfig.Only
	skip    func(error) bool // dataset.DiscoverConfig.Skip
	// Schema is what the spec says of columns.
	Schema pipeline.SchemaSpec
	// Reject gets the bad rows that are left out; nil: the first ends the reading. It
	// is called by Next.
	Reject func(pipeline.BadRow)
	// Key hashes the columns with pii: hash.
	Key table.Key
	// Unread are columns in which a value that does not fit is null.
	Unread []string
	// Share of the rows is drawn by the hash of Seed; 0: all are read. Skipped, if not nil,
	// gets the number of those of a batch that are not.
	Share   float64
	Seed    uint64
	Skipped func(rows int64)
	// Hides: no error shows a value.
	Hides bool
}

// Source returns where the training data of a spec lie; the bucket and the pattern are
// the caller's to fill in.
func Source(spec *pipeline.Spec, formats map[string]DatasetFormat) (DatasetSource, error) {
	train := spec.Spec.Sources.Train
	format, ok := formats[train.Format.Name]
	if !ok {
		return DatasetSource{}, unknownFormat("dataset", train.Format)
	}
	from := DatasetSource{Format: format, Options: train.Format.Options, Share: spec.Spec.Preprocessing.SampleRatio, Seed: spec.Spec.Trainer.Seed,
		Hides: spec.HidesValues()}
	if spec.Spec.Schema != nil {
		from.Schema = train.LabelFile.Declared(spec.Spec.Schema, false)
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
	return map[string]DatasetFormat{
		"parquet": columnar[*dataset.Reader]{dataset.Discover, dataset.OpenShard},
		"arrow":   columnar[*dataset.ArrowReader]{dataset.DiscoverArrow, dataset.OpenArrow},
		"csv":     texts{csvText},
		"jsonl":   texts{jsonlText},
		"delta":   deltaFiles{columnar[*dataset.Reader]{dataset.Discover, dataset.OpenShard}},
	}
}

// RowReader yields the rows of a shard in the canonical form. One goroutine uses it at
// a time.
type RowReader struct {
	from    DatasetReader
	columns table.Schema
	object  string
	binder  *table.Binder
	memory  memory.Allocator
	base    int64              // the row of the object that the shard begins with
	filled  *partition.Columns // nil: all columns are read
	reject  func(pipeline.BadRow)
	// pending are rows of the last batch of the reader, and the number of the first of
	// each, which come before others.
	pending []arrow.Record
	numbers []int64
	drawn   func(row int64) bool // nil: all rows are
	skipped func(rows int64)
	hides   bool // no error shows a value
	// At is where the last batch is, First its first row in the shard.
	At    table.Place
	First int64
}

// Discover lists the objects of a source, cuts them into shards, and returns their
// columns: those in the objects, and those that the folders of keys fill.
func (s DatasetSource) Discover(ctx context.Context) (*dataset.Manifest, table.Schema, error) {
	m, schema, err := s.Format.Discover(ctx, s)
	if err != nil {
		return m, schema, err
	}
	zone, err := zoneOf(s.Schema.Timezone)
	if err != nil {
		return m, schema, err
	}
	return m, schema, partition.Resolve(m, &schema, s.Schema.Columns, zone)
}

// noRows reads a shard that is left out.
type noRows struct{}

func (noRows) Next() (arrow.Record, error) { return nil, io.EOF }
func (noRows) Place() table.Place          { return table.Place{} }
func (noRows) Close() error                { return nil }

// OpenRows opens a shard of a source.
func (s DatasetSource) OpenRows(ctx context.Context, m *dataset.Manifest, shard int, columns table.Schema, cfg dataset.ReaderConfig) (*RowReader, error) {
	if m.Shards[shard].Skipped != "" {
		return &RowReader{from: noRows{}}, nil
	}
	columns.Key, columns.Unread = s.Key, s.Unread
	origin := m.Origin(shard)
	out := &RowReader{object: origin.Object, memory: cfg.Allocator, base: origin.First, reject: s.Reject, hides: s.Hides}
	if out.memory == nil {
		out.memory = memory.DefaultAllocator
	}
	if s.Share > 0 {
		out.drawn, out.skipped = split.Origin(origin).Sample(s.Seed, s.Share), s.Skipped
	}
	zone, err := zoneOf(s.Schema.Timezone)
	if err != nil {
		return nil, err
	}
	if out.columns, out.filled, err = partition.Split(origin.Object, columns, m.Partitions, zone); err != nil {
		return nil, err
	}
	out.from, err = s.Format.Open(ctx, s, m, shard, out.columns, cfg)
	return out, err
}

// Next returns the next batch, which the caller releases, or io.EOF after the last. At
// is the place of what an error is about; the zero Place where it names it.
func (r *RowReader) Next() (arrow.Record, error) {
	rows, err := r.next()
	if err == nil && r.drawn != nil {
		rows, err = r.draw(rows)
	}
	if err != nil || r.filled == nil {
		return rows, err
	}
	defer rows.Release()
	return r.filled.Join(r.memory, rows), nil
}

// draw returns the rows of a batch that are drawn, and releases it.
func (r *RowReader) draw(rows arrow.Record) (arrow.Record, error) {
	defer rows.Release()
	keep := table.NewMask(int(rows.NumRows()))
	for i, row := range table.Rows(rows) {
		if r.drawn(row) {
			keep.Set(i)
		}
	}
	if r.skipped != nil {
		r.skipped(int64(keep.Rows - keep.Count()))
	}
	return table.Select(r.memory, rows, keep)
}

// next returns the next batch of what is in the object.
func (r *RowReader) next() (rows arrow.Record, err error) {
	for rows == nil && err == nil {
		next := r.read
		if len(r.pending) > 0 {
			next = r.bindPending
		}
		rows, err = next()
	}
	return rows, err
}

// read returns the next batch of the reader; neither it nor an error if it has bad rows,
// as it is pending then.
func (r *RowReader) read() (arrow.Record, error) {
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
		r.binder.RowMemory = r.memory
	}
	rows, err := r.bind(natural, r.First)
	if r.reject == nil || !errors.As(err, new(*table.RowError)) {
		return rows, err
	}
	natural.Retain()
	r.pending, r.numbers = append(r.pending, natural), append(r.numbers, r.First)
	return nil, nil
}

// bind brings a batch to the columns that are read.
func (r *RowReader) bind(natural arrow.Record, first int64) (arrow.Record, error) {
	rows, err := r.binder.Bind(natural, first)
	if r.hides {
		table.HideValue(err)
	}
	return rows, err
}

// bindPending binds pending rows, the first half of them if they have a bad one, which
// is rejected once it is alone: then there is neither a batch nor an error.
func (r *RowReader) bindPending() (arrow.Record, error) {
	last := len(r.pending) - 1
	natural, first := r.pending[last], r.numbers[last]
	r.pending, r.numbers = r.pending[:last], r.numbers[:last]
	defer natural.Release()
	rows, err := r.bind(natural, first)
	var bad *table.RowError
	switch n := natural.NumRows(); {
	case err == nil:
		r.At.Row += first - r.First
		r.First = first
		return rows, nil
	case !errors.As(err, &bad):
		return nil, err
	case n == 1:
		r.reject(pipeline.BadRow{Object: r.object, Number: r.base + first, Reason: fmt.Sprintf("%s %v", bad.What, bad.Err)})
	default:
		half := n / 2
		r.pending = append(r.pending, natural.NewSlice(half, n), natural.NewSlice(0, half))
		r.numbers = append(r.numbers, first+half, first)
	}
	return nil, nil
}

// Close gives up what the reader holds.
func (r *RowReader) Close() error {
	for _, rows := range r.pending {
		rows.Release()
	}
	return r.from.Close()
}

// unknownFormat says that the spec has an entry that this worker has no code for.
func unknownFormat(what string, c pipeline.Choice) error {
	return outdated("open "+what, "format "+c.Name, nil)
}

func zoneOf(name string) (*time.Location, error) {
	zone, err := time.LoadLocation(name) // UTC for ""
	if err != nil {
		return nil, &thalweg.Error{Op: "read dataset", Kind: thalweg.Invalid, Subject: "timezone " + name, Err: err}
	}
	return zone, nil
}

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
	m, natural, err := c.discover(ctx, from.Bucket, from.Pattern, dataset.DiscoverConfig{Root: from.Root, Only: from.only, Skip: from.skip})
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

// deltaFiles reads the Parquet files of the newest version of a Delta table. The pattern
// of its source is the prefix of the table.
type deltaFiles struct{ columnar[*dataset.Reader] }

// Discover implements DatasetFormat.
func (c deltaFiles) Discover(ctx context.Context, from DatasetSource) (*dataset.Manifest, table.Schema, error) {
	files, err := c.files(ctx, from)
	if err != nil {
		return nil, table.Schema{}, err
	}
	m, schema, err := c.columnar.Discover(ctx, files)
	if err == nil && len(m.Objects) != len(files.only) {
		for _, o := range m.Objects {
			delete(files.only, o.Key)
		}
		err = &thalweg.Error{Op: "read table", Kind: thalweg.Corrupt, Subject: from.Pattern, Err: fmt.Errorf("its log has %s, which is missing", slices.Sorted(maps.Keys(files.only))[0]),
			Hint: "read it again: the table may have been replaced, and the file collected"}
	}
	return m, schema, err
}

// files returns the source of the files that the log of a table names.
func (deltaFiles) files(ctx context.Context, from DatasetSource) (DatasetSource, error) {
	fail := func(kind thalweg.Kind, format string, args ...any) (DatasetSource, error) {
		return from, &thalweg.Error{Op: "read table", Kind: kind, Subject: from.Root + from.Pattern, Err: fmt.Errorf(format, args...)}
	}
	log := delta.New(from.Bucket, from.Pattern)
	snapshot, err := log.Load(ctx)
	if err != nil {
		return from, err
	}
	if !snapshot.Exists() {
		return fail(thalweg.NotFound, "there is no Delta table")
	}
	if err := snapshot.Readable(); err != nil {
		return from, err
	}
	prefix := from.Pattern
	from.Pattern, from.only = prefix+"**/*", make(map[string]bool)
	for add, err := range log.Files(ctx, snapshot) {
		if err != nil {
			return from, err
		}
		path, err := url.PathUnescape(add.Path)
		if err != nil || strings.Contains(path, "://") || strings.HasPrefix(path, "/") {
			return fail(thalweg.Unsupported, "file %q lies elsewhere", add.Path)
		}
		from.only[prefix+path] = true
	}
	return from, nil
}

// list is dataset.List of what a source names.
func (s DatasetSource) list(ctx context.Context) (hash string, objects int, err error) {
	if tables, ok := s.Format.(deltaFiles); ok {
		if s, err = tables.files(ctx, s); err != nil {
			return "", 0, err
		}
	}
	return dataset.List(ctx, s.Bucket, s.Pattern, dataset.DiscoverConfig{Only: s.only})
}
