package budget

import (
	"math"
	"runtime/debug"

	"github.com/thalweg/thalweg/storage/dataset"
)

// softLimit is the Go runtime's, while streams are all that the process does:
// garbage is then collected before the heap has doubled. Training holds as much as
// its rows take, and under the same limit the collector would run without end.
type softLimit struct {
	bytes int64 // 0: none
	batch int   // tasks under way that are no streams
}

// SetSoftLimit puts the runtime's soft limit in force. It is called once, before
// the first task.
func (m *Memory) SetSoftLimit(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.soft.bytes = bytes
	debug.SetMemoryLimit(bytes)
}

// Lift suspends the soft limit while a task runs that is no stream, until the
// returned function is called.
func (m *Memory) Lift() (restore func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := &m.mu.soft
	if l.batch++; l.batch == 1 && l.bytes > 0 {
		debug.SetMemoryLimit(math.MaxInt64)
	}
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if l.batch--; l.batch == 0 {
			m.mu.peak = max(m.mu.peak, worthGivingBack)
			if l.bytes > 0 {
				debug.SetMemoryLimit(l.bytes)
			}
		}
	}
}

// worthGivingBack is what must have been used, and not be any more, for the
// operating system to get it back: that takes a collection.
const worthGivingBack = 32 << 20

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
