package score

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/thalweg/thalweg/storage"
)

// simIntent and simDone are what the judge reads of a slot's records.
type (
	simIntent struct {
		ID             string
		From, To       int64
		ModelVersion   int    `json:"model_version"`
		SpecGeneration int    `json:"spec_generation"`
		ScoredAtUS     int64  `json:"scored_at_us"`
		Previous       string `json:"previous"`
		Action         string
		Slots          [2]int
		TopicID        string `json:"topic_id"`
		Missing        [2]int64
	}
	simDone struct {
		Objects []struct {
			Key, SHA256, Kind string
			Rows              int64
		}
		Gaps   [][2]int64
		Inputs []int
		Scored int64
	}
)

// simSlot is a finished slot as the judge sees it.
type simSlot struct {
	in      simIntent
	done    simDone
	topic   simTopic
	base    int64          // of the places of the topic's events
	covered map[int64]bool // offsets of the range
	absent  []string       // scored objects that are not there
	carrier int            // the slot whose objects hold its rows
}

type complaint = func(format string, args ...any)

// judge checks a slot that scored.
func (t *simSlot) judge(s *sim, objects map[string][]byte, complain complaint) {
	in := t.in
	for _, o := range t.done.Objects {
		body, ok := objects[o.Key]
		if !ok && o.Kind == "scored" {
			t.absent = append(t.absent, o.Key)
			continue
		}
		if !ok || storage.SHA256(body) != o.SHA256 {
			complain("slot of [%d, %d): %s is missing or not what was recorded", in.From, in.To, o.Key)
			continue
		}
		for line := range bytes.Lines(body) {
			at, kind, version, generation := simLine(line)
			at -= t.base
			t.covered[at] = true
			if version != in.ModelVersion || generation != in.SpecGeneration || at < in.From || at >= in.To {
				complain("offset %d has version %d and generation %d, the intent [%d, %d) of %d, %d", at, version, generation, in.From, in.To, in.ModelVersion, in.SpecGeneration)
			}
			if want := map[simEvent]string{simGood: "row", simPoison: "dead"}[eventAt(t.topic, at)]; kind != want {
				complain("offset %d is a %s, not a %s", at, kind, want)
			}
		}
	}
	for _, g := range t.done.Gaps {
		for at := g[0]; at < g[1]; at++ {
			if eventAt(t.topic, at) != simGap {
				complain("[%d, %d): offset %d is called a gap", in.From, in.To, at)
			}
			t.covered[at] = true
		}
	}
	for _, c := range s.candidates {
		if int(c.Version) == in.ModelVersion && c.RegisteredAtUS > in.ScoredAtUS {
			complain("[%d, %d): version %d was registered after scored_at", in.From, in.To, in.ModelVersion)
		}
	}
}

// judgeMerge checks a slot that moved rows: it replaces what holds them, and has
// exactly them as they were.
func (t *simSlot) judgeMerge(s *sim, slots []*simSlot, objects map[string][]byte, complain complaint) {
	own := len(slots) - 1
	s.tally["files were merged"]++
	var want []int
	rows := int64(0)
	for i := t.in.Slots[0]; i < t.in.Slots[1]; i++ {
		o := slots[i]
		if o.in.Action == "compact" || o.done.Scored == 0 {
			continue
		}
		if o.base != slots[t.in.Slots[0]].base {
			complain("slot %d merges rows of two topics", own)
		}
		if n := len(want); n == 0 || want[n-1] != o.carrier {
			want = append(want, o.carrier)
		}
		if c := slots[o.carrier]; c.in.Action == "compact" && (c.in.Slots[0] < t.in.Slots[0] || c.in.Slots[1] > t.in.Slots[1]) {
			complain("slot %d moves a part of what slot %d holds", own, o.carrier)
		}
		if o.in.SpecGeneration != t.in.SpecGeneration {
			complain("slot %d merges generations %d and %d", own, t.in.SpecGeneration, o.in.SpecGeneration)
		}
		o.carrier, rows = own, rows+o.done.Scored
	}
	if !slices.Equal(want, t.done.Inputs) || rows != t.done.Scored {
		complain("slot %d replaces slots %v with %d rows, %d rows are in slots %v", own, t.done.Inputs, t.done.Scored, rows, want)
	}
	for _, o := range t.done.Objects {
		body, ok := objects[o.Key]
		if !ok {
			t.absent = append(t.absent, o.Key)
			continue
		}
		if storage.SHA256(body) != o.SHA256 {
			complain("slot %d: %s is not what was recorded", own, o.Key)
		}
		last := int64(-1)
		for line := range bytes.Lines(body) {
			at, _, version, generation := simLine(line)
			if at <= last {
				complain("slot %d has offset %d after %d", own, at, last)
			}
			last = at
			i := slices.IndexFunc(slots, func(o *simSlot) bool { return o.in.Action == "" && at >= o.base+o.in.From && at < o.base+o.in.To })
			if i < t.in.Slots[0] || i >= t.in.Slots[1] {
				complain("slot %d has offset %d of slot %d", own, at, i)
				continue
			}
			o := slots[i].in
			if want := fmt.Sprintf("row %d %d %d %d\n", at, o.ModelVersion, o.SpecGeneration, o.ScoredAtUS); string(line) != want {
				complain("slot %d made %q of %q (version %d, generation %d)", own, line, want, version, generation)
			}
			slots[i].covered[at-slots[i].base] = true
		}
	}
}

// judgeEnd checks what can be said once all slots are known.
func (t *simSlot) judgeEnd(slot int, slots []*simSlot, complain complaint) {
	if t.in.Action == "skip" {
		return
	}
	if t.in.Action != "compact" {
		if int64(len(t.covered)) != t.in.To-t.in.From {
			complain("slot %d: %d of the offsets [%d, %d) are accounted for", slot, len(t.covered), t.in.From, t.in.To)
		}
		if t.carrier == slot && len(t.absent) > 0 {
			complain("slot %d: %v is missing", slot, t.absent)
		}
		return
	}
	live := slices.ContainsFunc(slots, func(o *simSlot) bool { return o.in.Action != "compact" && o.done.Scored > 0 && o.carrier == slot })
	if live && len(t.absent) > 0 {
		complain("slot %d: %v is missing", slot, t.absent)
	}
}
