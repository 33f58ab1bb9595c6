package train

import (
	"slices"

	"github.com/thalweg/thalweg/pipeline/optim"
)

// memo is what an algorithm or a model keeps of a block, in memory as far as the bound
// allows.
type memo struct {
	value    any // nil: nothing yet, or on disk
	reserved int
	at       piece // where room of the file is its own
	room     int
}

// spilled is what it takes to have memos on disk, of one replica: the one that is used.
type spilled struct {
	value optim.Spillable
	bytes []byte
}

// use returns where the memo of a block is while a step uses it; done follows.
func (m *matrix) use(memo *memo) (*any, error) {
	if memo.room == 0 {
		return &memo.value, nil
	}
	m.away.bytes = slices.Grow(m.away.bytes[:0], memo.at.size)[:memo.at.size]
	if err := m.read(memo.at, m.away.bytes); err != nil {
		return nil, err
	}
	m.away.value.Restore(m.away.bytes)
	value := any(m.away.value)
	return &value, nil
}

// done takes back what use returned: it is kept in memory where the bound allows, and
// else goes to disk.
func (m *matrix) done(memo *memo, value any) (err error) {
	v, ok := value.(optim.Spillable)
	if !ok {
		return nil
	}
	if more := v.Bytes() - memo.reserved; memo.room == 0 && (more <= 0 || m.reserve(int64(more))) {
		memo.reserved += max(0, more)
		return nil
	}
	m.release(int64(memo.reserved))
	m.away.bytes = v.Spill(m.away.bytes[:0])
	memo.value, memo.reserved, m.away.value = nil, 0, v
	memo.at, memo.room, err = m.rewrite(memo.at, memo.room, m.away.bytes)
	return err
}

// keep returns the memo of a model that keeps n bytes of a block; without memory for
// them an empty one, which is dropped.
func (m *matrix) keep(memo *memo, n int) *any {
	if memo.reserved == 0 && (n == 0 || !m.reserve(int64(n))) {
		return new(any)
	}
	memo.reserved = n
	return &memo.value
}
