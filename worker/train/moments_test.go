package train

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/thalweg/thalweg/pipeline/metric"
)

func TestMomentsOfLabelsDoNotDependOnBatches(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	labels, rows := make([]float32, 5000), make([]int32, 5000)
	ones := int64(0)
	var want, binary metric.Moments
	for i := range labels {
		labels[i], rows[i] = float32(1e6+random.NormFloat64()), int32(i)
		want.Add(float64(labels[i]))
		binary.Add(float64(i % 3 & 1))
		ones += int64(i % 3 & 1)
	}
	near := func(got, want metric.Moments) bool {
		return got.Count == want.Count && math.Abs(got.Mean-want.Mean) < 1e-9*(1+math.Abs(want.Mean)) &&
			math.Abs(got.Squares-want.Squares) < 1e-6*want.Squares
	}
	var whole labelMoments
	whole.add(labels, rows)
	all := whole.moments()
	if !near(all, want) {
		t.Errorf("%+v, want %+v", all, want)
	}
	for _, size := range []int{1, 7, 1024, 1025, 3000} {
		var m labelMoments
		for left := rows; len(left) > 0; {
			n := min(size, len(left))
			m.add(labels, left[:n])
			left = left[n:]
		}
		if got := m.moments(); got != all {
			t.Errorf("in batches of %d: %+v, want %+v", size, got, all)
		}
	}
	var some labelMoments
	some.addBinary(2000, 0)
	some.addBinary(3000, ones)
	if got := some.moments(); !near(got, binary) {
		t.Errorf("of binary labels %+v, want %+v", got, binary)
	}
	if got := new(labelMoments).moments(); got != (metric.Moments{}) {
		t.Errorf("of no labels %+v", got)
	}
}
