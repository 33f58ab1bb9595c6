package lineage

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/table"
)

// Cell is one column of a row, exact to the bit.
type Cell struct {
	Name string     `json:"name"`
	Type table.Type `json:"type"`
	// Value is the value as text, nil for null: integers and floats with all their
	// digits, timestamps in RFC 3339.
	Value *string `json:"value"`
	// Bits are those of a float, 16 hex digits, which tell NaNs and zeros apart.
	Bits string `json:"bits,omitempty"`
}

// String is the cell for people.
func (c Cell) String() string {
	if c.Value == nil {
		return "null"
	}
	return *c.Value
}

// equal reports whether two cells are the same column with the same bits.
func (c Cell) equal(o Cell) bool {
	return c.Name == o.Name && c.Type == o.Type && c.Bits == o.Bits && (c.Value == nil) == (o.Value == nil) && (c.Value == nil || *c.Value == *o.Value)
}

// cells returns row i of a canonical batch of schema's columns.
func cells(schema table.Schema, batch arrow.Record, i int) ([]Cell, error) {
	out := make([]Cell, 0, len(schema.Columns))
	for j, c := range schema.Columns {
		cell := Cell{Name: c.Name, Type: c.Type}
		column := batch.Column(j)
		if !column.IsNull(i) {
			text := ""
			switch a := column.(type) {
			case *array.Int64:
				text = strconv.FormatInt(a.Value(i), 10)
			case *array.Float64:
				text = strconv.FormatFloat(a.Value(i), 'g', -1, 64)
				cell.Bits = fmt.Sprintf("%016x", math.Float64bits(a.Value(i)))
			case *array.Boolean:
				text = strconv.FormatBool(a.Value(i))
			case *array.Timestamp:
				text = time.UnixMicro(int64(a.Value(i))).UTC().Format(time.RFC3339Nano)
			case *array.Dictionary:
				texts, ok := a.Dictionary().(*array.String)
				if !ok {
					return nil, unsupported(c)
				}
				text = texts.Value(a.GetValueIndex(i))
			default:
				return nil, unsupported(c)
			}
			cell.Value = &text
		}
		out = append(out, cell)
	}
	return out, nil
}

func unsupported(c table.Column) error {
	return &thalweg.Error{Op: "read row", Kind: thalweg.Unsupported, Subject: "column " + c.Name, Hint: "of type " + string(c.Type)}
}
