package worker

import (
	"maps"
	"strings"
	"testing"

	"github.com/thalweg/thalweg/pipeline/split"
)

// A sample has its share of the rows, the same ones however shards are shared out and
// whatever other objects there are, and what is not drawn is counted.
func TestASampleIsTheSameHoweverShardsAreSharedOut(t *testing.T) {
	var want map[string]string
	var counts map[string]int64
	for _, tasks := range []uint32{1, 3, flightShards} {
		b := newBatchHalf(t)
		b.spec = strings.Replace(flightSpec, "  preprocessing:\n", "  preprocessing:\n    sample_ratio: 0.25\n", 1)
		hashes, _, got := b.all(tasks)
		if want == nil {
			want, counts = hashes, got
		}
		if !maps.Equal(got, counts) {
			t.Errorf("by %d tasks %v, not %v", tasks, got, counts)
		}
		for _, name := range []string{"split", "transform", "model_sha256", "evaluation"} {
			if hashes[name] != want[name] {
				t.Errorf("by %d tasks another %s", tasks, name)
			}
		}
		again := b.again()
		if again.all(tasks); !maps.Equal(again.counts, counts) {
			t.Errorf("a second run counts %v, not %v", again.counts, counts)
		}
	}
	const rows = flightShards * flightRows
	out := counts["dropped: sample_ratio: not drawn"]
	if counts["rows_in"] != rows || out < rows*70/100 || out > rows*80/100 || counts["rows.train"]+counts["rows.validation"]+counts["rows.test"] > rows-out {
		t.Errorf("%v of %d rows", counts, rows)
	}
	drawn, both := 0, 0
	sample := split.Origin{Object: "flights/1.parquet", First: 100}.Sample(7, 0.3)
	whole := split.Origin{Object: "flights/1.csv.gz"}.Sample(7, 0.3)
	for row := range int64(10_000) {
		if sample(row) != whole(row+100) {
			t.Fatalf("row %d is drawn by one shard alone", row)
		}
		if sample(row) {
			drawn++
			if (split.Origin{Object: "flights/1.parquet", First: 100}).Sample(8, 0.3)(row) {
				both++
			}
		}
	}
	if drawn < 2850 || drawn > 3150 || both < drawn/4 || both > drawn*36/100 {
		t.Errorf("%d of 10,000 are drawn, %d by another seed too", drawn, both)
	}
}
