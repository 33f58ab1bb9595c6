package train

import "sync/atomic"

// memory is a bound on bytes that several builders share. Reserving is a
// promise, not an allocation: whoever is refused writes to disk instead.
type memory struct {
	limit int64
	used  atomic.Int64
}

// reserve reserves n bytes, or reports that they are not there.
func (m *memory) reserve(n int64) bool {
	if m.used.Add(n) > m.limit {
		m.used.Add(-n)
		return false
	}
	return true
}

// release gives n bytes back.
func (m *memory) release(n int64) { m.used.Add(-n) }
