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
	// mergeRest is the pause after a merge failed with what cannot pass: a file
	// that is damaged must not be read again and again.
	mergeRest = 5 * time.Minute
)

// compactor is how far the machine is with merging files.
type compactor struct {
	compact.Planner
	epoch uint64
	job   *merging

	trouble   error         // why the last merge was given up
	restUntil time.Duration // nothing is merged before
	sweepAt   time.Duration // when replaced objects are looked for, 0: never
}

// merging is a compaction under way.
type merging struct {
	slots      [2]uint64
	inputs     []compact.Run // nil of a claim that was found, whose inputs follow from the log
	ready      bool          // the merged file is in memory
	committing bool          // the log is its own until it is finished
	passed     int           // slots finished since it was ready
	scoredAt   int64
	stage      op // opClaim, opPublish or opFinish
}

// merging reports whether the log belongs to a compaction: it is being claimed,
// written or finished.
func (m *machine) merging() bool { return m.compactor.job != nil && m.compactor.job.committing }

// resting reports whether only what is begun is to be finished.
func (m *machine) resting() bool { return m.draining || m.paused || m.tripped != "" }

// stuckTries is how often a step of a slot fails before nobody can tell when the
// log will be free.
const stuckTries = 5

// stuck reports whether the log is taken by a slot that goes no further.
func (m *machine) stuck() bool {
	return m.closing != nil && m.troubles[m.closing.stage].failures >= stuckTries
}

// mergeMore has files merged, beside everything else. Reading and merging needs
// no slot: what is in memory then waits until the log is free.
func (m *machine) mergeMore() {
	c := &m.compactor
	if m.phase == recovering {
		if c.job != nil && !c.job.ready && m.idle(opMerge) {
			m.start(opMerge, merge{epoch: c.epoch})
		}
		return
	}
	waiting := m.resting() || m.stuck()
	if waiting && c.job != nil && c.job.ready && !c.job.committing {
		// It may wait for ever, and with it all who share the turn to hold one.
		c.job, c.Taken = nil, false
		m.out = append(m.out, dropMerge{})
	}
	if !c.Cfg.On() || waiting {
		return
	}
	switch {
	case !m.idle(opMerge) || m.now.mono < c.restUntil:
	case !c.Known:
		c.Ask()
		m.start(opMerge, readRuns{c.epoch})
	case c.job == nil:
		if inputs := slices.Clone(c.Plan(m.topicID)); inputs != nil {
			c.job = &merging{inputs: inputs, slots: [2]uint64{inputs[0].Slots[0], inputs[len(inputs)-1].Slots[1]}, stage: opClaim}
			c.Taken = true
			m.start(opMerge, merge{c.epoch, inputs})
		}
	case !c.job.ready:
		m.start(opMerge, merge{c.epoch, c.job.inputs})
	}
	if c.sweepAt > 0 && m.now.mono >= c.sweepAt && m.idle(opSweep) {
		c.sweepAt = 0
		m.start(opSweep, sweep{m.now.mono, c.Cfg.Retention})
	}
}

// takeRuns learns what is in which files.
func (m *machine) takeRuns(ev runsRead) {
	c := &m.compactor
	if ev.epoch != c.epoch {
		m.busy[opMerge] = false
		return
	}
	if m.givenUp(ev.err) || !m.answered(opMerge, ev.err) {
		return
	}
	c.Learn(ev.runs)
	c.sweepAt = m.now.mono // what is to be deleted is seen first
}

// takeMerged learns that a file is merged, or why it is not.
func (m *machine) takeMerged(ev merged) {
	c := &m.compactor
	if ev.epoch != c.epoch {
		m.busy[opMerge] = false
		return
	}
	if ev.moved {
		m.busy[opMerge], m.phase = false, opening
		m.follow(m.committed)
		return
	}
	if m.phase == recovering && ev.err != nil && !passing(ev.err) {
		ev.err = &thalweg.Error{Op: "finish a compaction", Kind: thalweg.KindOf(ev.err), Subject: m.pending.Topic, Err: ev.err,
			Hint: "the slot was claimed for a merge of these files: restore them"}
	} else if m.givenUp(ev.err) {
		c.job, c.Taken = nil, false
		return
	}
	switch {
	case !m.answered(opMerge, ev.err):
	case ev.apart != 0:
		c.Split(ev.apart)
		c.job, c.Taken = nil, false
	default:
		c.job.ready, c.trouble = true, nil
	}
}

// givenUp reports whether merging failed with what cannot pass. Scoring goes on
// without it, for a while.
func (m *machine) givenUp(err error) bool {
	if err == nil || passing(err) {
		return false
	}
	m.busy[opMerge], m.troubles[opMerge] = false, trouble{}
	m.compactor.trouble, m.compactor.restUntil = err, m.now.mono+mergeRest
	return true
}

// commitMerge takes a compaction that is ready one stage further, and reports
// whether the log is its own. Spans come first, but not for ever.
func (m *machine) commitMerge() bool {
	c := &m.compactor
	j := c.job
	switch {
	case j == nil || !j.ready && !j.committing:
		return false
	case !j.ready: // a claim that was found, still to be merged
		return true
	case !j.committing:
		if m.phase != running || m.resting() || m.closing != nil && !(m.unclaimed() && j.passed >= mergePatience) {
			return false
		}
		m.scoredAt = max(m.scoredAt, m.now.wall)
		j.committing, j.scoredAt = true, m.scoredAt
	}
	if !m.idle(j.stage) {
		return true
	}
	switch j.stage {
	case opClaim:
		m.start(opClaim, claimMerge{j.scoredAt})
	case opPublish:
		m.start(opPublish, publishMerge{c.Hint(j.slots)})
	case opFinish:
		m.start(opFinish, finishMerge{})
	}
	return true
}

// unclaimed reports whether the closing span's claim was never asked for.
func (m *machine) unclaimed() bool {
	return m.closing.stage == opClaim && !m.busy[opClaim] && m.troubles[opClaim].failures == 0
}

// finishMerge makes the compaction history.
func (m *machine) finishMerge(ev slotFinished) {
	c := &m.compactor
	m.totals = ev.totals
	if m.phase == recovering {
		m.phase, m.pending = running, nil
		if m.topicID == "" {
			m.phase = starting
		}
	}
	c.job, c.Taken = nil, false
	c.Replace(ev.entry)
	if t := m.now.mono + c.Cfg.Retention; c.Cfg.On() && (c.sweepAt == 0 || t < c.sweepAt) {
		c.sweepAt = t
	}
	if s := m.closing; s != nil { // its claim comes after this slot's
		m.scoredAt = max(m.scoredAt, m.now.wall)
		s.scoredAt = m.scoredAt
	}
	m.out = append(m.out, dropMerge{})
}

// takeSwept looks again after a while if there was something: what is kept for
// readers, and objects that a late request brings back.
func (m *machine) takeSwept(ev swept) {
	if !m.answered(opSweep, ev.err) {
		m.compactor.sweepAt = m.now.mono
		return
	}
	if t := m.now.mono + m.compactor.Cfg.Retention; (ev.again || ev.deleted > 0) && m.compactor.sweepAt == 0 {
		m.compactor.sweepAt = t
	}
}
