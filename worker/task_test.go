package worker

import (
	"fmt"
	"slices"
	"testing"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
)

// What tasks have found is taken in the order of the shards, and that of a task is read only
// once that of the task before is taken: a reducer has one in memory, however many there are.
func TestResultsOfShardsAreReadOneTaskAtATime(t *testing.T) {
	b := newBatchHalf(t)
	lease := b.lease()
	lease.Kind = "evaluate"
	task := &Task{Lease: lease, worker: b.worker, Report: &apiv1.TaskReport{Outputs: map[string]string{}}}
	for i, list := range [][]int{{1, 2}, {3}, {4}} {
		task.Lease.Index = uint32(i)
		if err := task.SavePartial(t.Context(), list); err != nil {
			t.Fatal(err)
		}
	}
	task.Lease.Partials = slices.Insert(slices.Clone(task.Report.Partials), 2, "no reference")
	var taken []int
	if err := eachResult(t.Context(), task, func(n *int) error { taken = append(taken, *n); return nil }); err == nil || !slices.Equal(taken, []int{1, 2, 3}) {
		t.Errorf("%v were taken before the one that cannot be read: %v", taken, err)
	}
	failed := fmt.Errorf("no")
	if err := eachResult(t.Context(), task, func(*int) error { return failed }); err != failed {
		t.Errorf("%v", err)
	}
}
