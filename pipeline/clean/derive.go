package clean

import (
	"context"
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/expression"
	"github.com/thalweg/thalweg/pipeline/table"
)

// derive adds a column that an expression yields, or replaces one.
type derive struct {
	name   string
	column table.Column
	value  *expression.Program
}

func newDerive(step pipeline.Step, _ builder) (pipeline.Op, error) {
	s := step.Spec.Derive
	if step.Expression == nil {
		return nil, fmt.Errorf("%q is not compiled", s.Expression)
	}
	if s.Column == "" || s.Column == table.RowColumn {
		return nil, fmt.Errorf("a derived column cannot be called %q", s.Column)
	}
	return &derive{name: step.Name, value: step.Expression,
		column: table.Column{Name: s.Column, Type: step.Expression.Type(), Nullable: true}}, nil
}

// Name implements pipeline.Op.
func (o *derive) Name() string { return o.name }

// Schema implements pipeline.Op: the derived column takes the place of the one
// whose name it has, or comes last.
func (o *derive) Schema(in table.Schema) (table.Schema, error) {
	return setSchema(in, o.column), readable(o.value, in)
}

// Apply implements pipeline.Op. It counts the rows for which the expression
// has a value.
func (o *derive) Apply(_ context.Context, batch arrow.Record, rep *pipeline.Report) (arrow.Record, error) {
	a, err := o.value.Eval(batch)
	if err != nil {
		return nil, err
	}
	want := o.column.Type.ArrowType()
	if !arrow.TypeEqual(a.DataType(), want) {
		defer a.Release()
		return nil, fmt.Errorf("%q yielded %s, not %s", o.value.Source(), a.DataType(), want)
	}
	rep.Change(o.name+" "+o.column.Name, int64(a.Len()-a.NullN()))
	return setColumn(batch, arrow.Field{Name: o.column.Name, Type: want, Nullable: true}, a), nil
}
