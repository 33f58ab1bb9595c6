// Package schedule holds what the learning rate is multiplied by in the course of a
// training. A factor is a function of the step and of what evaluations have found,
// which are the same on every worker and after a resume.
package schedule

import (
	"cmp"
	"math"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// Schedule is the options of its entry in the catalog. It is immutable, and may be
// used concurrently.
type Schedule interface {
	// Warm is how many steps the rate rises for before the schedule begins.
	Warm() int
	// Decay is the factor at a step after those.
	Decay(at At) float64
}

// At says where training is.
type At struct {
	// Step is the step about to be made, from 0: in Schedule.Decay from the end of
	// warming up.
	Step int
	// Epoch and All are how many steps the largest replica makes in an epoch, and in
	// all epochs, without those of warming up.
	Epoch, All int
	// Reductions is how often the validation metric has stopped to improve.
	Reductions int
}

// Factor is what the learning rate is multiplied by. While warming up it rises in a
// straight line to 1 (Goyal et al. 2017, section 2.2).
func Factor(s Schedule, at At) float64 {
	warm := s.Warm()
	if at.Step < warm {
		return float64(at.Step+1) / float64(warm)
	}
	at.Step, at.All = at.Step-warm, max(1, at.All-warm)
	return s.Decay(at)
}

// span is how many steps a decay takes: those of an epoch unless it is said.
func span(steps int, at At) float64 { return float64(max(1, cmp.Or(steps, at.Epoch))) }

// checkFalls notes a decay that is none.
func checkFalls(at pipeline.Place, rate float64) {
	if rate > 1 {
		at.Problem("decay_rate", "write the share that is left, such as 0.5", "%v is above 1: the learning rate would rise", rate)
	}
}

// power returns base^exponent, of a base in (0, 1], to 14 digits. math.Pow may be
// fused or written in assembly on some machines; every machine must come to the same
// rate. It is exp(k*ln 2 + r), |r| <= ln(2)/2, by a series.
func power(base, exponent float64) float64 {
	x := float64(exponent * kernel.Log(base))
	if x < -700 {
		return 0
	}
	k := math.Floor(float64(x/math.Ln2) + 0.5)
	r := x - float64(k*math.Ln2)
	sum := 1.0
	for n := 14.0; n >= 1; n-- {
		sum = 1 + float64(r/n*sum)
	}
	return math.Ldexp(sum, int(k))
}

// cosine returns cos(pi*x), x in [0, 1], by the series of the sine around one half.
func cosine(x float64) float64 {
	y := float64(math.Pi * (0.5 - x))
	square, sum := float64(y*y), 1.0
	for n := 22.0; n >= 2; n -= 2 {
		sum = 1 - float64(square/(n*(n+1))*sum)
	}
	return float64(y * sum)
}
