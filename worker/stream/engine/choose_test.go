package engine

import (
	"math"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline/artifact/artifacttest"
	"github.com/thalweg/thalweg/pipeline/rollout"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

// TestRowsWithoutTheColumnGoByWhatTheyHave: rows of any values have an arm, the same for the
// same values, and those of other values another.
func TestRowsWithoutTheColumnGoByWhatTheyHave(t *testing.T) {
	t.Parallel()
	const n = 400
	text := array.NewStringBuilder(memory.DefaultAllocator)
	origin := array.NewStringBuilder(memory.DefaultAllocator)
	flag := array.NewBooleanBuilder(memory.DefaultAllocator)
	list := array.NewListBuilder(memory.DefaultAllocator, arrow.PrimitiveTypes.Float64)
	number := array.NewInt32Builder(memory.DefaultAllocator)
	for i := range n {
		k := i % (n / 2) // each twice
		text.AppendNull()
		if k%4 == 0 {
			origin.Append("a1")
		} else {
			origin.AppendNull()
		}
		flag.Append(k%2 == 0)
		list.Append(true)
		list.ValueBuilder().(*array.Float64Builder).AppendValues([]float64{math.NaN(), float64(k)}, nil)
		number.Append(int32(k))
	}
	columns := []arrow.Array{text.NewArray(), origin.NewArray(), flag.NewArray(), list.NewArray(), number.NewArray()}
	var fields []arrow.Field
	for i, name := range []string{"t", "origin", "f", "l", "distance"} {
		fields = append(fields, arrow.Field{Name: name, Type: columns[i].DataType(), Nullable: true})
	}
	rows := array.NewRecord(arrow.NewSchema(fields, nil), columns, n)
	offsets := make([]int64, n)
	for i := range offsets {
		offsets[i] = int64(i)
	}
	arms, err := NewRequestArms(commitlog.Rollout{Candidate: 2, Percent: 50, Salt: "s", By: "origin"}, artifacttest.TrainFlights(t, artifacttest.Flights, 2), Config{MaxEventBytes: DefaultMaxEventBytes})
	if err != nil {
		t.Fatal(err)
	}
	chosen, err := arms.ChooseRows(rows, offsets)
	if err != nil || len(chosen) != n {
		t.Fatalf("%d arms: %v", len(chosen), err)
	}
	count := 0
	for i, arm := range chosen {
		if k := i % (n / 2); chosen[k] != arm {
			t.Errorf("row %d and row %d have the same values and other arms", k, i)
		}
		if i%4 == 0 && arm != rollout.NewHash("s").Text("a1").Arm(50) {
			t.Errorf("row %d does not go by its column", i)
		}
		if i%4 != 0 {
			count += arm
		}
	}
	if count < n/4 || count > n/2 {
		t.Errorf("%d of %d rows without the column are the candidate's", count, n*3/4)
	}
}
