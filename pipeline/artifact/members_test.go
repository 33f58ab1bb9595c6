package artifact

import (
	"math"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

// ensemble is document with members beside the model.
var ensemble = strings.Replace(document, "  output_features:", "  model: {type: linear, uncertainty: {type: bootstrap, members: 3, quantiles: [0.0, 1.0]}}\n  output_features:", 1)

// withMembers returns an artifact of ensemble whose members are the model with less of its weights.
func withMembers(t *testing.T, label string) *Artifact {
	a := trainedBy(t, ensemble, label)
	var members []float32
	for k := range 3 {
		for _, w := range a.Params {
			members = append(members, w*float32(k)/2)
		}
	}
	a.SetMembers(members)
	return a
}

func TestScoredRowsSayHowMembersDiffer(t *testing.T) {
	if _, err := trainedBy(t, ensemble, number).NewScorer(pipeline.InScoring); !thalweg.Is(err, thalweg.Invalid) {
		t.Errorf("a version without its members scores: %v", err)
	}
	a := withMembers(t, number)
	parts := encode(t, a)
	again, err := Decode(catalog.All(), parts)
	if err != nil {
		t.Fatal(err)
	}
	check(t, "encoded again", encode(t, again), parts)
	rows, _ := score(t, again, pipeline.InScoring, tabletest.Batch(memory.DefaultAllocator, sourceColumns, 0, somewhere()...))
	for i, row := range rows {
		score, mean, deviation, ends := row[6].(float64), row[7].(float64), row[8].(float64), row[9].([]any)
		// The members say 0, half and all of what the model says.
		if math.Abs(mean-score/2) > 1e-5 || math.Abs(deviation-math.Abs(score)/2) > 1e-5 || min(ends[0].(float64), ends[1].(float64)) != min(0, score) || max(ends[0].(float64), ends[1].(float64)) != max(0, score) {
			t.Errorf("row %d: %v", i, row[5:10])
		}
	}
	if len(rows) != 3 {
		t.Errorf("%d rows", len(rows))
	}
	damaged := withPart(parts, PartMembers, encode(t, withMembers(t, category))[PartMembers])
	if _, err := Decode(catalog.All(), damaged); !thalweg.Is(err, thalweg.Corrupt) {
		t.Errorf("members of another model: %v", err)
	}
	delete(damaged, PartMembers)
	if _, err := Decode(catalog.All(), damaged); !thalweg.Is(err, thalweg.Corrupt) {
		t.Errorf("without the members that the provenance names: %v", err)
	}
}
