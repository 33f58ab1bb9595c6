package arrowtype

import (
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
)

// No name has what only Arrow says of a type.
func TestNamesAreThoseThatPeopleKnow(t *testing.T) {
	text := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.String}
	for want, types := range map[string][]arrow.DataType{
		"string":                  {text, arrow.BinaryTypes.String, arrow.BinaryTypes.LargeString},
		"dictionary of int64":     {&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.PrimitiveTypes.Int64}},
		"binary":                  {arrow.BinaryTypes.Binary, arrow.BinaryTypes.LargeBinary},
		"int16":                   {arrow.PrimitiveTypes.Int16},
		"timestamp":               {arrow.FixedWidthTypes.Timestamp_us, &arrow.TimestampType{Unit: arrow.Second}},
		"date":                    {arrow.FixedWidthTypes.Date32},
		"time":                    {arrow.FixedWidthTypes.Time64ns},
		"decimal(10, 2)":          {&arrow.Decimal128Type{Precision: 10, Scale: 2}},
		"list<string>":            {arrow.ListOf(text), arrow.LargeListOf(text), arrow.FixedSizeListOf(2, text)},
		"map<string, list<bool>>": {arrow.MapOf(arrow.BinaryTypes.String, arrow.ListOf(arrow.FixedWidthTypes.Boolean))},
		"struct<a: string, b: struct<c: timestamp>>": {arrow.StructOf(arrow.Field{Name: "a", Type: text},
			arrow.Field{Name: "b", Type: arrow.StructOf(arrow.Field{Name: "c", Type: arrow.FixedWidthTypes.Timestamp_ns})})},
	} {
		for _, is := range types {
			if got := Name(is); got != want {
				t.Errorf("%s is %s, want %s", is, got, want)
			}
		}
	}
}
