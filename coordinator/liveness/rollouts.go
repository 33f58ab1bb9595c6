package liveness

import (
	"fmt"
	"math"
	"sync"
	"time"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/state"
	"github.com/thalweg/thalweg/pipeline/rollout"
	"github.com/thalweg/thalweg/pipeline/rollout/judge"
)

// maxSources bounds the processes whose counts of a rollout are kept: those of twice as many
// workers as there can be, since counts of one that has ended stay counts.
const maxSources = 2 * MaxWorkers

// Rollouts is what workers have counted of the rollouts that go on, as they told this leader.
// A new leader knows nothing: it goes by what is counted from then on, and so never by counts
// of which some are missing.
type Rollouts struct {
	sinceMS int64 // when this node began to lead, by its clock
	mu      struct {
		sync.Mutex
		of map[string]*window // by salt
	}
}

// window is what is counted of a step since the last verdict that took counts with it.
type window struct {
	percent uint32
	judged  uint64
	since   time.Time // of the last verdict, or of the window
	// whole: the step began while this node led, so that all that a process has counted of
	// it is of the window.
	whole        bool
	base, latest map[source]*apiv1.RolloutCounts
	seen         map[source]time.Time // when it told of it last
}

// source is a process of a worker.
type source struct{ worker, incarnation string }

// NewRollouts returns what a node knows that begins to lead.
func NewRollouts(nowMS int64) *Rollouts {
	r := &Rollouts{sinceMS: nowMS}
	r.mu.of = make(map[string]*window)
	return r
}

// Note takes in what a poll tells. What is of no step that Due has seen is left for the next.
func (r *Rollouts) Note(msg *apiv1.PollRequest, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	from := source{msg.WorkerId, msg.Incarnation}
	for _, c := range msg.Rollouts {
		w := r.mu.of[c.Salt]
		if w == nil || w.percent != c.Percent || len(c.Arms) != rollout.Arms && c.Failure == "" {
			continue
		}
		if w.latest[from] == nil {
			if len(w.latest) >= maxSources {
				continue
			}
			if !w.whole {
				w.base[from] = c
			}
		}
		w.latest[from], w.seen[from] = c, now
	}
}

// Due returns the verdicts that are due, and forgets rollouts that have ended.
func (r *Rollouts) Due(s *state.State, now time.Time) (due []*state.JudgeRollout) {
	r.mu.Lock()
	defer r.mu.Unlock()
	going := make(map[string]bool)
	for m := range s.Models() {
		for name, a := range m.Aliases {
			k := a.Rollout
			if !k.Going() {
				continue
			}
			going[k.Salt] = true
			w := r.windowLocked(k, now)
			if k.Held {
				w.since = now
			}
			if now.Sub(w.since) < time.Duration(k.IntervalMS)*time.Millisecond {
				continue
			}
			if v := w.judge(k, now); !repeats(k, &v, now) {
				due = append(due, &state.JudgeRollout{Model: m.Name, Alias: name, Salt: k.Salt, Judged: k.Judged, Verdict: v})
			}
			w.since = now // if it is void, the next is due an interval later
		}
	}
	for salt := range r.mu.of {
		if !going[salt] {
			delete(r.mu.of, salt)
		}
	}
	return due
}

// repeatEvery is how often it is noted that there are too few rows still.
const repeatEvery = time.Hour

// repeats reports whether a verdict changes nothing and says what the last one said not long ago.
func repeats(k *state.Rollout, v *rollout.Verdict, now time.Time) bool {
	if len(k.Verdicts) == 0 || v.Outcome != rollout.Inconclusive || k.OnInconclusive != state.InconclusiveHolds || len(v.Findings) > 0 {
		return false
	}
	last := &k.Verdicts[len(k.Verdicts)-1]
	return last.Outcome == v.Outcome && len(last.Findings) == 0 && last.Percent == v.Percent && now.UnixMilli()-last.AtMS < repeatEvery.Milliseconds()
}

// failureAge is how long a failure counts at least that a worker told: a few polls.
const failureAge = 10 * time.Second

// windowLocked returns the window of the step that a rollout is at. A bad verdict takes its
// counts with it, so that the next one goes by others; one that is inconclusive leaves them.
func (r *Rollouts) windowLocked(k *state.Rollout, now time.Time) *window {
	w := r.mu.of[k.Salt]
	if w == nil || w.percent != k.Percent() {
		w = &window{percent: k.Percent(), judged: k.Judged, since: now, whole: k.StepMS >= r.sinceMS,
			base: make(map[source]*apiv1.RolloutCounts), latest: make(map[source]*apiv1.RolloutCounts), seen: make(map[source]time.Time)}
		r.mu.of[k.Salt] = w
	}
	if w.judged != k.Judged {
		w.judged, w.since = k.Judged, now
		if n := len(k.Verdicts); n > 0 && k.Verdicts[n-1].Outcome == rollout.Bad {
			for from, c := range w.latest {
				w.base[from] = c
			}
		}
	}
	return w
}

// judge judges a candidate by what was counted.
func (w *window) judge(k *state.Rollout, now time.Time) rollout.Verdict {
	champion, candidate := w.sum()
	v := judge.Candidate(k.Conditions, champion, candidate, k.MinRows)
	for from, c := range w.latest {
		if c.Failure != "" && now.Sub(w.seen[from]) <= max(failureAge, time.Duration(k.IntervalMS)*time.Millisecond) { // it still runs
			v.Outcome, v.Why = rollout.Bad, fmt.Sprintf("worker %s cannot score with version %d: %s", from.worker, k.Candidate, c.Failure)
			break
		}
	}
	for i := range v.Findings { // JSON has finite numbers
		f := &v.Findings[i]
		for _, x := range []*float64{&f.Value, &f.Low, &f.High} {
			if math.IsNaN(*x) || math.IsInf(*x, 0) {
				*x, f.Outcome = math.MaxFloat64, rollout.Inconclusive
			}
		}
	}
	v.Percent = w.percent
	return v
}

// sum adds up what all processes have counted of both arms in the window.
func (w *window) sum() (champion, candidate *rollout.Counts) {
	sums := [rollout.Arms]*rollout.Counts{new(rollout.Counts), new(rollout.Counts)}
	for from, c := range w.latest {
		if len(c.Arms) != rollout.Arms {
			continue
		}
		base := w.base[from]
		for arm := range sums {
			now, ok := countsOf(c.Arms[arm])
			if !ok {
				continue
			}
			if base != nil && len(base.Arms) == rollout.Arms {
				if before, ok := countsOf(base.Arms[arm]); ok {
					now.Subtract(before)
				}
			}
			sums[arm].Add(now)
		}
	}
	return sums[rollout.Champion], sums[rollout.Candidate]
}

// countsOf reads what a worker told; false if it makes no sense.
func countsOf(c *apiv1.ArmCounts) (out *rollout.Counts, ok bool) {
	out = &rollout.Counts{Events: c.Events, Dead: c.Dead, Batches: c.Batches, Sum: c.Sum, Squares: c.Squares}
	sane := c.Events >= 0 && c.Dead >= 0 && c.Dead <= c.Events && c.Batches >= 0 && !math.IsNaN(c.Sum) && !math.IsInf(c.Sum, 0) && !math.IsNaN(c.Squares) && !math.IsInf(c.Squares, 0)
	return out, sane && rollout.Dense(c.Scores, out.Scores[:]) && rollout.Dense(c.Times, out.Times[:])
}

// Arms returns what was counted of both arms since the last verdict; nil where nothing is
// known.
func (r *Rollouts) Arms(salt string) (arms []*apiv1.RolloutArm) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.mu.of[salt]
	if w == nil {
		return nil
	}
	champion, candidate := w.sum()
	for arm, c := range []*rollout.Counts{champion, candidate} {
		arms = append(arms, &apiv1.RolloutArm{Arm: rollout.ArmName(arm), Events: c.Events, Dead: c.Dead})
	}
	return arms
}
