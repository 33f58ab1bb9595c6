package tablewriter

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage/table/delta"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/machine"
)

// TestALogThatStoppedLeavesRoomForTheOthers: what is read of a log that is
// refused, or that waits for an object that is gone, does not count against the
// bounds of those that could go on.
func TestALogThatStoppedLeavesRoomForTheOthers(t *testing.T) {
	bad, good := Source{Topic: "a"}, Source{Topic: "a", Partition: 1}
	for name, of := range map[string]error{
		"refused": &thalweg.Error{Op: "add to table", Kind: thalweg.Conflict, Err: errors.New("another type")},
		"gone":    &thalweg.Error{Op: "inspect", Kind: thalweg.NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(Config{Prefix: prefix, CheckpointEvery: 100, Poll: time.Second, PollSlow: time.Second, MinBackoff: time.Second, MaxBackoff: time.Second},
				rand.New(rand.NewPCG(1, 1)), func() string { return "00000000000000000000000000000000" })
			now := machine.Instant{Mono: time.Hour, Wall: 1_750_000_000_000_000}
			var e effect
			tell := func(ev event) {
				now.Mono += time.Millisecond
				if next := m.step(now, ev); next != nil {
					e = next
				}
			}
			tell(sourceAdded{bad})
			tell(tableOpened{snapshot: &delta.Snapshot{Version: -1, Checkpoint: -1, Txns: map[string]int64{}}})
			tell(slotFinished{bad, 10_000})
			for range 1000 {
				switch next := e.(type) {
				case readSlots:
					if next.source == good {
						return
					}
					answer := slotsRead{source: next.source}
					for i := range uint64(next.max) {
						answer.slots = append(answer.slots, slot{seq: next.from + i, rows: 1, objects: []commitlog.Object{{Key: string(rune('a' + next.from + i)), Rows: 1}}})
					}
					tell(answer)
				case inspect:
					answer := inspected{objects: map[string]found{}}
					for _, o := range next.objects {
						answer.objects[o.Key] = found{err: of}
					}
					if m.find(good) == nil {
						m.sources = append(m.sources, m.newCursor(good))
						m.find(good).finished = 5
					}
					tell(answer)
				default:
					t.Fatalf("%T", e)
				}
			}
			t.Errorf("%d slots of a log that goes no further are in memory, and none of the other is read", len(m.find(bad).pending))
		})
	}
}

// TestFilesWithoutStatisticsAreNotTakenForRewrittenOnes: another writer's
// checkpoint may leave them out. If the compaction were passed over, the table
// would go on to name files that the sweeper deletes.
func TestFilesWithoutStatisticsAreNotTakenForRewrittenOnes(t *testing.T) {
	m := newMachine(Config{}, rand.New(rand.NewPCG(1, 1)), nil)
	f := m.newCursor(flights)
	s := slot{seq: 2, rows: 4, inputs: []uint64{0, 1}}
	layout := commitlog.Layout{Topic: flights.Topic, Partition: flights.Partition}
	p := &plan{inputs: map[Source][]*delta.Add{flights: {
		{Path: layout.DataKey(commitlog.Intent{Seq: 0, To: 2}, "")}, {Path: layout.DataKey(commitlog.Intent{Seq: 1, From: 2, To: 4}, "")},
	}}}
	actions, seq, err := m.actions(p, &batch{f: f, upTo: 2, live: []slot{s}}, &draft{begun: true})
	if err == nil || seq != 2 {
		t.Errorf("the table has %v, and the files of slots 0 and 1 for good: %v", actions, err)
	}
}
