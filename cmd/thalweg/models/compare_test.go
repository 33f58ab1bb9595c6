package models

import (
	"math"
	"testing"
)

// The ends of a difference are as far away as those of two independent intervals
// together, whichever way these lean.
func TestTheDifferenceOfTwoMetricsHasAnInterval(t *testing.T) {
	a := map[string]float64{"test.f1": 0.5, "test.f1.low": 0.46, "test.f1.high": 0.53, "test.rows": 100, "train.epochs": 3, "test.old": 1}
	b := map[string]float64{"test.f1": 0.6, "test.f1.low": 0.56, "test.f1.high": 0.63, "test.rows": 90, "train.epochs": 4}
	got := compareMetrics(a, b)
	if len(got) != 2 || got[0].Name != "test.f1" || got[1].Name != "test.rows" || got[1].Interval != nil || got[1].Difference != -10 {
		t.Fatalf("%+v", got)
	}
	if m := got[0]; math.Abs(m.Difference-0.1) > 1e-12 || math.Abs(m.Interval[0]-0.05) > 1e-12 || math.Abs(m.Interval[1]-0.15) > 1e-12 {
		t.Errorf("%v, %v", m.Difference, *m.Interval)
	}
}
