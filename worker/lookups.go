package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/dustin/go-humanize"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/spelling"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/dataset"
	"github.com/thalweg/thalweg/worker/shuffle"
)

// ReadLookups reads the tables that rows of a spec are joined to, as they are now. locate
// opens the bucket of an s3:// path, and returns the key part of it.
func ReadLookups(ctx context.Context, spec *pipeline.Spec, formats map[string]DatasetFormat, locate func(ctx context.Context, l *pipeline.LookupTable) (storage.Bucket, string, error)) (tables []*table.Lookup, warnings []string, err error) {
	for i := range spec.Spec.Lookups {
		l := &spec.Spec.Lookups[i]
		from := DatasetSource{Format: formats[l.Format.Name], Options: l.Format.Options, Hides: spec.HidesValues()}
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
		if err := from.eachBatch(ctx, m, shard, want, dataset.ReaderConfig{}, b.Add); err != nil {
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

// eachBatch calls do with the batches of a shard.
func (s DatasetSource) eachBatch(ctx context.Context, m *dataset.Manifest, shard int, columns table.Schema, cfg dataset.ReaderConfig, do func(batch arrow.Record) error) error {
	r, err := s.OpenRows(ctx, m, shard, columns, cfg)
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
		err = do(batch)
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
	if hash, n, err = train.list(ctx); err != nil {
		return "", 0, err
	}
	add := func(connection, path, format string) error {
		bucket, key, err := w.location(ctx, connection, path)
		if err != nil {
			return err
		}
		of, _, err := DatasetSource{Format: w.cfg.Datasets[format], Bucket: bucket, Pattern: key}.list(ctx)
		hash = storage.SHA256([]byte(hash + " " + of))
		return err
	}
	for _, l := range spec.Spec.Lookups {
		err = cmp.Or(err, add(l.Connection, l.S3.Path, l.Format.Name))
	}
	if f := spec.Spec.Sources.Train.LabelFile; f != nil {
		err = cmp.Or(err, add(f.Connection, f.S3.Path, f.Format.Name))
	}
	return hash, n, err
}

// LabelFile is the files that rows get their labels from.
type LabelFile struct {
	Manifest *dataset.Manifest
	from     DatasetSource
	columns  []table.Column // the key, and those that rows get
}

// ReadLabelFile lists the label file of a spec, and adds its columns to those of the training
// data. from has the bucket and the pattern. Bind has to be called before rows are read.
func ReadLabelFile(ctx context.Context, spec *pipeline.Spec, formats map[string]DatasetFormat, from DatasetSource, to *table.Schema) (*LabelFile, error) {
	f := spec.Spec.Sources.Train.LabelFile
	from, err := from.ofLabels(spec, formats)
	if err != nil {
		return nil, err
	}
	m, have, err := from.Discover(ctx)
	if err != nil {
		return nil, &thalweg.Error{Op: "read label file", Kind: thalweg.KindOf(err), Subject: f.S3.Path, Err: err}
	}
	of := &table.Labels{Columns: have.Columns, Unsupported: have.Unsupported, LabelObjects: table.LabelObjects{Manifest: m.Hash(), Rows: m.Rows, Objects: len(m.Objects)}}
	for _, o := range m.Objects[:min(len(m.Objects), table.MaxNamedLabels)] {
		of.First = append(of.First, table.LookupObject{Key: o.Key, SizeBytes: o.SizeBytes, ETag: o.ETag})
	}
	to.Labels = of
	return &LabelFile{Manifest: m, from: from}, nil
}

// ofLabels is a source that is read as the label file of a spec.
func (s DatasetSource) ofLabels(spec *pipeline.Spec, formats map[string]DatasetFormat) (DatasetSource, error) {
	f := spec.Spec.Sources.Train.LabelFile
	s.Format, s.Options = formats[f.Format.Name], f.Format.Options
	s.Schema = f.Declared(spec.Spec.Schema, true)
	s.Hides = spec.HidesValues()
	if s.Format == nil {
		return s, unknownFormat("label file", f.Format)
	}
	return s, nil
}

// labelSource says where the label file of a spec is.
func (w *Worker) labelSource(ctx context.Context, spec *pipeline.Spec) (from DatasetSource, err error) {
	f := spec.Spec.Sources.Train.LabelFile
	if from.Bucket, from.Pattern, err = w.location(ctx, f.Connection, f.S3.Path); err != nil {
		return from, err
	}
	if name := spec.Spec.Schema.KeyName(); name != "" {
		if from.Key, err = w.connections.Key(name); err != nil {
			return from, err
		}
	}
	return from.ofLabels(spec, w.cfg.Datasets)
}

// Bind says which columns are read: those of a plan.
func (l *LabelFile) Bind(plan *pipeline.Plan) { l.columns = plan.Input.Labels.Columns }

// Warnings say what is odd about the files.
func (l *LabelFile) Warnings(plan *pipeline.Plan) (texts []string) {
	for _, text := range slices.Concat(l.Manifest.Warnings, GapWarnings(plan, l.Manifest)) {
		texts = append(texts, "label file: "+text)
	}
	if l.Manifest.Rows == 0 {
		texts = append(texts, "label file: it has no rows, and no row has a label")
	}
	return texts
}

// Each calls do with the batches of a shard.
func (l *LabelFile) Each(ctx context.Context, shard int, cfg dataset.ReaderConfig, do func(batch arrow.Record) error) error {
	return l.from.eachBatch(ctx, l.Manifest, shard, table.Schema{Columns: l.columns, Timezone: l.from.Schema.Timezone}, cfg, do)
}

// Check reports keys that more than one row of the files has.
func (l *LabelFile) Check(ctx context.Context, found shuffle.Joined) error {
	if found.Double == 0 {
		return nil
	}
	key, object := "?", l.Manifest.Objects[l.Manifest.Shards[found.Shard].Object].Key
	err := l.Each(ctx, found.Shard, dataset.ReaderConfig{}, func(batch arrow.Record) error {
		for i, row := range table.Rows(batch) {
			if row == found.Row {
				key = batch.Column(0).ValueStr(i)
				return io.EOF
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	name := l.columns[0].Name
	return &thalweg.Error{Op: "join label file", Kind: thalweg.Invalid, Subject: l.Manifest.Path,
		Err:  fmt.Errorf("more than one row has the same %s, of %s keys: the first is %s, again in row %d of %s", name, humanize.Comma(found.Double), key, l.Manifest.Origin(found.Shard).First+found.Row, object),
		Hint: "write the files with one row of each " + name}
}
