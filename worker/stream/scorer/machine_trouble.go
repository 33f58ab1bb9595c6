package scorer

import (
	"time"

	"github.com/thalweg/thalweg"
)

// trouble is what an op has failed with since it last succeeded.
type trouble struct {
	failures int
	damaged  int // of the failures, bytes that arrived damaged
	retryAt  time.Duration
	err      error
}

// corruptTries is how often bytes from the topic may arrive damaged before the
// topic itself is taken to be.
const corruptTries = 5

// passing reports whether an error may go away by itself. A stream goes on
// without end, so to it more is transient than to others: what is not
// classified (a disk that hiccups must not end it), an effect that was cut
// short, and a key that another owner took first.
func passing(err error) bool {
	kind := thalweg.KindOf(err)
	return kind.Transient() || kind == thalweg.Other || kind == thalweg.Canceled || kind == thalweg.Exists
}

// start has an effect carried out for an op.
func (m *machine) start(o op, e effect) {
	m.busy[o] = true
	m.out = append(m.out, e)
}

// idle reports whether an op is neither under way nor waiting to be tried
// again.
func (m *machine) idle(o op) bool {
	return !m.busy[o] && (m.troubles[o].failures == 0 || m.now.mono >= m.troubles[o].retryAt)
}

// answered ends an op and reports whether it succeeded. A failure is tried
// again later, without end, or stops the machine where trying cannot help.
func (m *machine) answered(o op, err error) bool {
	m.busy[o] = false
	t := &m.troubles[o]
	if err == nil {
		*t = trouble{}
		return true
	}
	t.failures++
	if thalweg.Is(err, thalweg.Corrupt) {
		t.damaged++
	}
	t.err = err
	t.retryAt = m.now.mono + m.cfg.backoff.Delay(t.failures, m.rng)
	if m.fatal(o, t) {
		m.halt(err)
	}
	return false
}

// fatal reports whether an op's trouble ends the machine.
func (m *machine) fatal(o op, t *trouble) bool {
	if passing(t.err) {
		return false
	}
	switch kind := thalweg.KindOf(t.err); o {
	case opCommit, opSweep:
		return false // nothing depends on the group's offset, nor on what is too much in the store
	case opDeliver:
		return false // the topic may be made, or permitted, later
	case opStart, opFetch:
		// A topic may be made later, or be seen again after its brokers moved.
		return kind != thalweg.NotFound && (kind != thalweg.Corrupt || t.damaged >= corruptTries)
	case opOpen:
		return kind != thalweg.Conflict // the owner before us is still appending
	}
	return true
}

// wake returns the next moment at which something is to be done although
// nothing happens, ok false if there is none.
func (m *machine) wake() (at time.Duration, ok bool) {
	earlier := func(t time.Duration) {
		if !ok || t < at {
			at, ok = t, true
		}
	}
	if m.phase == stopped {
		return 0, false
	}
	for o := range nOps {
		if !m.busy[o] && m.troubles[o].failures > 0 && m.troubles[o].retryAt > m.now.mono {
			earlier(m.troubles[o].retryAt)
		}
	}
	if m.phase == running {
		for _, t := range []time.Duration{m.compactor.sweepAt, m.compactor.restUntil} {
			if t > m.now.mono {
				earlier(t)
			}
		}
		if !m.busy[opScore] && m.backlog.next != m.scoredTo() && m.tripped == "" {
			if t := m.backlog.since + m.cfg.batching.Period; t > m.now.mono {
				earlier(t)
			}
		}
		if !m.blank() && m.closing == nil {
			if t := m.open.since + m.cfg.rolling.Period; t > m.now.mono {
				earlier(t)
			}
		}
	}
	return at, ok
}
