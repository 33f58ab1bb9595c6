package scorer

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

const (
	// maxUnsentBytes bounds the rows that are scored and not in their topic: beyond
	// it nothing is scored.
	maxUnsentBytes = 4 << 20
	// maxNoteBytes is what brokers keep beside an offset (offset.metadata.max.bytes).
	maxNoteBytes = 4096
	// renewEvery is how often the position of an idle topic is committed again:
	// brokers forget it after offsets.retention.minutes, a week by default.
	renewEvery = 12 * time.Hour
	// trustedAge is how old the newest slot may be where the brokers know nothing of
	// its line: they would remember what was sent since.
	trustedAge = 24 * time.Hour
)

// rowsTopic is how far rows are in the topic that gets them besides the log. Once
// the log has a slot that says so, they are sent before they are claimed, and the
// position that is committed with them says as what: that is what whoever owns the
// partition next has to score them as.
type rowsTopic struct {
	topic  string        // "": there is none
	period time.Duration // between two sends
	ahead  bool          // rows may be sent before they are claimed
	opened bool          // at is what the brokers have, and nobody else can add to it
	sent   int64         // all rows before are there; -1: not known
	at     connectors.Position
	trying connectors.Position // what the send under way leads to, or the last that failed
	pins   []pin               // as what the rows from the log's end on were sent, by offset
	ready  engine.Model        // of a pin, that is loaded
	last   time.Duration       // when the last send began
	queue  []queued            // what is scored and not known to be there
	// doubted: another has sent rows, so the log is to be read again, once nothing of
	// it is under way.
	doubted bool
}

// pin says as what the rows from an offset on were sent, up to the next pin or to
// all that was sent.
type pin struct {
	From       int64                 `json:"from"`
	Model      thalweg.ModelName     `json:"model"`
	Version    thalweg.ModelVersion  `json:"version"`
	Checkpoint thalweg.CheckpointRef `json:"checkpoint"`
	Generation thalweg.Generation    `json:"generation"`
	ScoredAt   int64                 `json:"scored_at_us"`
	Rollout    commitlog.Rollout     `json:"rollout,omitzero"`
}

func (p pin) model() engine.Model {
	return engine.Model{Name: p.Model, Version: p.Version, Checkpoint: p.Checkpoint, Rollout: p.Rollout}
}

// note is the note of a position: which topic the offsets are of, and the pins.
type note struct {
	TopicID string `json:"topic_id,omitempty"`
	Pins    []pin  `json:"pins"`
}

// queued is what one batch has left to be sent.
type queued struct{ to, bytes int64 }

func (d *rowsTopic) on() bool { return d.topic != "" }

// forget drops all that is believed of the topic.
func (d *rowsTopic) forget() {
	d.opened, d.doubted, d.sent, d.pins, d.queue = false, false, -1, nil, nil
	d.at, d.trying, d.ready = connectors.Position{}, connectors.Position{}, engine.Model{}
}

// pinAt returns as what an offset was sent that is not claimed, and up to where
// that holds; false: it was not sent.
func (d *rowsTopic) pinAt(offset int64) (p pin, end int64, ok bool) {
	if offset >= d.sent {
		return pin{}, 0, false
	}
	end = d.sent
	for i := len(d.pins) - 1; i >= 0; i-- {
		if d.pins[i].From <= offset {
			return d.pins[i], end, true
		}
		end = d.pins[i].From
	}
	return pin{}, 0, false
}

// settleDoubt reads the log again where another has sent rows, and reports whether
// that has to wait for what is under way.
func (m *partition) settleDoubt() (waits bool) {
	if !m.rows.doubted {
		return false
	}
	for _, o := range []op{opClaim, opPublish, opDeliver, opFinish} {
		if m.Busy(o) {
			return true
		}
	}
	m.reopen()
	return false
}

// unsent is what is queued.
func (d *rowsTopic) unsent() (bytes int64) {
	for _, q := range d.queue {
		bytes += q.bytes
	}
	return bytes
}

// reachedAt takes in which position is committed. One that was there when this
// process began may be of another topic of events, so it says nothing new.
func (m *partition) reachedAt(at connectors.Position) {
	d := &m.rows
	if at == d.at {
		return
	}
	d.at, d.sent = at, at.Next
	for len(d.queue) > 0 && d.queue[0].to <= d.sent {
		d.queue = d.queue[1:]
	}
	m.out = append(m.out, forgetRows{d.sent})
}

// prune drops the pins of what is claimed and finished, and not those of what is
// being sent.
func (d *rowsTopic) prune(committed int64) {
	for len(d.pins) > 1 && d.pins[1].From <= committed || len(d.pins) == 1 && max(d.sent, d.trying.Next) <= committed {
		d.pins = d.pins[1:]
	}
}

// positionOf returns the position once everything of a span is sent.
func (m *partition) positionOf(s *span) (connectors.Position, []pin, error) {
	pins := slices.Clone(m.rows.pins)
	if !s.pinned() {
		pins = slices.DeleteFunc(pins, func(p pin) bool { return p.From >= s.from })
		pins = append(pins, pin{s.from, s.model.Name, s.model.Version, s.model.Checkpoint, s.generation, s.scoredAt, s.model.Rollout})
	}
	text, err := json.Marshal(note{s.topicID, pins})
	if err == nil && len(text) > maxNoteBytes {
		err = fmt.Errorf("it takes %d bytes to say as what rows were sent, and brokers keep %d", len(text), maxNoteBytes)
	}
	return connectors.Position{Next: s.to, Note: string(text)}, pins, err
}

// pinned reports whether rows of the span were sent before this process began it.
func (s *span) pinned() bool { return s.upTo > 0 }

// mayLead reports whether rows of the span may be sent: its claim is held, or the
// position says as what they are sent.
func (m *partition) mayLead(s *span) bool {
	return s.sends && (m.rows.ahead || s.limit >= 0 || s == m.slots.closing && s.stage != opClaim)
}

// unsentSpan returns the first span whose rows may be sent and are not all there.
func (m *partition) unsentSpan() *span {
	for _, s := range []*span{m.slots.closing, m.slots.open} {
		if s != nil && s.sends && s.to > m.rows.sent && (s.events > 0 || s == m.slots.closing) {
			if !m.mayLead(s) {
				return nil
			}
			return s
		}
	}
	return nil
}

// awaitsRows reports whether a span has to wait at its stage for its rows to be in
// their topic: before it is claimed, or, where they may not lead, before it is written.
func (m *partition) awaitsRows(s *span) bool {
	return s.sends && m.rows.sent < s.to && (s.stage == opPublish || s.stage == opClaim && m.rows.ahead)
}

// cannotSend reports whether rows do not get to their topic, until somebody mends
// that.
func (m *partition) cannotSend() bool {
	return max(m.Retry(opSend).Failures, m.Retry(opReach).Failures) >= stuckTries
}

// sendMore finds out how far the rows are, and sends what is scored.
func (m *partition) sendMore() {
	d := &m.rows
	if !d.on() || m.Busy(opSend) || m.Busy(opReach) || m.halted {
		return
	}
	s := m.unsentSpan()
	in := m.slots.claim
	if !d.opened {
		if known := d.ahead || in != nil && in.RowsTopic == d.topic || s != nil; known && m.Idle(opReach) && (!m.draining || s != nil || m.source.records > 0) {
			m.start(opReach, reachRows{m.epoch})
		}
		return
	}
	switch {
	case !m.Idle(opSend):
	case s != nil && (m.Now.Mono >= d.last+d.period || s == m.slots.closing || m.draining):
		to, pins, err := m.positionOf(s)
		if err != nil {
			m.Begin(opSend)
			m.complete(opSend, &thalweg.Error{Op: "send rows", Kind: thalweg.Exhausted, Err: err})
			return
		}
		d.last, d.trying, d.pins = m.Now.Mono, to, pins
		m.start(opSend, sendRows{m.epoch, s, to})
	case s == nil && m.Now.Mono >= d.last+renewEvery && d.at.Next >= 0:
		d.last, d.trying = m.Now.Mono, d.at
		m.start(opSend, sendRows{m.epoch, nil, d.at})
	}
}

// eager reports whether what is fetched is to be scored because its rows could be
// sent at once.
func (m *partition) eager() bool {
	d := &m.rows
	return d.opened && m.mayLeadNext() && len(d.queue) == 0 && !m.Busy(opSend) && m.Now.Mono >= d.last+d.period
}

// mayLeadNext reports whether rows that are scored next may be sent before they
// are claimed.
func (m *partition) mayLeadNext() bool { return m.rows.on() && m.rows.ahead && m.running() }

func (m *partition) onReached(ev rowsReached) {
	d := &m.rows
	switch {
	case ev.epoch != m.epoch:
		m.Drop(opReach)
		return
	case !m.complete(opReach, ev.err):
		return
	case d.sent >= 0: // what was begun here has failed, or it has not
		if ev.at != d.at && ev.at != d.trying {
			d.doubted = true // another has gone on: what it claimed, the log tells
			return
		}
		d.opened = true
		m.reachedAt(ev.at)
		return
	}
	committed := m.slots.committed
	claimed := committed // what lies before is known without a pin
	if in := m.slots.claim; in != nil && in.Action == commitlog.Score {
		claimed = in.To
	}
	var said note
	if ev.at.Note != "" && json.Unmarshal([]byte(ev.at.Note), &said) != nil {
		said = note{}
	}
	d.at = ev.at
	switch other := said.TopicID != "" && m.source.topicID != "" && said.TopicID != m.source.topicID; {
	case ev.at.Next < 0 && m.Now.Wall-m.slots.loggedAt > trustedAge.Microseconds() && (d.ahead || m.slots.claim != nil):
		m.giveUpReaching(m.forgotten(ev.group))
		return
	case ev.at.Next < committed, other:
		ev.at.Next, said.Pins = committed, nil
	case ev.at.Next > claimed && len(said.Pins) > 0 && said.Pins[0].From > claimed:
		m.giveUpReaching(fmt.Errorf("rows up to offset %d are in topic %s, and the log ends at %d", ev.at.Next, d.topic, committed))
		d.doubted = true // it may have gone on since it was read
		return
	}
	d.opened, d.sent, d.pins = true, ev.at.Next, said.Pins
	d.prune(committed)
	for _, p := range d.pins {
		m.slots.scoredAt = max(m.slots.scoredAt, p.ScoredAt)
	}
	d.last = m.Now.Mono - d.period
	m.out = append(m.out, forgetRows{d.sent})
}

func (m *partition) giveUpReaching(err error) {
	m.Begin(opReach)
	m.complete(opReach, &thalweg.Error{Op: "learn which rows are in their topic", Kind: thalweg.Unavailable, Subject: m.rows.topic, Err: err})
}

// forgotten is why it is not known what was sent, and what to do.
func (m *partition) forgotten(group string) error {
	return &thalweg.Error{Op: "learn which rows are in their topic", Kind: thalweg.Lost, Subject: m.rows.topic,
		Err: errors.New("the brokers have forgotten it (offsets.retention.minutes)"),
		Hint: fmt.Sprintf("look in partition %d of the topic for the last record of this stream, by its header thalweg.offset, and set the offset of group %s in partition 0 of the topic to the offset after that, "+
			"or to %d if none is as large", m.cfg.Partition, group, m.slots.committed)}
}

func (m *partition) onSent(ev rowsSent) {
	d := &m.rows
	if ev.epoch != m.epoch {
		m.Drop(opSend)
		d.opened, d.sent = false, -1
		return
	}
	if m.complete(opSend, ev.err) {
		m.reachedAt(d.trying)
		return
	}
	d.opened = false
	if thalweg.Is(ev.err, thalweg.Fenced) {
		d.doubted = true // another owns the partition, or believes so: the log tells what it has claimed
	}
}

// nextPin returns as what the rows that are to be scored next were sent, and up to
// where; false: a span is under way, or they were not.
func (m *partition) nextPin() (p pin, end int64, ok bool) {
	if s := m.slots.open; s != nil && !s.pinIsOver() {
		return pin{}, 0, false
	}
	return m.rows.pinAt(m.slots.scoredTo())
}

// pinIsOver reports whether a span turned out to have no events up to where its pin
// holds: what comes next may be of another version.
func (s *span) pinIsOver() bool { return s.pinned() && s.events == 0 && s.to >= s.upTo }

// loadPinned has the version loaded that the rows to be scored next were sent with,
// and reports whether it is being loaded.
func (m *partition) loadPinned() bool {
	p, _, ok := m.nextPin()
	if !ok || m.rows.ready == p.model() {
		return false
	}
	if m.Idle(opLoad) {
		m.start(opLoad, loadModel{p.model(), true})
	}
	return true
}

// onPinnedLoaded takes in that the version of a pin is loaded, or cannot be.
func (m *partition) onPinnedLoaded(ev modelLoaded, refused error) {
	if refused == nil {
		m.rows.ready = ev.model
		return
	}
	m.halt(&thalweg.Error{Op: "go on behind rows that were sent", Kind: thalweg.KindOf(refused), Subject: ev.model.String(), Err: refused,
		Hint: "rows of it are in topic " + m.rows.topic + " and not in the table yet, which can have them of no other version: restore its checkpoint"})
}

// beginSpan returns the span that is scored into next: the open one, or one of the
// version that the rows were sent with, or else of the current one; nil if that is
// not loaded.
func (m *partition) beginSpan() *span {
	s := &m.slots
	if s.open != nil && !s.open.pinIsOver() {
		return s.open
	}
	from := s.scoredTo()
	next := span{from: from, to: from, partitionBy: m.cfg.PartitionBy, topicID: m.source.topicID, leaderEpoch: s.scoredEpoch(), sends: m.rows.on()}
	if p, end, sent := m.nextPin(); sent {
		if m.rows.ready != p.model() {
			return nil
		}
		next.model, next.generation, next.scoredAt, next.upTo = p.model(), p.Generation, p.ScoredAt, end
	} else if with := m.versions.current; with != nil {
		next.model, next.registered, next.generation = with.Model, with.RegisteredAtUS, m.cfg.Generation
	} else {
		return nil
	}
	if o := s.open; o != nil { // it keeps its gaps
		o.model, o.registered, o.generation, o.scoredAt, o.upTo = next.model, next.registered, next.generation, next.scoredAt, next.upTo
		return o
	}
	s.open = s.newSpan(next)
	return s.open
}

// committed takes in that a span is a slot of the log. Behind a skip the log may go
// on in another topic of the name, so the position is asked for again.
func (d *rowsTopic) committed(s *span) {
	switch {
	case s.skip:
		d.forget()
	case d.sent >= 0 && d.sent < s.to: // its rows go nowhere
		d.sent, d.pins = s.to, nil
	}
	d.prune(s.to)
}

// rowsTopicOf returns the topic that an intent's rows go to, given the log's.
func (m *partition) rowsTopicOf(s *span, before string) string {
	switch {
	case s.skip:
		return before
	case s.sends:
		return m.rows.topic
	}
	return ""
}

// stampBetween returns the time of a claim that has no rows of its own: where rows
// are sent before they are claimed, spans have their times already, so it is that
// of the claim before.
func (m *partition) stampBetween() int64 {
	if m.rows.on() {
		return m.slots.loggedAt
	}
	return m.slots.stamp(m.Now.Wall, 0)
}

// isStale reports whether a newer generation of the spec, which sends rows to a
// topic, has gone on with the log, and ends the machine then: it would claim what
// others have sent, and finish what nobody has.
func (m *partition) isStale(topic string, generation thalweg.Generation) bool {
	if topic == "" || topic == m.rows.topic || generation <= m.cfg.Generation {
		return false
	}
	m.halt(&thalweg.Error{Op: "score", Kind: thalweg.Conflict, Subject: fmt.Sprintf("%s/%d", m.cfg.Topic, m.cfg.Partition),
		Err: fmt.Errorf("generation %d of the spec sends rows to topic %s, generation %d does not", generation, topic, m.cfg.Generation)})
	return true
}
