package scorer

import (
	"time"

	"github.com/thalweg/thalweg"
)

// source is how far the topic is read, and what was fetched of it and is not
// scored. The shell has the records; how many they are and where they end is
// known here.
type source struct {
	topicID  string // which topic the offsets are of, empty: not known, or the brokers give none
	placed   bool   // it is known where to go on
	position int64  // offset that the next fetch asks for
	end      int64  // of the topic, -1: not known
	// leaderEpoch is that of the last record before position, as connectors.Records has it.
	leaderEpoch int32
	canceled    bool // the fetch under way was told to end

	records int // fetched and not scored
	bytes   int64
	next    int64         // offset after the last of them
	since   time.Duration // when the oldest of them came
	asked   int64         // next, when the batch under way was asked for
	later   time.Duration // when the oldest of what came since then came
}

// seek forgets what was fetched and goes on at an offset, the record before which was written
// in a leader's term.
func (s *source) seek(offset int64, leaderEpoch int32) {
	s.position, s.next, s.leaderEpoch = offset, offset, leaderEpoch
	s.records, s.bytes, s.since, s.asked, s.later = 0, 0, 0, 0, 0
}

// fetched takes in records. Everything before scoredTo is scored.
func (s *source) fetched(now time.Duration, ev recordsFetched, scoredTo int64) {
	if ev.end >= 0 {
		s.end = ev.end
	}
	if ev.next == s.position {
		return
	}
	if s.next == scoredTo {
		s.since = now
	}
	if s.next == s.asked {
		s.later = now
	}
	s.position, s.next, s.leaderEpoch = ev.next, ev.next, ev.leaderEpoch
	s.records += ev.records
	s.bytes += ev.bytes
}

// scored takes out the records of the batch that was asked for last.
func (s *source) scored(ev batchScored) {
	s.records -= ev.records
	s.bytes -= ev.bytes
	if ev.to >= s.asked {
		s.since = s.later // what is left came while the batch was scored
	}
}

func (m *partition) onFetched(ev recordsFetched) {
	canceled := m.source.canceled
	m.source.canceled = false
	switch {
	case ev.epoch != m.epoch || canceled && thalweg.Is(ev.err, thalweg.Canceled):
		m.Drop(opFetch) // of a position that was left, or not wanted any more
	case m.recordLoss(ev.err):
	case m.complete(opFetch, ev.err):
		m.source.fetched(m.Now.Mono, ev, m.slots.scoredTo())
	}
}

func (m *partition) fetchMore() {
	s, in := &m.source, m.slots.claim
	blocked := m.blocked()
	if blocked && s.records > 0 && !m.Busy(opScore) {
		m.refetch()
	}
	unwanted := blocked || m.draining || in == nil && (m.quiescing() || m.loss.found != nil)
	if unwanted {
		m.stopFetching()
	}
	switch {
	case unwanted || !m.Idle(opFetch):
	case s.bytes >= m.cfg.BacklogBytes || s.records >= maxBacklogEvents:
	case in != nil && (!m.slots.ready || s.position >= in.To):
	case in == nil && m.versions.current == nil:
	case m.until > 0 && s.position >= m.until:
	default:
		m.start(opFetch, fetch{m.epoch, s.position, s.leaderEpoch, s.topicID})
	}
}

// blocked reports whether nothing can be scored until somebody mends what a slot
// waits for. What is fetched is then dropped: it may be more than was asked for,
// and the turn to hold such a batch is what others wait for.
func (m *partition) blocked() bool {
	return m.slots.claim == nil && (m.stuck() && m.slots.open != nil && m.slots.open.full(m.cfg.Rolling) || m.rows.unsent() >= maxUnsentBytes && m.cannotSend())
}

// refetch drops the backlog, whose records lack what a version needs or are not
// wanted before an operator comes, and fetches them again. The spans stay as they are.
func (m *partition) refetch() {
	m.epoch++
	m.stopFetching()
	m.source.seek(m.slots.scoredTo(), m.slots.scoredEpoch())
	m.loss.found = nil
	m.out = append(m.out, refetch{m.epoch})
}

func (m *partition) stopFetching() {
	if m.Busy(opFetch) && !m.source.canceled {
		m.source.canceled = true
		m.out = append(m.out, cancelFetch{})
	}
}
