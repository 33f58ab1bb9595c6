package crashtest

import (
	"maps"
	"slices"
	"sync"

	"github.com/thalweg/thalweg/worker/stream/crash"
)

// Script holds what is to happen, and what has occurred so far, over all gates
// that share it. Its methods may be called concurrently.
type Script struct {
	// Notify, if set before the first step, is told of each plan that is about to
	// be carried out.
	Notify func(Plan)

	plans []Plan
	steps []Step
	mu    struct {
		sync.Mutex
		hits    map[crash.Point]int
		fired   map[Plan]int
		unknown map[string]bool
	}
}

// NewScript returns a script of plans; none counts only.
func NewScript(plans ...Plan) *Script {
	s := &Script{plans: plans, steps: Points()}
	s.mu.hits = make(map[crash.Point]int)
	s.mu.fired = make(map[Plan]int)
	s.mu.unknown = make(map[string]bool)
	return s
}

// Hits returns how often each step occurred.
func (s *Script) Hits() map[crash.Point]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.mu.hits)
}

// Fired returns how often a plan was carried out.
func (s *Script) Fired(p Plan) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.fired[p]
}

// Unknown returns the calls that no step in Points is.
func (s *Script) Unknown() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.mu.unknown))
}

// pointOf returns the step that a call is, "" if it is none.
func (s *Script) pointOf(c Call) crash.Point {
	for _, step := range s.steps {
		if step.Is != nil && step.Is(c) {
			return step.Point
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.unknown[c.Op.String()+" "+c.Key] = true
	return ""
}

// hit counts a step and returns what is to happen at it.
func (s *Script) hit(p crash.Point) (due []Plan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.hits[p]++
	for _, plan := range s.plans {
		if plan.Point == p && (plan.Nth == always || plan.Nth == s.mu.hits[p]) {
			s.mu.fired[plan]++
			due = append(due, plan)
			if s.Notify != nil {
				s.Notify(plan)
			}
		}
	}
	return due
}
