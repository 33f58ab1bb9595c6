package throughput

import (
	"context"
	"strings"
	"testing"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact/artifacttest"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/uncertainty"
)

var network = strings.Replace(artifacttest.Flights, "  output_features:", "  model: {type: mlp, hidden: [8]}\n  output_features:", 1)

// Each way in which rows are explained and predicted again is measured, of a model that knows
// nothing of it too: one whose spec has neither.
func TestVersionsAreMeasuredWithWhatTheSpecIsToHave(t *testing.T) {
	for _, document := range []string{artifacttest.Flights, network} {
		a := artifacttest.TrainFlights(t, document, 1)
		ways := []struct {
			top     int
			samples pipeline.SamplingSpec
		}{{3, nil}, {0, &uncertainty.Bootstrap{Members: 5}}, {2, &uncertainty.Bootstrap{Members: 2}}}
		if document == network {
			ways = append(ways, struct {
				top     int
				samples pipeline.SamplingSpec
			}{1, &uncertainty.MCDropout{Samples: 4}})
		}
		for _, way := range ways {
			r, err := Measure(t.Context(), a, way.top, way.samples)
			if err != nil || !(r.Plain > 0) || !(r.With > 0) {
				t.Errorf("%+v: %+v, %v", way, r, err)
			}
		}
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := Measure(ended, artifacttest.TrainFlights(t, network, 1), 3, nil); err == nil {
		t.Error("a measurement that nobody waits for goes on")
	}
}

// Rows that are drawn have values that training saw, in each type of column, and all are
// scored and explained.
func TestRowsAreDrawnFromWhatTrainingSaw(t *testing.T) {
	a := artifacttest.TrainFlights(t, artifacttest.Flights, 1)
	s, err := a.NewScorerWith(2, nil)
	if err != nil {
		t.Fatal(err)
	}
	rows := draw(s.Cleaned(), a.Transform.Features())
	defer rows.Release()
	scored, predictions, err := s.ScoreCleaned(rows, new(pipeline.Report))
	if err != nil {
		t.Fatal(err)
	}
	defer scored.Release()
	if scored.NumRows() != mostRows || len(predictions) != mostRows*(1+3+2*2) {
		t.Errorf("%d rows are scored, of %d values", scored.NumRows(), len(predictions))
	}
	variables, values, err := a.Transform.Variables(rows)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range variables {
		known := make(map[string]bool)
		for _, text := range v.Values {
			known[text] = true
		}
		for row := range values[i].Len() {
			if text := values[i].ValueStr(row); v.Name == "origin" && !known[text] {
				t.Fatalf("origin %s, training saw %q", text, v.Values)
			}
		}
		values[i].Release()
	}
	var all table.Schema
	for _, typ := range table.Types() {
		all.Columns = append(all.Columns, table.Column{Name: string(typ), Type: typ})
	}
	every := draw(all, nil)
	defer every.Release()
	for i, c := range every.Columns() {
		if c.Len() != mostRows || c.NullN() > 0 {
			t.Errorf("%s: %d values, %d nulls", every.ColumnName(i), c.Len(), c.NullN())
		}
	}
}
