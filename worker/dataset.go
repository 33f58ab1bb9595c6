package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/dustin/go-humanize"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/spelling"
	"github.com/thalweg/thalweg/pipeline/split"
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
	// Unread are columns in which a value that does not fit is null.
	Unread []string
	// Share of the rows is drawn by the hash of Seed; 0: all are read. Skipped, if not nil,
	// gets the number of those of a batch that are not.
	Share   float64
	Seed    uint64
	Skipped func(rows int64)
}

// Source returns where the training data of a spec lie; the bucket and the pattern are
// the caller's to fill in.
func Source(spec *pipeline.Spec, formats map[string]DatasetFormat) (DatasetSource, error) {
	train := spec.Spec.Sources.Train
	format, ok := formats[train.Format.Name]
	if !ok {
		return DatasetSource{}, unknownFormat("dataset", train.Format)
	}
	from := DatasetSource{Format: format, Options: train.Format.Options, Share: spec.Spec.Preprocessing.SampleRatio, Seed: spec.Spec.Trainer.Seed}
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
	return map[string]DatasetFormat{"parquet": parquet{}, "csv": texts{csvText}, "jsonl": texts{jsonlText}, "arrow": arrowIPC{}}
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
	reject  func(pipeline.BadRow)
	// pending are rows of the last batch of the reader, and the number of the first of
	// each, which come before others.
	pending []arrow.Record
	numbers []int64
	drawn   func(row int64) bool // nil: all rows are
	skipped func(rows int64)
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
	columns.Key, columns.Unread = s.Key, s.Unread
	origin := m.Origin(shard)
	out := &RowReader{columns: columns, object: origin.Object, memory: cfg.Allocator, base: origin.First, reject: s.Reject}
	if s.Share > 0 {
		out.drawn, out.skipped = split.Origin(origin).Sample(s.Seed, s.Share), s.Skipped
	}
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
	if err == nil && r.drawn != nil {
		rows, err = r.draw(rows)
	}
	if err != nil || r.folders == nil {
		return rows, err
	}
	defer rows.Release()
	return r.folders.join(rows), nil
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
	mem := r.memory
	if mem == nil {
		mem = memory.DefaultAllocator
	}
	return table.Select(mem, rows, keep)
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
		if r.memory != nil {
			r.binder.RowMemory = r.memory
		}
	}
	rows, err := r.binder.Bind(natural, r.First)
	if r.reject == nil || !errors.As(err, new(*table.RowError)) {
		return rows, err
	}
	natural.Retain()
	r.pending, r.numbers = append(r.pending, natural), append(r.numbers, r.First)
	return nil, nil
}

// bindPending binds pending rows, the first half of them if they have a bad one, which
// is rejected once it is alone: then there is neither a batch nor an error.
func (r *RowReader) bindPending() (arrow.Record, error) {
	last := len(r.pending) - 1
	natural, first := r.pending[last], r.numbers[last]
	r.pending, r.numbers = r.pending[:last], r.numbers[:last]
	defer natural.Release()
	rows, err := r.binder.Bind(natural, first)
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

// partitions adds the columns that folders of keys fill, year of year=2001, and takes
// those of m.Partitions out that an object has itself, whose values stand. Their type is
// that which the spec declares, else the first of int64, timestamp and string that all
// values have; an object without the folder has nulls.
func (s DatasetSource) partitions(m *dataset.Manifest, schema *table.Schema) error {
	zone, err := zoneOf(s.Schema.Timezone)
	if err != nil {
		return err
	}
	m.Partitions = slices.DeleteFunc(m.Partitions, func(name string) bool {
		_, _, known := schema.Lookup(name)
		return known || name == table.RowColumn || schema.Unsupports(name)
	})
	for _, d := range s.Schema.Columns {
		if d.PII != "" && slices.Contains(m.Partitions, d.Name) {
			return &thalweg.Error{Op: "read dataset", Kind: thalweg.Invalid, Subject: "column " + d.Name, Err: errors.New("it has pii, and folders of keys fill it, which manifests and messages name"),
				Hint: "write the column into the files, and name the folders otherwise"}
		}
	}
	values := make([][]dataset.Partition, len(m.Objects)) // by object
	for i, o := range m.Objects {
		if len(m.Partitions) > 0 {
			values[i] = dataset.Partitions(o.Key)
		}
	}
	for _, name := range m.Partitions {
		types := []table.Type{table.Int64, table.Timestamp, table.String}
		declared := slices.IndexFunc(s.Schema.Columns, func(c pipeline.ColumnSpec) bool { return c.Name == name })
		if declared >= 0 {
			types = []table.Type{s.Schema.Columns[declared].Type}
		}
		fits := func(t table.Type) bool {
			for i := range m.Objects {
				if p, has := folderOf(values[i], name); has && !p.Null {
					if _, ok := folderValue(t, p.Value, zone); !ok {
						return false
					}
				}
			}
			return true
		}
		for declared < 0 && len(types) > 1 && !fits(types[0]) {
			types = types[1:]
		}
		gap, seen := dataset.Gap{Column: name}, false
		for i, o := range m.Objects {
			p, has := folderOf(values[i], name)
			if !has && o.Rows > 0 {
				gap.Add(o)
			}
			var problem error
			if !has || p.Null {
				if declared >= 0 && o.Rows > 0 && !*s.Schema.Columns[declared].Nullable {
					problem = fmt.Errorf("its folders do not say what %s is, which is declared to have no nulls", name)
				}
			} else if _, seen = folderValue(types[0], p.Value, zone); !seen {
				problem = fmt.Errorf("its folder says that %s is %q, which is no %s", name, p.Value, types[0])
			}
			if problem != nil {
				return &thalweg.Error{Op: "read dataset", Kind: thalweg.Invalid, Subject: "object " + o.Key, Err: problem,
					Hint: "declare the column otherwise in spec.schema.columns, or leave the object out"}
			}
		}
		if !seen && declared < 0 {
			types = types[len(types)-1:]
		}
		if gap.Objects > 0 {
			m.Gaps = append(m.Gaps, gap)
		}
		schema.Columns = append(schema.Columns, table.Column{Name: name, Type: types[0], Nullable: true})
	}
	return nil
}

// folderOf returns what folders say of a column.
func folderOf(all []dataset.Partition, name string) (dataset.Partition, bool) {
	for _, p := range all {
		if p.Name == name {
			return p, true
		}
	}
	return dataset.Partition{}, false
}

// folderValue returns what a text is as a value of a type: int64, also of timestamps,
// float64, bool or string.
func folderValue(t table.Type, text string, zone *time.Location) (value any, ok bool) {
	switch t {
	case table.String:
		return text, true
	case table.Int64:
		n, err := strconv.ParseInt(text, 10, 64)
		return n, err == nil && text[0] != '+'
	case table.Float64:
		return second(table.ParseFloat(text))
	case table.Timestamp:
		return second(table.ParseTime(text, zone))
	case table.Bool:
		yes := text == "1" || strings.EqualFold(text, "true")
		return yes, yes || text == "0" || strings.EqualFold(text, "false")
	}
	return nil, false // a list
}

func second[T any](value T, ok bool) (any, bool) { return value, ok }

// folders are the columns of a shard's rows that the folders of its object's key fill.
type folders struct {
	want   table.Schema // all columns
	schema *arrow.Schema
	values map[string]any // nil is null
	mem    memory.Allocator
}

// noColumn is the name of a column that no object has.
const noColumn = "\x00"

// splitColumns leaves the columns to be read that are in the object, or noColumn.
func (r *RowReader) splitColumns(names []string, timezone string) error {
	unread := func(c table.Column) bool { return c.Nullable && slices.Contains(r.columns.Unread, c.Name) }
	unknown := func(c table.Column) bool { return unread(c) && r.columns.Unsupports(c.Name) }
	filled := func(c table.Column) bool { return slices.Contains(names, c.Name) || unknown(c) }
	if !slices.ContainsFunc(r.columns.Columns, filled) {
		return nil
	}
	zone, err := zoneOf(timezone)
	if err != nil {
		return err
	}
	r.folders = &folders{want: r.columns, schema: r.columns.Arrow(), values: make(map[string]any), mem: r.memory}
	if r.memory == nil {
		r.folders.mem = memory.DefaultAllocator
	}
	all := dataset.Partitions(r.object)
	for _, c := range r.columns.Columns {
		if p, has := folderOf(all, c.Name); filled(c) {
			value, ok := folderValue(c.Type, p.Value, zone)
			if has && !p.Null && !ok && !unread(c) {
				return &thalweg.Error{Op: "read dataset", Kind: thalweg.Invalid, Subject: "object " + r.object, Err: errors.New("its folders are of no value of column " + c.Name)}
			}
			if !has || p.Null || !ok || unknown(c) {
				value = nil
			}
			r.folders.values[c.Name] = value
		}
	}
	r.columns.Columns = slices.DeleteFunc(slices.Clone(r.columns.Columns), filled)
	if len(r.columns.Columns) == 0 {
		r.columns.Columns = []table.Column{{Name: noColumn, Type: table.String, Nullable: true}}
	}
	return nil
}

// join returns rows with the columns of folders among those of the object.
func (f *folders) join(rows arrow.Record) arrow.Record {
	n, read := int(rows.NumRows()), 0
	columns := make([]arrow.Array, 0, len(f.want.Columns)+1)
	for _, c := range f.want.Columns {
		value, filled := f.values[c.Name]
		if !filled {
			columns = append(columns, rows.Column(read))
			read++
			continue
		}
		column := repeated(f.mem, c.Type, value, n)
		defer column.Release()
		columns = append(columns, column)
	}
	return array.NewRecord(f.schema, append(columns, rows.Column(int(rows.NumCols())-1)), int64(n))
}

// repeated returns a column of a type that has the same value in n rows; nil is null.
func repeated(mem memory.Allocator, t table.Type, value any, n int) arrow.Array {
	var valid table.Mask
	if value == nil {
		valid = table.NewMask(n)
	}
	switch t {
	case table.String:
		text, _ := value.(string)
		entries := array.NewStringBuilder(mem)
		defer entries.Release()
		entries.Append(text)
		words := entries.NewArray()
		defer words.Release()
		buf, index := table.Alloc(mem, n, arrow.Int32Traits)
		clear(index)
		return table.NewText(mem, n, buf, valid, words)
	case table.Bool:
		marked := table.NewMask(n)
		if value == true {
			marked = marked.Not()
		}
		return table.NewColumn(mem, t, n, marked.Buffer(mem), valid)
	case table.Float64:
		buf, out := table.Alloc(mem, n, arrow.Float64Traits)
		v, _ := value.(float64)
		for i := range out {
			out[i] = v
		}
		return table.NewColumn(mem, t, n, buf, valid)
	}
	buf, out := table.Alloc(mem, n, arrow.Int64Traits)
	v, _ := value.(int64)
	for i := range out {
		out[i] = v
	}
	return table.NewColumn(mem, t, n, buf, valid)
}

// ReadLookups reads the tables that rows of a spec are joined to, as they are now. locate
// opens the bucket of an s3:// path, and returns the key part of it.
func ReadLookups(ctx context.Context, spec *pipeline.Spec, formats map[string]DatasetFormat, locate func(ctx context.Context, l *pipeline.LookupTable) (storage.Bucket, string, error)) (tables []*table.Lookup, warnings []string, err error) {
	for i := range spec.Spec.Lookups {
		l := &spec.Spec.Lookups[i]
		from := DatasetSource{Format: formats[l.Format.Name], Options: l.Format.Options}
		if spec.Spec.Schema != nil {
			from.Schema.Timezone = spec.Spec.Schema.Timezone
		}
		if from.Format == nil {
			return nil, nil, unknownFormat("lookup", l.Format)
		}
		var t *table.Lookup
		var keyless int64
		if from.Bucket, from.Pattern, err = locate(ctx, l); err == nil {
			t, keyless, err = readLookup(ctx, l, from)
		}
		if err != nil {
			return nil, nil, &thalweg.Error{Op: "read lookup", Kind: thalweg.KindOf(err), Subject: "table " + l.Name, Err: err}
		}
		if keyless > 0 {
			warnings = append(warnings, fmt.Sprintf("%s rows of table %s have no key, and no row is joined to them", humanize.Comma(keyless), l.Name))
		}
		if tables = append(tables, t); t.Rows == 0 {
			warnings = append(warnings, fmt.Sprintf("table %s has no rows: what is joined to it is null", l.Name))
		}
	}
	return tables, warnings, nil
}

func readLookup(ctx context.Context, l *pipeline.LookupTable, from DatasetSource) (_ *table.Lookup, keyless int64, err error) {
	m, have, err := from.Discover(ctx)
	if err != nil {
		return nil, 0, err
	}
	if len(m.Objects) > table.MaxLookupObjects {
		return nil, 0, &thalweg.Error{Kind: thalweg.Invalid, Err: fmt.Errorf("has %d objects, at most %d are read", len(m.Objects), table.MaxLookupObjects), Hint: "write it as fewer"}
	}
	_, names := l.KeyColumns()
	names = append(names, l.Columns...)
	want := table.Schema{Timezone: from.Schema.Timezone}
	for k, name := range names {
		c, err := lookupColumn(have, name, k < len(l.Key))
		if err != nil {
			return nil, 0, err
		}
		want.Columns = append(want.Columns, c)
	}
	b := table.NewLookupBuilder(l.Name, want.Columns, len(l.Key))
	for shard := range m.Shards {
		if err := from.addRows(ctx, m, shard, want, b); err != nil {
			return nil, 0, err
		}
	}
	t, err := b.Finish()
	if err != nil {
		return nil, 0, err
	}
	for _, o := range m.Objects {
		t.Objects = append(t.Objects, table.LookupObject{Key: o.Key, SizeBytes: o.SizeBytes, ETag: o.ETag})
	}
	return t, b.Keyless, nil
}

// addRows adds the rows of a shard to a table.
func (s DatasetSource) addRows(ctx context.Context, m *dataset.Manifest, shard int, columns table.Schema, to *table.LookupBuilder) error {
	r, err := s.OpenRows(ctx, m, shard, columns, dataset.ReaderConfig{})
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		batch, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return r.At.Of(err, r.First)
		}
		err = to.Add(batch)
		batch.Release()
		if err != nil {
			return err
		}
	}
}

// lookupColumn returns a column of a table, as rows get it.
func lookupColumn(have table.Schema, name string, key bool) (table.Column, error) {
	fail := func(hint, format string, args ...any) (table.Column, error) {
		return table.Column{}, &thalweg.Error{Kind: thalweg.Invalid, Subject: "column " + name, Err: fmt.Errorf(format, args...), Hint: hint}
	}
	_, c, ok := have.Lookup(name)
	if !ok {
		if i := slices.IndexFunc(have.Unsupported, func(u table.UnsupportedColumn) bool { return u.Name == name }); i >= 0 {
			return fail("write it as another type", "columns of type %s are not joined", have.Unsupported[i].Type)
		}
		return fail(spelling.Hint(name, have.Names()), "is not in the table")
	}
	if key && !slices.Contains(table.KeyTypes, c.Type) {
		return fail("write it as a string or a whole number", "a key cannot be %s", c.Type)
	}
	if !slices.Contains(table.ValueTypes, c.Type) {
		return fail("write a column for each part", "columns of type %s are not joined", c.Type)
	}
	return table.Column{Name: name, Type: c.Type, Nullable: true}, nil
}

// lookups reads the tables of a spec.
func (w *Worker) lookups(ctx context.Context, spec *pipeline.Spec) ([]*table.Lookup, []string, error) {
	return ReadLookups(ctx, spec, w.cfg.Datasets, func(ctx context.Context, l *pipeline.LookupTable) (storage.Bucket, string, error) {
		return w.location(ctx, l.Connection, l.S3.Path)
	})
}

// objects names the objects that a run of a spec would read now, those of its tables
// among them, and counts those of the training data.
func (w *Worker) objects(ctx context.Context, spec *pipeline.Spec, train DatasetSource) (hash string, n int, err error) {
	if hash, n, err = dataset.List(ctx, train.Bucket, train.Pattern); err != nil {
		return "", 0, err
	}
	for _, l := range spec.Spec.Lookups {
		bucket, key, err := w.location(ctx, l.Connection, l.S3.Path)
		if err != nil {
			return "", 0, err
		}
		of, _, err := dataset.List(ctx, bucket, key)
		if err != nil {
			return "", 0, err
		}
		hash = storage.SHA256([]byte(hash + " " + of))
	}
	return hash, n, nil
}
