package scorer

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/compact"
	"github.com/thalweg/thalweg/worker/stream/engine"
	"github.com/thalweg/thalweg/worker/stream/machine"
)

// holder is a machine that has a merged file in memory, and so the turn of all
// who share its process, while a slot of its own is being delivered.
func holder(t *testing.T, cfg Config) (m *partition, step func(ev event) []effect) {
	t.Helper()
	cfg.Generation, cfg.Batching, cfg.Rolling = 1, Limits{Count: 300, Bytes: 1 << 20, Period: time.Millisecond}, Limits{Count: 300, Bytes: 1 << 20, Period: time.Second}
	cfg.BacklogBytes, cfg.MinBackoff, cfg.MaxBackoff = 1<<20, time.Millisecond, time.Millisecond
	cfg.Compaction = compact.Config{MinFiles: 2, Bytes: 1 << 20, Retention: time.Minute}
	m = newPartition(cfg, rand.New(rand.NewPCG(1, 1)))
	now := machine.Instant{Mono: time.Hour, Wall: 1_000_000}
	step = func(ev event) []effect {
		now.Mono += 10 * time.Millisecond
		return slices.Clone(m.step(now, ev))
	}
	model := engine.Model{Name: "m", Version: 1}
	step(modelsOffered{[]engine.Candidate{{Model: model}}})
	step(logOpened{State: commitlog.State{NextOffset: 20, TopicID: "T"}})
	step(modelLoaded{model: model})
	runs := []compact.Run{{Slots: [2]uint64{0, 1}, Offsets: [2]int64{0, 10}, Slot: 0, Bytes: 100, Rows: 10, Generation: 1, TopicID: "T"},
		{Slots: [2]uint64{1, 2}, Offsets: [2]int64{10, 20}, Slot: 1, Bytes: 100, Rows: 10, Generation: 1, TopicID: "T"}}
	step(recordsFetched{epoch: m.epoch, records: 300, bytes: 3000, next: 320, end: 320})
	step(ticked{})
	step(batchScored{epoch: m.epoch, records: 300, bytes: 3000, to: 320, dead: 5})
	if m.slots.closing == nil {
		t.Fatal("no slot is being committed")
	}
	step(runsRead{epoch: m.merges.epoch, runs: runs})
	step(merged{epoch: m.merges.epoch})
	if m.merges.job == nil || !m.merges.job.ready() {
		t.Fatal("no merged file waits for the log")
	}
	return m, step
}

func drops(effects []effect) bool {
	return slices.ContainsFunc(effects, func(e effect) bool {
		r, is := e.(release)
		if is {
			_, is = r.job.(*merging)
		}
		return is
	})
}

// TestAStreamAtRestGivesUpTheTurnToMerge: one merged file is in memory in a
// process. A stream that is paused until an operator comes must not keep the
// turn, which a successor needs to finish a compaction before it scores.
func TestAStreamAtRestGivesUpTheTurnToMerge(t *testing.T) {
	m, step := holder(t, Config{})
	if !drops(step(asked{paused: true})) || m.merges.job != nil {
		t.Error("a paused stream keeps its merged file, and the turn of all others")
	}
	for range 5 {
		for _, e := range step(ticked{}) {
			if c, is := e.(commit); is && c.stage == opMerge {
				t.Error("a paused stream merges")
			}
		}
	}
	again := false
	for _, e := range step(asked{}) {
		c, is := e.(commit)
		again = again || is && c.stage == opMerge
	}
	if !again {
		t.Error("it does not merge again when it goes on")
	}
}

// TestAStreamThatIsStuckGivesUpTheTurnToMerge: dead letters whose topic is
// missing are waited for, for days if need be.
func TestAStreamThatIsStuckGivesUpTheTurnToMerge(t *testing.T) {
	m, step := holder(t, Config{Outbox: shutOutbox{}})
	step(slotClaimed{won: true})
	step(objectsPublished{})
	dropped := false
	for range 2 * stuckTries {
		dropped = drops(step(deadLettersDelivered{&thalweg.Error{Op: "deliver", Kind: thalweg.Unavailable}})) || dropped
		dropped = drops(step(ticked{})) || dropped
	}
	if !dropped || m.merges.job != nil {
		t.Error("a stream without a topic of dead letters keeps its merged file, and the turn of all others")
	}
	for range 5 {
		for _, e := range step(ticked{}) {
			if c, is := e.(commit); is && c.stage == opMerge {
				t.Error("a stream that is stuck merges again and again")
			}
		}
	}
	merges := false
	for _, e := range step(deadLettersDelivered{}) {
		c, is := e.(commit)
		merges = merges || is && c.stage == opMerge
	}
	if !merges {
		t.Error("it does not merge again when it goes on")
	}
}

// TestAStreamThatTrippedHoldsNothing: what is fetched and not scored is
// dropped, as it may be what all who need more memory than they asked for wait
// for, and nobody knows when the operator comes.
func TestAStreamThatTrippedHoldsNothing(t *testing.T) {
	m, step := holder(t, Config{MaxDeadRate: 0.05})
	step(recordsFetched{epoch: m.epoch, records: 600, bytes: 6000, next: 920, end: 920})
	step(ticked{})
	step(batchScored{epoch: m.epoch, records: 300, bytes: 3000, to: 620, dead: 300})
	if m.rate.tripped == "" {
		t.Fatal("300 dead letters in a row do not trip it")
	}
	if m.source.records != 0 || m.source.position != 620 {
		t.Errorf("%d records are kept unscored, the next fetch is from %d", m.source.records, m.source.position)
	}
	step(recordsFetched{epoch: m.epoch - 1, records: 10, bytes: 100, next: 930, end: 930}) // of before
	fetches := false
	for _, e := range step(asked{resumed: true}) {
		f, is := e.(fetch)
		fetches = fetches || is && f.from == 620
	}
	if !fetches {
		t.Error("what was dropped is not fetched again")
	}
}

// TestAStreamThatIsStuckAndFullHoldsNothingUnscored: with one span stuck in the
// log and the next one full, what is fetched waits for nobody knows how long.
func TestAStreamThatIsStuckAndFullHoldsNothingUnscored(t *testing.T) {
	m, step := holder(t, Config{Outbox: shutOutbox{}})
	step(recordsFetched{epoch: m.epoch, records: 600, bytes: 6000, next: 920, end: 920})
	step(ticked{})
	step(batchScored{epoch: m.epoch, records: 300, bytes: 3000, to: 620})
	step(slotClaimed{won: true})
	step(objectsPublished{})
	if m.source.records != 300 {
		t.Fatalf("%d records wait while the slot is on its way, want 300", m.source.records)
	}
	for range 2 * stuckTries {
		step(deadLettersDelivered{&thalweg.Error{Op: "deliver", Kind: thalweg.Unavailable}})
		step(ticked{})
	}
	if m.source.records != 0 || m.source.position != 620 {
		t.Errorf("%d records are kept unscored, the next fetch is from %d", m.source.records, m.source.position)
	}
	for range 5 {
		for _, e := range step(ticked{}) {
			if _, is := e.(fetch); is {
				t.Error("it fetches what it has no room for")
			}
		}
	}
	step(recordsFetched{epoch: m.epoch - 1, err: &thalweg.Error{Op: "fetch", Kind: thalweg.Canceled}}) // of before
	fetches := false
	for _, e := range append(step(deadLettersDelivered{}), step(slotFinished{})...) {
		f, is := e.(fetch)
		fetches = fetches || is && f.from == 620
	}
	if !fetches {
		t.Error("what was dropped is not fetched again")
	}
}
