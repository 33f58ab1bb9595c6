package rollout

import (
	"math"
	"slices"
	"time"
)

// Scores and times are counted in bins whose borders are the same for all, so that counts of
// workers can be added: sixteen to a doubling of a score, four to one of a time. Between 1/2
// and 1 it is the distance to 1 that doubles, so that probabilities near 1 are told apart as
// those near 0.
const (
	scoreFine   = 4                              // bits of a score's fraction
	leastScore  = -16                            // scores nearer to zero than 2^-16 are in one bin
	mostScore   = 16                             // and those beyond 2^16
	half        = (-1 - leastScore) << scoreFine // bins from 2^-16 to 1/2
	magnitudes  = 2*half + 1 + mostScore<<scoreFine + 1
	ScoreBins   = 2*magnitudes + 2 // of scores: negative, zero, positive, and those that are no number
	zeroBin     = magnitudes
	noNumberBin = ScoreBins - 1

	leastTime = 1000 // ns
	perDouble = 4
	TimeBins  = 30 * perDouble // up to some 18 minutes
)

// ScoreBin returns the bin of a score.
func ScoreBin(score float64) int {
	switch {
	case math.IsNaN(score):
		return noNumberBin
	case math.Abs(score) < 1.0/(1<<-leastScore):
		return zeroBin
	}
	var at int
	switch x := min(math.Abs(score), 1<<mostScore); {
	case x < 0.5:
		at = fine(x)
	case x < 1:
		at = 2*half - min(max(fine(1-x)+1, 0), half)
	default:
		at = 2*half + 1 + fine(x) - fine(1)
	}
	if score < 0 {
		return zeroBin - at - 1
	}
	return zeroBin + at + 1
}

// fine counts the bins from 2^leastScore to a positive number.
func fine(x float64) int {
	fraction, exponent := math.Frexp(x) // in [0.5, 1)
	return (exponent-1-leastScore)<<scoreFine + int((fraction-0.5)*(2<<scoreFine))
}

// timeBin returns the bin of a duration.
func timeBin(d time.Duration) int {
	if d <= leastTime {
		return 0
	}
	return min(int(perDouble*math.Log2(float64(d)/leastTime))+1, TimeBins-1)
}

// timeOf returns where a bin of durations ends.
func timeOf(bin int) time.Duration {
	return time.Duration(leastTime * math.Exp2(float64(bin)/perDouble))
}

// Counts is what is counted of an arm. Of one that no worker has told of all are zero.
type Counts struct {
	Events  int64 // that the arm had to score
	Dead    int64 // of them, those that it could not: dead letters, or errors of requests
	Batches int64 // that they came in
	// Sum and Squares are of the scores, for their mean and how it varies.
	Sum, Squares float64
	Scores       [ScoreBins]int64 // scored events by the bin of their score
	Times        [TimeBins]int64  // events by how long the scoring of their batch took
}

// Batch counts a batch: how many events it had, of which some were dead, and how long it took.
func (c *Counts) Batch(events, dead int, took time.Duration) {
	if events == 0 {
		return
	}
	c.Batches++
	c.Events += int64(events)
	c.Dead += int64(dead)
	c.Times[timeBin(took)] += int64(events)
}

// Score counts a score.
func (c *Counts) Score(score float64) {
	c.Scores[ScoreBin(score)]++
	if !math.IsNaN(score) && !math.IsInf(score, 0) {
		c.Sum += score
		c.Squares += float64(score * score)
	}
}

// Add adds others to the counts, Subtract takes away what they have been before.
func (c *Counts) Add(o *Counts) { c.combine(o, 1) }

// Subtract takes counts away that were once of these.
func (c *Counts) Subtract(o *Counts) { c.combine(o, -1) }

func (c *Counts) combine(o *Counts, sign int64) {
	c.Events += sign * o.Events
	c.Dead += sign * o.Dead
	c.Batches += sign * o.Batches
	c.Sum += float64(float64(sign) * o.Sum)
	c.Squares += float64(float64(sign) * o.Squares)
	for i := range c.Scores {
		c.Scores[i] += sign * o.Scores[i]
	}
	for i := range c.Times {
		c.Times[i] += sign * o.Times[i]
	}
}

// Scored is how many scores there are.
func (c *Counts) Scored() (n int64) {
	for _, k := range c.Scores {
		n += k
	}
	return n
}

// Quantile is the time within which the batches of a share of the events were scored: between
// the borders of its bin.
func (c *Counts) Quantile(q float64) (low, high time.Duration) {
	left := int64(math.Ceil(q * float64(c.Events)))
	for bin, n := range c.Times {
		if left -= n; left <= 0 && n > 0 {
			if bin > 0 {
				low = timeOf(bin - 1)
			}
			return low, timeOf(bin)
		}
	}
	return 0, 0
}

// Sparse returns the bins that are not empty, as bin and count in turns: what workers send.
func Sparse(bins []int64) (pairs []int64) {
	for i, n := range bins {
		if n != 0 {
			pairs = append(pairs, int64(i), n)
		}
	}
	return pairs
}

// Dense is the inverse of Sparse; false where pairs are none of so many bins.
func Dense(pairs []int64, bins []int64) bool {
	clear(bins)
	if len(pairs)%2 != 0 || len(pairs) > 2*len(bins) {
		return false
	}
	for pair := range slices.Chunk(pairs, 2) {
		if pair[0] < 0 || pair[0] >= int64(len(bins)) || pair[1] < 0 {
			return false
		}
		bins[pair[0]] += pair[1]
	}
	return true
}
