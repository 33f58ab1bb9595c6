package event

import (
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg/pipeline/table"
)

// AppendJSON appends one row of a canonical batch to dst as the event that a
// Decoder of the same schema decodes to that row: a JSON object of the columns
// in order without table.RowColumn, nulls spelled out, timestamps in RFC 3339
// and UTC. The bytes depend on the row's values only. What JSON cannot carry
// becomes what it can: a float that is not finite and a timestamp outside the
// years 0 to 9999 become null, bytes that are not UTF-8 become U+FFFD. It panics
// if a column is of no canonical type.
func AppendJSON(dst []byte, rec arrow.Record, row int) []byte {
	dst = append(dst, '{')
	first := true
	for i, field := range rec.Schema().Fields() {
		if field.Name == table.RowColumn {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = appendString(dst, field.Name)
		dst = append(dst, ':')
		dst = appendValue(dst, rec.Column(i), row)
	}
	return append(dst, '}')
}

func appendValue(dst []byte, column arrow.Array, row int) []byte {
	if words, ok := column.(*array.Dictionary); ok && words.IsValid(row) {
		return appendString(dst, wordOf(words, row))
	}
	if lists, ok := column.(*array.List); ok && lists.IsValid(row) {
		from, to := lists.ValueOffsets(row)
		dst = append(dst, '[')
		for e := from; e < to; e++ {
			if e > from {
				dst = append(dst, ',')
			}
			dst = appendValue(dst, lists.ListValues(), int(e))
		}
		return append(dst, ']')
	}
	start := len(dst)
	_, quoted := column.(*array.Timestamp)
	if quoted {
		dst = append(dst, '"')
	}
	dst, ok := AppendText(dst, column, row)
	if !ok {
		return append(dst[:start], "null"...)
	}
	if quoted {
		dst = append(dst, '"')
	}
	return dst
}

// timeLayout writes RFC 3339 in UTC.
const timeLayout = "2006-01-02T15:04:05.999999Z"

// AppendText appends a value of a canonical column to dst as the text that a CSV
// field, a record's key or a header holds of it. ok is false where it is null, or
// has no text: a float that is not finite, a timestamp outside the years 0 to
// 9999, a list. It panics if the column is of no canonical type.
func AppendText(dst []byte, column arrow.Array, row int) (text []byte, ok bool) {
	if column.IsNull(row) {
		return dst, false
	}
	switch c := column.(type) {
	case *array.Int64:
		return strconv.AppendInt(dst, c.Value(row), 10), true
	case *array.Float64:
		return table.AppendFloat(dst, c.Value(row))
	case *array.Boolean:
		return strconv.AppendBool(dst, c.Value(row)), true
	case *array.Timestamp:
		if us := int64(c.Value(row)); us >= table.MinMicros && us <= table.MaxMicros {
			return time.UnixMicro(us).UTC().AppendFormat(dst, timeLayout), true
		}
		return dst, false
	case *array.Dictionary:
		return append(dst, wordOf(c, row)...), true
	case *array.List:
		return dst, false
	}
	panic(fmt.Sprintf("event: a column of type %s is not canonical", column.DataType()))
}

// wordOf returns the value of a row of a string column.
func wordOf(c *array.Dictionary, row int) string {
	return c.Dictionary().(*array.String).Value(c.GetValueIndex(row))
}

// appendString appends s in quotes, escaping what RFC 8259 demands and nothing
// more.
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		switch ch := s[i]; {
		case ch == '"' || ch == '\\':
			dst = append(dst, '\\', ch)
			i++
		case ch < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hex[ch>>4], hex[ch&15])
			i++
		case ch < utf8.RuneSelf:
			dst = append(dst, ch)
			i++
		default:
			r, n := utf8.DecodeRuneInString(s[i:])
			dst = utf8.AppendRune(dst, r)
			i += n
		}
	}
	return append(dst, '"')
}
