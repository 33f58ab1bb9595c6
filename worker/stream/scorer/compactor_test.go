package scorer

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

// ledger is a log as the compactor is told of it.
type ledger struct {
	planner
	slot    uint64
	offset  int64
	written int64 // bytes of merged files
}

func scoredEntry(slot uint64, from, to, bytes int64, generation thalweg.Generation) commitlog.Entry {
	return commitlog.Entry{
		Intent: commitlog.Intent{Seq: slot, From: from, To: to, SpecGeneration: generation},
		Done:   commitlog.Done{Seq: slot, Scored: to - from, Objects: []commitlog.Object{{Kind: commitlog.Scored, SizeBytes: bytes, Rows: to - from}}},
	}
}

// score adds a file, and has merged what is worth it.
func (l *ledger) score(t *testing.T, bytes int64, generation thalweg.Generation) {
	t.Helper()
	l.add(scoredEntry(l.slot, l.offset, l.offset+10, bytes, generation))
	l.slot++
	l.offset += 10
	for inputs := l.plan(""); inputs != nil; inputs = l.plan("") {
		sum, _ := sizeOf(inputs)
		first, last := inputs[0], inputs[len(inputs)-1]
		if len(inputs) < 2 || sum > l.cfg.Bytes || len(inputs) > commitlog.MaxInputs {
			t.Fatalf("merges %d files of %d bytes", len(inputs), sum)
		}
		for i, r := range inputs[1:] {
			if r.offsets[0] != inputs[i].offsets[1] || r.generation != first.generation {
				t.Fatalf("merges offsets up to %d of generation %d with those from %d on, of %d", inputs[i].offsets[1], first.generation, r.offsets[0], r.generation)
			}
		}
		e := scoredEntry(l.slot, first.offsets[0], last.offsets[1], sum, first.generation)
		e.Intent.Action, e.Intent.Slots = commitlog.Compact, [2]uint64{first.slots[0], last.slots[1]}
		e.Done.Offsets = [2]int64{first.offsets[0], last.offsets[1]}
		l.replace(e)
		l.written += sum
		l.slot++
	}
}

// TestFilesStayFewAndRowsAreCopiedSeldom plays long streams of small files.
func TestFilesStayFewAndRowsAreCopiedSeldom(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, c := range []struct {
		name string
		size func(i int) int64
	}{
		{"all of one size", func(int) int64 { return 10_000 }},
		{"of any size", func(int) int64 { return 1 + rng.Int64N(100_000) }},
		{"of all orders of magnitude", func(int) int64 { return int64(math.Pow(10, 1+rng.Float64()*5)) }},
		{"a large one now and then", func(i int) int64 { return []int64{2_000, 2_000, 2_000, 5_000_000}[i%4] }},
		{"rulers", func(i int) int64 { return 100 << (2 * min(8, trailingZeros(i+1))) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			const files = 20_000
			l := ledger{planner: planner{cfg: Compaction{MinFiles: 16, Bytes: 128 << 20, Retention: time.Minute}, known: true}}
			total, least, most := int64(0), int64(math.MaxInt64), 0
			for i := range files {
				size := c.size(i)
				total, least = total+size, min(least, size)
				l.score(t, size, 1)
				most = max(most, len(l.runs))
			}
			copies := float64(l.written) / float64(total)
			bound := 2 + math.Log2(float64(l.cfg.Bytes)/float64(least))/3
			t.Logf("%d files of %d bytes: at most %d at the end that are not full-grown, each byte copied %.2f times (bound: %.1f)", files, total, most, copies, bound)
			if most > maxWaste*l.cfg.MinFiles+16 {
				t.Errorf("%d files", most)
			}
			if copies > bound {
				t.Errorf("each byte was copied %.2f times", copies)
			}
		})
	}
}

func trailingZeros(i int) int {
	n := 0
	for ; i%2 == 0; i /= 2 {
		n++
	}
	return n
}

func TestWhatDoesNotBelongTogetherIsNotMerged(t *testing.T) {
	l := ledger{planner: planner{cfg: Compaction{MinFiles: 4, Bytes: 1 << 20}, known: true}}
	rng := rand.New(rand.NewPCG(1, 2))
	generation := thalweg.Generation(1)
	for range 2000 {
		if rng.IntN(50) == 0 {
			generation++
		}
		if rng.IntN(40) == 0 {
			l.split(l.slot) // other columns from here on
		}
		l.score(t, 100+rng.Int64N(1000), generation) // fails if generations meet
	}
	if n := len(l.runs); n > 16 {
		t.Errorf("%d files are left at the end", n)
	}
	for _, apart := range []func(a, b *run){
		func(a, b *run) { b.generation++ },
		func(a, b *run) { b.partition = "date" },
		func(a, b *run) { a.topicID, b.topicID = "x", "y" },
	} {
		a, b := run{slots: [2]uint64{0, 1}, bytes: 5}, run{slots: [2]uint64{1, 2}, bytes: 5}
		apart(&a, &b)
		c := planner{cfg: Compaction{MinFiles: 2, Bytes: 100}, known: true, runs: []run{a, b}}
		if p := c.plan(""); p != nil {
			t.Errorf("%+v and %+v are merged", a, b)
		}
	}
	// Each day is an object, and a record names so many.
	c := planner{cfg: Compaction{MinFiles: 2, Bytes: 1000}, known: true}
	for i := range uint64(200) {
		c.runs = append(c.runs, run{slots: [2]uint64{i, i + 1}, slot: i, bytes: 5, days: []string{fmt.Sprint(i)}})
	}
	if n := len(c.plan("")); n != commitlog.MaxObjects {
		t.Errorf("files of %d days are merged", n)
	}
}

func TestWhatIsFinishedWhileTheLogIsReadIsNotForgotten(t *testing.T) {
	for read := range uint64(4) { // so many of the slots were read
		c := planner{cfg: Compaction{MinFiles: 2, Bytes: 100}}
		var all []run
		for slot := range uint64(4) {
			e := scoredEntry(slot, int64(slot)*10, int64(slot)*10+10, 40, 1)
			if slot > 0 {
				c.add(e)
			}
			r, _ := runOf(e)
			all = append(all, r)
		}
		c.learn(slices.Clone(all[:read+1]))
		for i, r := range c.runs {
			if r.slot != uint64(i) || len(c.runs) != 4 {
				t.Errorf("after %d slots were read: %+v", read+1, c.runs)
			}
		}
	}
}

// TestASlotThatTheLogShowedFinishedIsNotKnownTwice: the log can be read between
// the writing of a done record and the answer to it, and its rows would be in a
// merged file twice.
func TestASlotThatTheLogShowedFinishedIsNotKnownTwice(t *testing.T) {
	c := planner{cfg: Compaction{MinFiles: 2, Bytes: 100}}
	var read []run
	for slot := range uint64(3) {
		r, _ := runOf(scoredEntry(slot, int64(slot)*10, int64(slot)*10+10, 40, 1))
		read = append(read, r)
	}
	c.learn(read)
	c.add(scoredEntry(2, 20, 30, 40, 1)) // the answer comes
	c.add(scoredEntry(3, 30, 40, 40, 1))
	if len(c.runs) != 4 {
		t.Errorf("%d runs of 4 slots: %+v", len(c.runs), c.runs)
	}
}

// TestWhatAnEarlierTopicLeftIsNotMerged: a compaction's intent names the topic
// that the log is at, and its rows must be of that one.
func TestWhatAnEarlierTopicLeftIsNotMerged(t *testing.T) {
	c := &planner{cfg: Compaction{MinFiles: 2, Bytes: 1 << 20}, known: true}
	for i, topic := range []string{"", "", "old", "old", "new", "new"} {
		at := uint64(i)
		c.runs = append(c.runs, run{slots: [2]uint64{at, at + 1}, slot: at, bytes: 100, rows: 1, generation: 1, topicID: topic})
	}
	if p := c.plan("newest"); p != nil {
		t.Errorf("slots of topic %q are merged for another", p[0].topicID)
	}
	c.idle = false
	p := c.plan("new")
	if len(p) != 2 || p[0].topicID != "new" || p[1].topicID != "new" {
		t.Errorf("planned %+v", p)
	}
	c.trim()
	if len(c.runs) != 2 || c.runs[0].topicID != "new" {
		t.Errorf("%d runs are kept, of topic %q on", len(c.runs), c.runs[0].topicID)
	}
}
