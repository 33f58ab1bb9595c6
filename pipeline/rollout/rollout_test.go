package rollout

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestASmallerShareIsOfALargerOne(t *testing.T) {
	for _, percent := range []uint32{0, 1, 5, 25, 50, 99, 100} {
		n := 0
		for i := range uint64(20_000) {
			h := NewHash("salt").Number(i)
			if h.Arm(percent) == Candidate {
				n++
				if h.Arm(min(100, percent+10)) != Candidate {
					t.Fatalf("%d is the candidate's at %d %% and not at %d %%", i, percent, percent+10)
				}
			}
		}
		if want := 200 * int(percent); n < want-500 || n > want+500 {
			t.Errorf("%d of 20,000 are the candidate's at %d %%", n, percent)
		}
	}
}

// What is pinned in logs has to mean the same in every build.
func TestArmsAreTheSameInEveryBuild(t *testing.T) {
	got := ""
	for _, name := range []string{"", "a", "JFK", "Zürich", "2026-01-31"} {
		got += [Arms]string{"-", "+"}[NewHash("flights-1-1.8").Text(name).Arm(50)]
	}
	for i := range uint64(11) {
		got += [Arms]string{"-", "+"}[NewHash("flights-1-1.8").Number(i).Arm(50)]
	}
	if want := "+-++-++++-++---+"; got != want {
		t.Errorf("arms are %s, want %s", got, want)
	}
	same := 0
	for i := range uint64(10_000) {
		if NewHash("a").Number(i).Arm(50) == NewHash("b").Number(i).Arm(50) {
			same++
		}
	}
	if same < 4700 || same > 5300 {
		t.Errorf("another salt gives %d of 10,000 the same arm", same)
	}
}

func TestConditionsAreReadAndPrinted(t *testing.T) {
	for _, text := range []string{"error_rate > 0.5%", "error_rate_increase > 1%", "psi(score) > 0.25", "score_shift > 0.1", "latency_p99 > 20ms", "latency_ratio > 1.5"} {
		c, err := ParseCondition(text)
		if err != nil || c.String() != text {
			t.Errorf("%q is read as %q: %v", text, c, err)
		}
	}
	for text, want := range map[string]string{"error_rate": "METRIC > BOUND", "speed > 3": "no metric", "latency_p99 > 3": "no duration",
		"psi(score) > 3%": "no bound", "error_rate > -1": "no bound", "error_rate > NaN": "no bound", "error_rate > 1e999": "no bound"} {
		if _, err := ParseCondition(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestBinsRiseWithScores(t *testing.T) {
	last := -1
	for _, score := range []float64{math.Inf(-1), -1e9, -70000, -1, -0.99999, -0.5, -1e-5, 0, 1e-5, 2e-5, 0.4, 0.5, 0.50001, 0.99, 0.9999999, 1, 65536, 70000, math.Inf(1)} {
		bin := ScoreBin(score)
		if bin < last || bin >= noNumberBin {
			t.Errorf("%v is in bin %d, after %d", score, bin, last)
		}
		last = bin
	}
	if ScoreBin(0.5) == ScoreBin(0.55) || ScoreBin(0.98) == ScoreBin(0.99) || ScoreBin(0.999) == ScoreBin(0.9995) || ScoreBin(math.NaN()) != noNumberBin {
		t.Error("scores that differ are in one bin")
	}
	bins := make([]int64, 5)
	if !Dense(Sparse([]int64{0, 3, 0, 0, 7}), bins) || !slices.Equal(bins, []int64{0, 3, 0, 0, 7}) {
		t.Errorf("bins are %v", bins)
	}
	for _, pairs := range [][]int64{{1}, {5, 1}, {-1, 1}, {0, -1}, make([]int64, 12)} {
		if Dense(pairs, bins) {
			t.Errorf("%v are bins", pairs)
		}
	}
}

// drawn counts events of an arm.
func drawn(r *rand.Rand, events int, dead float64, score func() float64, took time.Duration) *Counts {
	c := new(Counts)
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

func TestCountsAreTakenAway(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	a := drawn(r, 1000, 0.1, r.Float64, time.Millisecond)
	b := *a
	c := drawn(r, 500, 0.2, r.Float64, time.Second)
	b.Add(c)
	b.Subtract(a)
	if b.Events != c.Events || b.Dead != c.Dead || b.Scores != c.Scores || b.Times != c.Times || math.Abs(b.Sum-c.Sum) > 1e-9 {
		t.Errorf("%d events are left of %d", b.Events, c.Events)
	}
}
