package view

import (
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/state"
)

// Timetable returns a pipeline's timetable as the RPC shows it.
func Timetable(t *state.Timetable, message string) *apiv1.Timetable {
	if t == nil {
		return nil
	}
	return &apiv1.Timetable{Timing: t.Timing, OnNewObjects: t.OnNewObjects, OnOverlap: t.OnOverlap, NextAtUnixMs: t.NextMS,
		Queued: t.Queued, LastAtUnixMs: t.LastMS, Last: t.Last, Message: message, Paused: t.Paused}
}
