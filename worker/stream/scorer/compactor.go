package scorer

import (
	"slices"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

// Compaction says how small files of a partition become fewer large ones. The
// zero value turns it off.
type Compaction struct {
	// MinFiles is how many neighbouring files of about one size are merged.
	MinFiles int
	// Bytes is the size that a merged file may have. A file of half of it is
	// left alone.
	Bytes int64
	// Retention is how long a file that was replaced is kept for those who read it.
	Retention time.Duration
}

func (c Compaction) on() bool { return c.MinFiles > 0 }

const (
	// maxTail is how many runs a compactor knows, counted from the end of the log,
	// and how many records it reads for that when a log is opened. What lies
	// before stays as it is.
	maxTail = 4096
	// maxWaste is how many times MinFiles the files of one segment may be, however
	// unequal they are, before some are merged that will have to be merged again.
	maxWaste = 4
)

// run is consecutive slots whose scored rows are in the objects of one slot.
type run struct {
	slots       [2]uint64 // half open
	offsets     [2]int64
	slot        uint64 // whose objects hold the rows
	bytes, rows int64
	generation  thalweg.Generation
	topicID     string
	partition   string   // column by whose days the rows are split
	days        []string // that they are split into
	merged      bool     // by a compaction
}

// runOf returns the run that a finished slot leaves, ok false if it holds no
// scored rows.
func runOf(e commitlog.Entry) (r run, ok bool) {
	in, d := e.Intent, e.Done
	r = run{slots: [2]uint64{in.Seq, in.Seq + 1}, slot: in.Seq, rows: d.Scored, generation: in.SpecGeneration, topicID: in.TopicID, partition: in.PartitionBy}
	if in.Action == commitlog.Compact {
		r.slots, r.merged = in.Slots, true
	}
	r.offsets[0], r.offsets[1] = e.Offsets()
	for _, o := range d.Objects {
		if o.Kind == commitlog.Scored {
			r.bytes += o.SizeBytes
			if in.PartitionBy != "" {
				r.days = append(r.days, commitlog.DayOf(in, o.Key))
			}
		}
	}
	return r, d.Scored > 0
}

// follows reports whether o, the run after r, may be in one file with it as far
// as records tell.
func (r run) follows(o run) bool {
	return r.generation == o.generation && r.partition == o.partition && r.topicID == o.topicID
}

// planner decides which files of a partition are merged. It is told what was
// finished, and knows the live objects of the end of the log, all from the first
// run on.
type planner struct {
	cfg   Compaction
	known bool // runs are those of the log
	runs  []run
	apart map[uint64]bool // first slots of runs that have other columns than the run before
	late  []run           // of slots that were finished since the log was asked for runs
	idle  bool            // there is nothing to merge in runs as they are
	taken bool            // the runs that were planned last are being merged
}

// forget drops what is believed of the log.
func (c *planner) forget() {
	c.known, c.runs, c.late, c.idle, c.taken = false, nil, nil, false, false
	clear(c.apart)
}

// ask says that the log is asked for its end: it will have what was finished.
func (c *planner) ask() { c.late = nil }

// learn takes in the end of the log. Slots that were finished while it was read
// may be in it or not.
func (c *planner) learn(runs []run) {
	end := uint64(0)
	if n := len(runs); n > 0 {
		end = runs[n-1].slots[1]
	}
	for _, r := range c.late {
		if r.slots[0] >= end {
			runs = append(runs, r)
		}
	}
	c.known, c.runs, c.late, c.idle = true, runs, nil, false
	c.trim()
}

// add takes in a slot that was finished.
func (c *planner) add(e commitlog.Entry) {
	switch r, ok := runOf(e); {
	case !ok || !c.cfg.on():
	case c.known && len(c.runs) > 0 && c.runs[len(c.runs)-1].slots[1] > r.slots[0]:
		// The log was read when the slot was finished, but the answer was not here yet.
	case c.known:
		c.runs, c.idle = append(c.runs, r), false
		c.trim()
	default:
		c.late = append(c.late, r)
	}
}

// replace puts the merged run in the place of its inputs.
func (c *planner) replace(e commitlog.Entry) {
	r, ok := runOf(e)
	if !ok || !c.known {
		return
	}
	i := slices.IndexFunc(c.runs, func(o run) bool { return o.slots[0] >= r.slots[0] })
	j := i
	for j >= 0 && j < len(c.runs) && c.runs[j].slots[1] <= r.slots[1] {
		j++
	}
	if i < 0 || i == j {
		return // it lies before the end that is known
	}
	c.runs, c.idle = slices.Replace(c.runs, i, j, r), false
	c.trim()
}

// split notes that the run at a slot has other columns than the one before.
func (c *planner) split(slot uint64) {
	if c.apart == nil {
		c.apart = make(map[uint64]bool)
	}
	c.apart[slot], c.idle = true, false
}

// sealed reports whether a run is large enough to be left alone.
func (c *planner) sealed(r run) bool { return r.bytes >= c.cfg.Bytes/2 }

// segment returns the end of the segment that begins with run i: runs that may
// become one file. A sealed run is a segment of its own.
func (c *planner) segment(i int) int {
	j := i + 1
	for j < len(c.runs) && !c.sealed(c.runs[j-1]) && !c.sealed(c.runs[j]) && c.runs[j-1].follows(c.runs[j]) && !c.apart[c.runs[j].slots[0]] {
		j++
	}
	return j
}

// trim drops leading segments in which nothing will ever be merged again.
func (c *planner) trim() {
	for len(c.runs) > 0 {
		end := c.segment(0)
		left := c.runs[0].topicID != c.runs[len(c.runs)-1].topicID // behind, for another topic
		if end == len(c.runs) || !left && c.closedPlan(c.runs[:end]) != nil {
			break
		}
		c.drop(end)
	}
	if n := len(c.runs) - maxTail; n > 0 && !c.taken {
		c.drop(n)
	}
}

func (c *planner) drop(n int) {
	for _, r := range c.runs[:n] {
		delete(c.apart, r.slots[0])
	}
	c.runs = slices.Delete(c.runs, 0, n)
}

// plan returns neighbouring runs that are worth merging, nil if there are none.
// They are of the topic that the log is at: a compaction's intent names that
// one, and whoever reads it later takes the rows to be of it. What an earlier
// topic of the name left stays as it is.
func (c *planner) plan(topicID string) []run {
	if c.idle {
		return nil
	}
	for i := 0; i < len(c.runs); {
		j := c.segment(i)
		part := c.runs[i:j]
		if part[0].topicID != topicID {
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
func (c *planner) closedPlan(part []run) []run {
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
func (c *planner) openPlan(part []run) []run {
	if len(part) < 2 {
		return nil
	}
	sizes := make([]int64, 0, 64)
	for _, r := range part {
		size := int64(1)
		for size < r.bytes {
			size *= 2
		}
		if !slices.Contains(sizes, size) {
			sizes = append(sizes, size)
		}
	}
	slices.Sort(sizes)
	for _, most := range sizes {
		for i := 0; i < len(part); i++ {
			j := i
			for j < len(part) && part[j].bytes <= most {
				j++
			}
			for ; j-i >= 2; i++ {
				n := c.fit(part[i:j])
				sum, largest := sizeOf(part[i : i+n])
				grown := max(2, int64(c.cfg.MinFiles)/2)
				if n >= 2 && (n >= c.cfg.MinFiles && sum >= grown*largest || sum >= c.cfg.Bytes/2 && sum >= 2*largest) {
					return part[i : i+n]
				}
				if n < c.cfg.MinFiles && i+n == j {
					break // fewer are left further on
				}
			}
			i = max(i, j)
		}
	}
	if len(part) < maxWaste*c.cfg.MinFiles {
		return nil
	}
	var best []run
	var least int64
	for i := range part {
		window := part[i:min(len(part), i+c.cfg.MinFiles)]
		n := c.fit(window)
		if sum, _ := sizeOf(window[:n]); n >= 2 && (best == nil || n > len(best) || n == len(best) && sum < least) {
			best, least = window[:n], sum
		}
	}
	return best
}

// fit returns how many of the first runs fit into one merged file.
func (c *planner) fit(part []run) int {
	sum := int64(0)
	var days map[string]struct{}
	for n, r := range part {
		for _, d := range r.days {
			if days == nil {
				days = make(map[string]struct{})
			}
			days[d] = struct{}{}
		}
		if sum += r.bytes; sum > c.cfg.Bytes || n == commitlog.MaxInputs || len(days) > commitlog.MaxObjects {
			return n
		}
	}
	return len(part)
}

func sizeOf(part []run) (sum, largest int64) {
	for _, r := range part {
		sum += r.bytes
		largest = max(largest, r.bytes)
	}
	return sum, largest
}

// hint returns what the done record of a compaction of slots says of the other
// merged runs: all of them from the first that it lists.
func (c *planner) hint(slots [2]uint64) []commitlog.Run { return hintOf(c.runs, slots) }

// hintOf lists the merged runs but those within slots.
func hintOf(runs []run, slots [2]uint64) []commitlog.Run {
	var hint []commitlog.Run
	for _, r := range runs {
		if r.merged && (r.slots[1] <= slots[0] || r.slots[0] >= slots[1]) {
			hint = append(hint, commitlog.Run{r.slots[0], r.slots[1], r.slot})
		}
	}
	return hint[max(0, len(hint)-commitlog.MaxRuns):]
}
