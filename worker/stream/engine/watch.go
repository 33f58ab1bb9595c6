package engine

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline/monitor"
	"github.com/thalweg/thalweg/pipeline/table"
)

// chosenEvent is an event whose row, if it becomes one, is counted, and its time in the topic.
type chosenEvent struct{ offset, us int64 }

// chosenBytes is what one takes.
const chosenBytes = 16

// maxCauseBytes bounds what dead letters are counted by.
const maxCauseBytes = 120

// watch notes which events of a batch are counted, and counts those that are no rows.
func (r *Rows) watch(b *Batch, lost []Reject) {
	if r.Watch == nil {
		return
	}
	offsets, times := b.Offsets(), b.Timestamps()
	r.chosen = slices.Grow(r.chosen, 1+len(offsets)/int(r.Watch.OneIn))
	for i := range r.Watch.Choose(offsets) {
		r.chosen = append(r.chosen, chosenEvent{offsets[i], times[i]})
	}
	for i := range lost {
		if at, ok := slices.BinarySearch(offsets, lost[i].Offset); ok {
			r.Watch.Die(&r.counts, r.Model.Version, times[at], lost[i].countedBy())
		}
	}
}

// countedBy is the stage, and the reason without what differs from event to event.
func (c *Reject) countedBy() string {
	why := cmp.Or(c.cause, c.Reason)
	if c.Stage == stageFetch || c.Stage == stageScore {
		return c.Stage
	}
	return c.Stage + ": " + strings.ToValidUTF8(why[:min(len(why), maxCauseBytes)], "")
}

// count counts the chosen rows, while they are there.
func (r *Rows) count() {
	if r.arms != nil && r.Watch != nil && !r.counted {
		r.counted = true
		for k := range r.arms {
			if r.arms[k].Watch == nil {
				continue // the candidate of a shadow has no rows
			}
			r.arms[k].count()
			r.flaw = cmp.Or(r.flaw, r.arms[k].flaw, r.counts.Merge(&r.arms[k].counts))
		}
		return
	}
	e, ok := r.Engine.(*artifactEngine)
	if r.Watch == nil || r.counted || !ok {
		return
	}
	r.counted = true
	defer func() {
		if p := recover(); p != nil {
			r.flaw = fmt.Errorf("counting panicked: %v", p)
		}
		r.chosen = nil
	}()
	var rows monitor.Sketch
	left := r.chosen
	for i := range r.pieces {
		if left, r.flaw = e.count(r, &r.pieces[i], left, &rows); r.flaw != nil {
			return
		}
	}
	r.flaw = r.counts.Merge(&rows)
}

// count counts the chosen rows of a piece, and returns the chosen events behind it.
func (e *artifactEngine) count(r *Rows, p *piece, chosen []chosenEvent, into *monitor.Sketch) ([]chosenEvent, error) {
	keep := table.NewMask(p.rows())
	var times []int64
	var at []int
	offsets := offsetsOf(p.cleaned)
	row := 0
	for len(chosen) > 0 && row < len(offsets) {
		switch c := chosen[0]; {
		case offsets[row] < c.offset:
			n, _ := slices.BinarySearch(offsets[row:], c.offset)
			row += n
		case offsets[row] > c.offset: // it is no row
			chosen = chosen[1:]
		default:
			keep.Set(row)
			times, at = append(times, c.us), append(at, row)
			chosen, row = chosen[1:], row+1
		}
	}
	if len(at) == 0 {
		return chosen, nil
	}
	some, err := table.Select(memory.DefaultAllocator, p.cleaned, keep)
	if err != nil {
		return nil, err
	}
	defer some.Release()
	outputs := e.outputs
	return chosen, e.counter.Count(r.Watch, r.Model.Version, some, times, func(i int) []float32 { return p.of(at[i], at[i]+1)[:outputs] }, into)
}

// Counts returns what was counted of the rows and dead letters, nil if nothing was asked for;
// flaw says why rows were not. It is complete once the rows are published.
func (r *Rows) Counts() (counts *monitor.Sketch, flaw error) {
	if r.Watch == nil {
		return nil, nil
	}
	return &r.counts, r.flaw
}
