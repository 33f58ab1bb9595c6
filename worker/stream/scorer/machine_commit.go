package scorer

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
		m.start(opPublish, publish{s.id, s.kept})
	case opDeliver:
		m.start(opDeliver, deliver{s.id})
	case opFinish:
		m.start(opFinish, finish{s.id})
	}
}

// takeClaimed goes on to write, or reads where the winner of the slot stands.
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
	m.reopen()
}

// takePublished goes on to finish the slot. If others have published less of it,
// it does not argue: the log tells whether they have finished the slot, and the
// topic what it has lost. If neither has changed anything, it is a conflict.
func (m *machine) takePublished(ev objectsPublished) {
	if s := m.closing; ev.cut && (m.cut == nil || *m.cut != [2]int64{s.from, s.kept}) {
		m.cut = &[2]int64{s.from, s.kept}
		m.busy[opPublish], m.troubles[opPublish] = false, trouble{}
		m.reopen()
		return
	}
	if s := m.closing; s != nil {
		s.dead += ev.adopted
	}
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
	m.committed, m.totals, m.fresh, m.cut = s.to, ev.totals, false, nil
	m.lostFrom = s.to
	if e := &ev.entry; e.Done.Lost[1] == s.to && e.Done.Lost != [2]int64{} {
		m.lostFrom = s.from
	}
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
	m.compactor.Add(ev.entry)
	if j := m.compactor.job; j != nil && j.ready {
		j.passed++
	}
	m.out = append(m.out, forget{s.id})
	if s.skip {
		m.lost, m.topicID, m.end = nil, s.topicID, -1
		m.follow(s.to)
	}
}
