package budget

import (
	"runtime/debug"
	"runtime/metrics"

	"github.com/thalweg/thalweg/storage/dataset"
)

// softLimit is the Go runtime's: garbage is collected before the heap has doubled, so that
// the process keeps within what it may take. Training holds rows besides, and has a higher
// one. While it runs beside streams, garbage is collected once the heap has grown by
// besideStreams percent.
type softLimit struct {
	bytes    int64 // 0: none
	training int64 // while tasks run that are no streams
	raised   int64 // 0, or the limit until training ends, as it holds more
	batch    int   // tasks under way that are no streams
	// percent is what the runtime had for besideStreams before; 0: it has its own.
	percent int
}

const besideStreams = 30

// SetSoftLimit puts the runtime's soft limit in force, and another while training runs. It
// is called once, before the first task.
func (m *Memory) SetSoftLimit(bytes, training int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.soft.bytes, m.mu.soft.training = bytes, training
	m.tuneLocked()
}

// tuneLocked gives the runtime the limit and the growth that it should have now.
func (m *Memory) tuneLocked() {
	l := &m.mu.soft
	if l.bytes == 0 {
		return
	}
	limit := l.bytes
	if l.batch > 0 {
		limit = max(l.training, l.raised)
	}
	debug.SetMemoryLimit(limit)
	switch beside := l.batch > 0 && len(m.mu.shares) > 0; {
	case beside && l.percent == 0:
		l.percent = debug.SetGCPercent(besideStreams)
		if l.percent > 0 && l.percent < besideStreams { // an operator's GOGC
			debug.SetGCPercent(l.percent)
		}
	case !beside && l.percent != 0:
		debug.SetGCPercent(l.percent)
		l.percent = 0
	}
}

// Lift has the soft limit be that of training while a task runs that is no stream, until
// the returned function is called.
func (m *Memory) Lift() (restore func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.soft.batch++; m.mu.soft.batch == 1 {
		m.tuneLocked()
	}
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.mu.soft.batch--; m.mu.soft.batch == 0 {
			m.mu.soft.raised = 0
			m.mu.peak = max(m.mu.peak, worthGivingBack)
			m.tuneLocked()
		}
	}
}

// worthGivingBack is what must have been used, and not be any more, for the
// operating system to get it back: that takes a collection.
const worthGivingBack = 32 << 20

// Relieve raises the limit of training where what is live has come near it, as with a
// model larger than is counted on: the collector would run all the time and free nothing.
func (m *Memory) Relieve() {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	m.mu.Lock()
	defer m.mu.Unlock()
	if l := &m.mu.soft; l.batch > 0 {
		if needs := int64(live[0].Value.Uint64()) / 8 * 9; needs > max(l.training, l.raised) {
			l.raised = needs
			m.tuneLocked()
		}
	}
}

// Keeps has GiveBack empty a pool too.
func (m *Memory) Keeps(p *dataset.Pool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.pools = append(m.mu.pools, p)
}

// filledLocked is what is used and not only reserved.
func (m *Memory) filledLocked() int64 {
	n := m.usedLocked()
	for _, s := range m.mu.shares {
		n -= s.fetching
	}
	return n
}

// GiveBack returns to the operating system what was used since the last time and
// is not any more, if that is much, and reports whether it was. The runtime by
// itself takes minutes for it.
func (m *Memory) GiveBack() bool {
	m.mu.Lock()
	idle := m.mu.peak >= worthGivingBack && m.filledLocked() < m.mu.peak/4 && m.mu.soft.batch == 0
	pools := m.mu.pools
	if idle {
		m.mu.peak = 0
	}
	m.mu.Unlock()
	if idle {
		for _, p := range append(pools, m.pool) {
			p.Empty()
		}
		debug.FreeOSMemory()
	}
	return idle
}
