package scorer

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/thalweg/thalweg/integration/effort"
	"github.com/thalweg/thalweg/storage"
)

// judge reads the sim's store as a stranger would, from the published formats,
// and returns what is not as promised.
func (s *sim) judge() []string {
	var wrong []string
	complain := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	objects := make(map[string][]byte)
	for info, err := range s.bucket.List(context.Background(), "", "") {
		if err != nil {
			panic(err)
		}
		body, _, err := s.bucket.Get(context.Background(), info.Key)
		if err != nil {
			panic(err)
		}
		objects[info.Key] = body
	}
	// What a plain glob sees: no event twice, whatever is finished or not, but for
	// rows that a compaction moved.
	seen := make(map[int64]string)
	for key, body := range objects {
		if strings.Contains(key, "_log/") {
			continue
		}
		for line := range bytes.Lines(body) {
			at, _, _, _ := simLine(line)
			if other, twice := seen[at]; twice && !s.moved(other, key) {
				complain("offset %d is in %s and in %s", at, other, key)
			}
			seen[at] = key
		}
	}
	named := make(map[string]bool)
	topics := s.topics()
	next, previous, topic := int64(-1), "", -1
	var slots []*simSlot
	for slot := 0; ; slot++ {
		var in simIntent
		key := fmt.Sprintf("x/_log/t/00000/%012d.", slot)
		record, ok := objects[key+"intent.json"]
		if !ok {
			break
		}
		if err := json.Unmarshal(record, &in); err != nil {
			complain("%s: %v", key, err)
			break
		}
		if next >= 0 && in.From != next {
			complain("slot %d begins at %d, the one before ended at %d", slot, in.From, next)
		}
		if in.Previous != previous {
			complain("slot %d is not chained to the one before", slot)
		}
		before := topic
		if topic = topicNumber(in.TopicID); topic < 0 || topic >= len(topics) {
			complain("slot %d is of topic %q", slot, in.TopicID)
			break
		}
		if before >= 0 && topic != before && in.Action != "skip" {
			complain("slot %d leads from topic %d to topic %d", slot, before, topic)
		}
		var done simDone
		record, ok = objects[key+"done.json"]
		if !ok {
			next = -2 // the last one
			for k := range objects {
				if strings.Contains(k, in.ID) {
					named[k] = true
				}
			}
			continue
		}
		if next == -2 {
			complain("slot %d was claimed although the one before is not finished", slot)
		}
		if err := json.Unmarshal(record, &done); err != nil {
			complain("%s: %v", key, err)
			break
		}
		for _, o := range done.Objects {
			named[o.Key] = true
		}
		this := &simSlot{in: in, done: done, topic: topics[topic], base: s.place(topic, 0), carrier: slot, covered: make(map[int64]bool)}
		slots = append(slots, this)
		switch in.Action {
		case "compact":
			this.judgeMerge(s, slots, objects, complain)
		case "skip":
			lostFrom := in.From
			for i := slot - 1; i >= 0 && lostFrom == in.From; i-- {
				if b := slots[i]; b.in.Action != "compact" {
					if b.in.Action == "" && b.done.Lost[1] == b.in.To {
						lostFrom = b.in.From
					}
					break
				}
			}
			wrong = append(wrong, s.operator().judgeSkip(slot, before, topic, lostFrom, in.Missing, in.To, seen)...)
			if len(done.Objects) > 0 {
				complain("slot %d skips, and has rows", slot)
			}
		default:
			this.judge(s, objects, complain)
			if done.Lost != [2]int64{} {
				wrong = append(wrong, s.operator().judgeLost(slot, topic, in, done.Lost)...)
			}
		}
		next, previous = in.To, storage.SHA256(record)
	}
	missing := int64(0)
	for i, slot := range slots {
		slot.judgeEnd(s, i, slots, objects, complain)
		if missing += slot.missing; slot.done.Total.Missing != missing {
			complain("slot %d counts %d offsets as missing, %d are", i, slot.done.Total.Missing, missing)
		}
	}
	if next >= 0 && (topic != len(topics)-1 || next < s.lastEvent()) && s.stopped == nil {
		complain("committed up to %d of %d", next, s.lastEvent())
	}
	for key := range objects {
		if strings.Contains(key, "_log/") {
			if name := key[strings.LastIndexByte(key, '/')+1:]; name > fmt.Sprintf("%012d", 999_999) {
				complain("stray record %s", key)
			}
		} else if !named[key] {
			if !slices.ContainsFunc(slots, func(t *simSlot) bool { return t.mayLie(key, objects[key]) }) {
				complain("%s is named by no record", key)
			} else if len(objects[key]) > 0 {
				s.tally["late files of events that are given up"]++
			} else {
				s.tally["names of dead letters that are taken"]++
			}
		}
	}
	for _, a := range s.actors {
		wrong = append(wrong, a.judge(objects)...)
	}
	slices.Sort(wrong)
	return wrong
}

// eventAt returns what a topic held at an offset.
func eventAt(t simTopic, at int64) simEvent {
	if at < 0 || at >= int64(len(t.events)) {
		return simGap
	}
	return t.events[at]
}

// simLine reads one line of a simulated object.
func simLine(line []byte) (at int64, kind string, version, generation int) {
	fmt.Sscan(string(line), &kind, &at, &version, &generation)
	return at, kind, version, generation
}

// verdict plays a seed and returns what went wrong.
func verdict(seed uint64, wrong *wrong) ([]string, map[string]int) {
	s := newSim(seed, wrong)
	s.run(400)
	found := s.judge()
	if s.stopped != nil {
		found = append(found, s.stopped.Error())
	}
	return found, s.tally
}

var (
	firstSeed = flag.Uint64("first-seed", 0, "first seed of the model test")
	seeds     = flag.Uint64("seeds", 0, "seeds of the model test; 0: a sample, or 20,000 with EFFORT=full")
)

// play runs seeds, on all processors, until one shows something wrong.
func play(t *testing.T, n uint64, wrong *wrong) {
	t.Helper()
	n = cmp.Or(*seeds, n)
	var mu sync.Mutex
	next, last := *firstSeed, *firstSeed+n
	tally := make(map[string]int)
	failed := make(map[uint64][]string)
	var players sync.WaitGroup
	began := time.Now()
	for range runtime.GOMAXPROCS(0) {
		players.Go(func() {
			for {
				mu.Lock()
				seed := next
				next++
				mu.Unlock()
				if seed >= last {
					return
				}
				found, happened := verdict(seed, wrong)
				mu.Lock()
				for what, n := range happened {
					tally[what] += n
				}
				if len(found) > 0 {
					failed[seed], last = found, min(last, seed)
				}
				mu.Unlock()
			}
		})
	}
	players.Wait()
	for _, seed := range slices.Sorted(maps.Keys(failed)) {
		t.Fatalf("seed %d:\n%s\nagain: go test ./worker/stream/scorer -run '^%s$' -first-seed %d -seeds 1", seed, strings.Join(failed[seed], "\n"), t.Name(), seed)
	}
	t.Logf("seeds %d to %d: no violation, in %v", *firstSeed, last-1, time.Since(began).Round(time.Millisecond))
	for _, what := range slices.Sorted(maps.Keys(tally)) {
		t.Logf("  %9d × %s", tally[what], what)
	}
}

// TestWhateverHappensEachEventIsCommittedOnce plays owners that crash, stall,
// wake as zombies and overlap, on a store that loses, delays and garbles
// answers.
func TestWhateverHappensEachEventIsCommittedOnce(t *testing.T) {
	play(t, effort.Seeds(200, 20_000), nil)
}

// TestASlotTakenForLostIsCarriedOutAllTheSame: a scorer that takes its own
// claim for somebody else's reads the log, finds a claim that is not finished,
// and finishes it.
func TestASlotTakenForLostIsCarriedOutAllTheSame(t *testing.T) {
	play(t, effort.Seeds(100, 500), &loses)
}

// enough is how many seeds may pass before a wrong scorer is caught.
const enough = 300

// TestEachWrongScorerIsCaught proves that the judge sees: every way to get the
// protocol wrong is found within a few hundred seeds.
func TestEachWrongScorerIsCaught(t *testing.T) {
	for i, wrong := range wrongs {
		if !effort.Takes(i, 5) {
			continue
		}
		t.Run(wrong.name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(enough) {
				if found, _ := verdict(seed, &wrong); len(found) > 0 {
					t.Logf("caught by seed %d: %s", seed, found[0])
					return
				}
			}
			t.Errorf("%d seeds did not show it", enough)
		})
	}
}
