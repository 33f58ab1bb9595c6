package scorer

import (
	"errors"
	"fmt"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

// Word is what an operator says of offsets that are lost: give up [From, To) of
// the topic TopicID, and go on. It counts for exactly that loss and no other:
// From must be the next offset to be scored, To the end of what is missing. Of a
// claim that is not finished From is the first offset; To may lie beyond its end,
// and then the word counts for what is lost behind the claim too.
//
// Where the topic was made anew, Accept names the topic to go on with, from its
// first record. Nobody can say any more where the old one ended, so To may be
// anything from the end that was seen on.
type Word struct {
	From, To int64
	TopicID  string // empty where the brokers give topics no identity
	Accept   string
}

// String returns the word as the command line takes it.
func (w Word) String() string {
	text := fmt.Sprintf("--skip %d-%d", w.From, w.To)
	if w.Accept != "" {
		text += " --accept-topic " + w.Accept
	}
	return text
}

// loss is what a fetch found missing at its position. Everything before is
// fetched, and is committed before the loss is dealt with.
type loss struct {
	missing *connectors.MissingRange
	err     error
}

// takeLoss reports whether an error of a fetch says that the offsets at its
// position are lost.
func (m *machine) takeLoss(err error) bool {
	missing := new(connectors.MissingRange)
	if !thalweg.Is(err, thalweg.Lost) || !errors.As(err, &missing) {
		return false
	}
	m.busy[opFetch], m.troubles[opFetch] = false, trouble{}
	if m.phase == recovering {
		m.loseClaim(&loss{missing, err})
		return true
	}
	m.lost = &loss{missing, err}
	return true
}

// loseClaim deals with the loss of events of a claim that is being carried out.
// A word gives up what is lost of it, and the rest is carried out; without one the
// machine stops.
func (m *machine) loseClaim(l *loss) {
	if m.doubted != m.pending.ID || m.position != m.pending.From {
		// Another owner may have finished the claim since it was found, and what was
		// committed may be gone. And what was fetched of the claim may be gone by now:
		// the loss is to begin where the claim does.
		m.doubted = m.pending.ID
		m.reopen()
		return
	}
	m.lost = l
	word := m.missing()
	if !m.skippable() || !m.allowed(word) {
		m.halt(m.lostError(word))
		return
	}
	kept := m.pending.To
	if word.Accept == "" {
		kept = min(kept, word.To)
	}
	m.lost = nil
	m.follow(kept)
	m.open = m.claimSpan(kept)
}

// settleLoss deals with what is lost, once everything before it is committed:
// an operator's word, given now or in the spec, gives it up by a slot of the log;
// without one the machine stops.
func (m *machine) settleLoss() {
	if m.lost == nil || m.phase != running || m.draining || m.closing != nil || m.busy[opScore] || m.committed != m.position {
		return
	}
	word := m.missing()
	anew := word.Accept != ""
	next := word.To
	allowed := m.allowed(word)
	switch {
	case m.cfg.onLost == Latest && !anew:
		// To the end of what is there, and all of that is on record as given up.
		word.To = max(word.To, m.lost.missing.Next)
		next = word.To
	case anew:
		next = m.lost.missing.First
		if allowed && m.word.To > word.To {
			word.To = m.word.To
		}
	}
	switch {
	case m.fresh && (allowed || !m.skippable()):
		// Nothing was ever committed, so nothing is skipped: the stream begins, or
		// did at an offset that the topic never had, as it was being made anew.
		m.answered(opStart, &thalweg.Error{Op: "find start", Kind: thalweg.Unavailable, Err: m.lost.err})
		m.phase, m.lost, m.topicID = starting, nil, ""
		return
	case !m.skippable(), !allowed:
		m.halt(m.lostError(m.missing()))
		return
	}
	m.spans++
	m.scoredAt = max(m.scoredAt, m.now.wall)
	s := &span{id: m.spans, from: m.committed, to: next, limit: -1, generation: m.cfg.generation, scoredAt: m.scoredAt, stage: opClaim,
		skip: true, missing: [2]int64{word.From, word.To}, topicID: m.topicID}
	if anew {
		s.topicID = word.Accept
	}
	m.open, m.closing = nil, s
}

// missing returns the word that would give up exactly what is lost.
func (m *machine) missing() Word {
	l := m.lost.missing
	if l.Was == l.Is {
		return Word{From: m.committed, To: l.First, TopicID: m.topicID}
	}
	word := Word{From: m.committed, To: max(m.committed, l.To, m.end), TopicID: m.topicID, Accept: l.Is}
	if m.pending != nil {
		word.To = max(word.To, m.pending.To)
	}
	return word
}

// skippable reports whether there is a way on: the topic begins behind the next
// offset, or another topic has such a partition. A log that ends before the next
// offset is neither: what comes there would be taken for what was scored.
func (m *machine) skippable() bool {
	l := m.lost.missing
	if l.Was != l.Is {
		return l.First >= 0
	}
	return l.First > m.committed
}

// allowed reports whether what is lost may be given up.
func (m *machine) allowed(lost Word) bool {
	if m.cfg.onLost == Earliest || m.cfg.onLost == Latest {
		return true
	}
	said := m.word
	if said.From == m.lostFrom {
		said.From = lost.From // it was about a claim too, which is finished
	}
	if lost.Accept != "" && said.To >= lost.To {
		said.To = lost.To
	}
	return said == lost
}

// lostError says what is lost, and what word would let the stream go on.
func (m *machine) lostError(word Word) error {
	exact := *m.lost.missing
	e := &thalweg.Error{Op: "score", Kind: thalweg.Lost, Err: &exact}
	if m.pending != nil {
		e.Op, e.Subject = "carry out a claim", fmt.Sprintf("offsets [%d, %d)", m.pending.From, m.pending.To)
	}
	if !m.skippable() {
		e.Err = m.lost.err
		e.Hint = "there is nothing to go on with in this log: give the pipeline another topic, or its sink another path"
		return e
	}
	exact.From, exact.To = word.From, word.To
	e.Hint = fmt.Sprintf("to give them up: thalweg stream resume %s --partition %d %s", m.cfg.pipeline, m.cfg.topicPartition, word)
	if m.fresh && m.pending == nil {
		e.Hint += "; nothing was committed yet, so the stream then begins anew"
	}
	if m.word != (Word{}) {
		e.Hint += fmt.Sprintf(" (%s was about something else)", m.word)
	}
	return e
}

// recoverSkip goes on with a skip that was claimed: the word for it is in the
// claim.
func (m *machine) recoverSkip(in *commitlog.Intent) {
	m.phase, m.pending, m.ready = recovering, in, true
	m.committed, m.topicID = in.From, in.TopicID
	m.scoredAt = max(m.scoredAt, in.ScoredAtUS)
	m.follow(in.To)
	m.spans++
	m.closing = &span{id: m.spans, from: in.From, to: in.To, limit: -1, generation: in.SpecGeneration, scoredAt: in.ScoredAtUS, stage: opPublish,
		skip: true, missing: in.Missing, topicID: in.TopicID}
}
