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
