package clean

import (
	"context"
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/arrowtype"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/expression"
	"github.com/thalweg/thalweg/pipeline/table"
)

// Derive adds or replaces a column by an expression. So texts are split, a step for
// each part: split(route, "-")[0], and joined: origin + "-" + destination.
type Derive struct {
	// Column is the name of what is computed; a column of that name is replaced.
	Column string `yaml:"column" json:"column" jsonschema:"minLength=1"`
	// Expression is what each row has there.
	Expression          string `yaml:"expression" json:"expression" jsonschema:"minLength=1" syntax:"expression"`
	pipeline.StepPhases `yaml:",inline" json:",inline"`
}

// Check implements pipeline.Checker.
func (s *Derive) Check(at pipeline.Place) { at.ColumnName("column", s.Column) }

// Bind implements pipeline.StepSpec: the derived column takes the place of the
// one whose name it has, or comes last.
func (s *Derive) Bind(at *pipeline.Columns) pipeline.Op {
	value := at.Compile("expression", s.Expression)
	if value == nil {
		return nil
	}
	at.Derive(table.Column{Name: s.Column, Type: value.Type(), Nullable: true}, value.Columns())
	return &derive{at.Step(), s.Column, value}
}

type derive struct {
	name   string
	column string
	value  *expression.Program
}

// Apply implements pipeline.Op. It counts the rows for which the expression
// has a value.
func (o *derive) Apply(_ context.Context, _ memory.Allocator, batch arrow.Record, rep *pipeline.Report) (arrow.Record, error) {
	a, err := o.value.Eval(batch)
	if err != nil {
		return nil, err
	}
	want := o.value.Type().ArrowType()
	if !arrow.TypeEqual(a.DataType(), want) {
		defer a.Release()
		return nil, fmt.Errorf("%q yielded %s, not %s", o.value.Source(), arrowtype.Name(a.DataType()), arrowtype.Name(want))
	}
	rep.Change(o.name+" "+o.column, int64(a.Len()-a.NullN()))
	return setColumn(batch, arrow.Field{Name: o.column, Type: want, Nullable: true}, a), nil
}
