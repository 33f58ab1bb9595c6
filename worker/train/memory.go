package train

import "sync/atomic"

// memory is a bound on bytes that several builders share. Taking is a promise,
// not an allocation: whoever is refused writes to disk instead.
type memory struct {
	limit int64
	used  atomic.Int64
}

// take reserves n bytes, or reports that they are not there.
func (m *memory) take(n int64) bool {
	if m.used.Add(n) > m.limit {
		m.used.Add(-n)
		return false
	}
	return true
}

// give returns n bytes.
func (m *memory) give(n int64) { m.used.Add(-n) }
