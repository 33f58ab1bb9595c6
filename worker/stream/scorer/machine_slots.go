package scorer

import (
	"fmt"

	"github.com/thalweg/thalweg/pipeline/rollout"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// slots is how far the log is, and the spans on their way into it: one is scored
// into while the one before is committed.
type slots struct {
	opened      bool              // the rest is what the log says
	fresh       bool              // the log has no finished slot
	committed   int64             // offset after the last finished slot, -1: not known
	leaderEpoch int32             // of the last record before committed
	totals      commitlog.Counts  // of finished slots
	claim       *commitlog.Intent // that was found unfinished and is being carried out
	ready       bool              // its version is loaded
	open        *span             // is being scored into
	closing     *span             // is being committed
	made        uint64            // spans so far
	scoredAt    int64             // of the last claim, or of a span that is to be sent before it is claimed
	loggedAt    int64             // of the last claim that is known
	lag         int64             // group offset to write, -1: none
	short       bool              // the open span is to be committed for its memory
	dayBatch    int               // events to score at once after a batch was cut, 0: any
	cutShort    *[2]int64         // from and firstAvailable of the span that found its objects cut short
}

// scoredTo returns the offset up to which everything is in spans.
func (s *slots) scoredTo() int64 {
	switch {
	case s.open != nil:
		return s.open.to
	case s.closing != nil:
		return s.closing.to
	}
	return s.committed
}

// scoredEpoch returns the leader's term of the last record before scoredTo.
func (s *slots) scoredEpoch() int32 {
	switch {
	case s.open != nil:
		return s.open.leaderEpoch
	case s.closing != nil:
		return s.closing.leaderEpoch
	}
	return s.leaderEpoch
}

func (s *slots) blank() bool { return s.open == nil || s.open.events == 0 }

func (s *slots) drop() (dropped []slotJob) {
	for _, d := range []*span{s.open, s.closing} {
		if d != nil {
			dropped = append(dropped, d)
		}
	}
	s.open, s.closing = nil, nil
	return dropped
}

func (s *slots) newSpan(n span) *span {
	s.made++
	n.id, n.limit = s.made, -1
	if n.firstAvailable == 0 {
		n.firstAvailable = n.from
	}
	return &n
}

// recover begins the span of the claim, of which the topic has what is from
// firstAvailable on, given the leader's term of the record before that, and the topic
// that rows are sent to.
func (s *slots) recover(firstAvailable int64, leaderEpoch int32, rowsTopic string) {
	in := s.claim
	s.open = s.newSpan(span{from: in.From, to: firstAvailable, firstAvailable: firstAvailable, model: engine.ModelOf(in), generation: in.SpecGeneration,
		partitionBy: in.PartitionBy, topicID: in.TopicID, leaderEpoch: leaderEpoch,
		sends: in.RowsTopic != "" && in.RowsTopic == rowsTopic})
	s.open.limit, s.open.scoredAt = in.To, in.ScoredAtUS
}

// stamp returns the time of the next claim: it never falls, whatever this host's
// clock says, and is not before atLeast.
func (s *slots) stamp(now, atLeast int64) int64 {
	s.scoredAt = max(s.scoredAt, now, atLeast)
	return s.scoredAt
}

// maxSpanGaps is how many gaps a span may have when it is asked to grow. A
// batch ends before it adds more, and may add one behind its last record.
const maxSpanGaps = commitlog.MaxGaps - 1

// full reports whether the span must not grow.
func (s *span) full(rolling Limits) bool {
	return s.cut || s.events >= rolling.Count || s.bytes >= rolling.Bytes || s.gaps >= maxSpanGaps
}

func (m *partition) scoreMore() {
	s := &m.slots
	if !m.Idle(opScore) || m.source.next == s.scoredTo() || m.ended() || !m.batchDue() || m.rows.unsent() >= maxUnsentBytes || s.closing != nil && s.closing.skip {
		return
	}
	switch {
	case s.claim != nil:
		if !s.ready || s.open == nil || s.open.to >= s.open.limit || s.open.sends && m.rows.sent < 0 {
			return
		}
	case m.rate.tripped != "" || m.rows.ahead && m.rows.sent < 0:
		return
	default:
		open := m.beginSpan()
		if open == nil || !open.pinned() && m.versions.gaveUp(open.model) || open.full(m.cfg.Rolling) || open.pinned() && open.to >= open.upTo {
			return
		}
		if open.sends && open.events == 0 && !open.pinned() { // from now on it must not change: its rows may be sent
			open.scoredAt = s.stamp(m.Now.Wall, open.registered)
		}
	}
	m.source.asked = m.source.next
	m.start(opScore, score{m.epoch, s.open, m.cut(s.open)})
}

// batchDue reports whether the backlog is to be scored now and not merged with
// what comes next.
func (m *partition) batchDue() bool {
	s, l := &m.source, m.cfg.Batching
	return m.eager() || m.paused || m.draining || m.loss.found != nil || m.recovering() || s.records >= l.Count || s.bytes >= l.Bytes || m.Now.Mono >= s.since+l.Period
}

// cut says how much of the backlog may go into a span at once. A recovered span
// was within the bounds when it was claimed, whatever they are now. Where another
// ends that is full follows from the events alone.
func (m *partition) cut(s *span) engine.Cut {
	c := engine.Cut{From: s.to, Count: m.cfg.Batching.Count, Bytes: m.cfg.Batching.Bytes, Gaps: maxSpanGaps, UpTo: s.limit, End: m.source.next, LeaderEpoch: m.source.leaderEpoch}
	if s.limit >= 0 {
		return c
	}
	c.Count = min(c.Count, m.cfg.Rolling.Count-s.events)
	if m.cfg.MaxDeadRate > 0 {
		c.Count = min(c.Count, rateWindow) // all that a batch can add to a rate that is too high
	}
	if m.slots.dayBatch > 0 {
		c.Count = min(c.Count, m.slots.dayBatch)
	}
	c.Bytes = min(c.Bytes, m.cfg.Rolling.Bytes-s.bytes)
	c.Gaps -= s.gaps
	if m.until > 0 {
		c.UpTo = m.until
	}
	if s.pinned() {
		c.UpTo = s.upTo
	}
	return c
}

func (m *partition) onScored(ev batchScored) {
	switch {
	case ev.epoch != m.epoch:
		m.Drop(opScore)
		return
	case engine.IsOf(ev.err, rollout.Candidate) && !m.recovering() && !m.slots.open.pinned():
		m.Complete(opScore, nil)
		m.giveUp(m.slots.open.model, ev.err.Error())
		return
	case !m.complete(opScore, ev.err):
		return
	case ev.needsRefetch:
		m.refetch()
		return
	}
	m.source.scored(ev)
	m.yield.observe(ev)
	s := m.slots.open
	if s.sends {
		m.rows.queue = append(m.rows.queue, queued{ev.to, ev.unsent})
	}
	if s.events == 0 && ev.records > 0 {
		s.since = m.Now.Mono
	}
	s.to, s.leaderEpoch, s.cut = ev.to, ev.leaderEpoch, ev.cut
	s.events += ev.records
	s.dead += ev.dead
	s.bytes += ev.bytes
	s.gaps += ev.gaps
	switch {
	case ev.cut: // what was scored of the batch for nothing must not be the rule
		m.slots.dayBatch = max(engine.MinDayBatch, 2*ev.records)
	case m.slots.dayBatch > m.cfg.Batching.Count:
		m.slots.dayBatch = 0
	default:
		m.slots.dayBatch *= 2
	}
	if m.recovering() {
		return
	}
	if m.trial.observe(s.model, ev.candidate) {
		m.giveUp(s.model, fmt.Sprintf("%d of the last %d events that version %d scored were dead letters, more than max_rate %.4g%%",
			m.trial.dead, m.trial.events, s.model.Rollout.Candidate, 100*m.rate.most))
	}
	if m.rate.observe(ev.records-ev.candidate[0], ev.dead-ev.candidate[1]) {
		// It is scored when the operator says so, if ever: others may need the room.
		m.refetch()
	}
}

// due reports whether the open span, which has events, is to be committed.
func (m *partition) due() bool {
	s := m.slots.open
	if s.full(m.cfg.Rolling) || s.pinned() && s.to >= s.upTo || s.sends && !m.rows.ahead || m.slots.short || m.ended() || m.versions.next != nil || m.Now.Mono >= s.since+m.cfg.Rolling.Period || m.rate.tripped != "" {
		return true
	}
	// What is in the backlog belongs to the last file before a rest.
	return (m.paused || m.draining || m.loss.found != nil) && m.source.next == s.to
}

// closeSpan hands the open span over to be committed, if it is time and the
// one before is through.
func (m *partition) closeSpan() {
	s := m.slots.open
	if s == nil || m.slots.closing != nil || m.Busy(opScore) {
		return
	}
	if s.limit >= 0 {
		if s.to >= s.limit {
			m.slots.open, m.slots.closing = nil, s
			s.stage = opPublish // it is claimed already
		}
		return
	}
	// Gaps alone wait for an event, but where none can come they are told from
	// what is lost.
	if s.events == 0 && !m.ended() && (m.loss.found == nil || s.to == s.from) || !m.due() {
		return
	}
	m.slots.open, m.slots.closing, m.slots.short = nil, s, false
	s.stage = opClaim
	now := m.Now.Wall
	if m.cfg.Range != nil {
		now = m.cfg.Range.ScoredAtUS
	}
	if !s.sends {
		s.scoredAt = m.slots.stamp(now, s.registered)
	}
	if m.versions.next != nil {
		m.loadVersion()
	}
}

// stuckTries is how often a step of a slot fails before nobody can tell when the
// log will be free.
const stuckTries = 5

// stuck reports whether the log is taken by a slot that goes no further.
func (m *partition) stuck() bool {
	s := m.slots.closing
	return s != nil && (m.Retry(s.stage).Failures >= stuckTries || m.awaitsRows(s) && m.cannotSend())
}

// committing returns what the log belongs to, nil for nothing.
func (m *partition) committing() slotJob {
	switch {
	case m.merges.committing():
		return m.merges.job
	case m.slots.closing != nil:
		return m.slots.closing
	}
	return nil
}

// commitSlot takes what the log belongs to one stage further.
func (m *partition) commitSlot() {
	m.letMergeIn()
	job := m.committing()
	if job == nil || !m.Idle(job.slot().stage) {
		return
	}
	if s, ok := job.(*span); ok && m.awaitsRows(s) {
		return
	}
	m.start(job.slot().stage, commit{job.slot().stage, job})
}

func (m *partition) onClaimed(ev slotClaimed) {
	switch {
	case !m.complete(opClaim, ev.err):
	case !ev.won:
		m.reopen()
	default:
		job := m.committing().slot()
		job.stage, m.slots.loggedAt = opPublish, job.scoredAt
	}
}

// onPublished goes on to finish the slot. If others have published less of it,
// it does not argue: the log tells whether they have finished the slot, and the
// topic what it has lost. If neither has changed anything, it is a conflict.
func (m *partition) onPublished(ev objectsPublished) {
	s, span := m.committing().(*span)
	if ev.cut && (m.slots.cutShort == nil || *m.slots.cutShort != [2]int64{s.from, s.firstAvailable}) {
		m.slots.cutShort = &[2]int64{s.from, s.firstAvailable}
		m.Complete(opPublish, nil)
		m.reopen()
		return
	}
	if !m.complete(opPublish, ev.err) {
		return
	}
	m.committing().slot().stage = opFinish
	if span {
		s.dead += ev.adopted
		if m.cfg.Outbox != nil && s.dead > 0 {
			s.stage = opDeliver
		}
	}
}

func (m *partition) onFinished(ev slotFinished) {
	if !m.complete(opFinish, ev.err) {
		return
	}
	m.slots.totals = ev.totals
	if m.merges.committing() {
		m.finishMerge(ev)
		return
	}
	s := m.slots.closing
	m.slots.closing = nil
	m.slots.committed, m.slots.leaderEpoch, m.slots.fresh, m.slots.cutShort = s.to, ev.entry.Intent.LeaderEpoch, false, nil
	m.rows.ahead = m.rows.on() && ev.entry.Intent.RowsTopic == m.rows.topic
	m.rows.committed(s)
	m.loss.from = s.to
	if e := &ev.entry; e.Done.Lost[1] == s.to && e.Done.Lost != [2]int64{} {
		m.loss.from = s.from
	}
	if m.until == 0 {
		m.slots.lag = s.to
	}
	m.recovered() // the backlog stays: there may be records beyond the claim in it
	if m.merges.Add(ev.entry); m.merges.job != nil && m.merges.job.ready() {
		m.merges.job.passed++
	}
	m.out = append(m.out, release{s})
	if s.skip {
		m.loss.found, m.source.topicID, m.source.end = nil, s.topicID, -1
		m.restart(s.to, 0)
	}
}
