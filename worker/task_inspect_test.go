package worker

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/dataset"
)

// skipping is flightSpec with a policy for bad shards.
func skipping(policy string) string {
	return strings.Replace(flightSpec, "format: {type: parquet}}", "format: {type: parquet}, on_bad_shard: "+policy+"}", 1)
}

// damage changes bytes in the pages of a file, not in its footer.
func damage(t *testing.T, lake storage.Bucket, key string) {
	t.Helper()
	body, _, err := lake.Get(t.Context(), key)
	if err == nil {
		body = bytes.Clone(body)
		for i := range 40 {
			body[60+i] ^= 0xff
		}
		_, err = lake.Put(t.Context(), key, body)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A shard whose pages are damaged, and an object without a footer, are left out of all that
// a run makes, by any number of tasks: features are fitted to the other rows alone, and the run, the
// manifest and the version say which parts it lacks and why.
func TestBadShardsAreLeftOutAndNamed(t *testing.T) {
	clean := newBatchHalf(t)
	clean.spec = flightSpec
	if err := clean.lake.Delete(t.Context(), "flights/2.parquet"); err != nil {
		t.Fatal(err)
	}
	clean.shards = flightShards - 1
	want, _, wantCounts := clean.all(1)
	var model string
	for _, tasks := range []uint32{1, 2, flightShards} {
		b := newBatchHalf(t)
		damage(t, b.lake, "flights/2.parquet")
		b.put("flights/x.parquet", "PAR1 this is not a footer PAR1")
		b.spec = skipping("{type: skip, max_skipped: 2}")
		got, _, counts := b.all(tasks)
		if counts[stages.SkippedShards] != 2 || counts["rows.skipped"] != flightRows || counts["rows_in"] != wantCounts["rows_in"] || counts["rows.train"] != wantCounts["rows.train"] {
			t.Errorf("by %d tasks: %v, want %v", tasks, counts, wantCounts)
		}
		if got["transform_hash"] != want["transform_hash"] {
			t.Errorf("by %d tasks: transform %s, want %s", tasks, got["transform_hash"], want["transform_hash"])
		}
		if model == "" {
			model = got["model_sha256"]
		}
		if got["model_sha256"] != model {
			t.Errorf("by %d tasks: another model", tasks)
		}
		said := b.inputs["skipped_shards"]
		for _, part := range []string{"2 shards are left out", "object flights/x.parquet: ", "object flights/2.parquet, row groups [0, 1), rows [0, 500): ", `row group 0, column "`} {
			if !strings.Contains(said, part) {
				t.Errorf("%q is not in %s", part, said)
			}
		}
		trained, err := b.worker.artifact(t.Context(), b.inputs["checkpoint"])
		if err != nil || !strings.Contains(string(trained.Dataset), `"skipped":"`) {
			t.Errorf("%v; the version's manifest is %s", err, trained.Dataset)
		}
		// Once more, with what is kept, and after the damage was mended.
		again, _, counts := b.again().all(1)
		if again["model_sha256"] != model || counts[stages.SkippedShards] != 2 {
			t.Errorf("once more: %s, %v", again["model_sha256"], counts)
		}
		b.put("flights/2.parquet", string(flightFile(t, 2)))
		if _, _, counts := b.again().all(1); counts[stages.SkippedShards] != 1 || counts["rows_in"] != flightShards*flightRows {
			t.Errorf("mended: %v", counts)
		}
	}
}

// Too many bad shards end the run, and without the policy one does, with its name.
func TestBadShardsBeyondTheBoundEndTheRun(t *testing.T) {
	b := newBatchHalf(t)
	damage(t, b.lake, "flights/1.parquet")
	damage(t, b.lake, "flights/2.parquet")
	b.spec = skipping("skip")
	report := b.upTo("clean", 2)
	for _, want := range []string{"inspect dataset", "2 shards are left out", "object flights/1.parquet", "object flights/2.parquet", "1 may be", "max_skipped"} {
		if !strings.Contains(report.Error, want) || !report.Permanent {
			t.Errorf("%q is not in %s", want, report.Error)
		}
	}
	b.put("flights/x.parquet", "")
	b.put("flights/y.parquet", "")
	if report := b.upTo("profile", 1); !strings.Contains(report.Error, "object flights/x.parquet") || !report.Permanent {
		t.Errorf("two objects without a footer: %v", report)
	}
	b = newBatchHalf(t)
	damage(t, b.lake, "flights/2.parquet")
	if report := b.upTo("fit", 1); !strings.Contains(report.Error, "object flights/2.parquet, row group 0") {
		t.Errorf("without a policy: %v", report)
	}
}

// Shards are left out before shuffles and steps that learn, which know nothing of their rows.
func TestBadShardsAreLeftOutBeforeShufflesAndLearning(t *testing.T) {
	b := newBatchHalf(t)
	damage(t, b.lake, "flights/0.parquet")
	b.spec = strings.Replace(dedupeSpec, "format: {type: parquet}}", "format: {type: parquet}, on_bad_shard: skip}", 1)
	b.spec = strings.Replace(b.spec, "  input_features:", "      - {outliers: {column: distance, method: iqr, threshold: 3.0, action: clip}}\n  input_features:", 1)
	_, _, counts := b.all(3)
	if counts[stages.SkippedShards] != 1 || counts["rows_in"] != (flightShards-1)*flightRows {
		t.Errorf("%v", counts)
	}
}

// Where a label file is joined first, shards are left out all the same.
func TestBadShardsAreLeftOutBeforeLabelsAreJoined(t *testing.T) {
	b := newBatchHalf(t)
	damage(t, b.lake, "flights/1.parquet")
	labels := ""
	for i := range 9 {
		labels += fmt.Sprintf("{\"origin\":\"airport %d\",\"late\":%v}\n", i, i%2 == 0)
	}
	b.put("labels/0.jsonl", labels)
	b.spec = strings.NewReplacer("format: {type: parquet}}", `format: {type: parquet}, on_bad_shard: skip,
      label_file: {s3: {path: "s3://lake/labels/*.jsonl"}, format: {type: jsonl}, key: origin, columns: [late]}}
  schema: {columns: [{name: late, type: bool, available_in: [training]}]}`,
		`{name: delayed, type: binary, expression: "delay > 15", threshold: {optimize: f1}}`, "{name: late, type: binary}").Replace(flightSpec)
	report := b.upTo("fit", 2)
	if report.Error != "" || b.counts[stages.SkippedShards] != 1 || report.Counts["rows_in"] != (flightShards-1)*flightRows || report.Counts["rows.train"] == 0 {
		t.Errorf("%v", report)
	}
}

// A table of cleaned rows lacks the rows of an object that cannot be decompressed, and says so.
func TestATableSaysWhichShardsItLacks(t *testing.T) {
	b := ordersOf(t, "", "")
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write([]byte(orders(7, 4000))); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	whole := packed.String()
	b.put("orders/7.csv.gz", whole[:len(whole)/2])
	b.spec = strings.NewReplacer("orders/*.csv", "orders/*", "on_bad_row: {type: reject, max_rate: 1%}", "on_bad_shard: skip").Replace(b.spec)
	report := b.write(2)
	if report.Error != "" || report.Counts["rows_in"] != flightShards*400 {
		t.Fatal(report)
	}
	manifest, _, err := b.lake.Get(t.Context(), "clean/orders/_manifest.json")
	if err != nil || !strings.Contains(string(manifest), `"reason": "look for records: object orders/7.csv.gz: read text: unexpected EOF`) {
		t.Errorf("%v: %.900s", err, manifest)
	}
}

// failingBucket fails each range with an error of a kind.
type failingBucket struct {
	storage.Bucket
	kind thalweg.Kind
}

func (b failingBucket) GetRange(_ context.Context, key string, _ int64, _ []byte) error {
	return storage.Failure("get range", b.kind, key, errors.New("no answer"))
}

// What a store answers is never a reason to leave a shard out, whatever its kind.
func TestAStoreThatFailsLeavesNoShardOut(t *testing.T) {
	for kind := thalweg.Other; kind <= thalweg.Throttled; kind++ {
		b := newBatchHalf(t)
		b.spec = skipping("skip")
		b.upTo("profile", 1)
		d, err := b.worker.openData(t.Context(), b.lease())
		if err != nil {
			t.Fatal(err)
		}
		store := &watchedBucket{Bucket: failingBucket{b.lake, kind}}
		d.source.Bucket = store
		if err := d.inspect(t.Context(), 1); err == nil || store.blameless(err) {
			t.Errorf("%v: %v", kind, err)
		}
		// But an answer that is wrong in itself is.
		damage(t, b.lake, "flights/1.parquet")
		store = &watchedBucket{Bucket: b.lake}
		d.source.Bucket = store
		if err := d.inspect(t.Context(), 0); err != nil {
			t.Errorf("%v", err)
		}
		if err := d.inspect(t.Context(), 1); err == nil || store.blameless(err) != thalweg.Is(err, thalweg.Corrupt) {
			t.Errorf("%v", err)
		}
	}
}

// hugeSpec is of rows with one number.
const hugeSpec = `apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: flights}
spec:
  sources:
    train: {s3: {path: "s3://lake/huge/*.parquet"}, format: {type: parquet}}
  input_features: [{name: fuel, type: number NORM}]
  output_features: [{name: delay, type: number}]
  model: MODEL
  trainer: {distributed: {replicas: 2}}
`

// hugeFile is a shard of rows, of which one has a value of its own.
func hugeFile(t *testing.T, shard, odd int, v float64) []byte {
	t.Helper()
	random := rand.New(rand.NewPCG(7, uint64(shard)))
	schema := arrow.NewSchema([]arrow.Field{{Name: "fuel", Type: arrow.PrimitiveTypes.Float64}, {Name: "delay", Type: arrow.PrimitiveTypes.Float64}}, nil)
	rows := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer rows.Release()
	for row := range flightRows {
		x := random.Float64() * 100
		y := x + random.Float64()*20
		if row == odd {
			x = v
		}
		rows.Field(0).(*array.Float64Builder).Append(x)
		rows.Field(1).(*array.Float64Builder).Append(y)
	}
	batch := rows.NewRecord()
	defer batch.Release()
	var out bytes.Buffer
	w, err := dataset.NewWriter(&out, schema, dataset.WriterConfig{})
	if err == nil {
		err = errors.Join(w.Write(batch), w.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func hugeHalf(t *testing.T, v float64) *batchHalf {
	b := newBatchHalf(t)
	for i := range flightShards {
		odd := -1
		if i == 2 {
			odd = 123
		}
		b.put(fmt.Sprintf("huge/%d.parquet", i), string(hugeFile(t, i, odd, v)))
	}
	return b
}

// A NaN and an infinite number are missing values, whatever the model; one near the end of
// the float64 range ends the run with its object and row, or has its shard left out.
func TestNumbersThatAreNoneAreMissingAndHugeOnesAreNamed(t *testing.T) {
	for _, model := range []string{"{type: linear}", "{type: mlp, hidden: [8]}", "{type: trees}"} {
		spec := strings.NewReplacer("MODEL", model, " NORM", "").Replace(hugeSpec)
		for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			b := hugeHalf(t, v)
			b.spec = spec
			if _, metrics, _ := b.all(2); !(metrics["test.rmse"] < 30) {
				t.Errorf("%s, %v: %v", model, v, metrics)
			}
		}
		b := hugeHalf(t, -1e300)
		b.spec = spec
		report := b.upTo("fit", 2)
		for _, want := range []string{"object huge/2.parquet, row group 0", "feature fuel, row 123: -1e+300 is beyond", "on_bad_shard"} {
			if !strings.Contains(report.Error, want) || !report.Permanent {
				t.Errorf("%s: %q is not in %s", model, want, report.Error)
			}
		}
		var hash string
		for _, tasks := range []uint32{1, 2, flightShards} {
			b = hugeHalf(t, -1e300)
			b.spec = strings.Replace(spec, "format: {type: parquet}}", "format: {type: parquet}, on_bad_shard: skip}", 1)
			hashes, metrics, counts := b.all(tasks)
			if hash == "" {
				hash = hashes["model_sha256"]
			}
			if counts[stages.SkippedShards] != 1 || !(metrics["test.rmse"] < 30) || hashes["model_sha256"] != hash ||
				!strings.Contains(b.inputs["skipped_shards"], "object huge/2.parquet, row groups [0, 1), rows [0, 500)") || !strings.Contains(b.inputs["skipped_shards"], "row 123: -1e+300") {
				t.Errorf("%s by %d tasks: %v %v %s", model, tasks, counts, metrics, b.inputs["skipped_shards"])
			}
		}
	}
}

// A training that diverges names the row with the largest value that the model reads.
func TestADivergenceNamesTheRowOfTheLargestValue(t *testing.T) {
	for _, model := range []string{"{type: mlp, hidden: [8]}", "{type: linear}\n  crosses: []"} {
		b := hugeHalf(t, 1e30)
		b.spec = strings.NewReplacer("MODEL", model, "NORM", ", normalization: none", "\n  crosses: []", "").Replace(hugeSpec)
		if strings.Contains(model, "linear") {
			b.spec = strings.Replace(b.spec, "trainer: {", "trainer: {optimizer: {type: sgd, learning_rate: 0.1}, epochs: 3, ", 1)
		}
		open := b.spec
		for schema, wants := range map[string][]string{
			"": {"is not finite any more", "feature fuel is 1e+18 in object huge/2.parquet, row 123", "the label is ", "filter them out"},
			"  schema: {columns: [{name: fuel, type: float64}, {name: delay, type: float64, available_in: [training]}, {name: who, type: string, pii: drop}]}\n": {
				"is not finite any more", "feature fuel in object huge/2.parquet, row 123; the label in object huge/", "filter them out"},
		} {
			run := b.again()
			run.spec = strings.Replace(open, "  input_features", schema+"  input_features", 1)
			run.upTo("fit", 1)
			report := run.replica()
			for _, want := range wants {
				if !strings.Contains(report.Error, want) || !report.Permanent {
					t.Errorf("%s: %q is not in %s", model, want, report.Error)
				}
			}
			if schema != "" && (strings.Contains(report.Error, "1e+18") || strings.Contains(report.Error, "the label is")) {
				t.Errorf("%s: a value is shown: %s", model, report.Error)
			}
		}
	}
}

// One number that all others are scaled by is named with its row; a feature whose values vary
// by themselves, if widely, is not.
func TestANumberThatSetsTheScaleIsNamed(t *testing.T) {
	for _, c := range []struct {
		value             float64
		normalization, of string
	}{
		{1e30, "", "feature fuel: one value of 2000, 1e+30 in object huge/2.parquet, row 123 makes 100 % of the variance"},
		{-1e9, ", normalization: minmax", "one value of 2000, -1e+09 in object huge/2.parquet, row 123 makes"},
		{1e30, ", normalization: robust", ""}, {1e30, ", normalization: log1p", ""},
		{500, "", ""}, {math.NaN(), "", ""},
	} {
		b := hugeHalf(t, c.value)
		b.spec = strings.NewReplacer("MODEL", "{type: linear}", " NORM", c.normalization, "  model:", "  preprocessing: {split: {type: random, probabilities: [1, 0, 0]}}\n  model:").Replace(hugeSpec)
		report := b.upTo("fit", 2)
		text := report.Error + strings.Join(report.Warnings, "\n")
		if c.of == "" && strings.Contains(text, "variance") || !strings.Contains(text, c.of) {
			t.Errorf("%v%s: %q", c.value, c.normalization, text)
		}
	}
}

// replica trains as the only holder of all replicas, and returns what the first reports.
func (b *batchHalf) replica() *apiv1.TaskReport {
	b.t.Helper()
	reports := make(chan *apiv1.TaskReport)
	peers := []*apiv1.Peer{{Replica: 0, Worker: "w", Address: b.worker.ExchangeAddress()}, {Replica: 1, Worker: "w", Address: b.worker.ExchangeAddress()}}
	for i := range peers {
		go func() { reports <- b.task(&apiv1.Lease{Kind: "train", Index: uint32(i), Peers: peers}) }()
	}
	<-reports
	return <-reports
}
