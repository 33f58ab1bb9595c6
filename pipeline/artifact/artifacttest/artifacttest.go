// Package artifacttest trains artifacts for tests of those who score with them.
package artifacttest

import (
	"fmt"
	"math"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/clean"
	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

// Flights is a pipeline of JSON events: an operator removes rows in scoring, a
// column is there in training only.
const Flights = `
apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: flight-delays}
spec:
  sources:
    train:  {s3: {path: "s3://lake/flights/*.parquet"}, format: {type: parquet}}
    events: {kafka: {topic: flights}, format: {type: json}}
  schema:
    columns:
      - {name: date,        type: timestamp, nullable: false}
      - {name: delay,       type: int64, nullable: true, available_in: [training]}
      - {name: distance,    type: int64, nullable: true}
      - {name: origin,      type: string, nullable: true}
  input_features:
    - {name: distance, type: number}
    - {name: origin,   type: category}
    - {name: hour,     type: category, expression: "hour(date)"}
  output_features:
    - {name: delayed, type: binary, expression: "delay > 15"}
  preprocessing:
    clean:
      - {case: {columns: [origin], to: upper}}
      - {filter: {expression: "distance == null || distance < 100000", apply_to: [training, scoring]}}
    split: {type: random, probabilities: [0.7, 0.15, 0.15]}
  scoring:
    source: events
    sink: {s3: {path: "s3://lake/scored/"}, format: {type: parquet}}
`

// TrainFlights returns an artifact of Flights, or of another document for the
// same columns.
func TrainFlights(t testing.TB, document string, version int) *artifact.Artifact {
	t.Helper()
	columns := table.Schema{Columns: []table.Column{
		{Name: "date", Type: table.Timestamp},
		{Name: "delay", Type: table.Int64, Nullable: true, TrainingOnly: true},
		{Name: "distance", Type: table.Int64, Nullable: true},
		{Name: "origin", Type: table.String, Nullable: true},
	}}
	var rows [][]any
	for i := range int64(100) {
		rows = append(rows, []any{i * 3600e6, i - 50, 100 + 17*i, fmt.Sprintf("A%d", i%5)})
	}
	return Train(t, document, columns, version, rows...)
}

// Train returns an artifact of a document whose transform is fitted on rows, as
// tabletest.Batch takes them. Its parameters are made up; those of no two
// versions are the same.
func Train(t testing.TB, document string, columns table.Schema, version int, rows ...[]any) *artifact.Artifact {
	t.Helper()
	return TrainOf(t, catalog.All(), document, columns, version, rows...)
}

// TrainOf is Train with another catalog.
func TrainOf(t testing.TB, choices pipeline.Catalog, document string, columns table.Schema, version int, rows ...[]any) *artifact.Artifact {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	spec, err := pipeline.Parse(choices, "test.yaml", []byte(document))
	check(err)
	plan, err := pipeline.Compile(spec, columns)
	check(err)
	fitter := feature.NewFitter(plan)
	batch := tabletest.Batch(memory.DefaultAllocator, columns, 0, rows...)
	if len(spec.Spec.Lookups) > 0 { // else features read what is there before cleaning
		batch, err = clean.New(plan, pipeline.InTraining).Apply(t.Context(), batch, nil)
		check(err)
	}
	defer batch.Release()
	check(fitter.Observe(batch, make([]uint8, len(rows))))
	partial, err := fitter.Partial()
	check(err)
	transform, err := feature.Finish(plan, [][]byte{partial})
	check(err)
	a, err := artifact.New(plan, transform)
	check(err)
	a.Params = make([]float32, a.Model.Size())
	for i := range a.Params {
		a.Params[i] = float32(math.Sin(float64((i+1)*version))) / 3
	}
	return a
}
