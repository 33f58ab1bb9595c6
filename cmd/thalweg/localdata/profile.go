package localdata

import (
	"context"
	"fmt"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/clean"
	"github.com/thalweg/thalweg/pipeline/expression"
	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/pipeline/profile"
	"github.com/thalweg/thalweg/pipeline/spelling"
	"github.com/thalweg/thalweg/pipeline/split"
	"github.com/thalweg/thalweg/pipeline/table"
)

// Rows are some in the canonical form, that can be read more than once.
type Rows struct {
	Schema table.Schema
	Each   func(ctx context.Context, fn func(batch arrow.Record) error) error
}

// Rows returns those of the dataset as they are.
func (d *Dataset) Rows() Rows {
	return Rows{d.Schema, func(ctx context.Context, fn func(arrow.Record) error) error {
		d.rejects = pipeline.Report{} // they are read second
		return d.Each(ctx, fn)
	}}
}

// CleanedRows returns the rows that the cleaning steps of a plan leave, and in the last
// column, split.ColumnName, which split each is in.
func (d *Dataset) CleanedRows(ctx context.Context, plan *pipeline.Plan) (rows Rows, err error) {
	plan, cuts, err := d.prepared(ctx, plan)
	if err != nil {
		return rows, err
	}
	chain := clean.New(plan, pipeline.InTraining)
	rows.Schema = with(chain.Schema(), split.ColumnName, table.String)
	var parts []uint8
	rows.Each = func(ctx context.Context, fn func(arrow.Record) error) error {
		d.rejects = pipeline.Report{}
		return d.eachPlace(ctx, func(batch arrow.Record, shard int, _ table.Place) error {
			cleaned, err := chain.With(d.settled[shard]).Apply(ctx, batch, nil)
			if err != nil {
				return err
			}
			defer cleaned.Release()
			if parts, err = cuts.Assign(plan, cleaned, split.Origin(d.Manifest.Origin(shard)), parts); err != nil {
				return err
			}
			usable, err := feature.Usable(plan, cleaned, new(pipeline.Report))
			if err != nil {
				return err
			}
			copies, err := d.copiesOf(cleaned, parts, usable, shard, new(pipeline.Report))
			if err != nil {
				return err
			}
			for some, parts := range copies.rounds(cleaned, parts, 0) {
				if err := rows.named(some, parts, fn); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return rows, nil
}

// named calls fn with a batch and the names of its splits.
func (r *Rows) named(batch arrow.Record, parts []uint8, fn func(arrow.Record) error) error {
	names := array.NewDictionaryBuilder(memory.DefaultAllocator, table.String.ArrowType().(*arrow.DictionaryType)).(*array.BinaryDictionaryBuilder)
	defer names.Release()
	for _, part := range parts {
		if err := names.AppendString(split.Names[part]); err != nil {
			return err
		}
	}
	values := names.NewArray()
	defer values.Release()
	return r.given(batch, values, fn)
}

// with returns a schema with one more column.
func with(s table.Schema, name string, t table.Type) table.Schema {
	s.Columns = append(slices.Clip(s.Columns), table.Column{Name: name, Type: t, Nullable: true})
	return s
}

// given calls fn with a batch and the values of the last column of the rows.
func (r *Rows) given(batch arrow.Record, values arrow.Array, fn func(arrow.Record) error) error {
	last := int(batch.NumCols()) - 1 // table.RowColumn
	all := array.NewRecord(r.Schema.Arrow(), append(slices.Clip(batch.Columns()[:last]), values, batch.Column(last)), batch.NumRows())
	defer all.Release()
	return fn(all)
}

// compile compiles what a flag has for the rows.
func (r *Rows) compile(flag, text string) (*expression.Program, error) {
	program, err := expression.Compile(text, r.Schema, nil)
	if err != nil {
		return nil, &thalweg.Error{Op: "read " + flag, Kind: thalweg.Invalid, Subject: text, Err: err, Hint: spelling.Hint(text, r.Schema.Names())}
	}
	return program, nil
}

// Where returns the rows of which a condition is true, all for "".
func (r Rows) Where(condition string) (Rows, error) {
	if condition == "" {
		return r, nil
	}
	program, err := r.compile("--where", condition)
	if err == nil && program.Type() != table.Bool {
		err = &thalweg.Error{Op: "read --where", Kind: thalweg.Invalid, Subject: condition, Err: fmt.Errorf("it is %s", program.Type()), Hint: "rows are chosen by a bool"}
	}
	return Rows{r.Schema, func(ctx context.Context, fn func(arrow.Record) error) error {
		return r.Each(ctx, func(batch arrow.Record) error {
			chosen, err := program.Eval(batch)
			if err != nil {
				return err
			}
			defer chosen.Release()
			some, err := table.Select(memory.DefaultAllocator, batch, table.True(chosen.(*array.Boolean)))
			if err != nil {
				return err
			}
			defer some.Release()
			return fn(some)
		})
	}}, err
}

// Profile says what the rows hold, and what columns tell of the label: a column, or an
// expression over columns; "": of none. Where there is a label, or a column with more
// values than are counted each, the rows are read twice.
func (r Rows) Profile(ctx context.Context, label string) (*profile.Profile, error) {
	if _, _, ok := r.Schema.Lookup(label); !ok && label != "" {
		program, err := r.compile("--label", label)
		if err != nil {
			return nil, err
		}
		unlabelled := r.Each
		labelled := Rows{Schema: with(r.Schema, label, program.Type())}
		labelled.Each = func(ctx context.Context, fn func(arrow.Record) error) error {
			return unlabelled(ctx, func(batch arrow.Record) error {
				values, err := program.Eval(batch)
				if err != nil {
					return err
				}
				defer values.Release()
				return labelled.given(batch, values, fn)
			})
		}
		r = labelled
	}
	b := profile.New(r.Schema)
	if err := r.Each(ctx, func(batch arrow.Record) error { b.Observe(batch); return nil }); err != nil {
		return nil, err
	}
	second := b.SecondPass(label)
	if second == nil {
		return b.Profile(), nil
	}
	if err := r.Each(ctx, func(batch arrow.Record) error { second.Observe(batch); return nil }); err != nil {
		return nil, err
	}
	return second.Profile(), nil
}
