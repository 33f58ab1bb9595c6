// Package arrowtype names the types of Arrow in messages as people know them.
package arrowtype

import (
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
)

// Name returns the name of a type. That strings come as dictionaries or with wide
// offsets, and in which unit times are, is left out.
func Name(t arrow.DataType) string {
	switch t := t.(type) {
	case *arrow.StringType, *arrow.LargeStringType:
		return "string"
	case *arrow.LargeBinaryType:
		return "binary"
	case *arrow.TimestampType:
		return "timestamp"
	case *arrow.Date32Type, *arrow.Date64Type:
		return "date"
	case *arrow.Time32Type, *arrow.Time64Type:
		return "time"
	case *arrow.DictionaryType:
		if values := Name(t.ValueType); values != "string" {
			return "dictionary of " + values
		}
		return "string"
	case *arrow.MapType:
		return "map<" + Name(t.KeyType()) + ", " + Name(t.ItemType()) + ">"
	case arrow.ListLikeType:
		return "list<" + Name(t.Elem()) + ">"
	case *arrow.StructType:
		fields := make([]string, t.NumFields())
		for i, f := range t.Fields() {
			fields[i] = f.Name + ": " + Name(f.Type)
		}
		return "struct<" + strings.Join(fields, ", ") + ">"
	}
	return t.String()
}
