package dataset

import (
	"reflect"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
)

// A gap counts the objects with rows that lack a column or have it of type null, and
// names the first of them.
func TestGapsCountWhatObjectsLack(t *testing.T) {
	object := func(key string, rows int64, fields ...arrow.Field) discovered {
		return discovered{object: Object{Key: key, Rows: rows}, fields: fields}
	}
	a, b := arrow.Field{Name: "a", Type: arrow.PrimitiveTypes.Int64}, arrow.Field{Name: "b", Type: arrow.PrimitiveTypes.Float64}
	_, got := union([]discovered{object("1", 1, b), object("2", 0, b), object("3", 10, a), object("4", 100, a, arrow.Field{Name: "b", Type: arrow.Null}),
		object("5", 1000, b, a), object("6", 0, a), object("7", 10_000, a), object("8", 100_000, a)})
	want := []Gap{{"b", 4, 110_110, []string{"3", "4", "7"}}, {"a", 1, 1, []string{"1"}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// Strings are one type however objects keep them; other dictionaries are not what they
// are of.
func TestStringsAreOneTypeHoweverObjectsKeepThem(t *testing.T) {
	words := func(t arrow.DataType) arrow.DataType {
		return &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: t}
	}
	one := func(types ...arrow.DataType) bool {
		var files []discovered
		for _, t := range types {
			files = append(files, discovered{fields: []arrow.Field{{Name: "a", Type: t}}})
		}
		schema, _ := union(files)
		_, refused := schema.Field(0).Type.(*unusable)
		return !refused
	}
	if s, l := arrow.BinaryTypes.String, arrow.BinaryTypes.LargeString; !one(s, l, words(s), words(l)) || !one(words(l), s) {
		t.Error("strings are not one type")
	}
	if i := arrow.PrimitiveTypes.Int64; one(i, words(i)) || one(arrow.BinaryTypes.String, words(i)) || one(arrow.BinaryTypes.String, arrow.BinaryTypes.Binary) {
		t.Error("types that nobody reads as one are")
	}
}
