package scorer

import (
	"slices"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/worker/stream/compact"
)

const (
	// mergePatience is how many slots are finished while a merged file waits for
	// its turn at the log, before a slot waits for it.
	mergePatience = 2
	// mergeRest is the pause after a merge failed with what is not transient: a
	// file that is damaged must not be read again and again.
	mergeRest = 5 * time.Minute
)

// merges is how far the machine is with merging files: which by its planner.
type merges struct {
	compact.Planner
	epoch     uint64 // answers of an older one are thrown away
	job       *merging
	failed    error         // why the last merge was given up
	restUntil time.Duration // nothing is merged before
	sweepAt   time.Duration // when replaced objects are looked for, 0: never
}

// merging is a compaction under way.
type merging struct {
	slotState
	slots      [2]uint64
	inputs     []compact.Run // nil of a claim that was found, whose inputs follow from the log
	committing bool          // the log is its own until it is finished
	passed     int           // slots finished since it was ready

	work *compact.Merged // what the shell holds of it; nil: not merged yet
}

// ready reports whether the merged file is in memory.
func (j *merging) ready() bool { return j.stage != opMerge }

// committing reports whether the log belongs to a compaction: it is being claimed,
// written or finished.
func (c *merges) committing() bool { return c.job != nil && c.job.committing }

func (c *merges) waiting() bool { return c.job != nil && c.job.ready() && !c.job.committing }

func (c *merges) end() *merging {
	ended := c.job
	c.job, c.InUse = nil, false
	return ended
}

// reset drops what is believed of the log, and returns the job that is given up.
func (c *merges) reset() *merging {
	c.epoch++
	c.Forget()
	return c.end()
}

// plan begins the next job, nil if nothing is worth merging.
func (c *merges) plan(topicID string) *merging {
	inputs := slices.Clone(c.Plan(topicID))
	if inputs == nil {
		return nil
	}
	c.InUse = true
	c.job = &merging{slotState: slotState{stage: opMerge}, inputs: inputs, slots: [2]uint64{inputs[0].Slots[0], inputs[len(inputs)-1].Slots[1]}}
	return c.job
}

// mergeMore has files merged, beside everything else. Reading and merging needs
// no slot: what is in memory then waits until the log is free.
func (m *partition) mergeMore() {
	c := &m.merges
	if m.recovering() {
		return // a claim that was found is committed
	}
	wait := m.quiescing() || m.stuck()
	if wait && c.waiting() {
		// It may wait for ever, and with it all who share the turn to hold one.
		m.out = append(m.out, release{c.end()})
	}
	if wait || !c.Config.On() {
		return
	}
	switch {
	case !m.Idle(opMerge) || m.Now.Mono < c.restUntil:
	case !c.Known():
		c.Ask()
		m.start(opMerge, readRuns{c.epoch})
	case c.job != nil && c.job.ready():
	case c.job != nil || c.plan(m.source.topicID) != nil:
		m.start(opMerge, commit{opMerge, c.job})
	}
	if c.sweepAt > 0 && m.Now.Mono >= c.sweepAt && m.Idle(opSweep) {
		c.sweepAt = 0
		m.start(opSweep, sweep{m.Now.Mono, c.Config.Retention})
	}
}

func (m *partition) onRuns(ev runsRead) {
	c := &m.merges
	switch {
	case ev.epoch != c.epoch:
		m.Drop(opMerge)
	case m.givesUp(ev.err) || !m.complete(opMerge, ev.err):
	default:
		c.Learn(ev.runs)
		c.sweepAt = m.Now.Mono // what is to be deleted is seen first
	}
}

func (m *partition) onMerged(ev merged) {
	c := &m.merges
	switch {
	case ev.epoch != c.epoch:
		m.Drop(opMerge)
		return
	case ev.moved:
		m.Drop(opMerge)
		m.reopen()
		return
	case m.recovering() && ev.err != nil && !isTransient(ev.err):
		ev.err = &thalweg.Error{Op: "finish a compaction", Kind: thalweg.KindOf(ev.err), Subject: m.slots.claim.Topic, Err: ev.err,
			Hint: "the slot was claimed for a merge of these files: restore them"}
	case m.givesUp(ev.err):
		c.end()
		return
	}
	switch {
	case !m.complete(opMerge, ev.err):
	case ev.boundary != 0:
		c.AddBoundary(ev.boundary)
		c.end()
	default:
		c.failed = nil
		c.job.stage = opClaim
		if c.job.committing {
			c.job.stage = opPublish // it is claimed already
		}
	}
}

// givesUp reports whether merging failed with what is not transient. Scoring goes
// on without it, for a while.
func (m *partition) givesUp(err error) bool {
	if err == nil || isTransient(err) {
		return false
	}
	m.Complete(opMerge, nil)
	m.merges.failed, m.merges.restUntil = err, m.Now.Mono+mergeRest
	return true
}

// letMergeIn gives the log to a compaction that is ready, until it is finished.
// Spans come first, but not for ever, unless their claim was asked for.
func (m *partition) letMergeIn() {
	c, s := &m.merges, m.slots.closing
	if !c.waiting() || m.recovering() || m.quiescing() {
		return
	}
	untried := s != nil && s.stage == opClaim && !m.Busy(opClaim) && m.Retry(opClaim).Failures == 0
	if s == nil || untried && c.job.passed >= mergePatience {
		c.job.committing, c.job.scoredAt = true, m.stampBetween()
	}
}

func (m *partition) finishMerge(ev slotFinished) {
	c := &m.merges
	m.recovered()
	m.out = append(m.out, release{c.end()})
	c.Replace(ev.entry)
	if c.Config.On() {
		c.sweepAt = m.Now.Mono // from when on what was replaced is kept
	}
	if s := m.slots.closing; s != nil && !s.sends { // its claim comes after this slot's
		s.scoredAt = m.slots.stamp(m.Now.Wall, 0)
	}
}

// onSwept looks again after a while if there was something: what is kept for
// readers, and objects that a late request brings back.
func (m *partition) onSwept(ev swept) {
	c := &m.merges
	if !m.complete(opSweep, ev.err) {
		c.sweepAt = m.Now.Mono
	} else if ev.again && c.sweepAt == 0 {
		c.sweepAt = m.Now.Mono + c.Config.Retention
	}
}
