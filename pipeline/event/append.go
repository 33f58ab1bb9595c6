package event

import (
	"fmt"
	"math"
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
	if column.IsNull(row) {
		return append(dst, "null"...)
	}
	switch c := column.(type) {
	case *array.Int64:
		return strconv.AppendInt(dst, c.Value(row), 10)
	case *array.Float64:
		return appendFloat(dst, c.Value(row))
	case *array.Boolean:
		return strconv.AppendBool(dst, c.Value(row))
	case *array.Timestamp:
		return appendTime(dst, int64(c.Value(row)))
	case *array.Dictionary:
		if words, ok := c.Dictionary().(*array.String); ok {
			return appendString(dst, words.Value(c.GetValueIndex(row)))
		}
	}
	panic(fmt.Sprintf("event: a column of type %s is not canonical", column.DataType()))
}

// appendFloat appends f as encoding/json does: the shortest digits that read
// back as f, with an exponent only for the very large and small.
func appendFloat(dst []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, f, format, -1, 64)
}

// timeLayout writes RFC 3339 in UTC.
const timeLayout = "2006-01-02T15:04:05.999999Z"

func appendTime(dst []byte, us int64) []byte {
	if us < table.MinMicros || us > table.MaxMicros {
		return append(dst, "null"...)
	}
	dst = append(dst, '"')
	dst = time.UnixMicro(us).UTC().AppendFormat(dst, timeLayout)
	return append(dst, '"')
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
