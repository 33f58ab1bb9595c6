package evaluation

import (
	"context"
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/model"
)

// shuffledModel is y = 3a + b, whose label is y.
func shuffledModel(t *testing.T) (*model.Model, []float32, model.Inputs, *pipeline.Spec) {
	t.Helper()
	shape := kernel.Shape{Numbers: 3, NumberNames: []string{"a", "b", "c"}}
	m, err := new(model.Linear).New(new(model.Squared), shape)
	if err != nil {
		t.Fatal(err)
	}
	spec := new(pipeline.Spec)
	spec.Spec.Trainer.ValidationMetric = "rmse"
	return m, []float32{3, 1, 0, 0}, model.Inputs{Names: shape.NumberNames, Numbers: []int{0, 1, 2}}, spec
}

// drawnRows are the rows of some shards, each drawn by itself and merged.
func drawnRows(t *testing.T, m *model.Model, params []float32, rows, shards int) *PermutationRows {
	t.Helper()
	total := NewPermutationRows(m.Shape(), 3, int64(rows))
	at := 0
	for shard := range shards {
		part := NewPermutationRows(m.Shape(), 3, int64(rows))
		for ; at < rows*(shard+1)/shards; at++ {
			random := rand.New(rand.NewPCG(uint64(at), 1))
			b := &kernel.Block{Rows: 1}
			label := float32(0)
			for k := range 3 {
				x := float32(random.NormFloat64())
				b.Numbers = append(b.Numbers, []float32{x})
				label += params[k] * x
			}
			part.Observe(b, 0, label, kernel.Mix(uint64(at)))
		}
		data, err := json.Marshal(part)
		if err != nil {
			t.Fatal(err)
		}
		var read *PermutationRows
		if err := json.Unmarshal(data, &read); err != nil {
			t.Fatal(err)
		}
		if err := total.Merge(read); err != nil {
			t.Fatal(err)
		}
	}
	return total
}

// TestShuffledInputsCostWhatTheyAreWorth: of y = 3a + b, an input that is independent of
// the others adds twice its variance to the mean squared error, whatever the shards.
func TestShuffledInputsCostWhatTheyAreWorth(t *testing.T) {
	m, params, inputs, spec := shuffledModel(t)
	var first *Permutation
	for _, shards := range []int{1, 3, 8} {
		drawn := drawnRows(t, m, params, 20_000, shards)
		if n := len(drawn.Labels); n < 3_800 || n > 4_400 {
			t.Errorf("%d rows are drawn", n)
		}
		p, err := drawn.importance(t.Context(), metric.Catalog(), spec, m, params, pipeline.Answer{Type: model.Number}, inputs)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []struct {
			name  string
			worse float64
		}{{"a", 3 * math.Sqrt2}, {"b", math.Sqrt2}, {"c", 0}} {
			if got := p.Inputs[i]; got.Input != want.name || math.Abs(got.Worse-want.worse) > 0.1*want.worse+1e-5 {
				t.Errorf("%d shards: %+v, want %+v", shards, got, want)
			}
		}
		if first == nil {
			first = p
		} else if diff := cmp.Diff(first, p); diff != "" {
			t.Errorf("%d shards (-one +more):\n%s", shards, diff)
		}
	}
}

// TestLongTextsKeepFewerRowsWhateverTheShards: of rows of many terms, or of one of very many,
// those of the smallest hashes stay that have no more values than are kept.
func TestLongTextsKeepFewerRowsWhateverTheShards(t *testing.T) {
	const rows = 40
	terms := make([]kernel.Term, permutedValues/2)
	for _, many := range []int{0, 3, 20} { // rows of so many times more terms
		var want []uint64
		for _, shards := range []int{1, 2, 7, rows} {
			total := NewPermutationRows(kernel.Shape{Terms: []int{9}}, 1, rows)
			for shard := range shards {
				part := NewPermutationRows(kernel.Shape{Terms: []int{9}}, 1, rows)
				for row := rows * shard / shards; row < rows*(shard+1)/shards; row++ {
					n := len(terms) / 16
					if row < many {
						n = len(terms) - row
					}
					part.Observe(&kernel.Block{Rows: 1, Terms: [][][]kernel.Term{{terms[:n]}}}, 0, float32(row), kernel.Mix(uint64(row)))
					if part.values > 2*permutedValues {
						t.Fatalf("a shard keeps %d values", part.values)
					}
				}
				part.Cut()
				if err := total.Merge(&PermutationRows{Hashes: part.Hashes, Labels: part.Labels, Terms: part.Terms, Below: part.Below}); err != nil {
					t.Fatal(err)
				}
			}
			values := 0
			for i, label := range total.Labels {
				if values += 2 * len(total.Terms[0][i]); total.Hashes[i] != kernel.Mix(uint64(label)) {
					t.Fatal("a row has the label of another")
				}
			}
			if values > permutedValues || len(total.Terms[0]) != len(total.Hashes) {
				t.Errorf("%d values of %d rows are kept", values, len(total.Hashes))
			}
			if want == nil {
				want = total.Hashes
			} else if diff := cmp.Diff(want, total.Hashes); diff != "" {
				t.Errorf("%d long rows, %d shards (-one +more):\n%s", many, shards, diff)
			}
		}
	}
}

func TestImportanceStopsWithItsContext(t *testing.T) {
	m, params, inputs, spec := shuffledModel(t)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := drawnRows(t, m, params, 100, 1).importance(ctx, metric.Catalog(), spec, m, params, pipeline.Answer{Type: model.Number}, inputs); err != context.Canceled {
		t.Error(err)
	}
}
