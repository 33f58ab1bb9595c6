package terminal

import (
	"cmp"
	"io"
	"strings"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
)

// PrintTimetables tells when runs start by themselves, if any do.
func PrintTimetables(w io.Writer, pipelines []*apiv1.Pipeline) {
	header := false
	for _, p := range pipelines {
		t := p.Timetable
		if t == nil {
			continue
		}
		if !header {
			Row(w, "\nSCHEDULE OF", "RUNS START", "NEXT", "LAST", "MESSAGE")
			header = true
		}
		var when []string
		if t.Timing != "" {
			when = append(when, t.Timing)
		}
		if t.OnNewObjects {
			when = append(when, "on new objects")
		}
		next := Clock(t.NextAtUnixMs)
		switch {
		case t.Paused:
			next = "paused"
		case t.Queued:
			next = "after the run that is going"
		}
		Row(w, p.Name, strings.Join(when, ", "), next, Clock(t.LastAtUnixMs), cmp.Or(t.Message, t.Last))
	}
}
