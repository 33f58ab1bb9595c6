// Package judge judges the candidate of a rollout by what was counted of both arms.
package judge

import (
	"fmt"
	"math"
	"strings"

	"github.com/thalweg/thalweg/pipeline/drift"
	"github.com/thalweg/thalweg/pipeline/interval"
	"github.com/thalweg/thalweg/pipeline/rollout"
)

const (
	// leastBatches is from how many batches on a quantile of their times is one.
	leastBatches = 20
	// psiBins is how many bins of about as many scores the index is of.
	psiBins = 10
)

// Candidate judges a candidate by conditions: it is bad if one of them certainly holds, good
// if all certainly do not. Both arms need at least minRows events.
func Candidate(conditions []rollout.Condition, champion, candidate *rollout.Counts, minRows int64) rollout.Verdict {
	v := rollout.Verdict{Outcome: rollout.Good, Rows: [rollout.Arms]int64{champion.Events, candidate.Events}}
	if champion.Events < minRows || candidate.Events < minRows {
		v.Outcome = rollout.Inconclusive
		v.Why = fmt.Sprintf("too few rows: champion %d, candidate %d, at least %d each", champion.Events, candidate.Events, minRows)
		return v
	}
	var why []string
	for _, c := range conditions {
		f := find(c, champion, candidate)
		v.Findings = append(v.Findings, f)
		switch {
		case f.Outcome == rollout.Bad && v.Outcome != rollout.Bad:
			v.Outcome, why = rollout.Bad, nil
			fallthrough
		case f.Outcome == v.Outcome && f.Outcome != rollout.Good:
			why = append(why, f.String())
		case f.Outcome == rollout.Inconclusive && v.Outcome == rollout.Good:
			v.Outcome, why = rollout.Inconclusive, []string{f.String()}
		}
	}
	if v.Outcome == rollout.Good {
		for _, f := range v.Findings {
			why = append(why, f.String())
		}
	}
	v.Why = strings.Join(why, "; ")
	return v
}

// find measures what a condition is about.
func find(c rollout.Condition, champion, candidate *rollout.Counts) rollout.Finding {
	f := rollout.Finding{Metric: c.Metric, Bound: c.Above}
	enough := true
	switch c.Metric {
	case rollout.ErrorRate:
		value, of := deadOf(candidate)
		f.Value, f.Low, f.High = value, of[0], of[1]
	case rollout.ErrorRateIncrease:
		before, ofBefore := deadOf(champion)
		after, ofAfter := deadOf(candidate)
		of := interval.Difference(before, ofBefore, after, ofAfter)
		f.Value, f.Low, f.High = after-before, of[0], of[1]
	case rollout.PSI:
		if e, err := drift.Between(tenths(champion, candidate)); err == nil {
			f.Value, f.Low, f.High = e.PSI.Value, e.PSI.Low, e.PSI.High
		} else {
			enough = false // an arm has no scores
		}
	case rollout.ScoreShift:
		f.Value, f.Low, f.High = shift(champion, candidate)
		enough = champion.Scored() > 1 && candidate.Scored() > 1
	case rollout.LatencyP99:
		low, high := candidate.Quantile(0.99)
		f.Value, f.Low, f.High = high.Seconds(), low.Seconds(), high.Seconds()
		enough = candidate.Batches >= leastBatches
	case rollout.LatencyRatio:
		low, high := candidate.Quantile(0.99)
		if least, most := champion.Quantile(0.99); most > 0 {
			f.Value = float64(high) / float64(most)
			f.Low, f.High = float64(low)/float64(most), float64(high)/float64(max(least, 1))
		}
		enough = champion.Batches >= leastBatches && candidate.Batches >= leastBatches
	}
	switch {
	case !enough:
		f.Outcome = rollout.Inconclusive
	case f.Low > c.Above:
		f.Outcome = rollout.Bad
	case f.High <= c.Above:
		f.Outcome = rollout.Good
	default:
		f.Outcome = rollout.Inconclusive
	}
	return f
}

// deadOf returns the share of an arm's events, of which there are some, that it could not
// score.
func deadOf(c *rollout.Counts) (share float64, of interval.Of) {
	share = float64(c.Dead) / float64(c.Events)
	return share, interval.Wilson(share, c.Events)
}

// shift is how far the means of the scores of two arms are apart, and its interval.
func shift(champion, candidate *rollout.Counts) (value, low, high float64) {
	mean := func(c *rollout.Counts) (mean, variance float64) {
		n := float64(max(c.Scored(), 1))
		mean = c.Sum / n
		return mean, max(0, c.Squares/n-float64(mean*mean)) / n
	}
	m, v := mean(champion)
	o, w := mean(candidate)
	half := float64(interval.Z * math.Sqrt(v+w))
	value = math.Abs(o - m)
	return value, max(0, value-half), value + half
}

// tenths returns the scores of two arms in bins of about as many of both together: in the
// finer ones that they are counted in, each would have few.
func tenths(champion, candidate *rollout.Counts) (before, after drift.Counts) {
	all := champion.Scored() + candidate.Scored()
	before, after = make(drift.Counts, 1), make(drift.Counts, 1)
	for i := range champion.Scores {
		at := len(before) - 1
		if (before[at]+after[at])*psiBins >= max(all, 1) {
			before, after, at = append(before, 0), append(after, 0), at+1
		}
		before[at] += champion.Scores[i]
		after[at] += candidate.Scores[i]
	}
	return before, after
}
