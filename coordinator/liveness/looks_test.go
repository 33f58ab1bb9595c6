package liveness

import (
	"testing"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/state"
)

// What was listed before a run looked for itself is no news, though it differs from what
// the run found.
func TestListingsFromBeforeARunAreNoNews(t *testing.T) {
	p := &state.Pipeline{Name: "a", Timetable: &state.Timetable{OnNewObjects: true, Seen: "o1"}, Specs: []*state.Spec{{Generation: 1}}}
	var l Looks
	l.mu.of = map[thalweg.PipelineName]*look{"a": {generation: 1, seen: "o1"}}
	for range 2 {
		l.Note([]*apiv1.Looked{{Pipeline: "a", Generation: 1, Objects: "o1"}})
	}
	if got, _ := l.Of(p); got != "o1" {
		t.Errorf("two listings agree, but objects are %q", got)
	}
	p.Timetable.Seen = "o2" // a run was quicker
	if got, _ := l.Of(p); got != "" {
		t.Errorf("a run has found o2 since, but objects are %q", got)
	}
}
