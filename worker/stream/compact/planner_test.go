package compact

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
	Planner
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
	l.Add(scoredEntry(l.slot, l.offset, l.offset+10, bytes, generation))
	l.slot++
	l.offset += 10
	for inputs := l.Plan(""); inputs != nil; inputs = l.Plan("") {
		sum, _ := sizeOf(inputs)
		first, last := inputs[0], inputs[len(inputs)-1]
		if len(inputs) < 2 || sum > l.Config.Bytes || len(inputs) > commitlog.MaxInputs {
			t.Fatalf("merges %d files of %d bytes", len(inputs), sum)
		}
		for i, r := range inputs[1:] {
			if r.Offsets[0] != inputs[i].Offsets[1] || r.Generation != first.Generation {
				t.Fatalf("merges offsets up to %d of generation %d with those from %d on, of %d", inputs[i].Offsets[1], first.Generation, r.Offsets[0], r.Generation)
			}
		}
		e := scoredEntry(l.slot, first.Offsets[0], last.Offsets[1], sum, first.Generation)
		e.Intent.Action, e.Intent.Slots = commitlog.Compact, [2]uint64{first.Slots[0], last.Slots[1]}
		e.Done.Offsets = [2]int64{first.Offsets[0], last.Offsets[1]}
		l.Replace(e)
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
			l := ledger{Planner: Planner{Config: Config{MinFiles: 16, Bytes: 128 << 20, Retention: time.Minute}, known: true}}
			total, least, most := int64(0), int64(math.MaxInt64), 0
			for i := range files {
				size := c.size(i)
				total, least = total+size, min(least, size)
				l.score(t, size, 1)
				most = max(most, len(l.runs))
			}
			copies := float64(l.written) / float64(total)
			bound := 2 + math.Log2(float64(l.Config.Bytes)/float64(least))/3
			t.Logf("%d files of %d bytes: at most %d at the end that are not full-grown, each byte copied %.2f times (bound: %.1f)", files, total, most, copies, bound)
			if most > maxWaste*l.Config.MinFiles+16 {
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
	l := ledger{Planner: Planner{Config: Config{MinFiles: 4, Bytes: 1 << 20}, known: true}}
	rng := rand.New(rand.NewPCG(1, 2))
	generation := thalweg.Generation(1)
	for range 2000 {
		if rng.IntN(50) == 0 {
			generation++
		}
		if rng.IntN(40) == 0 {
			l.AddBoundary(l.slot) // other columns from here on
		}
		l.score(t, 100+rng.Int64N(1000), generation) // fails if generations meet
	}
	if n := len(l.runs); n > 16 {
		t.Errorf("%d files are left at the end", n)
	}
	for _, differs := range []func(a, b *Run){
		func(a, b *Run) { b.Generation++ },
		func(a, b *Run) { b.PartitionBy = "date" },
		func(a, b *Run) { a.TopicID, b.TopicID = "x", "y" },
	} {
		a, b := Run{Slots: [2]uint64{0, 1}, Bytes: 5}, Run{Slots: [2]uint64{1, 2}, Bytes: 5}
		differs(&a, &b)
		c := Planner{Config: Config{MinFiles: 2, Bytes: 100}, known: true, runs: []Run{a, b}}
		if p := c.Plan(""); p != nil {
			t.Errorf("%+v and %+v are merged", a, b)
		}
	}
	// Each day is an object, and a record names so many.
	c := Planner{Config: Config{MinFiles: 2, Bytes: 1000}, known: true}
	for i := range uint64(200) {
		c.runs = append(c.runs, Run{Slots: [2]uint64{i, i + 1}, Slot: i, Bytes: 5, Days: []string{fmt.Sprint(i)}})
	}
	if n := len(c.Plan("")); n != commitlog.MaxObjects {
		t.Errorf("files of %d days are merged", n)
	}
}

func TestWhatIsFinishedWhileTheLogIsReadIsNotForgotten(t *testing.T) {
	for read := range uint64(4) { // so many of the slots were read
		c := Planner{Config: Config{MinFiles: 2, Bytes: 100}}
		var all []Run
		for slot := range uint64(4) {
			e := scoredEntry(slot, int64(slot)*10, int64(slot)*10+10, 40, 1)
			if slot > 0 {
				c.Add(e)
			}
			r, _ := runOf(e)
			all = append(all, r)
		}
		c.Learn(slices.Clone(all[:read+1]))
		for i, r := range c.runs {
			if r.Slot != uint64(i) || len(c.runs) != 4 {
				t.Errorf("after %d slots were read: %+v", read+1, c.runs)
			}
		}
	}
}

// TestASlotThatTheLogShowedFinishedIsNotKnownTwice: the log can be read between
// the writing of a done record and the answer to it, and its rows would be in a
// merged file twice.
func TestASlotThatTheLogShowedFinishedIsNotKnownTwice(t *testing.T) {
	c := Planner{Config: Config{MinFiles: 2, Bytes: 100}}
	var read []Run
	for slot := range uint64(3) {
		r, _ := runOf(scoredEntry(slot, int64(slot)*10, int64(slot)*10+10, 40, 1))
		read = append(read, r)
	}
	c.Learn(read)
	c.Add(scoredEntry(2, 20, 30, 40, 1)) // the answer comes
	c.Add(scoredEntry(3, 30, 40, 40, 1))
	if len(c.runs) != 4 {
		t.Errorf("%d runs of 4 slots: %+v", len(c.runs), c.runs)
	}
}

// TestWhatAnEarlierTopicLeftIsNotMerged: a compaction's intent names the topic
// that the log is at, and its rows must be of that one.
func TestWhatAnEarlierTopicLeftIsNotMerged(t *testing.T) {
	c := &Planner{Config: Config{MinFiles: 2, Bytes: 1 << 20}, known: true}
	for i, topic := range []string{"", "", "old", "old", "new", "new"} {
		at := uint64(i)
		c.runs = append(c.runs, Run{Slots: [2]uint64{at, at + 1}, Slot: at, Bytes: 100, Rows: 1, Generation: 1, TopicID: topic})
	}
	if p := c.Plan("newest"); p != nil {
		t.Errorf("slots of topic %q are merged for another", p[0].TopicID)
	}
	c.idle = false
	p := c.Plan("new")
	if len(p) != 2 || p[0].TopicID != "new" || p[1].TopicID != "new" {
		t.Errorf("planned %+v", p)
	}
	c.trim()
	if len(c.runs) != 2 || c.runs[0].TopicID != "new" {
		t.Errorf("%d runs are kept, of topic %q on", len(c.runs), c.runs[0].TopicID)
	}
}
