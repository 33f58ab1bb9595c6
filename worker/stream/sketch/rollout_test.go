package sketch_test

import (
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/monitor"
	"github.com/thalweg/thalweg/pipeline/table"
)

// Rows that a rollout gave a version by values of a column are measured and not judged, and do
// not hide the window before that can be.
func TestRowsOfSomeValuesAreNotJudged(t *testing.T) {
	t.Parallel()
	rows := flights(t, 4000)
	s := newStand(t, document, rows[:1000], rows[1000:2000])
	cleaned, predictions := s.score(t, rows[2000:])
	defer cleaned.Release()
	all := table.NewMask(int(cleaned.NumRows())).Not()
	cfg := monitor.ConfigOf(s.Spec)
	apart := *cfg
	apart.By = "origin"
	var counts monitor.Sketch
	s.window(t, cfg, cleaned, predictions, all, 0, &counts)
	s.window(t, &apart, cleaned, predictions, all, 1, &counts)
	report := monitor.Judge(&counts, s.Spec.Drift(), 1, func(thalweg.ModelVersion) (*monitor.Reference, error) { return s.reference, nil })
	if len(report.Windows) != 2 {
		t.Fatalf("%d windows", len(report.Windows))
	}
	if w := report.Windows[0]; w.Verdict == monitor.Unjudged {
		t.Errorf("%+v", w)
	}
	if w := report.Windows[1]; w.Verdict != monitor.Unjudged || !strings.Contains(w.Why, "origin") || w.Score.PSI.High == 0 {
		t.Errorf("%+v", w)
	}
}
