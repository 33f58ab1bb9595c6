package scorer

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/thalweg/thalweg"
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
		RowsTopic      string `json:"rows_topic"`
		Rollout        struct {
			Candidate int
			Percent   uint32
			Salt      string
		}
	}
	simDone struct {
		Objects []struct {
			Key, SHA256, Kind string
			Rows              int64
		}
		Gaps         [][2]int64
		Lost         [2]int64
		Inputs       []int
		Scored, Dead int64
		Total        struct{ Missing int64 }
	}
)

// version is the one that has to have scored an event.
func (in *simIntent) version(at int64) int {
	r := in.Rollout
	return int(simArm(thalweg.ModelVersion(in.ModelVersion), thalweg.ModelVersion(r.Candidate), r.Percent, r.Salt, at))
}

// simSlot is a finished slot as the judge sees it.
type simSlot struct {
	in      simIntent
	done    simDone
	topic   simTopic
	base    int64          // of the places of the topic's events
	covered map[int64]bool // offsets of the range
	absent  []string       // scored objects that are not there
	back    []string       // of those, the ones of other bytes under their names
	carrier int            // the slot whose objects hold its rows
	missing int64          // offsets that it gives up
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
		if o.Kind == "scored" && storage.SHA256(body) != o.SHA256 {
			// Merged and deleted, and then came a late request of who had more or less of it.
			t.absent, t.back = append(t.absent, o.Key), append(t.back, o.Key)
			continue
		}
		if !ok || storage.SHA256(body) != o.SHA256 {
			complain("slot of [%d, %d): %s is missing or not what was recorded", in.From, in.To, o.Key)
			continue
		}
		for line := range bytes.Lines(body) {
			at, kind, version, generation := simLine(line)
			of := in.version(at)
			at -= t.base
			t.covered[at] = true
			if version != of || generation != in.SpecGeneration || at < in.From || at >= in.To {
				complain("offset %d has version %d and generation %d, the intent [%d, %d) of %d, %d", at, version, generation, in.From, in.To, of, in.SpecGeneration)
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
		pinned := int(c.Version) == in.ModelVersion && !c.InRollout() || c.InRollout() && int(c.Rollout.Candidate) == in.Rollout.Candidate
		if pinned && c.RegisteredAtUS > in.ScoredAtUS {
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
			if want := fmt.Sprintf("row %d %d %d %d\n", at, o.version(at), o.SpecGeneration, o.ScoredAtUS); string(line) != want {
				complain("slot %d made %q of %q (version %d, generation %d)", own, line, want, version, generation)
			}
			slots[i].covered[at-slots[i].base] = true
		}
	}
}

// judgeEnd checks what can be said once all slots are known.
func (t *simSlot) judgeEnd(s *sim, slot int, slots []*simSlot, objects map[string][]byte, complain complaint) {
	switch t.in.Action {
	case "skip":
		t.missing = t.in.Missing[1] - t.in.Missing[0]
		return
	case "compact":
		live := slices.ContainsFunc(slots, func(o *simSlot) bool { return o.in.Action != "compact" && o.done.Scored > 0 && o.carrier == slot })
		if live && len(t.absent) > 0 {
			complain("slot %d: %v is missing", slot, t.absent)
		}
		return
	}
	kept := 0 // events of what is lost
	for at := t.in.From; at < t.in.To; at++ {
		if t.covered[at] && t.lost(at) {
			kept++
		}
		switch {
		case t.covered[at]:
		case t.lost(at):
			t.missing++
		default:
			complain("slot %d: offset %d of [%d, %d) is not accounted for", slot, at, t.in.From, t.in.To)
		}
	}
	if kept > 0 {
		s.tally["slots that have some of what is lost"]++
	}
	if t.carrier == slot && len(t.absent) > 0 {
		complain("slot %d: %v is missing, or not what was recorded", slot, t.absent)
	}
	for _, key := range t.back {
		for line := range bytes.Lines(objects[key]) {
			if at, _, _, _ := simLine(line); !t.covered[at-t.base] && !t.lost(at-t.base) {
				complain("slot %d: %s is back with offset %d", slot, key, at)
			}
		}
	}
}

// lost reports whether an offset is of what the topic has lost.
func (t *simSlot) lost(at int64) bool { return at >= t.done.Lost[0] && at < t.done.Lost[1] }

// mayLie reports whether an object may lie under the slot's name that no record
// names: an owner of the claim has put it there late, and all that it has is
// given up. Dead letters that are given up are in no object, so in no topic.
func (t *simSlot) mayLie(key string, body []byte) bool {
	if !strings.Contains(key, t.in.ID) {
		return false
	}
	if strings.Contains(key, "/_dead/") {
		return len(body) == 0 && t.done.Dead == 0
	}
	for line := range bytes.Lines(body) {
		at, _, _, _ := simLine(line)
		if at -= t.base; !t.lost(at) || t.covered[at] {
			return false
		}
	}
	return true
}
