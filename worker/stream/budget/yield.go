package budget

import (
	"context"
	"time"
)

// While a stream of the process is late, batch work goes on in windows of openFor at the
// beginning of each yieldCycle: a tenth of the time, so that the stream gets nearly all of the
// cores, and a run that it cannot wait out ends all the same.
const (
	yieldCycle = 250 * time.Millisecond
	openFor    = yieldCycle / 10
)

// Late says whether the partition is further behind than batch work beside it may let it be.
func (s *Share) Late(late bool) {
	s.with(func(m *Memory) {
		if s.late != late {
			s.late = late
			m.countLate(late)
		}
	})
}

// countLate notes one late partition more, or less.
func (m *Memory) countLate(more bool) {
	if more {
		m.late.Add(1)
	} else {
		m.late.Add(-1)
	}
}

// Yield is called by batch work before each unit of it, some milliseconds long, and waits for
// the next window while a partition is late. It says nothing of why it returned: where ctx
// ended, whoever works sees that.
func (m *Memory) Yield(ctx context.Context) {
	for m.late.Load() > 0 {
		phase := time.Since(m.began) % yieldCycle
		if phase < openFor {
			return
		}
		wait := time.NewTimer(yieldCycle - phase)
		select {
		case <-ctx.Done():
			wait.Stop()
			return
		case <-wait.C:
		}
	}
}
