package alert

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/thalweg/thalweg"
)

const (
	// rateWindow is the time over which dead letters are held against rows, and rateStep
	// how far counts that are remembered lie apart.
	rateWindow = 5 * time.Minute
	rateStep   = 15 * time.Second
	// deadShare of the events, and deadLetters of them, are too many.
	deadShare   = 0.01
	deadLetters = 10
)

// Rates remembers how many events of each stream became rows and dead letters lately. It is
// soft, and for one goroutine.
type Rates struct {
	streams map[thalweg.PipelineName][]counted
}

// counted is what was counted by a time, since the logs began.
type counted struct {
	at         time.Time
	rows, dead int64
}

// Note takes in what is counted of a stream, -1 where it is not known, and returns a condition
// if there are too many dead letters.
func (r *Rates) Note(now time.Time, pipeline thalweg.PipelineName, rows, dead int64) (c Condition, many bool) {
	if rows < 0 || dead < 0 {
		return c, false
	}
	if r.streams == nil {
		r.streams = make(map[thalweg.PipelineName][]counted)
	}
	known := r.streams[pipeline]
	if n := len(known); n > 0 && (rows < known[n-1].rows || dead < known[n-1].dead || now.Before(known[n-1].at)) {
		known = nil // another log, or the clock was set back
	}
	// The newest that is as old as the window is what is compared with.
	for len(known) > 1 && now.Sub(known[1].at) >= rateWindow {
		known = known[1:]
	}
	if n := len(known); n == 0 || now.Sub(known[n-1].at) >= rateStep {
		known = append(slices.Clone(known), counted{now, rows, dead})
	}
	r.streams[pipeline] = known
	newDead, newRows := dead-known[0].dead, rows-known[0].rows
	share := float64(newDead) / float64(max(1, newDead+newRows))
	if newDead < deadLetters || share < deadShare {
		return c, false
	}
	return Condition{Rule: DeadLetters, Pipeline: pipeline, Subject: "stream " + string(pipeline),
		Message: fmt.Sprintf("%d of %d events in %v are dead letters (%.1f %%): `thalweg dlq list %s` says why", newDead, newDead+newRows, now.Sub(known[0].at).Round(time.Second), 100*share, pipeline)}, true
}

// Keep forgets the streams that are not named.
func (r *Rates) Keep(names map[thalweg.PipelineName]bool) {
	maps.DeleteFunc(r.streams, func(name thalweg.PipelineName, _ []counted) bool { return !names[name] })
}
