package replay

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	bucketmem "github.com/thalweg/thalweg/storage/memory"
	"github.com/thalweg/thalweg/worker/stream/crash"
	"github.com/thalweg/thalweg/worker/stream/crash/crashtest"
)

// stepsOfAReplay are the registered steps that an undisturbed replay takes: it
// commits no offset, is not paused, and knows where it begins.
var stepsOfAReplay = []crash.Point{crashtest.FindEnd, crashtest.ListAfterEnd, crashtest.LookUpTopic, crash.LoadModel, crashtest.Fetch, crash.Score,
	crashtest.Claim, crashtest.PublishRows, crashtest.PublishDeadLetters, crashtest.Finish}

// TestAReplayThatDiesAtAnyStepIsResumed ends a replay at each of its steps,
// the first, second and fifth time, before and after the step took effect, or
// has the step fail; and runs it again. Its files are those of a replay that was
// left alone.
func TestAReplayThatDiesAtAnyStepIsResumed(t *testing.T) {
	w := newWorld(t)
	w.produce(0, 500)
	request := w.request(2, "whole/", "earliest", "latest")
	whole, err := Open(t.Context(), w.source, request)
	check(t, err)
	counting := crashtest.NewScript()
	_, err = w.runThrough(t.Context(), whole, w.lake, "whole/", crashtest.NewGate(counting, crashtest.Process{}))
	check(t, err)
	hits := counting.Hits()
	if got := slices.Sorted(maps.Keys(hits)); !cmp.Equal(got, slices.Sorted(slices.Values(stepsOfAReplay))) {
		t.Errorf("a replay takes the steps %v", got)
	}
	for _, call := range counting.Unknown() {
		if !strings.Contains(call, Name) { // read once, before anything else
			t.Errorf("no registered step: %s", call)
		}
	}
	want := anonymous(w.objects("whole/data/"))
	letters := anonymous(w.objects("whole/_dead/"))
	runs := 0
	for _, point := range stepsOfAReplay {
		for _, when := range crashtest.Whens() {
			for _, nth := range []int{1, 2, 5} {
				for _, action := range []crashtest.Action{crashtest.Exit, crashtest.Fail} {
					plan := crashtest.Plan{Point: point, When: when, Nth: nth, Action: action}
					if nth > hits[point] {
						continue
					}
					runs++
					w.lake = bucketmem.New() // each its own, so that nothing is listed twice
					again := request
					again.Into, again.Live = w.into("killed/"), w.live()
					m, err := Open(t.Context(), w.source, again)
					check(t, err)
					script := crashtest.NewScript(plan)
					ctx, cancel := context.WithCancel(t.Context())
					_, err = w.runThrough(ctx, m, w.lake, "killed/", crashtest.NewGate(script, crashtest.Process{Exit: cancel}))
					cancel()
					if script.Fired(plan) == 0 || action == crashtest.Exit && err == nil {
						t.Errorf("%s: came about %d times, the replay ended with %v", plan, script.Fired(plan), err)
					}
					_, err = w.run(t.Context(), m, w.lake, "killed/")
					if err != nil {
						t.Errorf("%s: run again: %v", plan, err)
						continue
					}
					w.judge("killed/")
					if diff := cmp.Diff(want, anonymous(w.objects("killed/data/"))); diff != "" {
						t.Errorf("%s: the files are others", plan)
					}
					if diff := cmp.Diff(letters, anonymous(w.objects("killed/_dead/"))); diff != "" {
						t.Errorf("%s: the dead letters are others", plan)
					}
				}
			}
		}
	}
	t.Logf("%d runs", runs)
}
