package balance

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

var columns = table.Schema{Columns: []table.Column{{Name: "s", Type: table.String, Nullable: true}, {Name: "i", Type: table.Int64, Nullable: true}, {Name: "b", Type: table.Bool, Nullable: true}}}

// rows are n of them: of 100 one has c, nine b, and others a, but for some that have null.
func rows(t *testing.T, n int) arrow.Record {
	t.Helper()
	all := make([][]any, n)
	for k := range all {
		switch {
		case k%13 == 12:
			all[k] = []any{nil, nil, nil}
		case k%100 == 0:
			all[k] = []any{"c", int64(-3), false}
		case k%100 < 10:
			all[k] = []any{"b", int64(2), false}
		default:
			all[k] = []any{"a", int64(math.MaxInt64), true}
		}
	}
	batch := tabletest.Batch(memory.DefaultAllocator, columns, 7, all...)
	t.Cleanup(batch.Release)
	return batch
}

func hash(row int64) uint64 { return kernel.Mix(uint64(row) * kernel.Golden) }

// Each value has as many rows as the least or most frequent, on average over hashes: within
// five deviations. Rows of other splits, and those without a value, are there once, and what
// becomes of a row depends on it alone.
func TestValuesBecomeAsFrequentAsOneAnother(t *testing.T) {
	const n = 60_000
	batch := rows(t, n)
	training := table.NewMask(n)
	for i := range n {
		if i%5 > 0 {
			training.Set(i)
		}
	}
	for _, by := range []string{"s", "i", "b"} {
		for _, method := range []string{pipeline.Downsample, pipeline.Upsample} {
			counts := make(Counts)
			if err := counts.Observe(by, batch, training); err != nil {
				t.Fatal(err)
			}
			want, of := int64(0), pipeline.Balance{Step: "3 balance", By: by, Method: method}
			for _, n := range counts {
				if want == 0 || (n < want) == (method == pipeline.Downsample) {
					want = n
				}
			}
			r := New(of, counts)
			var rep pipeline.Report
			copies, most, err := r.Copies(batch, training, hash, &rep, nil)
			if err != nil || len(r.Warnings) > 0 {
				t.Fatal(err, r.Warnings)
			}
			total, dropped := int64(0), int64(0)
			for i, c := range copies {
				if c != 1 && (!training.Has(i) || batch.Column(0).IsNull(i)) {
					t.Fatalf("row %d is there %d times", i, c)
				}
				if c > most {
					t.Errorf("row %d is there %d times, at most %d", i, c, most)
				}
				if total += int64(c); c == 0 {
					dropped++
				}
			}
			if total != n-dropped+rep.Repeated["3 balance"] || rep.Dropped["3 balance: not drawn by "+by] != dropped {
				t.Errorf("%s %s: %d rows of %d, and %v", by, method, total, n, rep)
			}
			for v, have := range rep.Balanced {
				if d := math.Abs(float64(have - want)); d > 5*math.Sqrt(float64(want)) {
					t.Errorf("%s %s: %d rows of %s, want about %d", by, method, have, v, want)
				}
			}
			if len(rep.Balanced) != len(counts) || method == pipeline.Downsample && total >= n || method == pipeline.Upsample && dropped > 0 {
				t.Errorf("%s %s: %v of %v", by, method, rep, counts)
			}
			some := batch.NewSlice(128, 256)
			again, _, err := r.Copies(some, training.Part(128, 256), hash, new(pipeline.Report), nil)
			some.Release()
			if err != nil || !slices.Equal(again, copies[128:256]) {
				t.Errorf("%s %s: in another batch %v: %v", by, method, again, err)
			}
			text := fmt.Sprint(r.Table(rep.Balanced))
			if !strings.HasPrefix(text, "[["+by+" rows balanced] [") {
				t.Error(text)
			}
		}
	}
}

// Rounds hand out each row as often as it is there, under numbers that no two of them share
// and that tell which row it is.
func TestRoundsHandOutEachCopyOnce(t *testing.T) {
	batch := rows(t, 50)
	copies, splits := make([]uint32, 50), make([]uint8, 50)
	for i := range copies {
		copies[i], splits[i] = uint32(i%4), uint8(i%3)
	}
	seen, times := make(map[int64]bool), make(map[int64]uint32)
	for k := range uint32(3) {
		rows, of, err := Round(memory.DefaultAllocator, batch, splits, copies, k)
		if err != nil {
			t.Fatal(err)
		}
		for i, row := range table.Rows(rows) {
			at := Original(row) - 7
			if seen[row] || of[i] != splits[at] || rows.Column(0).ValueStr(i) != batch.Column(0).ValueStr(int(at)) {
				t.Errorf("row %d is %s of split %d", row, rows.Column(0).ValueStr(i), of[i])
			}
			seen[row] = true
			times[at]++
		}
		rows.Release()
	}
	for i, n := range copies {
		if times[int64(i)] != n {
			t.Errorf("row %d is there %d times, want %d", i, times[int64(i)], n)
		}
	}
}

// Too many values are refused, by name; a row is repeated a thousand times at most, and who
// reads the report learns of it.
func TestBoundsAreNamed(t *testing.T) {
	many := make(Counts)
	for v := range MaxValues {
		many[fmt.Sprint(v)] = 1
	}
	if err := many.Merge("gate", Counts{"1": 1}); err != nil {
		t.Error(err)
	}
	if err := many.Merge("gate", Counts{"one more": 1}); !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), "column gate: it has more than 1000 values") {
		t.Error(err)
	}
	r := New(pipeline.Balance{Step: "1 balance", By: "s", Method: pipeline.Upsample}, Counts{"a": 5_000_000, "b": 2, "c": 5000})
	if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], `2 rows have s "b", and are repeated 1000 times: 2500000 would`) {
		t.Error(r.Warnings)
	}
	if s := r.shares["c"]; s.whole != 1000 || s.below != 0 {
		t.Error(s)
	}
	if s := New(pipeline.Balance{Method: pipeline.Downsample}, Counts{"a": 1 << 40, "b": 1}).shares["a"]; s.whole != 0 || s.below != 1<<24 {
		t.Error(s)
	}
}

func TestCountsOutliveTheirBatches(t *testing.T) {
	counts, rep := make(Counts), &pipeline.Report{}
	training := table.NewMask(3).Not()
	for _, values := range [][]any{{"aa", "bb", "bb"}, {"bb", "cc", "aa"}} {
		batch := tabletest.Batch(tabletest.Recycling{Allocator: memory.NewGoAllocator()}, columns, 0, []any{values[0], nil, nil}, []any{values[1], nil, nil}, []any{values[2], nil, nil})
		if err := counts.Observe("s", batch, training); err != nil {
			t.Fatal(err)
		}
		of := New(pipeline.Balance{Step: "balance", By: "s", Method: pipeline.Upsample}, Counts{"aa": 1, "bb": 1, "cc": 1})
		if _, _, err := of.Copies(batch, training, hash, rep, nil); err != nil {
			t.Fatal(err)
		}
		batch.Release()
	}
	want := map[string]int64{"aa": 2, "bb": 3, "cc": 1}
	if got := fmt.Sprint(map[string]int64(counts)); got != fmt.Sprint(want) {
		t.Errorf("counted %v", got)
	}
	if got := fmt.Sprint(rep.Balanced); got != fmt.Sprint(want) {
		t.Errorf("reported %v", got)
	}
}

// Values weigh the same, whatever their type, and a row without one weighs 1, as the mean row.
func TestValuesWeighTheSame(t *testing.T) {
	const n = 5_000
	batch := rows(t, n)
	all := table.NewMask(n).Not()
	for _, by := range []string{"s", "i", "b"} {
		counts := make(Counts)
		if err := counts.Observe(by, batch, all); err != nil {
			t.Fatal(err)
		}
		w := NewWeights(pipeline.Balance{Step: "1 balance", By: by, Method: pipeline.Weights}, counts)
		weights, err := w.Weigh(batch, nil, nil)
		if err != nil || len(weights) != n {
			t.Fatal(len(weights), err)
		}
		value, err := valuesOf(by, batch)
		if err != nil {
			t.Fatal(err)
		}
		of, sum := make(map[string]float64), 0.0
		for i, x := range weights {
			v, ok := value(i)
			if sum += float64(x); ok {
				of[v] += float64(x)
			} else if x != 1 {
				t.Errorf("a row without a value weighs %v", x)
			}
			if float64(x) > w.Most() {
				t.Errorf("a row weighs %v, at most %v", x, w.Most())
			}
		}
		if math.Abs(sum/n-1) > 1e-5 {
			t.Errorf("%s: the mean row weighs %v", by, sum/n)
		}
		for v, x := range of {
			for other, y := range of {
				if math.Abs(x/y-1) > 1e-5 {
					t.Errorf("%s: %s weighs %v, %s %v", by, v, x, other, y)
				}
			}
		}
		if text := fmt.Sprint(w.Table()); !strings.HasPrefix(text, "[["+by+" rows weight] [") {
			t.Error(text)
		}
	}
	w := NewWeights(pipeline.Balance{Step: "1 balance", By: "s", Method: pipeline.Weights}, Counts{"a": 900_000, "b": 3})
	if texts := w.Warnings(); len(texts) != 1 || !strings.Contains(texts[0], `1 balance: the 3 rows with s "b" weigh 1.5e+05 times the mean row`) {
		t.Error(texts)
	}
}
