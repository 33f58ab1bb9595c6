package lineage

import (
	"fmt"
	"math"
	"strconv"
	"strings"
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
	// Bits are those of a float, 16 hex digits, which tell NaNs and zeros apart; of a
	// list of floats those of its elements, "-" for null.
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
			text, bits, ok := valueOf(column, i)
			if !ok {
				return nil, unsupported(c)
			}
			cell.Value, cell.Bits = &text, bits
		}
		out = append(out, cell)
	}
	return out, nil
}

// valueOf returns the text of a value that is not null, and its bits.
func valueOf(column arrow.Array, i int) (text, bits string, ok bool) {
	switch a := column.(type) {
	case *array.Int64:
		return strconv.FormatInt(a.Value(i), 10), "", true
	case *array.Float64:
		return strconv.FormatFloat(a.Value(i), 'g', -1, 64), fmt.Sprintf("%016x", math.Float64bits(a.Value(i))), true
	case *array.Boolean:
		return strconv.FormatBool(a.Value(i)), "", true
	case *array.Timestamp:
		return time.UnixMicro(int64(a.Value(i))).UTC().Format(time.RFC3339Nano), "", true
	case *array.Dictionary:
		texts, ok := a.Dictionary().(*array.String)
		if !ok {
			return "", "", false
		}
		return texts.Value(a.GetValueIndex(i)), "", true
	case *array.List:
		from, to := a.ValueOffsets(i)
		texts, all := make([]string, to-from), make([]string, to-from)
		for k := range texts {
			texts[k], all[k] = "null", "-"
			if e := int(from) + k; !a.ListValues().IsNull(e) {
				texts[k], all[k], _ = valueOf(a.ListValues(), e)
			}
		}
		if _, floats := a.ListValues().(*array.Float64); floats {
			bits = strings.Join(all, " ")
		}
		return "[" + strings.Join(texts, ", ") + "]", bits, true
	}
	return "", "", false
}

func unsupported(c table.Column) error {
	return &thalweg.Error{Op: "read row", Kind: thalweg.Unsupported, Subject: "column " + c.Name, Hint: "of type " + string(c.Type)}
}
