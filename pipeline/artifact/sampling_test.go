package artifact

import (
	"math"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

// The numbers are numpy.mean, numpy.std with ddof=1 and numpy.quantile.
func TestSamplesAreSummarizedAsNumPyDoes(t *testing.T) {
	p := &sampling{samples: 4, levels: []float64{0, 0.05, 0.5, 0.95, 1}, sorted: make([]float64, 4)}
	got := make([]float32, p.width())
	p.summarize(got, []float32{0.1, 0.5, 0.2, 0.9})
	for k, want := range []float64{0.425, 0.3593976, 0.1, 0.115, 0.35, 0.84, 0.9} {
		if math.Abs(float64(got[k])-want) > 1e-6 {
			t.Errorf("%v, want %v at %d", got, want, k)
		}
	}
}

func TestScoredRowsSayHowSamplesDiffer(t *testing.T) {
	for _, label := range []string{binary, number, category} {
		a := trainedBy(t, thinned, label)
		rows, _ := score(t, a, pipeline.InScoring, tabletest.Batch(memory.DefaultAllocator, sourceColumns, 0, somewhere()...))
		plain, _ := score(t, trainedBy(t, network, label), pipeline.InScoring, tabletest.Batch(memory.DefaultAllocator, sourceColumns, 0, somewhere()...))
		at := 7
		if label == category {
			at = 8 // behind the probabilities of all
		}
		for i, row := range rows {
			for k := range at {
				if label != category && row[k] != plain[i][k] {
					t.Errorf("%s: row %d is %v, not sampled %v", label, i, row[:at], plain[i][:at])
				}
			}
			quantiles := row[at+2].([]any)
			least, most := quantiles[0].(float64), quantiles[2].(float64)
			if mean := row[at].(float64); len(quantiles) != 3 || mean < least || mean > most || row[at+1].(float64) < (most-least)/4 || row[at+1] == 0.0 {
				t.Errorf("%s: row %d says %v", label, i, row[at:at+3])
			}
		}
		if scorer, err := a.NewScorer(pipeline.InTraining); err != nil || scorer.width != a.Model.Outputs() {
			t.Errorf("%s: what is evaluated is sampled: %v", label, err)
		}
	}
}
