package drift

import (
	"errors"
	"fmt"
	"math"

	"github.com/thalweg/thalweg/pipeline/interval"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// Estimate is a distance between what rows are drawn from, and the interval that it lies in
// with about 95 %.
type Estimate struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// Estimates are the two distances of Distance, between the distributions and not between the
// rows: few rows differ by chance, and what chance alone would bring is taken off.
type Estimates struct {
	PSI Estimate `json:"psi"`
	JS  Estimate `json:"jensen_shannon"`
	// Bin is the one that brings most to the index.
	Bin int `json:"bin"`
}

// Between estimates how far the distribution that after is drawn from is from that of before.
// Both are in the bins of one reference, and both have rows.
//
// With B bins that have rows, n and m rows, and no change, the index is distributed as
// (1/n + 1/m)·χ²(B-1) (Yurdakul 2018, Statistical Properties of Population Stability Index,
// Western Michigan University, theorem 3.2), and the divergence, in bits, as an eighth of that
// divided by ln 2, its expansion to second order (Lin 1991, Divergence Measures Based on the
// Shannon Entropy). The mean of that is what is taken off, so the estimate is below zero half
// of the time where nothing has changed, and then 0. Its variance is added to that of the
// delta method for two multinomial samples (van der Vaart 1998, Asymptotic Statistics, section
// 3.1), which is that of a true distance and vanishes without one. The interval is 1.96
// standard deviations to each side.
func Between(before, after Counts) (e Estimates, err error) {
	n, m := float64(before.Rows()), float64(after.Rows())
	switch {
	case n == 0 || m == 0:
		return e, errors.New("there are no rows")
	case len(before) != len(after):
		return e, fmt.Errorf("%d bins and %d are not of one reference", len(before), len(after))
	}
	bins := make([][2]float64, 0, len(before))
	at := make([]int, 0, len(before))
	for i, k := range before {
		if k < 0 || after[i] < 0 {
			return e, fmt.Errorf("%d and %d rows in a bin", k, after[i])
		}
		if k > 0 || after[i] > 0 {
			bins, at = append(bins, [2]float64{float64(k), float64(after[i])}), append(at, i)
		}
	}
	d := Measure(bins, n, m)
	free := float64(len(bins) - 1)
	scale := 1/n + 1/m
	// Moments of the gradients of both distances, by the shares of either sample.
	var psi, js [2]moments
	more := float64(float64(len(bins)) / 2) // as Measure
	most := math.Inf(-1)
	for i, k := range bins {
		p, q := (k[0]+0.5)/(n+more), (k[1]+0.5)/(m+more)
		l := kernel.Log(q / p)
		if part := float64((q - p) * l); part > most {
			most, e.Bin = part, at[i]
		}
		psi[0].add(p, 1-q/p-l)
		psi[1].add(q, 1-p/q+l)
		p, q = k[0]/n, k[1]/m
		if p > 0 {
			js[0].add(p, kernel.Log(2*p/(p+q))/(2*math.Ln2))
		}
		if q > 0 {
			js[1].add(q, kernel.Log(2*q/(p+q))/(2*math.Ln2))
		}
	}
	e.PSI = estimate(d.PSI, free, scale, psi[0].variance()/n+psi[1].variance()/m, math.Inf(1))
	e.JS = estimate(d.JS, free, scale/(8*math.Ln2), js[0].variance()/n+js[1].variance()/m, 1)
	return e, nil
}

// estimate takes off what chance brings: scale times the mean of χ² with so many degrees of
// freedom.
func estimate(value, free, scale, variance, most float64) Estimate {
	value -= float64(free * scale)
	spread := float64(interval.Z * math.Sqrt(variance+float64(2*free*scale*scale)))
	within := func(x float64) float64 { return min(max(x, 0), most) }
	return Estimate{Value: within(value), Low: within(value - spread), High: within(value + spread)}
}

// moments are those of a gradient under a distribution.
type moments struct{ mean, square float64 }

func (m *moments) add(share, x float64) {
	m.mean += float64(share * x)
	m.square += float64(float64(share*x) * x)
}

func (m *moments) variance() float64 { return max(0, m.square-float64(m.mean*m.mean)) }
