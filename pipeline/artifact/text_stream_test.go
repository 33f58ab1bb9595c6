package artifact_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/memory"
	"pgregory.net/rapid"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact/artifacttest"
	"github.com/thalweg/thalweg/pipeline/event"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

const ofTexts = `
apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: remarks}
spec:
  sources:
    train:  {s3: {path: "s3://lake/remarks/*.parquet"}, format: {type: parquet}}
    events: {kafka: {topic: remarks}, format: {type: json}}
  input_features:
    - {name: remarks, type: text, encoder: {type: tfidf, ngrams: [1, 2], buckets: 64, stem: english}}
    - {name: title, type: text, encoder: {type: bag, buckets: 16}, fill_value: untitled}
  output_features:
    - {name: y, type: binary}
  scoring:
    source: events
    sink: {s3: {path: "s3://lake/scored/"}, format: {type: parquet}}
`

// TestTextsScoreTheSameBitsInBatchAndStream scores random texts as training does, and as
// events.
func TestTextsScoreTheSameBitsInBatchAndStream(t *testing.T) {
	columns := table.Schema{Columns: []table.Column{{Name: "remarks", Type: table.String, Nullable: true}, {Name: "title", Type: table.String, Nullable: true},
		{Name: "y", Type: table.Bool, Nullable: true, TrainingOnly: true}}}
	a := artifacttest.Train(t, ofTexts, columns, 1, []any{"Storms over the sea", "Fog", true}, []any{nil, "fog", false}, []any{"the storm, the sea", nil, true}, []any{"delayed", "", false})
	decoder, err := event.NewDecoder(a.Plan().ScoringInput, event.Config{})
	if err != nil {
		t.Fatal(err)
	}
	words := rapid.SampledFrom([]string{"storms", "Storm", "the", "SEA", "delay", "東京", "über", ",", "3.14", "\u00a0", "don't"})
	rapid.Check(t, func(rt *rapid.T) {
		text := func() any {
			if rapid.IntRange(0, 5).Draw(rt, "null") == 0 {
				return nil
			}
			return strings.Join(rapid.SliceOfN(words, 0, 12).Draw(rt, "words"), " ")
		}
		var rows [][]any
		for range rapid.IntRange(1, 20).Draw(rt, "rows") {
			rows = append(rows, []any{text(), text(), nil})
		}
		batch := tabletest.Batch(memory.DefaultAllocator, columns, 0, rows...)
		defer batch.Release()
		inBatch := predictions(rt, a, pipeline.InTraining, batch)
		var events event.Events
		for i := range int(batch.NumRows()) {
			events.Values = event.AppendJSON(events.Values, batch, i)
			events.Ends, events.Offsets = append(events.Ends, len(events.Values)), append(events.Offsets, table.RowNumber(batch, i))
		}
		decoded, _, err := decoder.Decode(t.Context(), events)
		if err != nil {
			rt.Fatal(err)
		}
		defer decoded.Release()
		inStream := predictions(rt, a, pipeline.InScoring, decoded)
		if len(inStream) != len(rows) || len(inBatch) != len(rows) {
			rt.Fatalf("%d rows in the stream, %d in batch, of %d", len(inStream), len(inBatch), len(rows))
		}
		var alone []float32
		for row, p := range inStream {
			if q := inBatch[row]; math.Float32bits(p) != math.Float32bits(q) {
				rt.Fatalf("row %d is %v in the stream, %v in batch", row, p, q)
			}
			one := tabletest.Batch(memory.DefaultAllocator, columns, row, rows[row])
			alone = append(alone, predictions(rt, a, pipeline.InTraining, one)[row]-p)
			one.Release()
		}
		if slices.ContainsFunc(alone, func(d float32) bool { return d != 0 }) {
			rt.Fatalf("rows by themselves differ by %v", alone)
		}
	})
}
