package lineage

import (
	"math"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

func TestACellOfAListIsExactToTheBit(t *testing.T) {
	schema := table.Schema{Columns: []table.Column{{Name: "v", Type: table.Float64List, Nullable: true}, {Name: "n", Type: table.Int64List, Nullable: true}}}
	row := func(list ...any) []Cell {
		batch := tabletest.Batch(memory.DefaultAllocator, schema, 0, []any{[]any{}, nil}, []any{list, []any{int64(1), nil}})
		defer batch.Release()
		out, err := cells(schema, batch, 1)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	of := row(0.5, nil, 0.0)
	if of[0].String() != "[0.5, null, 0]" || of[0].Bits != "3fe0000000000000 - 0000000000000000" || of[1].String() != "[1, null]" || of[1].Bits != "" {
		t.Errorf("%+v", of)
	}
	for name, other := range map[string][]Cell{"another zero": row(0.5, nil, math.Copysign(0, -1)), "no null": row(0.5, 0.0, 0.0), "shorter": row(0.5, nil)} {
		if of[0].equal(other[0]) {
			t.Errorf("%s is equal", name)
		}
	}
}
