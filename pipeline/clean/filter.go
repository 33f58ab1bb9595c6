package clean

import (
	"context"
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/arrowtype"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/expression"
	"github.com/thalweg/thalweg/pipeline/table"
)

// Filter keeps the rows for which the expression is true; null is false.
type Filter struct {
	// Expression is true for the rows to keep.
	Expression          string `yaml:"expression" json:"expression" jsonschema:"minLength=1" syntax:"expression"`
	pipeline.StepPhases `yaml:",inline" json:",inline"`
}

// Defaults implements pipeline.Defaulter: an event shall not vanish unless the
// spec says so.
func (s *Filter) Defaults(at pipeline.Place) {
	pipeline.DefaultList(at, "apply_to", &s.ApplyTo, pipeline.InTraining)
}

// Bind implements pipeline.StepSpec.
func (s *Filter) Bind(at *pipeline.Columns) pipeline.Op {
	keep := at.Compile("expression", s.Expression)
	if keep == nil {
		return nil
	}
	if keep.Type() != table.Bool {
		at.Problem("expression", "", "a filter keeps rows by a bool: this is %s", keep.Type())
	}
	at.Remove("expression", keep.Columns())
	return &filter{name: at.Step(), keep: keep}
}

type filter struct {
	name string
	keep *expression.Program
}

// Apply implements pipeline.Op. It counts and names the rows removed.
func (o *filter) Apply(_ context.Context, mem memory.Allocator, batch arrow.Record, rep *pipeline.Report) (arrow.Record, error) {
	verdict, err := o.keep.Eval(batch)
	if err != nil {
		return nil, err
	}
	defer verdict.Release()
	b, ok := verdict.(*array.Boolean)
	if !ok {
		return nil, fmt.Errorf("%q yielded %s, not bool", o.keep.Source(), arrowtype.Name(verdict.DataType()))
	}
	return drop(mem, batch, table.True(b), rep, o.name, o.keep.Source())
}
