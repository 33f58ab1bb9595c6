package scorer

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/compact"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// simRetention is how long owners keep what they have replaced.
const simRetention = 6 * time.Millisecond

// compaction returns how a new owner merges files; in some worlds none does.
func (s *sim) compaction() compact.Config {
	if s.seed%4 == 0 {
		return compact.Config{}
	}
	return compact.Config{MinFiles: 2 + s.rng.IntN(3), Bytes: 80 + s.rng.Int64N(1000), Retention: simRetention}
}

// simMerger merges files of lines. Files of versions 4 and later have other
// columns.
type simMerger struct {
	forgets bool // the last file
	repeats bool // a row
	parts   [][]byte
	columns int
}

func (m *simMerger) Add(_, _ string, file []byte) error {
	_, _, version, _ := simLine(file)
	if len(m.parts) > 0 && m.columns != version/4 {
		return engine.ErrOtherColumns
	}
	m.columns = version / 4
	m.parts = append(m.parts, file)
	return nil
}

func (m *simMerger) Close() ([]engine.File, error) {
	if m.forgets && len(m.parts) > 1 {
		m.parts = m.parts[:len(m.parts)-1]
	}
	out := bytes.Join(m.parts, nil)
	if m.repeats {
		out = append(out, out[:bytes.IndexByte(out, '\n')+1]...)
	}
	return []engine.File{{Body: out}}, nil
}

// record reads a record of the log as a stranger would, ok false if it is not
// there.
func (s *sim) record(slot uint64, kind string, into any) bool {
	body, _, err := s.bucket.Get(context.Background(), fmt.Sprintf("x/_log/t/00000/%012d.%s.json", slot, kind))
	return err == nil && json.Unmarshal(body, into) == nil
}

// slotsOf returns the slots whose rows an object of a slot has, by its name and
// the slot's intent.
func (s *sim) slotsOf(key string) (slot uint64, slots [2]int) {
	fmt.Sscanf(key[strings.LastIndexByte(key, '/')+1:], "%012d-", &slot)
	slots = [2]int{int(slot), int(slot) + 1}
	var in simIntent
	if s.record(slot, "intent", &in) && in.Action == "compact" {
		slots = in.Slots
	}
	return slot, slots
}

// moved reports whether one of two objects may have the rows of the other:
// those that a later compaction was claimed for.
func (s *sim) moved(a, b string) bool {
	if !strings.Contains(a, "/data/") || !strings.Contains(b, "/data/") {
		return false
	}
	early, within := s.slotsOf(a)
	late, slots := s.slotsOf(b)
	if early > late {
		within, slots = slots, within
	}
	return early != late && slots[0] <= within[0] && within[1] <= slots[1]
}

// replaced reports whether a finished compaction has replaced an object, or has
// moved the rows around one that was late.
func (s *sim) replaced(key string) bool {
	slot, _ := s.slotsOf(key)
	for by := slot + 1; ; by++ {
		var in simIntent
		var d simDone
		if !s.record(by, "intent", &in) || !s.record(by, "done", &d) {
			return false
		}
		if in.Action == "compact" && in.Slots[0] <= int(slot) && int(slot) < in.Slots[1] {
			return true
		}
		for _, input := range d.Inputs {
			if uint64(input) == slot {
				return true
			}
		}
	}
}

// simFollower reads the log at any moment, as readers by log do: the live
// objects have each row of the finished slots once. And it takes its time: what
// it was to read stays there for a while.
type simFollower struct {
	sim     *sim
	log     *commitlog.Log
	holding []string
	since   time.Duration
	wrong   []string
}

func newSimFollower(s *sim) simActor {
	log, err := commitlog.New(s.bucket, commitlog.Config{Prefix: "x/", Pipeline: "p", Topic: "t"})
	if err != nil {
		panic(err)
	}
	return &simFollower{sim: s, log: log}
}

func (f *simFollower) act() {
	if len(f.wrong) > 0 {
		return
	}
	if f.sim.now.Mono < f.since+simRetention {
		for _, key := range f.holding {
			if _, err := f.sim.bucket.Head(context.Background(), key); err != nil {
				f.complain("%s is gone while it is read", key)
			}
		}
	} else {
		f.look()
	}
}

// look reads the log and all that is live.
func (f *simFollower) look() {
	f.holding, f.since = nil, f.sim.now.Mono
	seen := make(map[int64]bool)
	var scored, lost [][2]int64 // places that slots say they scored, and those where they miss some
	finished := func(yield func(commitlog.Entry, error) bool) {
		for e, err := range f.log.ReadBack(context.Background()) {
			if err == nil && e.Intent.Action == commitlog.Score {
				topic := topicNumber(e.Intent.TopicID)
				scored = append(scored, [2]int64{f.sim.place(topic, e.Intent.From), f.sim.place(topic, e.Intent.To)})
				lost = append(lost, [2]int64{f.sim.place(topic, e.Done.Lost[0]), f.sim.place(topic, e.Done.Lost[1])})
			}
			if !yield(e, err) {
				return
			}
		}
	}
	for e, err := range commitlog.Live(finished) {
		if err != nil {
			f.complain("the log cannot be read: %v", err)
			return
		}
		for _, o := range e.Done.Objects {
			if o.Kind != commitlog.Scored {
				continue
			}
			f.holding = append(f.holding, o.Key)
			body, _, err := f.sim.bucket.Get(context.Background(), o.Key)
			if err != nil {
				f.complain("a reader by log misses %s", o.Key)
			}
			for line := range bytes.Lines(body) {
				at, _, _, _ := simLine(line)
				if seen[at] {
					f.complain("a reader by log has offset %d twice", at)
				}
				seen[at] = true
			}
		}
	}
	topics := f.sim.topics()
	for i, r := range scored {
		for at := r[0]; at < r[1]; at++ {
			gone := at >= lost[i][0] && at < lost[i][1] && !seen[at]
			if want := eventAt(topics[at>>32], at&(1<<32-1)) == simGood; seen[at] != want && !gone {
				f.complain("a reader by log has offset %d: %t, want %t", at, seen[at], want)
			}
		}
	}
}

func (f *simFollower) complain(format string, args ...any) {
	f.wrong = append(f.wrong, fmt.Sprintf(format, args...))
}

func (f *simFollower) settle() { f.act() }

func (f *simFollower) judge(map[string][]byte) []string {
	if len(f.wrong) == 0 {
		f.look()
	}
	return f.wrong
}

// deletesInputsEarly deletes what it merged once the merged file is there, and
// writes the record then.
func deletesInputsEarly(o *simOwner, ev event) event {
	if ev, ok := ev.(objectsPublished); ok && ev.err == nil && o.runner.machine.merges.committing() && o.merged() != nil {
		for _, input := range o.merged().Done.Inputs {
			o.sim.deleteSlot(input)
		}
	}
	return ev
}

func (s *sim) deleteSlot(slot uint64) {
	for info := range s.bucket.List(context.Background(), fmt.Sprintf("x/data/t/00000/%012d-", slot), "") {
		s.bucket.Delete(context.Background(), info.Key)
	}
}

// sweepsClaims takes a compaction for finished because it is claimed.
func sweepsClaims(o *simOwner, ev event) event {
	if _, ok := ev.(swept); ok {
		for slot := uint64(0); ; slot++ {
			var in simIntent
			if !o.sim.record(slot, "intent", &in) {
				break
			}
			var d simDone
			if in.Action == "compact" && !o.sim.record(slot, "done", &d) {
				for i := in.Slots[0]; i < in.Slots[1]; i++ {
					o.sim.deleteSlot(uint64(i))
				}
			}
		}
	}
	return ev
}

// sweepsAtOnce gives readers no time.
func sweepsAtOnce(o *simOwner, ev event) event {
	if ev, ok := ev.(slotFinished); ok && ev.err == nil {
		for _, input := range ev.entry.Done.Inputs {
			o.sim.deleteSlot(input)
		}
	}
	return ev
}

// mergesAgain believes that what it has merged is still to be merged.
func mergesAgain(o *simOwner, ev event) event {
	if ev, ok := ev.(slotFinished); ok && ev.err == nil && ev.entry.Intent.Action == commitlog.Compact {
		ev.entry.Done.Scored = 0 // so that it replaces nothing
		return ev
	}
	return ev
}

// merged returns the merged file that an owner has in memory, nil if it has none.
func (o *simOwner) merged() *compact.Merged {
	if job := o.runner.machine.merges.job; job != nil {
		return job.work
	}
	return nil
}

// mergesMore carries a found compaction out with one file more. To be found it
// must have been left: its owners often die once they have claimed it.
func mergesMore(o *simOwner, ev event) event {
	w := o.merged()
	if ev, ok := ev.(slotClaimed); ok && ev.won && w != nil && !w.Found && !o.sim.calm && o.sim.rng.IntN(2) == 0 {
		o.dead = true
	}
	if _, ok := ev.(merged); !ok || w == nil || !w.Found || len(w.Files) == 0 {
		return ev
	}
	for slot := uint64(0); ; slot++ {
		e, err := o.runner.logbook.Entry(context.Background(), slot)
		if err != nil {
			return ev
		}
		for _, object := range e.Done.Objects {
			body, _, err := o.sim.bucket.Get(context.Background(), object.Key)
			if err == nil && object.Kind == commitlog.Scored && !slices.Contains(w.Done.Inputs, slot) {
				w.Files[0].Body, w.Files[0].Rows = append(bytes.Clone(w.Files[0].Body), body...), w.Files[0].Rows+object.Rows
				w.Done.Inputs = append(w.Done.Inputs, slot)
				return ev
			}
		}
	}
}
