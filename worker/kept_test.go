package worker

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/thalweg/thalweg/storage"
)

// prepared returns the keys of the prepared rows in the state bucket.
func (b *batchHalf) prepared() (keys []string) {
	b.t.Helper()
	for info, err := range b.worker.state.List(b.t.Context(), preparedDir, "") {
		if err != nil {
			b.t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

// decoded returns the rows that were read from the files of the dataset.
func (b *batchHalf) decoded() float64 {
	return counted(b.t, b.worker, "thalweg_dataset_rows_total", "")
}

// counted returns a counter of a worker, of those that say what, if it is not empty.
func counted(t *testing.T, w *Worker, name, what string) (sum float64) {
	t.Helper()
	families, err := w.metrics.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			of := what == ""
			for _, l := range m.GetLabel() {
				of = of || l.GetValue() == what
			}
			if f.GetName() == name && of {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// again is a run of the same pipeline.
func (b *batchHalf) again() *batchHalf {
	return &batchHalf{t: b.t, worker: b.worker, lake: b.lake, spec: b.spec, inputs: map[string]string{}, counts: map[string]int64{}}
}

// What a run reads of the dataset it reads once to clean and once to prepare; a run of
// rows that did not change reads nothing, and leaves the same.
func TestARunOfRowsThatDidNotChangeDecodesNone(t *testing.T) {
	b := newBatchHalf(t)
	want, _, counts := b.all(flightShards)
	if got := b.decoded(); got != 2*flightShards*flightRows {
		t.Errorf("%v rows decoded of %d", got, flightShards*flightRows)
	}
	first := b.prepared()
	again, _, againCounts := b.again().all(2)
	if !maps.Equal(again, want) || !maps.Equal(againCounts, counts) || b.decoded() != 2*flightShards*flightRows {
		t.Errorf("a second run: %v, %v, %v rows decoded", again, againCounts, b.decoded())
	}
	if keys := b.prepared(); len(first) == 0 || !slices.Equal(keys, first) {
		t.Errorf("prepared are %v, were %v", keys, first)
	}
	// Features that are encoded otherwise are fitted anew, to the rows that are there.
	other := b.again()
	other.spec = strings.Replace(flightSpec, "{name: distance, type: number}", "{name: distance, type: number, normalization: minmax}", 1)
	got, _, _ := other.all(2)
	alone := newBatchHalf(t)
	alone.spec = other.spec
	if fresh, _, _ := alone.all(1); !maps.Equal(got, fresh) || got["transform"] == want["transform"] || b.decoded() != 2*flightShards*flightRows {
		t.Errorf("other features: %v, %v rows decoded, want %v", got, b.decoded(), fresh)
	}
}

// A random split hashes the number of a row's shard, which objects that come and go
// change: what is kept of a shard serves runs in which it has the same number.
func TestRowsThatAreKeptHaveTheSplitsOfTheirShardsNumber(t *testing.T) {
	move := func(b *batchHalf) {
		if err := b.lake.Delete(t.Context(), "flights/0.parquet"); err != nil {
			t.Fatal(err)
		}
		if _, err := b.lake.Put(t.Context(), "flights/late.parquet", flightFile(t, flightShards)); err != nil {
			t.Fatal(err)
		}
	}
	fresh := newBatchHalf(t)
	move(fresh)
	want, _, wantCounts := fresh.all(flightShards)
	b := newBatchHalf(t)
	b.all(flightShards)
	move(b)
	if got, _, counts := b.again().all(2); !maps.Equal(got, want) || !maps.Equal(counts, wantCounts) {
		t.Errorf("after a run of other objects: %v, %v, want %v, %v", got, counts, want, wantCounts)
	}
}

// A feature that drops rows drops those that are kept.
func TestKeptRowsAreDroppedAsOthersAre(t *testing.T) {
	spec := strings.Replace(flightSpec, "{name: gates, type: list}", "{name: gates, type: list, missing_value_strategy: drop_row}", 1)
	of := func(bytes int64) map[string]string {
		b := newBatchHalf(t)
		b.spec, b.worker.cfg.KeepBytes = spec, bytes
		got, _, _ := b.all(flightShards)
		if again, _, _ := b.again().all(2); !maps.Equal(again, got) {
			t.Errorf("a second run: %v, want %v", again, got)
		}
		return got
	}
	if kept, read := of(1<<30), of(1); !maps.Equal(kept, read) {
		t.Errorf("of kept rows: %v, of rows that were read: %v", kept, read)
	}
}

// What rows have of texts is read in parts, kept or not, and the model is the same.
func TestRowsOfTextsAreReadInParts(t *testing.T) {
	text := "distance,delay,remark\n"
	for i := range 3 * partRows {
		text += fmt.Sprintf("%d,%d,word%d of %d\n", i%7, i%31, i%50, i%3)
	}
	spec := strings.NewReplacer("*.parquet", "*.csv", "type: parquet", "type: csv", "{name: origin, type: category}", "{name: remark, type: text}", "    - {name: gates, type: list}\n", "",
		"    - {name: first, type: number, expression: \"gates[0]\"}\n", "", "{columns: [origin], min_rows: 20}, ", "").Replace(flightSpec)
	of := func(bytes int64) string {
		b := newBatchHalf(t)
		b.spec, b.shards, b.worker.cfg.KeepBytes = spec, 1, bytes
		if _, err := b.lake.Put(t.Context(), "flights/a.csv", []byte(text)); err != nil {
			t.Fatal(err)
		}
		got, _, _ := b.all(1)
		rows, err := b.worker.openRows(t.Context(), b.lease())
		if err != nil {
			t.Fatal(err)
		}
		all := 0
		for batch, err := range rows.Read(t.Context(), 0) {
			if err != nil {
				t.Fatal(err)
			}
			if all += len(batch.Row); len(batch.Row) > partRows {
				t.Errorf("%d rows at once", len(batch.Row))
			}
		}
		if all == 0 {
			t.Error("no rows")
		}
		return got["model_sha256"]
	}
	if kept, read := of(1<<30), of(1); kept != read || kept == "" {
		t.Errorf("of kept rows %q, of rows that were read %q", kept, read)
	}
}

// Prepared rows that are damaged, cut or lost are never served: they are made again,
// and what a run leaves is the same.
func TestDamagedPreparedRowsAreMadeAgain(t *testing.T) {
	want, _, _ := newBatchHalf(t).all(flightShards)
	for name, damage := range map[string]func(b storage.Bucket, key string, body []byte) error{
		"flipped": func(b storage.Bucket, key string, body []byte) error {
			body[len(body)/2] ^= 4
			_, err := b.Put(t.Context(), key, body)
			return err
		},
		"cut": func(b storage.Bucket, key string, body []byte) error {
			_, err := b.Put(t.Context(), key, body[:len(body)/2])
			return err
		},
		"lost": func(b storage.Bucket, key string, _ []byte) error { return b.Delete(t.Context(), key) },
	} {
		b := newBatchHalf(t)
		b.after = func(stage string) {
			for _, key := range b.prepared() {
				body, _, err := b.worker.state.Get(t.Context(), key)
				if err == nil {
					err = damage(b.worker.state, key, body)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		got, _, _ := b.all(flightShards)
		if !maps.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
		found := counted(t, b.worker, "thalweg_prepared_bytes_total", keptDamaged)
		if b.decoded() <= 2*flightShards*flightRows || (found > 0) == (name == "lost") {
			t.Errorf("%s: %v rows decoded, %v bytes found damaged", name, b.decoded(), found)
		}
	}
}

// What is beyond the bound is read from the dataset each time.
func TestPreparedRowsAreBounded(t *testing.T) {
	want, _, _ := newBatchHalf(t).all(flightShards)
	b := newBatchHalf(t)
	b.worker.cfg.KeepBytes = 1000
	if got, _, _ := b.all(flightShards); !maps.Equal(got, want) || len(b.prepared()) != 2*flightShards || b.decoded() <= 2*flightShards*flightRows {
		t.Errorf("outputs %v, prepared %v, %v rows decoded", got, b.prepared(), b.decoded())
	}
}

// A run of other rows leaves those of the one before to nobody, and those of other
// pipelines alone.
func TestPreparedRowsOfEarlierRunsAreCollected(t *testing.T) {
	b := newBatchHalf(t)
	if _, err := b.worker.state.Put(t.Context(), preparedDir+"flights-2/ab-0000.rows", []byte("x")); err != nil {
		t.Fatal(err)
	}
	b.all(flightShards)
	before := b.prepared()
	next := b.again()
	next.spec = strings.Replace(flightSpec, "distance > 0", "distance > 1", 1)
	next.all(flightShards)
	after := b.prepared()
	if len(after) != len(before) || slices.ContainsFunc(before[1:], func(key string) bool { return slices.Contains(after, key) }) ||
		after[0] != preparedDir+"flights-2/ab-0000.rows" {
		t.Errorf("before %v\nafter %v", before, after)
	}
}
