package feature

import (
	"fmt"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/compact"
	"github.com/thalweg/thalweg/pipeline/table"
)

// No column of a spec begins with preparedPrefix: after it comes the expression whose values
// a column of prepared rows has. splitColumn has the split of each row.
const (
	preparedPrefix = "\x00"
	splitColumn    = preparedPrefix + preparedPrefix + "split" // no expression begins so
)

// PreparedTail is how many columns of prepared rows, the last ones, say what a row is
// for: the label, the split, and the row's number.
const PreparedTail = 3

// Preparation turns cleaned rows into prepared ones: the columns that features and the
// label read, with the values of their expressions, and the split. Whatever reads
// features or labels of cleaned rows reads the same of prepared ones.
type Preparation struct {
	// Columns are those of prepared rows, but for table.RowColumn. What one holds is in its
	// name: of the same cleaned rows, columns of one name have equal values.
	Columns []table.Column

	sources []source
	schema  *arrow.Schema
}

// NewPreparation returns the preparation of a plan's rows, which keep the given columns
// too.
func NewPreparation(plan *pipeline.Plan, also []string) (*Preparation, error) {
	p := new(Preparation)
	label := sourceOfLabel(plan.Label)
	add := func(s source) error {
		name := s.prepared()
		// What the label reads comes last, also where others read it.
		if slices.ContainsFunc(p.Columns, func(c table.Column) bool { return c.Name == name }) || name == label.prepared() && s != label {
			return nil
		}
		of := table.Column{Name: name, Nullable: true}
		if s.program != nil {
			of.Type = s.program.Type()
		} else {
			_, column, ok := plan.Cleaned.Lookup(s.column)
			if !ok {
				return &thalweg.Error{Op: "prepare", Kind: thalweg.Invalid, Subject: s.what, Err: fmt.Errorf("column %s is not there", s.column)}
			}
			of.Type = column.Type
		}
		p.Columns = append(p.Columns, of)
		p.sources = append(p.sources, s)
		return nil
	}
	for _, f := range plan.Features {
		if err := add(sourceOf(f)); err != nil {
			return nil, err
		}
	}
	for _, column := range also {
		if err := add(source{what: "column " + column, column: column}); err != nil {
			return nil, err
		}
	}
	if err := add(label); err != nil {
		return nil, err
	}
	p.Columns = append(p.Columns, table.Column{Name: splitColumn, Type: table.Int64})
	p.schema = table.Schema{Columns: p.Columns}.Arrow()
	return p, nil
}

// prepared is the name of the column of prepared rows that has the source's values.
func (s source) prepared() string {
	if s.program == nil {
		return s.column
	}
	return preparedPrefix + s.program.Source()
}

// Apply prepares cleaned rows of the given splits, which stay the caller's. The caller
// releases the result.
func (p *Preparation) Apply(rows arrow.Record, splits []uint8) (arrow.Record, error) {
	columns := make([]arrow.Array, 0, len(p.Columns)+1)
	defer func() {
		for _, c := range columns {
			c.Release()
		}
	}()
	for _, s := range p.sources {
		a, err := s.read(rows)
		if err != nil {
			return nil, err
		}
		columns = append(columns, a)
		if a.Len() != len(splits) {
			return nil, &thalweg.Error{Op: "prepare", Subject: s.what, Err: fmt.Errorf("%d values for %d rows", a.Len(), len(splits))}
		}
	}
	buf, of := table.Alloc(memory.DefaultAllocator, len(splits), arrow.Int64Traits)
	for i, split := range splits {
		of[i] = int64(split)
	}
	columns = append(columns, table.NewColumn(memory.DefaultAllocator, table.Int64, len(splits), buf, table.Mask{}))
	row := rows.Column(int(rows.NumCols()) - 1)
	row.Retain()
	columns = append(columns, row)
	return array.NewRecord(p.schema, columns, rows.NumRows()), nil
}

// Viewed returns prepared rows with the splits that of makes of theirs.
func Viewed(rows *compact.Batch, of func(split uint8) uint8) *compact.Batch {
	splits := rows.Tail.Column(PreparedTail - 2).(*array.Int64).Int64Values()
	buf, out := table.Alloc(memory.DefaultAllocator, len(splits), arrow.Int64Traits)
	for i, split := range splits {
		out[i] = int64(of(uint8(split)))
	}
	return rows.WithTail(PreparedTail-2, table.NewColumn(memory.DefaultAllocator, table.Int64, len(splits), buf, table.Mask{}))
}

// Splits returns the splits of prepared rows, or of their tail, in dst's memory.
func Splits(rows arrow.Record, dst []uint8) []uint8 {
	of := rows.Column(int(rows.NumCols()) - 2).(*array.Int64).Int64Values()
	dst = slices.Grow(dst[:0], len(of))[:len(of)]
	for i, split := range of {
		dst[i] = uint8(split)
	}
	return dst
}
