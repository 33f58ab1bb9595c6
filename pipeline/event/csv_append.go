package event

import (
	"bytes"
	"cmp"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg/pipeline/table"
)

// AppendCSV appends one row of a canonical batch to dst as the event that a
// Decoder of the same format decodes to that row: the columns of cfg, or
// all, in order and without a line end. A column of cfg that the batch has not is
// null, and so is what CSV cannot carry: a float that is not finite, a timestamp
// outside the years 0 to 9999, a list. It panics if a column is of no canonical type.
func AppendCSV(dst []byte, rec arrow.Record, row int, cfg CSVFormat) []byte {
	cfg.Delimiter = cmp.Or(cfg.Delimiter, ",")
	cfg.NullText = cmp.Or(cfg.NullText, new(string))
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
			dst = append(dst, *cfg.NullText...)
		}
	}
	return dst
}

func appendCell(dst []byte, column arrow.Array, row int, cfg CSVFormat) []byte {
	var space [40]byte
	cell, ok := AppendText(space[:0], column, row)
	if !ok {
		return append(dst, *cfg.NullText...)
	}
	return appendQuoted(dst, cell, cfg)
}

// appendQuoted appends a text, in quotes where it would be read otherwise
// without.
func appendQuoted(dst, text []byte, cfg CSVFormat) []byte {
	if string(text) != *cfg.NullText && !bytes.ContainsAny(text, cfg.Delimiter+"\"\r\n") {
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
