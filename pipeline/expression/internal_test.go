package expression

import (
	"maps"
	"slices"
	"testing"
)

// TestTheLanguageNamesEveryOperator that the compiler has.
func TestTheLanguageNamesEveryOperator(t *testing.T) {
	var named []string
	for _, o := range operators {
		named = append(named, o.Names...)
	}
	known := slices.Concat(slices.Collect(maps.Keys(comparisons)), slices.Collect(maps.Keys(textTests)), slices.Collect(maps.Keys(intOps)), slices.Collect(maps.Keys(floatOps)))
	for _, op := range known {
		if !slices.Contains(named, op) && !isFunction(op) {
			t.Errorf("operator %s is not explained", op)
		}
	}
	for name := range rowFunctions {
		if !isFunction(name) {
			t.Errorf("function %s is not explained", name)
		}
	}
}
