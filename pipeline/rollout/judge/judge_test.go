package judge

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/thalweg/thalweg/pipeline/rollout"
)

// drawn counts events of an arm.
func drawn(r *rand.Rand, events int, dead float64, score func() float64, took time.Duration) *rollout.Counts {
	c := new(rollout.Counts)
	for range events / 100 {
		lost := 0
		for range 100 {
			if r.Float64() < dead {
				lost++
			} else {
				c.Score(score())
			}
		}
		c.Batch(100, lost, took)
	}
	return c
}

func TestACandidateIsJudgedByWhatIsCertain(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	usual := func() float64 { return r.Float64() }
	var conditions []rollout.Condition
	for _, text := range []string{"error_rate > 2%", "error_rate_increase > 1%", "psi(score) > 0.1", "score_shift > 0.05", "latency_p99 > 20ms", "latency_ratio > 3"} {
		c, err := rollout.ParseCondition(text)
		if err != nil {
			t.Fatal(err)
		}
		conditions = append(conditions, c)
	}
	champion := drawn(r, 20_000, 0.001, usual, 5*time.Millisecond)
	for name, c := range map[string]struct {
		candidate *rollout.Counts
		outcome   string
		why       string
	}{
		"good":             {drawn(r, 20_000, 0.001, usual, 5*time.Millisecond), rollout.Good, "psi(score)"},
		"errors":           {drawn(r, 20_000, 0.05, usual, 5*time.Millisecond), rollout.Bad, "error_rate"},
		"other scores":     {drawn(r, 20_000, 0.001, func() float64 { return usual() * usual() }, 5*time.Millisecond), rollout.Bad, "psi(score)"},
		"slow":             {drawn(r, 20_000, 0.001, usual, 50*time.Millisecond), rollout.Bad, "latency_p99"},
		"too few rows":     {drawn(r, 900, 0, usual, 5*time.Millisecond), rollout.Inconclusive, "too few rows: champion 20000, candidate 900"},
		"hardly an error":  {drawn(r, 1000, 0.012, usual, 5*time.Millisecond), rollout.Inconclusive, "error_rate"},
		"nothing is known": {new(rollout.Counts), rollout.Inconclusive, "too few rows"},
	} {
		v := Candidate(conditions, champion, c.candidate, 1000)
		if v.Outcome != c.outcome || !strings.Contains(v.Why, c.why) {
			t.Errorf("%s: %s because of %s", name, v.Outcome, v.Why)
		}
	}
}

// Two samples of one distribution are hardly ever far apart, however few they are.
func TestTheIndexKnowsTheNumberOfRows(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{100, 1000, 10_000} {
		outside := 0
		for range 300 {
			a := drawn(r, n, 0, r.NormFloat64, time.Millisecond)
			b := drawn(r, n, 0, r.NormFloat64, time.Millisecond)
			if f := find(rollout.Condition{Metric: rollout.PSI}, a, b); f.Low > 0 {
				outside++
			}
		}
		if outside > 24 { // 15 of two sides on average
			t.Errorf("with %d rows %d of 300 are apart", n, outside)
		}
	}
}

// A time is known as well as its bin is wide, and so no better judged.
func TestATimeInTheBinOfABoundIsInconclusive(t *testing.T) {
	c := new(rollout.Counts)
	for range 100 {
		c.Batch(10, 0, 19*time.Millisecond)
	}
	for bound, want := range map[string]string{"18ms": rollout.Inconclusive, "19ms": rollout.Inconclusive, "10ms": rollout.Bad, "30ms": rollout.Good} {
		of, err := rollout.ParseCondition("latency_p99 > " + bound)
		if err != nil {
			t.Fatal(err)
		}
		if f := find(of, c, c); f.Outcome != want {
			t.Errorf("%s: %s, want %s", f, f.Outcome, want)
		}
	}
	if f := find(rollout.Condition{Metric: rollout.LatencyRatio, Above: 1.01}, c, c); f.Outcome != rollout.Inconclusive {
		t.Errorf("the same times: %s", f)
	}
}
