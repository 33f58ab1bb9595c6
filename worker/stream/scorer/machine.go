package scorer

import (
	"math/rand/v2"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/retry"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/compact"
	"github.com/thalweg/thalweg/worker/stream/engine"
	"github.com/thalweg/thalweg/worker/stream/machine"
)

// partition is the machine of one partition. It is made of small ones, each of
// which owns its data; what needs several of them is here and in the methods
// beside them. DESIGN.md has the diagram and the invariants.
type partition struct {
	machine.Ops[op]
	cfg      Config // with its defaults
	until    int64  // offset before which everything is scored, and then no more; 0: no end
	epoch    uint64 // of backlog and spans: answers of an older one are thrown away
	halted   bool
	paused   bool
	draining bool

	source   source
	slots    slots
	versions versions
	loss     losses
	merges   merges
	rows     rowsTopic
	rate     deadRate
	trial    trialRate
	yield    yield

	out []effect
}

func newPartition(cfg Config, rng *rand.Rand) *partition {
	m := &partition{Ops: machine.NewOps(nOps, retry.Backoff{Min: cfg.MinBackoff, Max: cfg.MaxBackoff}, rng), cfg: cfg,
		source: source{end: -1}, slots: slots{committed: -1, lag: -1}, versions: versions{refused: make(map[engine.Model]refusal)},
		merges: merges{Planner: compact.Planner{Config: cfg.Compaction}}, rate: deadRate{most: cfg.MaxDeadRate}, trial: trialRate{deadRate: deadRate{most: cfg.MaxDeadRate}}}
	if cfg.Range != nil {
		m.until = cfg.Range.To
	}
	m.rows.forget()
	if cfg.Rows != nil {
		m.rows.topic, m.rows.period = cfg.Rows.Topic, cfg.Rows.Period
	}
	return m
}

// running reports whether new events are scored: the log is open, no claim of it
// is unfinished, and it is known where in which topic it goes on.
func (m *partition) running() bool { return m.slots.opened && m.slots.claim == nil && m.source.placed }

// recovering reports whether a claim is carried out that was found unfinished.
func (m *partition) recovering() bool { return m.slots.claim != nil }

// quiescing reports whether only what is begun is to be finished.
func (m *partition) quiescing() bool { return m.draining || m.paused || m.rate.tripped != "" }

// step takes in an event and returns what is to be done, in order. The slice
// is valid until the next step.
func (m *partition) step(now machine.Instant, ev event) []effect {
	m.Now = now
	clear(m.out)
	m.out = m.out[:0]
	if m.halted {
		return nil
	}
	m.handle(ev)
	m.advance()
	return m.out
}

func (m *partition) handle(ev event) {
	switch ev := ev.(type) {
	case logOpened:
		m.onOpened(ev)
	case startFound:
		if m.complete(opStart, ev.err) {
			m.slots.committed, m.slots.leaderEpoch, m.source.topicID, m.source.placed = ev.offset, 0, ev.topicID, true
			m.restart(ev.offset, 0)
		}
	case modelLoaded:
		m.onLoaded(ev)
	case recordsFetched:
		m.onFetched(ev)
	case batchScored:
		m.onScored(ev)
	case slotClaimed:
		m.onClaimed(ev)
	case objectsPublished:
		m.onPublished(ev)
	case deadLettersDelivered:
		if m.complete(opDeliver, ev.err) {
			m.slots.closing.stage = opFinish
		}
	case slotFinished:
		m.onFinished(ev)
	case offsetCommitted:
		m.complete(opCommit, ev.err)
	case runsRead:
		m.onRuns(ev)
	case merged:
		m.onMerged(ev)
	case swept:
		m.onSwept(ev)
	case rowsReached:
		m.onReached(ev)
	case rowsSent:
		m.onSent(ev)
	case modelsOffered:
		m.versions.candidates = ev.candidates
	case asked:
		if ev.resumed || m.paused && !ev.paused {
			clear(m.versions.refused) // the operator may have mended what was damaged
		}
		if ev.resumed {
			m.rate = deadRate{most: m.cfg.MaxDeadRate}
			m.trial.deadRate = m.rate
		}
		m.paused, m.loss.authorized = ev.paused, ev.skip
	case memoryShort:
		m.slots.short = true
	case drainAsked:
		m.draining = true
	}
}

func (m *partition) advance() {
	waits := m.settleDoubt()
	m.settleLoss()
	switch {
	case waits:
	case !m.slots.opened:
		if m.Idle(opOpen) && !m.draining && !m.halted {
			m.start(opOpen, openLog{})
		}
	case !m.running() && !m.recovering():
		if m.Idle(opStart) && !m.draining && !m.halted {
			at := m.slots.committed
			if m.slots.fresh {
				at = -1
			}
			m.start(opStart, findStart{at})
		}
	case !m.halted:
		m.loadVersion()
		m.closeSpan()
		m.sendMore()
		m.commitSlot()
		m.scoreMore()
		m.fetchMore()
		m.mergeMore()
	}
	if m.slots.lag >= 0 && m.Idle(opCommit) {
		m.start(opCommit, commitOffset{m.slots.lag})
		m.slots.lag = -1
	}
	if m.draining && m.drained() || m.running() && m.ended() && m.slots.committed >= m.until {
		m.halt(nil)
	}
}

// drained reports whether a draining machine has nothing left to commit. What
// was claimed before this process may be left to a successor.
func (m *partition) drained() bool {
	switch {
	case m.halted || m.slots.closing != nil || m.running() && m.merges.committing():
		return false
	case !m.running():
		return true
	}
	return !m.Busy(opScore) && m.slots.blank() && (m.source.records == 0 || m.versions.current == nil || m.rate.tripped != "")
}

// ended reports whether everything that there is to score is in spans.
func (m *partition) ended() bool { return m.until > 0 && m.slots.scoredTo() >= m.until }

func (m *partition) halt(err error) {
	if !m.halted {
		m.halted = true
		m.out = append(m.out, stop{err})
	}
}

// restart makes the machine go on at an offset with nothing fetched or scored, given the
// leader's term of the record before it.
func (m *partition) restart(offset int64, leaderEpoch int32) {
	m.epoch++
	m.stopFetching()
	m.source.seek(offset, leaderEpoch)
	m.rows.queue = nil
	if m.Busy(opSend) {
		m.rows.forget() // what it leads to must be asked for
	}
	dropped := m.slots.drop()
	if job := m.merges.reset(); job != nil {
		dropped = append(dropped, job)
	}
	m.out = append(m.out, reset{m.epoch, dropped})
}

// reopen gives everything up: nothing that this machine believes of the log may
// be true, so it reads the log again and goes on from where that stands.
func (m *partition) reopen() {
	m.slots.opened, m.slots.claim = false, nil
	m.rows.forget()
	m.restart(m.slots.committed, 0) // the log tells
}

func (m *partition) onOpened(ev logOpened) {
	if !m.complete(opOpen, ev.err) {
		return
	}
	s, in := &m.slots, ev.Pending
	s.opened, s.fresh, s.claim, s.ready = true, ev.NextOffset < 0, in, false
	s.totals, s.committed, s.leaderEpoch = ev.Total, ev.NextOffset, ev.LeaderEpoch
	s.scoredAt, s.loggedAt = max(s.scoredAt, ev.ScoredAtUS), max(s.loggedAt, ev.ScoredAtUS)
	m.rows.ahead = m.rows.on() && ev.RowsTopic == m.rows.topic
	if m.isStale(ev.RowsTopic, ev.generation) || in != nil && in.Action == commitlog.Score && m.isStale(in.RowsTopic, in.SpecGeneration) {
		return
	}
	m.source.topicID, m.source.placed = ev.TopicID, ev.NextOffset >= 0 && ev.TopicID != ""
	m.loss.found, m.loss.from = nil, ev.LostFrom
	if in == nil {
		s.cutShort = nil
		if m.source.placed {
			m.restart(ev.NextOffset, ev.LeaderEpoch)
		}
		return
	}
	m.loss.from = in.From
	s.committed, m.source.topicID = in.From, in.TopicID
	s.scoredAt, s.loggedAt = max(s.scoredAt, in.ScoredAtUS), max(s.loggedAt, in.ScoredAtUS)
	switch in.Action {
	case commitlog.Score:
		m.restart(in.From, ev.LeaderEpoch)
		s.recover(in.From, ev.LeaderEpoch, m.rows.topic)
	case commitlog.Skip: // the authorization is in the claim
		m.restart(in.To, 0)
		s.ready = true
		s.closing = s.newSpan(span{slotState: slotState{stage: opPublish, scoredAt: in.ScoredAtUS}, from: in.From, to: in.To, generation: in.SpecGeneration,
			skip: true, missing: in.Missing, topicID: in.TopicID})
	case commitlog.Compact:
		m.restart(in.From, ev.LeaderEpoch)
		m.merges.job = &merging{slotState: slotState{stage: opMerge}, slots: in.Slots, committing: true}
	default:
		m.halt(&thalweg.Error{Op: "carry out a claim", Kind: thalweg.Invalid, Subject: string(in.Action),
			Hint: "a newer build claimed the slot: let it finish, or upgrade this one"})
	}
}

func (m *partition) recovered() {
	if m.slots.claim != nil {
		m.slots.claim = nil
		m.source.placed = m.source.topicID != "" // else the brokers gave it no identity when it was claimed
	}
}

func (m *partition) start(o op, e effect) {
	m.Begin(o)
	m.out = append(m.out, e)
}

// complete ends an op and reports whether it succeeded. A failure is tried again
// later, without end, or stops the machine where trying cannot help.
func (m *partition) complete(o op, err error) bool {
	ok := m.Complete(o, err)
	if !ok && !isTransient(err) && m.fatal(o) {
		m.halt(err)
	}
	return ok
}

// isTransient reports whether an error may go away by itself. A stream goes on
// without end, so to it more is transient than to others: what is not
// classified (a disk that hiccups must not end it), an effect that was cut
// short, and a key that another owner took first.
func isTransient(err error) bool {
	kind := thalweg.KindOf(err)
	return kind.Transient() || kind == thalweg.Other || kind == thalweg.Canceled || kind == thalweg.Exists
}

// corruptTries is how often bytes from the topic may arrive damaged before the
// topic itself is taken to be.
const corruptTries = 5

// fatal reports whether the machine ends because an op failed with what is not
// transient.
func (m *partition) fatal(o op) bool {
	r := m.Retry(o)
	switch kind := thalweg.KindOf(r.Err); o {
	case opCommit, opSweep:
		return false // nothing depends on the group's offset, nor on what is too much in the store
	case opDeliver, opReach, opSend:
		return false // the topic may be made, or permitted, later
	case opStart, opFetch:
		// A topic may be made later, or be seen again after its brokers moved.
		return kind != thalweg.NotFound && (kind != thalweg.Corrupt || r.Corrupt >= corruptTries)
	case opOpen:
		return kind != thalweg.Conflict // the owner before us is still appending
	}
	return true
}

// wake returns the next moment at which something is to be done although
// nothing happens, ok false if there is none.
func (m *partition) wake() (at time.Duration, ok bool) {
	if m.halted {
		return 0, false
	}
	at, ok = m.NextRetry()
	earlier := func(t time.Duration) {
		if t > m.Now.Mono && (!ok || t < at) {
			at, ok = t, true
		}
	}
	if m.rows.opened && !m.Busy(opSend) {
		earlier(m.rows.last + renewEvery)
		if m.unsentSpan() != nil {
			earlier(m.rows.last + m.rows.period)
		}
	}
	if m.running() {
		_, again := m.versions.retry(m.Now.Mono)
		earlier(again)
		earlier(m.merges.sweepAt)
		earlier(m.merges.restUntil)
		if !m.Busy(opScore) && m.source.next != m.slots.scoredTo() && m.rate.tripped == "" {
			earlier(m.source.since + m.cfg.Batching.Period)
			if m.mayLeadNext() && !m.Busy(opSend) {
				earlier(m.rows.last + m.rows.period)
			}
		}
		if !m.slots.blank() && m.slots.closing == nil {
			earlier(m.slots.open.since + m.cfg.Rolling.Period)
		}
	}
	return at, ok
}
