package scorer

import (
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/rollout"
	"github.com/thalweg/thalweg/retry"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// versions is which version scores, and which is to.
type versions struct {
	candidates []engine.Candidate
	refused    map[engine.Model]refusal
	current    *engine.Candidate // scores new spans
	next       *engine.Candidate // is loaded and takes over at the next boundary
}

// refusal is of a version that could not be loaded.
type refusal struct {
	why   string
	tries int
	at    time.Duration // when it is tried again: its checkpoint may have been restored; 0: it is not
	// champion: in a rollout it is the champion that cannot be loaded.
	champion bool
}

// maxRefusalPauses is how many times Config.MaxBackoff a refused version waits at
// most for its next try, which reads all of its checkpoint if that has changed.
const maxRefusalPauses = 16

// refuse notes that a version cannot be loaded.
func (m *partition) refuse(model engine.Model, err error) {
	pauses := retry.Backoff{Min: m.cfg.MaxBackoff, Max: maxRefusalPauses * m.cfg.MaxBackoff}
	tries := m.versions.refused[model].tries + 1
	m.versions.refused[model] = refusal{err.Error(), tries, m.Now.Mono + pauses.Delay(tries, m.Rand), engine.IsOf(err, rollout.Champion)}
}

// giveUp has the versions of a step of a rollout score no more, since the candidate cannot: the
// champion goes on alone, and the coordinator is told.
func (m *partition) giveUp(model engine.Model, why string) {
	m.versions.refused[model] = refusal{why: why}
}

// gaveUp reports whether a version was loaded and cannot score.
func (v *versions) gaveUp(model engine.Model) bool {
	r, bad := v.refused[model]
	return bad && r.at == 0
}

// retry returns the refused version that is to be tried again before the others:
// better than the one that is wanted. nil: none is due, and wake is when one is, 0
// for never.
func (v *versions) retry(now time.Duration) (due *engine.Candidate, wake time.Duration) {
	for _, c := range v.candidates {
		r, bad := v.refused[c.Model]
		switch {
		case !bad:
			return nil, wake
		case r.at == 0:
		case now >= r.at:
			return &c, 0
		case wake == 0 || r.at < wake:
			wake = r.at
		}
	}
	return nil, wake
}

// wanted returns the first candidate that is not refused, nil if there is none.
func (v *versions) wanted() *engine.Candidate {
	for _, c := range v.candidates {
		if _, bad := v.refused[c.Model]; !bad {
			return &c
		}
	}
	return nil
}

// loadVersion loads the version that is scored with: that of the claim being
// recovered, or the one that takes over at the next boundary between spans. The
// one before serves until then.
func (m *partition) loadVersion() {
	v := &m.versions
	if in := m.slots.claim; in != nil {
		if in.Action == commitlog.Score && !m.slots.ready && m.Idle(opLoad) {
			m.start(opLoad, loadModel{engine.ModelOf(in), true})
		}
		return
	}
	if m.loadPinned() {
		return
	}
	switch want := v.wanted(); {
	case want == nil, v.current != nil && v.current.Model == want.Model:
		v.next = nil
		if again, _ := v.retry(m.Now.Mono); again != nil && m.Idle(opLoad) && !m.draining {
			m.start(opLoad, loadModel{again.Model, false})
		}
	case v.next == nil || v.next.Model != want.Model:
		v.next = nil
		if m.Idle(opLoad) {
			m.start(opLoad, loadModel{want.Model, false})
		}
	case m.slots.blank() && !m.Busy(opScore):
		v.current, v.next = v.next, nil
		if s := m.slots.open; s != nil && !s.pinned() {
			s.model, s.registered = v.current.Model, v.current.RegisteredAtUS
		}
	}
}

func (m *partition) onLoaded(ev modelLoaded) {
	refused := ev.err
	if refused == nil || isTransient(refused) {
		refused = nil
		if !m.complete(opLoad, ev.err) {
			return
		}
	} else {
		m.Complete(opLoad, nil)
	}
	v, in := &m.versions, m.slots.claim
	if refused == nil {
		delete(v.refused, ev.model)
	}
	switch want := v.wanted(); {
	case in != nil && ev.model == engine.ModelOf(in) && (refused == nil || ev.claimed):
		if m.slots.ready = refused == nil; !m.slots.ready {
			m.halt(&thalweg.Error{Op: "carry out a claim", Kind: thalweg.KindOf(refused), Subject: ev.model.String(), Err: refused,
				Hint: "the slot was claimed for this version and can be finished by no other: restore its checkpoint"})
		}
	case in == nil && ev.claimed:
		m.onPinnedLoaded(ev, refused)
	case refused != nil:
		m.refuse(ev.model, refused)
	case want != nil && want.Model == ev.model && !ev.claimed:
		v.next = want
	}
}

// needs reports whether a version scores, or is about to.
func (m *partition) needs(model engine.Model) bool {
	v, s := &m.versions, &m.slots
	return m.rows.ready == model || v.current != nil && v.current.Model == model || v.next != nil && v.next.Model == model ||
		s.open != nil && s.open.model == model || s.claim != nil && engine.ModelOf(s.claim) == model
}
