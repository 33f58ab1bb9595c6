package replay

import (
	"maps"
	"math"
	"slices"
)

// Quantiles describe the distribution of numbers ≥ 0. P50 to P999 are within
// 1 % of a number that has that rank; Mean and Max are exact.
type Quantiles struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

// growth is the ratio of the ends of a bin, so that its middle is within 1 % of
// all that is in it.
const growth = 1.02

// histogram counts numbers ≥ 0 in bins that grow geometrically. It has at most
// 72,000 of them, whatever the numbers (Masson, Rim, Lee: DDSketch, VLDB 2019).
type histogram struct {
	zeros, n int64
	bins     map[int32]int64
	sum, max float64
}

func (h *histogram) add(v float64) {
	v = finite(v)
	h.n++
	h.sum += v
	h.max = max(h.max, v)
	if v == 0 {
		h.zeros++
		return
	}
	if h.bins == nil {
		h.bins = make(map[int32]int64)
	}
	h.bins[int32(math.Ceil(math.Log(v)/math.Log(growth)))]++
}

func (h *histogram) quantiles() Quantiles {
	if h.n == 0 {
		return Quantiles{}
	}
	order := slices.Sorted(maps.Keys(h.bins))
	// of returns a number near the one of rank q·(n-1).
	of := func(q float64) float64 {
		rank, seen := int64(q*float64(h.n-1)), h.zeros
		if rank < seen {
			return 0
		}
		for _, i := range order {
			if seen += h.bins[i]; seen > rank {
				// The bin is (growth^(i-1), growth^i].
				return min(h.max, 2*math.Pow(growth, float64(i))/(1+growth))
			}
		}
		return h.max
	}
	return Quantiles{Mean: finite(h.sum / float64(h.n)), P50: of(0.5), P90: of(0.9), P99: of(0.99), P999: of(0.999), Max: h.max}
}
