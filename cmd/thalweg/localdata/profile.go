package localdata

import (
	"context"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/expression"
	"github.com/thalweg/thalweg/pipeline/profile"
	"github.com/thalweg/thalweg/pipeline/spelling"
	"github.com/thalweg/thalweg/pipeline/table"
)

// Profile says what the rows hold, and what columns tell of the label: a column, or an
// expression over columns; "": of none. Where there is a label, or a column with more
// values than are counted each, the rows are read twice.
func (d *Dataset) Profile(ctx context.Context, label string) (*profile.Profile, error) {
	schema, each := d.Schema, d.Each
	if _, _, ok := schema.Lookup(label); !ok && label != "" {
		program, err := expression.Compile(label, schema, nil)
		if err != nil {
			return nil, &thalweg.Error{Op: "read --label", Kind: thalweg.Invalid, Subject: label, Err: err, Hint: spelling.Hint(label, schema.Names())}
		}
		schema.Columns = append(slices.Clip(schema.Columns), table.Column{Name: label, Type: program.Type(), Nullable: true})
		each = func(ctx context.Context, fn func(arrow.Record) error) error {
			return d.Each(ctx, func(batch arrow.Record) error {
				values, err := program.Eval(batch)
				if err != nil {
					return err
				}
				defer values.Release()
				columns := append(slices.Clip(batch.Columns()[:batch.NumCols()-1]), values, batch.Column(int(batch.NumCols())-1))
				with := array.NewRecord(schema.Arrow(), columns, batch.NumRows())
				defer with.Release()
				return fn(with)
			})
		}
	}
	b := profile.New(schema)
	if err := each(ctx, func(batch arrow.Record) error { b.Observe(batch); return nil }); err != nil {
		return nil, err
	}
	again := b.Again(label)
	if again == nil {
		return b.Profile(), nil
	}
	d.rejects = pipeline.Report{} // they are read again
	if err := each(ctx, func(batch arrow.Record) error { again.Observe(batch); return nil }); err != nil {
		return nil, err
	}
	return again.Profile(), nil
}
