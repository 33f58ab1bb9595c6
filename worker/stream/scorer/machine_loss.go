package scorer

import (
	"errors"
	"fmt"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
)

// SkipAuthorization is an operator's permission to give up offsets that are
// lost: [From, To) of the topic TopicID. It counts for exactly that loss and no
// other: From must be the next offset to be scored, To the end of what is
// missing. Of a claim that is not finished From is the first offset; To may lie
// beyond its end, and then it counts for what is lost behind the claim too.
//
// Where the topic was made anew, Accept names the topic to go on with, from its
// first record. Nobody can say any more where the old one ended, so To may be
// anything from the end that was seen on.
type SkipAuthorization struct {
	From, To int64
	TopicID  string // empty where the brokers give topics no identity
	Accept   string
}

// String returns the authorization as the command line takes it.
func (a SkipAuthorization) String() string {
	text := fmt.Sprintf("--skip %d-%d", a.From, a.To)
	if a.Accept != "" {
		text += " --accept-topic " + a.Accept
	}
	return text
}

// losses is what the topic does not have any more, and what an operator said of it.
type losses struct {
	found      *loss
	authorized SkipAuthorization // what the operator authorized last
	from       int64             // where the loss begins that reaches up to the end of the log, as an authorization about a claim has it
	rechecked  string            // ID of the claim whose events were found missing
}

// loss is what a fetch found missing at its position. Everything before is
// fetched, and is committed before the loss is dealt with.
type loss struct {
	missing *connectors.MissingRange
	err     error
}

// recordLoss reports whether an error of a fetch says that the offsets at its
// position are lost.
func (m *partition) recordLoss(err error) bool {
	missing := new(connectors.MissingRange)
	if !thalweg.Is(err, thalweg.Lost) || !errors.As(err, &missing) {
		return false
	}
	m.Complete(opFetch, nil)
	if l := (&loss{missing, err}); m.recovering() {
		m.loseClaim(l)
	} else {
		m.loss.found = l
	}
	return true
}

// loseClaim deals with the loss of events of a claim that is being carried out.
// An authorization gives up what is lost of it, and the rest is carried out;
// without one the machine stops.
func (m *partition) loseClaim(l *loss) {
	in := m.slots.claim
	if m.loss.rechecked != in.ID || m.source.position != in.From {
		// Another owner may have finished the claim since it was found, and what was
		// committed may be gone. And what was fetched of the claim may be gone by now:
		// the loss is to begin where the claim does.
		m.loss.rechecked = in.ID
		m.reopen()
		return
	}
	m.loss.found = l
	lost := m.missing()
	if !m.skippable() || !m.allowed(lost) {
		m.halt(m.lostError(lost))
		return
	}
	firstAvailable := in.To
	if l.missing.Cut {
		firstAvailable = in.From // what is gone is scored, before it
	} else if lost.Accept == "" {
		firstAvailable = min(firstAvailable, lost.To)
	}
	m.loss.found = nil
	m.restart(firstAvailable, 0)
	m.slots.recover(firstAvailable, 0, m.rows.topic)
}

// settleLoss deals with what is lost, once everything before it is committed:
// an authorization, given now or in the spec, gives it up by a slot of the log;
// without one the machine stops.
func (m *partition) settleLoss() {
	l, s := m.loss.found, &m.slots
	if l == nil || m.halted || !m.running() || m.draining || s.closing != nil || m.Busy(opScore) || s.committed != m.source.position {
		return
	}
	lost := m.missing()
	if l.missing.Cut {
		m.settleCut(lost)
		return
	}
	anew, allowed := lost.Accept != "", m.allowed(lost)
	next := lost.To
	switch {
	case m.cfg.OnLost == Latest && !anew:
		// To the end of what is there, and all of that is on record as given up.
		lost.To = max(lost.To, l.missing.Next)
		next = lost.To
	case anew:
		next = l.missing.First
		if allowed && m.loss.authorized.To > lost.To {
			lost.To = m.loss.authorized.To
		}
	}
	switch {
	case s.fresh && (allowed || !m.skippable()):
		// Nothing was ever committed, so nothing is skipped: the stream begins, or
		// did at an offset that the topic never had, as it was being made anew.
		m.complete(opStart, &thalweg.Error{Op: "find start", Kind: thalweg.Unavailable, Err: l.err})
		m.loss.found, m.source.placed, m.source.topicID = nil, false, ""
		return
	case !m.skippable(), !allowed:
		m.halt(m.lostError(m.missing()))
		return
	}
	topicID := m.source.topicID
	if anew {
		topicID = lost.Accept
	}
	s.open, s.closing = nil, s.newSpan(span{slotState: slotState{stage: opClaim, scoredAt: m.stampBetween()}, from: s.committed, to: next,
		generation: m.cfg.Generation, skip: true, missing: [2]int64{lost.From, lost.To}, topicID: topicID})
}

// settleCut deals with offsets that are scored, and that the topic does not have any more. Their
// rows stay, and no slot is needed: once that is allowed, the machine goes on behind them, with
// what the topic has there now. Of what has their offsets now nothing is scored.
func (m *partition) settleCut(lost SkipAuthorization) {
	if !m.skippable() || !m.allowed(lost) {
		m.halt(m.lostError(lost))
		return
	}
	m.loss.found, m.slots.leaderEpoch = nil, 0
	m.restart(m.slots.committed, 0)
}

// missing returns the authorization that would give up exactly what is lost.
func (m *partition) missing() SkipAuthorization {
	l, from := m.loss.found.missing, m.slots.committed
	if l.Cut {
		return SkipAuthorization{From: l.From, To: from, TopicID: m.source.topicID}
	}
	if l.Was == l.Is {
		return SkipAuthorization{From: from, To: l.First, TopicID: m.source.topicID}
	}
	lost := SkipAuthorization{From: from, To: max(from, l.To, m.source.end), TopicID: m.source.topicID, Accept: l.Is}
	if in := m.slots.claim; in != nil {
		lost.To = max(lost.To, in.To)
	}
	return lost
}

// skippable reports whether there is a way on behind the next offset: the topic
// begins there, or another topic has such a partition. A log that ends before
// the next offset is neither: what comes there would be taken for what was scored.
func (m *partition) skippable() bool {
	l := m.loss.found.missing
	switch {
	case l.Cut:
		return l.Next >= m.slots.committed
	case l.Was != l.Is:
		return l.First >= 0
	}
	return l.First > m.slots.committed
}

// allowed reports whether exactly what is lost may be given up, by the spec or by
// an operator.
func (m *partition) allowed(lost SkipAuthorization) bool {
	given := m.loss.authorized
	if given.From == m.loss.from {
		given.From = lost.From // it was about a claim too, which is finished
	}
	if lost.Accept != "" && given.To >= lost.To {
		given.To = lost.To
	}
	return m.cfg.OnLost == Earliest || m.cfg.OnLost == Latest || given == lost
}

func (m *partition) lostError(lost SkipAuthorization) error {
	exact, in := *m.loss.found.missing, m.slots.claim
	e := &thalweg.Error{Op: "score", Kind: thalweg.Lost, Err: &exact}
	if in != nil {
		e.Op, e.Subject = "carry out a claim", fmt.Sprintf("offsets [%d, %d)", in.From, in.To)
	}
	if !m.skippable() {
		e.Err = m.loss.found.err
		e.Hint = "there is nothing to go on with in this log: give the pipeline another topic, or its sink another path"
		return e
	}
	exact.From, exact.To = lost.From, lost.To
	e.Hint = fmt.Sprintf("to give them up: thalweg stream resume %s --partition %d %s", m.cfg.Pipeline, m.cfg.Partition, lost)
	if exact.Cut {
		e.Hint = fmt.Sprintf("their rows stay, and what the topic has at these offsets now is not scored; to go on at offset %d: thalweg stream resume %s --partition %d %s", lost.To, m.cfg.Pipeline, m.cfg.Partition, lost)
	}
	if m.slots.fresh && in == nil {
		e.Hint += "; nothing was committed yet, so the stream then begins anew"
	}
	if m.loss.authorized != (SkipAuthorization{}) {
		e.Hint += fmt.Sprintf(" (%s was about something else)", m.loss.authorized)
	}
	return e
}
