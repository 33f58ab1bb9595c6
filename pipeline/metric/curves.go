package metric

import (
	"math"

	"github.com/thalweg/thalweg/pipeline"
)

// calibrationBins is how many bins of equal width the probabilities are cut into for
// the calibration error and curve. The counts of a bin are exact; its mean
// probability takes each for the middle of its bin of the histogram, and so is right
// to 1/2048 of the distance from 0 or 1.
const calibrationBins = 16

// maxCurvePoints bounds a curve.
const maxCurvePoints = 200

// Curve is a curve as data: columns of numbers, of which the first is the abscissa.
type Curve struct {
	Name    string      `json:"name"`
	Columns []string    `json:"columns"`
	Points  [][]float64 `json:"points"`
}

// Thresholder is an Accumulator that knows from which score on predictions are best
// called true.
type Thresholder interface {
	// Best returns the threshold at which the metric is best, and the sums as they are
	// with it; ok is false where it is undefined.
	Best(m *Measure) (sums Accumulator, threshold float64, ok bool)
}

// Threshold is the name of the threshold among the values of Optimized.
const Threshold = "threshold"

// Optimized returns the metrics of sums with the threshold at which the metric of a
// name is best, which is one of them; those of the sums themselves where there is none.
func Optimized(catalog []pipeline.Entry, answer, name string, sums Accumulator) map[string]float64 {
	m := measures(catalog, answer)[name]
	if t, ok := sums.(Thresholder); ok && m != nil && sums.Rows() > 0 {
		if best, threshold, ok := t.Best(m); ok {
			values := best.Values()
			values[Threshold] = threshold
			return values
		}
	}
	return sums.Values()
}

// ranked is sums of rows that are ranked, and predicted to be true from some rank on.
type ranked interface {
	Accumulator
	auc() (float64, bool)
	averagePrecision() (float64, bool)
	f1() (float64, bool)
	right() (part, of int64)
	precision() (part, of int64)
	recall() (part, of int64)
}

func (a *binarySums) zeros() int64 { return a.Count - a.Ones }

func (a *binarySums) f1() (float64, bool) {
	n := a.Hits + a.Alarms + a.Ones
	return float64(2*a.Hits) / float64(n), n > 0
}

func (a *binarySums) right() (part, of int64)     { return a.Hits + a.zeros() - a.Alarms, a.Count }
func (a *binarySums) precision() (part, of int64) { return a.Hits, a.Hits + a.Alarms }
func (a *binarySums) recall() (part, of int64)    { return a.Hits, a.Ones }

// descend calls step for each bin that has rows, from the highest down, with how many
// rows labelled 1 (hits) and 0 (alarms) are in it and in those above.
func (a *binarySums) descend(step func(bin int, hits, alarms int64)) {
	var hits, alarms int64
	for i := len(a.counts.pairs) - 1; i >= 0; i-- {
		if n := a.counts.pairs[i]; n != [2]int64{} {
			hits, alarms = hits+n[1], alarms+n[0]
			step(a.counts.first+i, hits, alarms)
		}
	}
}

// averagePrecision is the sum of precisions by the steps of recall, rows of one bin
// counting as ties.
func (a *binarySums) averagePrecision() (sum float64, ok bool) {
	before := int64(0)
	a.descend(func(_ int, hits, alarms int64) {
		sum += float64(float64(hits-before) / float64(a.Ones) * float64(float64(hits)/float64(hits+alarms)))
		before = hits
	})
	return sum, a.Ones > 0
}

// calibrated returns by calibration bin the rows, those labelled 1 and the sum of
// probabilities.
func (a *binarySums) calibrated() (bins [calibrationBins]struct {
	rows, ones int64
	sum        float64
}) {
	for i, n := range a.counts.pairs {
		if n == [2]int64{} {
			continue
		}
		from := (a.counts.first + i) << a.counts.shift
		middle := (edge(from) + edge(from+1<<a.counts.shift)) / 2
		b := &bins[min(int(middle*calibrationBins), calibrationBins-1)]
		b.rows += n[0] + n[1]
		b.ones += n[1]
		b.sum += float64(float64(n[0]+n[1]) * middle)
	}
	return bins
}

func (a *binarySums) calibrationError() (sum float64, ok bool) {
	for _, b := range a.calibrated() {
		sum += math.Abs(b.sum-float64(b.ones)) / float64(a.Count)
	}
	return sum, true
}

// at returns the sums as they are with another threshold, but for its value.
func (a *binarySums) at(hits, alarms int64) *binarySums {
	b := *a
	b.Hits, b.Alarms = hits, alarms
	return &b
}

// Best implements Thresholder. It chooses among the beginnings of the
// histogram's bins; of equally good ones the highest.
func (a *binarySums) Best(m *Measure) (sums Accumulator, threshold float64, ok bool) {
	best, at := 0.0, *a
	var chosen [2]int64
	a.descend(func(bin int, hits, alarms int64) {
		at.Hits, at.Alarms = hits, alarms
		v, defined := m.Value(&at)
		if better := m.HigherIsBetter && v > best || !m.HigherIsBetter && v < best; defined && (!ok || better) {
			best, ok, chosen = v, true, [2]int64{hits, alarms}
			threshold = float64(least(bin << a.counts.shift))
		}
	})
	return a.at(chosen[0], chosen[1]), threshold, ok
}

// Confusion implements Detailed.
func (a *binarySums) Confusion() (names []string, rows [][]int64) {
	return []string{"false", "true"}, [][]int64{{a.zeros() - a.Alarms, a.Alarms}, {a.Ones - a.Hits, a.Hits}}
}

// Curves implements Detailed: of roc and pr a point wherever a two-hundredth of the
// rows was passed.
func (a *binarySums) Curves() []Curve {
	roc := Curve{Name: "roc", Columns: []string{"false_positive_rate", "true_positive_rate", "threshold"}, Points: [][]float64{{0, 0, 1}}}
	pr := Curve{Name: "pr", Columns: []string{"recall", "precision", "threshold"}}
	thresholds := Curve{Name: "thresholds", Columns: []string{"threshold", Precision, Recall, F1, Accuracy}}
	calibration := Curve{Name: "calibration", Columns: []string{"probability", "share", "rows"}}
	due := int64(0)
	a.descend(func(bin int, hits, alarms int64) {
		if n := hits + alarms; n*maxCurvePoints < due && n < a.Count {
			return
		}
		due = (hits+alarms)*maxCurvePoints + a.Count
		at, t := a.at(hits, alarms), float64(least(bin<<a.counts.shift))
		precision, recall, accuracy := ratio(at.precision()), ratio(at.recall()), ratio(at.right())
		if a.Ones > 0 && a.zeros() > 0 {
			roc.Points = append(roc.Points, []float64{ratio(alarms, a.zeros()), recall, t})
		}
		if a.Ones > 0 {
			f1, _ := at.f1()
			pr.Points = append(pr.Points, []float64{recall, precision, t})
			thresholds.Points = append(thresholds.Points, []float64{t, precision, recall, f1, accuracy})
		}
	})
	for _, b := range a.calibrated() {
		if b.rows > 0 {
			calibration.Points = append(calibration.Points, []float64{b.sum / float64(b.rows), float64(b.ones) / float64(b.rows), float64(b.rows)})
		}
	}
	return []Curve{roc, pr, calibration, thresholds}
}
