package clean

import (
	"context"
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/expression"
	"github.com/thalweg/thalweg/pipeline/table"
)

// filter keeps the rows for which an expression is true; null is not.
type filter struct {
	name string
	keep *expression.Program
	mem  memory.Allocator
}

func newFilter(step pipeline.Step, b builder) (pipeline.Op, error) {
	if step.Expression == nil || step.Expression.Type() != table.Bool {
		return nil, fmt.Errorf("%q is not a bool expression", step.Spec.Filter.Expression)
	}
	return &filter{name: step.Name, keep: step.Expression, mem: b.mem}, nil
}

// Name implements pipeline.Op.
func (o *filter) Name() string { return o.name }

// Schema implements pipeline.Op: the columns stay as they are.
func (o *filter) Schema(in table.Schema) (table.Schema, error) {
	return in, readable(o.keep, in)
}

// Apply implements pipeline.Op. It counts and names the rows removed.
func (o *filter) Apply(_ context.Context, batch arrow.Record, rep *pipeline.Report) (arrow.Record, error) {
	verdict, err := o.keep.Eval(batch)
	if err != nil {
		return nil, err
	}
	defer verdict.Release()
	b, ok := verdict.(*array.Boolean)
	if !ok {
		return nil, fmt.Errorf("%q yielded %s, not bool", o.keep.Source(), verdict.DataType())
	}
	return drop(o.mem, batch, table.True(b), rep, o.name, o.keep.Source())
}

// readable reports a column that the expression reads and in does not have.
func readable(p *expression.Program, in table.Schema) error {
	for _, name := range p.Columns() {
		if _, _, ok := in.Lookup(name); !ok {
			return missing(name)
		}
	}
	return nil
}
