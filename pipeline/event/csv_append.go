package event

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg/pipeline/table"
)

// AppendCSV appends one row of a canonical batch to dst as the event that a
// Decoder with the same configuration decodes to that row: the columns of cfg, or
// all, in order and without a line end. A column of cfg that the batch has not is
// null, and so is what CSV cannot carry: a float that is not finite, a timestamp
// outside the years 0 to 9999. It panics if a column is of no canonical type.
func AppendCSV(dst []byte, rec arrow.Record, row int, cfg CSVConfig) []byte {
	cfg = cfg.withDefaults()
	first := true
	next := func() {
		if !first {
			dst = append(dst, cfg.Delimiter...)
		}
		first = false
	}
	if len(cfg.Columns) == 0 {
		for i, field := range rec.Schema().Fields() {
			if field.Name != table.RowColumn {
				next()
				dst = appendCell(dst, rec.Column(i), row, cfg)
			}
		}
		return dst
	}
	for _, name := range cfg.Columns {
		next()
		if at := rec.Schema().FieldIndices(name); len(at) == 1 {
			dst = appendCell(dst, rec.Column(at[0]), row, cfg)
		} else {
			dst = append(dst, cfg.NullText...)
		}
	}
	return dst
}

func appendCell(dst []byte, column arrow.Array, row int, cfg CSVConfig) []byte {
	if column.IsNull(row) {
		return append(dst, cfg.NullText...)
	}
	var cell []byte
	var space [32]byte
	switch c := column.(type) {
	case *array.Int64:
		cell = strconv.AppendInt(space[:0], c.Value(row), 10)
	case *array.Float64:
		if v := c.Value(row); v-v == 0 {
			cell = appendFloat(space[:0], v)
		}
	case *array.Boolean:
		cell = strconv.AppendBool(space[:0], c.Value(row))
	case *array.Timestamp:
		if cell = appendTime(space[:0], int64(c.Value(row))); cell[0] == '"' {
			cell = cell[1 : len(cell)-1]
		} else {
			cell = nil // null
		}
	case *array.Dictionary:
		words, ok := c.Dictionary().(*array.String)
		if !ok {
			panic(fmt.Sprintf("event: a dictionary of %s is not canonical", c.Dictionary().DataType()))
		}
		return appendQuoted(dst, words.Value(c.GetValueIndex(row)), cfg)
	default:
		panic(fmt.Sprintf("event: a column of type %s is not canonical", column.DataType()))
	}
	if cell == nil {
		return append(dst, cfg.NullText...)
	}
	return appendQuoted(dst, string(cell), cfg)
}

// appendQuoted appends a text, in quotes where it would be read otherwise
// without.
func appendQuoted(dst []byte, text string, cfg CSVConfig) []byte {
	if text != cfg.NullText && !bytes.ContainsAny([]byte(text), cfg.Delimiter+"\"\r\n") {
		return append(dst, text...)
	}
	dst = append(dst, '"')
	for i := range len(text) {
		if text[i] == '"' {
			dst = append(dst, '"')
		}
		dst = append(dst, text[i])
	}
	return append(dst, '"')
}
