package engine

import (
	"cmp"
	"sync"
	"time"

	"github.com/thalweg/thalweg/pipeline/rollout"
)

// Tally counts what the arms of one step of a rollout do in this process: in all partitions and
// the service.
type Tally struct {
	mu struct {
		sync.Mutex
		arms    [rollout.Arms]rollout.Counts
		failure string
		broken  string // why the candidate answered nothing when it was last asked
	}
}

// Observe counts a batch of an arm, with the scores of those events that have one.
func (t *Tally) Observe(arm, events, dead int, took time.Duration, scores []float64) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if arm == rollout.Candidate && dead < events {
		t.mu.broken = ""
	}
	c := &t.mu.arms[arm]
	c.Batch(events, dead, took)
	for _, s := range scores {
		c.Score(s)
	}
}

// Fail notes why the candidate cannot score; "" where it can.
func (t *Tally) Fail(why string) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.failure = why
}

// Break notes that the candidate fails on all that it is asked; until it answers something.
func (t *Tally) Break(why string) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.broken = why
}

// Counts returns what was counted of both arms, and why the candidate cannot score.
func (t *Tally) Counts() (arms [rollout.Arms]rollout.Counts, failure string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mu.arms, cmp.Or(t.mu.failure, t.mu.broken)
}

// maxTallies bounds the steps that are counted at once: one for each model, of a few
// thousands that a cluster can have.
const maxTallies = 1024

// Tallies are those of a process, by what is pinned.
type Tallies struct {
	mu struct {
		sync.Mutex
		of map[Model]*Tally
	}
}

// Of returns the tally of a step; nil where too many are counted already.
func (t *Tallies) Of(m Model) *Tally {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.of == nil {
		t.mu.of = make(map[Model]*Tally)
	}
	of := t.mu.of[m]
	if of == nil && len(t.mu.of) < maxTallies {
		of = new(Tally)
		t.mu.of[m] = of
	}
	return of
}

// Keep forgets all steps but those given, and returns what is counted of these.
func (t *Tallies) Keep(steps map[Model]bool) map[Model]*Tally {
	t.mu.Lock()
	defer t.mu.Unlock()
	kept := make(map[Model]*Tally)
	for m, of := range t.mu.of {
		if steps[m] {
			kept[m] = of
		} else {
			delete(t.mu.of, m)
		}
	}
	return kept
}
