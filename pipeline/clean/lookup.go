package clean

import (
	"context"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
)

// Lookup joins rows to a table of spec.lookups by its key: each row stays, and gets the
// table's columns, with null where the table has no such key, or the row has none.
type Lookup struct {
	// Table is the name of the table.
	Table string `yaml:"table" json:"table" jsonschema:"minLength=1"`
	// Prefix comes before the names of the table's columns: destination_ makes
	// destination_state of state.
	Prefix              string `yaml:"prefix,omitempty" json:"prefix,omitempty"`
	pipeline.StepPhases `yaml:",inline" json:",inline"`
}

// LooksUp implements pipeline.LooksUp.
func (s *Lookup) LooksUp() string { return s.Table }

// Check implements pipeline.Checker.
func (s *Lookup) Check(at pipeline.Place) { at.ColumnName("prefix", s.Prefix) }

// Bind implements pipeline.StepSpec: the table's columns come last.
func (s *Lookup) Bind(at *pipeline.Columns) pipeline.Op {
	x, key := at.Table("table", s.Table)
	if x == nil {
		return nil
	}
	if len(x.Columns) == x.Keys {
		at.Problem("table", "name columns of it in lookups", "table %s has no columns beside its key", s.Table)
		return nil
	}
	op := &lookup{name: at.Step(), key: key, table: x}
	for _, c := range x.Columns[x.Keys:] {
		c.Name, c.Nullable = s.Prefix+c.Name, true
		if at.Has(c.Name) {
			at.Problem("table", "write prefix: "+s.Table+"_", "rows have a column %s already", c.Name)
			return nil
		}
		at.Derive(c, key)
		op.fields = append(op.fields, arrow.Field{Name: c.Name, Type: c.Type.ArrowType(), Nullable: true})
	}
	return op
}

type lookup struct {
	name   string
	key    []string
	table  *table.LookupIndex
	fields []arrow.Field
}

// Apply implements pipeline.Op. It counts the rows that the table has no row for.
func (o *lookup) Apply(_ context.Context, mem memory.Allocator, batch arrow.Record, rep *pipeline.Report) (arrow.Record, error) {
	key := make([]arrow.Array, len(o.key))
	for k, name := range o.key {
		at, err := column(batch, name)
		if err != nil {
			return nil, err
		}
		key[k] = batch.Column(at)
	}
	rows, unmatched := o.table.Find(key...), int64(0)
	for _, r := range rows {
		if r < 0 {
			unmatched++
		}
	}
	rep.NotMatched(o.name+" "+o.table.Name, unmatched)
	batch.Retain()
	for i, f := range o.fields {
		next := setColumn(batch, f, o.table.Take(mem, o.table.Keys+i, rows))
		batch.Release()
		batch = next
	}
	return batch, nil
}
