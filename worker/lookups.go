package worker

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/dustin/go-humanize"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/spelling"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/dataset"
)

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
