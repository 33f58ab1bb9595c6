package metric

import (
	"math"
	"testing"
)

// AUCBound is how far roc_auc can be from that of unbinned predictions: only pairs
// in one bin can be wrong, by half each.
func AUCBound(of Accumulator) float64 {
	a := of.(*binarySums)
	var tied [2]uint64
	for _, pair := range a.counts.pairs {
		add(&tied, uint64(pair[1]), uint64(pair[0]))
	}
	return float(tied) / 2 / (float64(a.Ones) * float64(a.Count-a.Ones))
}

func TestBinsRiseWithTheProbability(t *testing.T) {
	last := -1
	seen := 0
	for p := float32(0); p <= 1; {
		b := bin(p)
		if b < last || b >= Bins {
			t.Fatalf("bin(%v) = %d after %d", p, b, last)
		}
		if b != last {
			seen++
		}
		last = b
		// About three probes a bin.
		near := min(p, 1-p)
		p = max(math.Nextafter32(p, 2), p+near/3072)
		if p < floor {
			p = floor
		}
	}
	if last != Bins-1 {
		t.Errorf("bin(1) = %d", last)
	}
	// Near 1 a float32 has no neighbours finer than 2^-24, so eight powers of two
	// there stay partly or wholly empty.
	if seen < Bins*2/3 {
		t.Errorf("%d bins are ever used", seen)
	}
	for p, want := range map[float32]int{0.5: halfBins, -1: 0, 2: Bins - 1, float32(math.Inf(1)): Bins - 1, float32(math.NaN()): 0} {
		if got := bin(p); got != want {
			t.Errorf("bin(%v) = %d, want %d", p, got, want)
		}
	}
}

func TestBinsAreNarrow(t *testing.T) {
	for p := float32(1e-6); p < 0.999; p += 0.0001 {
		q := p + min(p, 1-p)/512
		if bin(p) == bin(q) {
			t.Fatalf("%v and %v share bin %d", p, q, bin(p))
		}
	}
}

func TestMomentsMergeLikeOneSeries(t *testing.T) {
	var whole, left, right Moments
	for i := range 1000 {
		x := 1e7 + math.Sin(float64(i))
		whole.Add(x)
		if i < 300 {
			left.Add(x)
		} else {
			right.Add(x)
		}
	}
	left.Merge(right)
	left.Merge(Moments{})
	if left.Count != whole.Count || math.Abs(left.Mean-whole.Mean) > 1e-7 || math.Abs(left.Squares-whole.Squares) > 1e-5 {
		t.Errorf("merged %+v, whole %+v", left, whole)
	}
	var empty Moments
	empty.Merge(whole)
	if empty != whole {
		t.Errorf("merged into nothing: %+v", empty)
	}
}
