package event

import (
	"bytes"
	"fmt"
	"strconv"
	"time"

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
	var space [40]byte
	cell, ok := AppendText(space[:0], column, row)
	if !ok {
		return append(dst, cfg.NullText...)
	}
	return appendQuoted(dst, cell, cfg)
}

// AppendText appends a value of a canonical column to dst as the text that a CSV
// field, a record's key or a header holds of it. ok is false where it is null, or
// has no text: a float that is not finite, a timestamp outside the years 0 to
// 9999. It panics if the column is of no canonical type.
func AppendText(dst []byte, column arrow.Array, row int) (text []byte, ok bool) {
	if column.IsNull(row) {
		return dst, false
	}
	switch c := column.(type) {
	case *array.Int64:
		return strconv.AppendInt(dst, c.Value(row), 10), true
	case *array.Float64:
		v := c.Value(row)
		if v-v != 0 {
			return dst, false
		}
		return appendFloat(dst, v), true
	case *array.Boolean:
		return strconv.AppendBool(dst, c.Value(row)), true
	case *array.Timestamp:
		if us := int64(c.Value(row)); us >= table.MinMicros && us <= table.MaxMicros {
			return time.UnixMicro(us).UTC().AppendFormat(dst, timeLayout), true
		}
		return dst, false
	case *array.Dictionary:
		if words, ok := c.Dictionary().(*array.String); ok {
			return append(dst, words.Value(c.GetValueIndex(row))...), true
		}
	}
	panic(fmt.Sprintf("event: a column of type %s is not canonical", column.DataType()))
}

// appendQuoted appends a text, in quotes where it would be read otherwise
// without.
func appendQuoted(dst, text []byte, cfg CSVConfig) []byte {
	if string(text) != cfg.NullText && !bytes.ContainsAny(text, cfg.Delimiter+"\"\r\n") {
		return append(dst, text...)
	}
	dst = append(dst, '"')
	for _, ch := range text {
		if ch == '"' {
			dst = append(dst, '"')
		}
		dst = append(dst, ch)
	}
	return append(dst, '"')
}
