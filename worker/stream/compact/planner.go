// Package compact makes few large files of the many small ones that a stream
// leaves. A Planner decides which, Files merges them, a Sweeper deletes what was
// merged; the scorer of the partition commits it by a slot of the log.
package compact

import (
	"math/bits"
	"slices"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

// Config says how small files of a partition become fewer large ones. The
// zero value turns it off.
type Config struct {
	// MinFiles is how many neighbouring files of about one size are merged.
	MinFiles int
	// Bytes is the size that a merged file may have. A file of half of it is
	// left alone.
	Bytes int64
	// Retention is how long a file that was replaced is kept for those who read it.
	Retention time.Duration
}

// On reports whether files are merged at all.
func (c Config) On() bool { return c.MinFiles > 0 }

const (
	// maxTail is how many runs a compactor knows, counted from the end of the log,
	// and how many records it reads for that when a log is opened. What lies
	// before stays as it is.
	maxTail = 4096
	// maxWaste is how many times MinFiles the files of one segment may be, however
	// unequal they are, before some are merged that will have to be merged again.
	maxWaste = 4
)

// Run is consecutive slots whose scored rows are in the objects of one slot.
type Run struct {
	Slots       [2]uint64 // half open
	Offsets     [2]int64
	Slot        uint64 // whose objects hold the rows
	Bytes, Rows int64
	Generation  thalweg.Generation
	TopicID     string
	PartitionBy string   // column by whose days the rows are split
	Days        []string // that they are split into
	Merged      bool     // by a compaction
}

// runOf returns the run that a finished slot leaves, ok false if it holds no
// scored rows.
func runOf(e commitlog.Entry) (r Run, ok bool) {
	in, d := e.Intent, e.Done
	r = Run{Slots: [2]uint64{in.Seq, in.Seq + 1}, Slot: in.Seq, Rows: d.Scored, Generation: in.SpecGeneration, TopicID: in.TopicID, PartitionBy: in.PartitionBy}
	if in.Action == commitlog.Compact {
		r.Slots, r.Merged = in.Slots, true
	}
	r.Offsets[0], r.Offsets[1] = e.Offsets()
	for _, o := range d.Objects {
		if o.Kind == commitlog.Scored {
			r.Bytes += o.SizeBytes
			if in.PartitionBy != "" {
				r.Days = append(r.Days, commitlog.DayOf(in, o.Key))
			}
		}
	}
	return r, d.Scored > 0
}

// follows reports whether o, the run after r, may be in one file with it as far
// as records tell.
func (r Run) follows(o Run) bool {
	return r.Generation == o.Generation && r.PartitionBy == o.PartitionBy && r.TopicID == o.TopicID
}

// Planner decides which files of a partition are merged. It is told what was
// finished, and knows the live objects of the end of the log, all from the first
// run on.
type Planner struct {
	Config Config
	InUse  bool // the runs that were planned last are being merged

	known      bool            // runs are those of the log
	runs       []Run           // while they are not known: those finished since the log was asked
	boundaries map[uint64]bool // first slots of runs that have other columns than the run before
	idle       bool            // there is nothing to merge in runs as they are
}

// Forget drops what is believed of the log.
func (c *Planner) Forget() { *c = Planner{Config: c.Config} }

// Known reports whether the end of the log was learned.
func (c *Planner) Known() bool { return c.known }

// Ask says that the log is asked for its end: it will have what was finished.
func (c *Planner) Ask() { c.runs = nil }

// Learn takes in the end of the log. Slots that were finished while it was read
// may be in it or not.
func (c *Planner) Learn(runs []Run) {
	end := uint64(0)
	if n := len(runs); n > 0 {
		end = runs[n-1].Slots[1]
	}
	for _, r := range c.runs {
		if r.Slots[0] >= end {
			runs = append(runs, r)
		}
	}
	c.known, c.runs, c.idle = true, runs, false
	c.trim()
}

// Add takes in a slot that was finished.
func (c *Planner) Add(e commitlog.Entry) {
	switch r, ok := runOf(e); {
	case !ok || !c.Config.On():
	case len(c.runs) > 0 && c.runs[len(c.runs)-1].Slots[1] > r.Slots[0]:
		// The log was read when the slot was finished, but the answer was not here yet.
	default:
		c.runs, c.idle = append(c.runs, r), false
		c.trim()
	}
}

// Replace puts the merged run in the place of its inputs.
func (c *Planner) Replace(e commitlog.Entry) {
	r, ok := runOf(e)
	if !ok || !c.known {
		return
	}
	i := slices.IndexFunc(c.runs, func(o Run) bool { return o.Slots[0] >= r.Slots[0] })
	j := i
	for j >= 0 && j < len(c.runs) && c.runs[j].Slots[1] <= r.Slots[1] {
		j++
	}
	if i < 0 || i == j {
		return // it lies before the end that is known
	}
	c.runs, c.idle = slices.Replace(c.runs, i, j, r), false
	c.trim()
}

// AddBoundary notes that the run at a slot has other columns than the one before.
func (c *Planner) AddBoundary(slot uint64) {
	if c.boundaries == nil {
		c.boundaries = make(map[uint64]bool)
	}
	c.boundaries[slot], c.idle = true, false
}

func (c *Planner) sealed(r Run) bool { return r.Bytes >= c.Config.Bytes/2 }

// segment returns the end of the segment that begins with run i: runs that may
// become one file. A sealed run is a segment of its own.
func (c *Planner) segment(i int) int {
	j := i + 1
	for j < len(c.runs) && !c.sealed(c.runs[j-1]) && !c.sealed(c.runs[j]) && c.runs[j-1].follows(c.runs[j]) && !c.boundaries[c.runs[j].Slots[0]] {
		j++
	}
	return j
}

// trim drops leading segments in which nothing will ever be merged again.
func (c *Planner) trim() {
	for c.known && len(c.runs) > 0 {
		end := c.segment(0)
		left := c.runs[0].TopicID != c.runs[len(c.runs)-1].TopicID // behind, for another topic
		if end == len(c.runs) || !left && c.closedPlan(c.runs[:end]) != nil {
			break
		}
		c.drop(end)
	}
	if n := len(c.runs) - maxTail; n > 0 && !c.InUse {
		c.drop(n)
	}
}

func (c *Planner) drop(n int) {
	for _, r := range c.runs[:n] {
		delete(c.boundaries, r.Slots[0])
	}
	c.runs = slices.Delete(c.runs, 0, n)
}

// Plan returns neighbouring runs that are worth merging, nil if there are none.
// They are of the topic that the log is at: a compaction's intent names that
// one, and whoever reads it later takes the rows to be of it. What an earlier
// topic of the name left stays as it is.
func (c *Planner) Plan(topicID string) []Run {
	if c.idle {
		return nil
	}
	for i := 0; i < len(c.runs); {
		j := c.segment(i)
		part := c.runs[i:j]
		if part[0].TopicID != topicID {
			i = j
			continue
		}
		found := c.closedPlan
		if j == len(c.runs) {
			found = c.openPlan
		}
		if p := found(part); p != nil {
			return p
		}
		i = j
	}
	c.idle = true
	return nil
}

// closedPlan plans in a segment that nothing is added to any more: its rest is
// merged whatever the sizes, which costs each row one more copy.
func (c *Planner) closedPlan(part []Run) []Run {
	for i := range part {
		if n := c.fit(part[i:]); n >= 2 {
			return part[i : i+n]
		}
	}
	return nil
}

// openPlan plans in the last segment. Small runs come first, and runs are merged
// if the merged file is MinFiles/2 times as large as each of them, or twice and
// then full-grown: with each copy of a row its file grows by that much, so that
// it is copied about log(Bytes / size of its first file) times, to that base.
func (c *Planner) openPlan(part []Run) []Run {
	if len(part) < 2 {
		return nil
	}
	sizes := make([]int64, 0, len(part)) // powers of two
	for _, r := range part {
		sizes = append(sizes, 1<<bits.Len64(uint64(max(r.Bytes, 1)-1)))
	}
	slices.Sort(sizes)
	for _, most := range slices.Compact(sizes) {
		for i := 0; i < len(part); i++ {
			j := i
			for j < len(part) && part[j].Bytes <= most {
				j++
			}
			for ; j-i >= 2; i++ {
				n := c.fit(part[i:j])
				sum, largest := sizeOf(part[i : i+n])
				grown := max(2, int64(c.Config.MinFiles)/2)
				if n >= 2 && (n >= c.Config.MinFiles && sum >= grown*largest || sum >= c.Config.Bytes/2 && sum >= 2*largest) {
					return part[i : i+n]
				}
				if n < c.Config.MinFiles && i+n == j {
					break // fewer are left further on
				}
			}
			i = max(i, j)
		}
	}
	if len(part) < maxWaste*c.Config.MinFiles {
		return nil
	}
	var best []Run
	var least int64
	for i := range part {
		window := part[i:min(len(part), i+c.Config.MinFiles)]
		n := c.fit(window)
		if sum, _ := sizeOf(window[:n]); n >= 2 && (best == nil || n > len(best) || n == len(best) && sum < least) {
			best, least = window[:n], sum
		}
	}
	return best
}

// fit returns how many of the first runs fit into one merged file.
func (c *Planner) fit(part []Run) int {
	sum := int64(0)
	var days map[string]struct{}
	for n, r := range part {
		for _, d := range r.Days {
			if days == nil {
				days = make(map[string]struct{})
			}
			days[d] = struct{}{}
		}
		if sum += r.Bytes; sum > c.Config.Bytes || n == commitlog.MaxInputs || len(days) > commitlog.MaxObjects {
			return n
		}
	}
	return len(part)
}

func sizeOf(part []Run) (sum, largest int64) {
	for _, r := range part {
		sum += r.Bytes
		largest = max(largest, r.Bytes)
	}
	return sum, largest
}

// Hint returns what the done record of a compaction of slots says of the other
// merged runs: all of them from the first that it lists.
func (c *Planner) Hint(slots [2]uint64) []commitlog.Run { return hintOf(c.runs, slots) }

// hintOf lists the merged runs but those within slots.
func hintOf(runs []Run, slots [2]uint64) []commitlog.Run {
	var hint []commitlog.Run
	for _, r := range runs {
		if r.Merged && (r.Slots[1] <= slots[0] || r.Slots[0] >= slots[1]) {
			hint = append(hint, commitlog.Run{r.Slots[0], r.Slots[1], r.Slot})
		}
	}
	return hint[max(0, len(hint)-commitlog.MaxRuns):]
}
