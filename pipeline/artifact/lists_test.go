package artifact_test

import (
	"math"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"pgregory.net/rapid"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/artifact/artifacttest"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/event"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

const ofLists = `
apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: vectors}
spec:
  sources:
    train:  {s3: {path: "s3://lake/vectors/*.parquet"}, format: {type: parquet}}
    events: {kafka: {topic: vectors}, format: FORMAT}
  preprocessing:
    clean:
      - {filter: {expression: "n[0] == null || n[0] != 3", apply_to: [training, scoring]}}
  input_features:
    - {name: v, type: list, length: 2}
    - {name: n, type: list, length: 2, normalization: minmax, missing_value_strategy: fill_with_const, fill_value: 9}
    - {name: b, type: list, normalization: log1p}
    - {name: size, type: number, expression: "len(v)"}
    - {name: first, type: category, expression: "b[0]"}
  output_features:
    - {name: y, type: binary}
  model: MODEL
  scoring:
    source: events
    sink: {s3: {path: "s3://lake/scored/"}, format: {type: parquet}}
`

// TestListsScoreTheSameBitsInBatchAndStream scores random rows as training does, and
// as events of each format that has lists.
func TestListsScoreTheSameBitsInBatchAndStream(t *testing.T) {
	type l = []any
	columns := table.Schema{Columns: []table.Column{{Name: "v", Type: table.Float64List, Nullable: true}, {Name: "n", Type: table.Int64List, Nullable: true},
		{Name: "b", Type: table.BoolList, Nullable: true}, {Name: "y", Type: table.Bool, Nullable: true, TrainingOnly: true}}}
	rows := [][]any{{l{0.5, 1.0}, l{int64(3), int64(4)}, l{true, nil, false}, true}, {l{-2.0, nil}, l{}, nil, false}, {nil, nil, l{false, true, true}, true}, {l{7.0}, l{int64(1), int64(8)}, l{}, false}}
	schema := table.Schema{Columns: columns.Columns[:3]}
	text, err := event.AvroSchemaOf("vectors", schema)
	if err != nil {
		t.Fatal(err)
	}
	encoder, err := event.NewAvroEncoder(text, schema.Arrow())
	if err != nil {
		t.Fatal(err)
	}
	train := func(format, model string) *artifact.Artifact {
		document := strings.NewReplacer("FORMAT", format, "MODEL", model).Replace(ofLists)
		if strings.Contains(model, "cnn") { // which reads one list
			before, after, _ := strings.Cut(document, "    - {name: v, type: list, length: 2}\n")
			_, after, _ = strings.Cut(after, "  output_features:")
			document = before + "    - {name: v, type: list, shape: [2, 1]}\n  output_features:" + after
		}
		a := artifacttest.Train(t, document, columns, 1, rows...)
		if strings.Contains(format, "avro") {
			a.EventSchema = text
		}
		parts, err := a.Encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		if a, err = artifact.Decode(catalog.All(), parts); err != nil {
			t.Fatal(err)
		}
		return a
	}
	formats := map[string]struct {
		artifact *artifact.Artifact
		cfg      event.Config
		encode   func(rec arrow.Record, row int) []byte
	}{
		"json":        {train("{type: json}", "{type: linear}"), event.Config{}, func(rec arrow.Record, row int) []byte { return event.AppendJSON(nil, rec, row) }},
		"json, a cnn": {train("{type: json}", "{type: cnn, layers: [{conv: {channels: 3}}, {pool: {}}, {dense: {size: 4, dropout: 0.3}}]}"), event.Config{}, func(rec arrow.Record, row int) []byte { return event.AppendJSON(nil, rec, row) }},
		"avro": {train(`{type: avro, schema_file: "s3://lake/v.avsc"}`, "{type: linear}"), event.Config{Format: &event.AvroFormat{SchemaFile: "s3://lake/v.avsc"}, Schema: text}, func(rec arrow.Record, row int) []byte {
			b, err := encoder.Append(nil, rec, row)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}},
	}
	rapid.Check(t, func(rt *rapid.T) {
		batch := tabletest.Draw(rt, memory.DefaultAllocator, columns, 20)
		defer batch.Release()
		for name, f := range formats {
			inBatch := predictions(rt, f.artifact, pipeline.InTraining, batch)
			decoder, err := event.NewDecoder(f.artifact.Plan().ScoringInput, f.cfg)
			if err != nil {
				rt.Fatal(err)
			}
			var events event.Events
			for i := range int(batch.NumRows()) {
				events.Values = append(events.Values, f.encode(batch, i)...)
				events.Ends, events.Offsets = append(events.Ends, len(events.Values)), append(events.Offsets, table.RowNumber(batch, i))
			}
			decoded, _, err := decoder.Decode(t.Context(), events)
			if err != nil {
				rt.Fatal(err)
			}
			inStream := predictions(rt, f.artifact, pipeline.InScoring, decoded)
			decoded.Release()
			for row, p := range inStream {
				if q, ok := inBatch[row]; !ok || math.Float32bits(p) != math.Float32bits(q) {
					rt.Fatalf("%s: row %d is %v in the stream, %v in batch", name, row, p, q)
				}
			}
			// Avro has no null for a NaN: such events are rejected.
			if name != "avro" && len(inStream) != len(inBatch) {
				rt.Fatalf("%d rows in the stream, %d in batch", len(inStream), len(inBatch))
			}
		}
	})
}

// predictions returns those of the rows that cleaning keeps, by their number.
func predictions(t *rapid.T, a *artifact.Artifact, phase pipeline.Phase, batch arrow.Record) map[int64]float32 {
	s, err := a.NewScorer(phase)
	if err != nil {
		t.Fatal(err)
	}
	cleaned, values, err := s.Score(t.Context(), batch, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer cleaned.Release()
	out := make(map[int64]float32)
	for i, p := range values {
		out[table.RowNumber(cleaned, i)] = p
	}
	return out
}
