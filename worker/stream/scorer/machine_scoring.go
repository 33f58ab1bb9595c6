package scorer

import (
	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// maxSpanGaps is how many gaps a span may have when it is asked to grow. A
// batch ends before it adds more, and may add one behind its last record.
const maxSpanGaps = commitlog.MaxGaps - 1

// newSpan begins a span after the last one.
func (m *machine) newSpan(with engine.Candidate, generation thalweg.Generation) *span {
	from := m.committed
	if m.closing != nil {
		from = m.closing.to
	}
	m.spans++
	return &span{id: m.spans, from: from, to: from, kept: from, limit: -1, model: with.Model, registered: with.RegisteredAtUS, generation: generation,
		partition: m.cfg.partition, topicID: m.topicID}
}

// takeFetched adds records to the backlog.
func (m *machine) takeFetched(ev recordsFetched) {
	canceled := m.canceled
	m.canceled = false
	if ev.epoch != m.epoch || canceled && thalweg.Is(ev.err, thalweg.Canceled) {
		m.busy[opFetch] = false // of a position that was left, or not wanted any more
		return
	}
	if m.takeLoss(ev.err) {
		return
	}
	if !m.answered(opFetch, ev.err) {
		return
	}
	if ev.end >= 0 {
		m.end = ev.end
	}
	if ev.next == m.position {
		return
	}
	if m.backlog.next == m.scoredTo() {
		m.backlog.since = m.now.mono
	}
	if m.backlog.next == m.backlog.asked {
		m.backlog.later = m.now.mono
	}
	m.position, m.backlog.next = ev.next, ev.next
	m.backlog.records += ev.records
	m.backlog.bytes += ev.bytes
}

// scoredTo returns the offset up to which everything is in spans.
func (m *machine) scoredTo() int64 {
	switch {
	case m.open != nil:
		return m.open.to
	case m.closing != nil:
		return m.closing.to
	}
	return m.committed
}

// takeScored moves records from the backlog to the open span.
func (m *machine) takeScored(ev batchScored) {
	if ev.epoch != m.epoch {
		m.busy[opScore] = false
		return
	}
	if !m.answered(opScore, ev.err) {
		return
	}
	if ev.unasked {
		m.refetch()
		return
	}
	m.backlog.records -= ev.records
	m.backlog.bytes -= ev.bytes
	if ev.to >= m.backlog.asked {
		m.backlog.since = m.backlog.later // what is left came while the batch was scored
	}
	s := m.open
	if s.events == 0 && ev.records > 0 {
		s.since = m.now.mono
	}
	s.to = ev.to
	s.events += ev.records
	s.dead += ev.dead
	s.bytes += ev.bytes
	s.gaps += ev.gaps
	s.cut = ev.cut
	switch {
	case ev.cut: // what was scored of the batch for nothing must not be the rule
		m.dayBatch = max(engine.MinDayBatch, 2*ev.records)
	case m.dayBatch > m.cfg.batching.Count:
		m.dayBatch = 0
	default:
		m.dayBatch *= 2
	}
	if m.phase == running && m.watchRate(ev.records, ev.dead) {
		// It is scored when the operator says so, if ever: others may need the room.
		m.refetch()
	}
}

// full reports whether the open span must not grow.
func (m *machine) full() bool {
	s := m.open
	return s.cut || s.events >= m.cfg.rolling.Count || s.bytes >= m.cfg.rolling.Bytes || s.gaps >= maxSpanGaps
}

// due reports whether the open span, which has events, is to be committed.
func (m *machine) due() bool {
	if m.full() || m.short || m.ended() || m.next != nil || m.now.mono >= m.open.since+m.cfg.rolling.Period {
		return true
	}
	if m.tripped != "" {
		return true
	}
	// What is in the backlog belongs to the last file before a rest.
	return (m.paused || m.draining || m.lost != nil) && m.backlog.next == m.open.to
}

// closeSpan hands the open span over to be committed, if it is time and the
// one before is through.
func (m *machine) closeSpan() {
	s := m.open
	if s == nil || m.closing != nil || m.busy[opScore] {
		return
	}
	if s.limit >= 0 {
		if s.to >= s.limit {
			m.open, m.closing = nil, s
			s.stage = opPublish // it is claimed already
		}
		return
	}
	// Gaps alone wait for an event, but where none can come they are told from
	// what is lost.
	if s.events == 0 && !m.ended() && (m.lost == nil || s.to == s.from) || !m.due() {
		return
	}
	m.open, m.closing, m.short = nil, s, false
	s.stage = opClaim
	// Not before the version was registered, nor before the rows of the slot
	// before, whatever this host's clock says.
	now := m.now.wall
	if m.cfg.scoredAt > 0 {
		now = m.cfg.scoredAt
	}
	m.scoredAt = max(m.scoredAt, now, s.registered)
	s.scoredAt = m.scoredAt
	if m.next != nil {
		m.chooseModel()
	}
}

// scoreMore scores a batch if one is due and there is room for its rows.
func (m *machine) scoreMore() {
	if !m.idle(opScore) || m.backlog.next == m.scoredTo() || m.ended() || !m.batchDue() || m.closing != nil && m.closing.skip {
		return
	}
	if m.phase == recovering {
		if m.ready && m.open != nil && m.open.to < m.open.limit {
			m.scoreInto(m.open)
		}
		return
	}
	if m.current == nil || m.tripped != "" {
		return
	}
	if m.open == nil {
		m.open = m.newSpan(*m.current, m.cfg.generation)
	}
	if !m.full() {
		m.scoreInto(m.open)
	}
}

// batchDue reports whether the backlog is to be scored now and not merged with
// what comes next.
func (m *machine) batchDue() bool {
	b, limits := &m.backlog, &m.cfg.batching
	return b.records >= limits.Count || b.bytes >= limits.Bytes || m.now.mono >= b.since+limits.Period ||
		m.paused || m.draining || m.lost != nil || m.phase == recovering
}

func (m *machine) scoreInto(s *span) {
	// A recovered span was within the bounds when it was claimed, whatever they
	// are now.
	count, size, gaps, upTo := m.cfg.batching.Count, m.cfg.batching.Bytes, maxSpanGaps, s.limit
	if s.limit < 0 {
		// Where a full span ends follows from the events alone.
		count = min(count, m.cfg.rolling.Count-s.events)
		if m.cfg.maxRate > 0 {
			count = min(count, rateWindow) // all that a batch can add to a rate that is too high
		}
		size = min(size, m.cfg.rolling.Bytes-s.bytes)
		gaps -= s.gaps
		if m.dayBatch > 0 {
			count = min(count, m.dayBatch)
		}
		if m.cfg.until > 0 {
			upTo = m.cfg.until
		}
	}
	m.backlog.asked = m.backlog.next
	m.start(opScore, score{epoch: m.epoch, span: s.id, model: s.model, generation: s.generation, partition: s.partition,
		cut: engine.Cut{From: s.to, Count: count, Bytes: size, Gaps: gaps, UpTo: upTo}})
}

// refetch drops the backlog, whose records lack what a version needs or are not
// wanted before an operator comes, and fetches them again. The spans stay as they are.
func (m *machine) refetch() {
	m.epoch++
	m.stopFetching()
	m.position, m.lost = m.scoredTo(), nil
	m.backlog = backlogState{next: m.position}
	m.out = append(m.out, refetch{m.epoch})
}

// fetchMore asks for records while there is room in the backlog.
func (m *machine) fetchMore() {
	blocked := m.blocked()
	if blocked && m.backlog.records > 0 && !m.busy[opScore] {
		m.refetch()
	}
	resting := blocked || m.draining || m.phase == running && (m.paused || m.tripped != "" || m.lost != nil)
	if resting {
		m.stopFetching()
	}
	switch {
	case resting || !m.idle(opFetch):
	case m.backlog.bytes >= m.cfg.backlogBytes || m.backlog.records >= m.cfg.backlogEvents:
	case m.phase == recovering && (!m.ready || m.position >= m.pending.To):
	case m.phase == running && m.current == nil:
	case m.cfg.until > 0 && m.position >= m.cfg.until:
	default:
		m.start(opFetch, fetch{m.epoch, m.position, m.topicID})
	}
}

// blocked reports whether nothing can be scored until somebody mends what a slot
// waits for. What is fetched is then dropped: it may be more than was asked for,
// and the turn to hold such a batch is what others wait for.
func (m *machine) blocked() bool {
	return m.phase == running && m.stuck() && m.open != nil && m.full()
}

// stopFetching ends the fetch under way, if there is one.
func (m *machine) stopFetching() {
	if m.busy[opFetch] && !m.canceled {
		m.canceled = true
		m.out = append(m.out, cancelFetch{})
	}
}
