package rollout

import (
	"fmt"
	"math"
	"strings"
)

// The outcomes of a verdict, and of each condition.
const (
	Good         = "good"
	Bad          = "bad"
	Inconclusive = "inconclusive"
)

const (
	// z is how many standard deviations an interval of 95 % reaches to each side.
	z = 1.959963984540054
	// leastBatches is from how many batches on a quantile of their times is one.
	leastBatches = 20
	// psiBins is how many bins of about as many scores the index is of.
	psiBins = 10
	// MaxConditions bounds the conditions of a rollout.
	MaxConditions = 16
)

// Verdict is what was found of a candidate in some time, and explains itself.
type Verdict struct {
	AtMS    int64  `json:"at_ms"` // when; milliseconds since 1970 UTC
	Percent uint32 `json:"percent"`
	Outcome string `json:"outcome"` // good, bad or inconclusive
	Why     string `json:"why"`     // for people
	// Rows are the events of each arm that it goes by.
	Rows     [Arms]int64 `json:"rows"`
	Findings []Finding   `json:"findings,omitempty"`
	// Times counts how often in a row it was the same, where it says only that there are too
	// few rows.
	Times uint32 `json:"times,omitempty"`
}

// Finding is a metric, with the interval that it is in with 95 % confidence, and the bound.
type Finding struct {
	Metric  string  `json:"metric"`
	Value   float64 `json:"value"`
	Low     float64 `json:"low"`
	High    float64 `json:"high"`
	Bound   float64 `json:"bound"`
	Outcome string  `json:"outcome"`
}

// String says what was found: "error_rate 1.2% (0.9% to 1.6%), bound 0.5%".
func (f Finding) String() string {
	return fmt.Sprintf("%s %s (%s to %s), bound %s", f.Metric, format(f.Metric, f.Value), format(f.Metric, f.Low), format(f.Metric, f.High), format(f.Metric, f.Bound))
}

// Judge judges a candidate by conditions: it is bad if one of them certainly holds, good if
// all certainly do not. Both arms need at least minRows events.
func Judge(conditions []Condition, champion, candidate *Counts, minRows int64) Verdict {
	v := Verdict{Outcome: Good, Rows: [Arms]int64{champion.Events, candidate.Events}}
	if champion.Events < minRows || candidate.Events < minRows {
		v.Outcome = Inconclusive
		v.Why = fmt.Sprintf("too few rows: champion %d, candidate %d, at least %d each", champion.Events, candidate.Events, minRows)
		return v
	}
	var why []string
	for _, c := range conditions {
		f := find(c, champion, candidate)
		v.Findings = append(v.Findings, f)
		switch {
		case f.Outcome == Bad && v.Outcome != Bad:
			v.Outcome, why = Bad, nil
			fallthrough
		case f.Outcome == v.Outcome && f.Outcome != Good:
			why = append(why, f.String())
		case f.Outcome == Inconclusive && v.Outcome == Good:
			v.Outcome, why = Inconclusive, []string{f.String()}
		}
	}
	if v.Outcome == Good {
		for _, f := range v.Findings {
			why = append(why, f.String())
		}
	}
	v.Why = strings.Join(why, "; ")
	return v
}

// find measures what a condition is about.
func find(c Condition, champion, candidate *Counts) Finding {
	f := Finding{Metric: c.Metric, Bound: c.Above}
	enough := true
	switch c.Metric {
	case ErrorRate:
		f.Value = share(candidate.Dead, candidate.Events)
		f.Low, f.High = wilson(candidate.Dead, candidate.Events)
	case ErrorRateIncrease:
		f.Value, f.Low, f.High = increase(champion, candidate)
	case PSI:
		f.Value, f.Low, f.High = psi(&champion.Scores, &candidate.Scores)
		enough = champion.scored() > 0 && candidate.scored() > 0
	case ScoreShift:
		f.Value, f.Low, f.High = shift(champion, candidate)
		enough = champion.scored() > 1 && candidate.scored() > 1
	case LatencyP99:
		low, high := candidate.quantile(0.99)
		f.Value, f.Low, f.High = high.Seconds(), low.Seconds(), high.Seconds()
		enough = candidate.Batches >= leastBatches
	case LatencyRatio:
		low, high := candidate.quantile(0.99)
		if least, most := champion.quantile(0.99); most > 0 {
			f.Value = float64(high) / float64(most)
			f.Low, f.High = float64(low)/float64(most), float64(high)/float64(max(least, 1))
		}
		enough = champion.Batches >= leastBatches && candidate.Batches >= leastBatches
	}
	switch {
	case !enough:
		f.Outcome = Inconclusive
	case f.Low > c.Above:
		f.Outcome = Bad
	case f.High <= c.Above:
		f.Outcome = Good
	default:
		f.Outcome = Inconclusive
	}
	return f
}

func share(n, of int64) float64 { return float64(n) / float64(max(of, 1)) }

// wilson is the interval of a share (E. B. Wilson, 1927), which is right for few and for none.
func wilson(k, n int64) (low, high float64) {
	if n == 0 {
		return 0, 1
	}
	p, m := share(k, n), float64(n)
	middle := (p + z*z/(2*m)) / (1 + z*z/m)
	half := float64(z / (1 + z*z/m) * math.Sqrt(p*(1-p)/m+z*z/(4*m*m)))
	return max(0, middle-half), min(1, middle+half)
}

// increase is the difference of two shares and its interval, of their own intervals as
// R. G. Newcombe has it (1998, method 10).
func increase(champion, candidate *Counts) (value, low, high float64) {
	p, q := share(champion.Dead, champion.Events), share(candidate.Dead, candidate.Events)
	pLow, pHigh := wilson(champion.Dead, champion.Events)
	qLow, qHigh := wilson(candidate.Dead, candidate.Events)
	value = q - p
	return value, value - math.Hypot(q-qLow, pHigh-p), value + math.Hypot(qHigh-q, p-pLow)
}

// shift is how far two means are apart, and its interval.
func shift(champion, candidate *Counts) (value, low, high float64) {
	mean := func(c *Counts) (mean, variance float64) {
		n := float64(max(c.scored(), 1))
		mean = c.Sum / n
		return mean, max(0, c.Squares/n-float64(mean*mean)) / n
	}
	m, v := mean(champion)
	o, w := mean(candidate)
	half := float64(z * math.Sqrt(v+w))
	value = math.Abs(o - m)
	return value, max(0, value-half), value + half
}

// psi is the population stability index of two sets of scores, in bins of about as many of
// both together, less what it is on average where both are of one distribution; and its
// interval, by the delta method and the variance of that average.
func psi(champion, candidate *[ScoreBins]int64) (value, low, high float64) {
	var bins [][2]float64
	var all, n, m int64
	for i := range champion {
		n, m = n+champion[i], m+candidate[i]
	}
	all = n + m
	if n == 0 || m == 0 {
		return 0, 0, 0
	}
	var here [2]int64
	for i := range champion {
		here[0], here[1] = here[0]+champion[i], here[1]+candidate[i]
		if (here[0]+here[1])*psiBins >= all {
			bins = append(bins, [2]float64{float64(here[0]), float64(here[1])})
			here = [2]int64{}
		}
	}
	if here != [2]int64{} {
		bins = append(bins, [2]float64{float64(here[0]), float64(here[1])})
	}
	// Half a row more in each bin, so that an empty one has a logarithm.
	more := float64(float64(len(bins)) / 2)
	of, to := float64(n)+more, float64(m)+more
	var sums [2]struct{ first, second float64 }
	for _, b := range bins {
		p, q := (b[0]+0.5)/of, (b[1]+0.5)/to
		log := math.Log(q / p)
		value += float64((q - p) * log)
		for i, g := range []float64{-log + 1 - q/p, log + 1 - p/q} { // by p, by q
			share := []float64{p, q}[i]
			sums[i].first += float64(share * g)
			sums[i].second += float64(share * g * g)
		}
	}
	variance := (sums[0].second-float64(sums[0].first*sums[0].first))/of + (sums[1].second-float64(sums[1].first*sums[1].first))/to
	same := 1/of + 1/to
	freedom := float64(len(bins) - 1)
	variance = max(0, variance) + float64(2*freedom*same*same)
	half := float64(z * math.Sqrt(variance))
	value = max(0, value-float64(freedom*same))
	return value, max(0, value-half), value + half
}
