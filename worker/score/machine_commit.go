package score

import "github.com/thalweg/thalweg/storage/commitlog"

// modelOf returns the version that an intent pins.
func modelOf(in *commitlog.Intent) Model {
	return Model{Name: in.Model, Version: in.ModelVersion, Checkpoint: in.Checkpoint}
}

// commitSpan takes the closing span one stage further.
func (m *machine) commitSpan() {
	s := m.closing
	if s == nil || !m.idle(s.stage) {
		return
	}
	switch s.stage {
	case opClaim:
		m.start(opClaim, claim{span: s.id, topicID: s.topicID, skip: s.skip, missing: s.missing, from: s.from, to: s.to, model: s.model, generation: s.generation, partition: s.partition, scoredAt: s.scoredAt})
	case opPublish:
		m.start(opPublish, publish{s.id})
	case opDeliver:
		m.start(opDeliver, deliver{s.id})
	case opFinish:
		m.start(opFinish, finish{s.id})
	}
}

// takeClaimed goes on to write, or gives everything up: after a slot was lost
// nothing that this machine believes of the log is true, so it reads the log
// again and goes on from where the winner stands.
func (m *machine) takeClaimed(ev slotClaimed) {
	if !m.answered(opClaim, ev.err) {
		return
	}
	if ev.won && m.merging() {
		m.compactor.job.stage = opPublish
		return
	}
	if ev.won {
		m.closing.stage = opPublish
		return
	}
	m.phase = opening
	m.follow(m.committed)
}

// takePublished goes on to finish the slot.
func (m *machine) takePublished(ev objectsPublished) {
	switch {
	case !m.answered(opPublish, ev.err):
	case m.merging():
		m.compactor.job.stage = opFinish
	case m.cfg.outbox && m.closing.dead > 0:
		m.closing.stage = opDeliver
	default:
		m.closing.stage = opFinish
	}
}

// takeFinished makes the closing span history.
func (m *machine) takeFinished(ev slotFinished) {
	if !m.answered(opFinish, ev.err) {
		return
	}
	if m.merging() {
		m.finishMerge(ev)
		return
	}
	s := m.closing
	m.closing = nil
	m.committed, m.totals, m.fresh = s.to, ev.totals, false
	if m.cfg.until == 0 {
		m.lag = s.to
	}
	if m.phase == recovering {
		// Not the claim's From..To alone: records beyond it may be in the backlog.
		m.phase, m.pending = running, nil
		if m.topicID == "" {
			m.phase = starting // the claim is older than topics' identities
		}
	}
	m.compactor.add(ev.entry)
	if j := m.compactor.job; j != nil && j.ready {
		j.passed++
	}
	m.out = append(m.out, forget{s.id})
	if s.skip {
		m.lost, m.topicID, m.end = nil, s.topicID, -1
		m.follow(s.to)
	}
}
