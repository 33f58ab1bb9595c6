package budget

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// While a stream is late, batch work gets a tenth of the time, none of it for ever; it goes on
// as soon as none is, also where the partition is closed while it was late.
func TestBatchWorkYieldsToLateStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory(0, 2)
		s, other := m.Share(), m.Share()
		units := func(d time.Duration) (n int) { // of a millisecond
			for began := time.Now(); time.Since(began) < d; n++ {
				m.Yield(t.Context())
				time.Sleep(time.Millisecond)
			}
			return n
		}
		if n := units(time.Second); n != 1000 {
			t.Errorf("%d units in a second beside streams that are not late", n)
		}
		s.Late(true)
		s.Late(true)
		other.Late(true)
		if n := units(10 * time.Second); n < 900 || n > 1100 {
			t.Errorf("%d units in ten seconds beside late streams", n)
		}
		s.Late(false)
		if n := units(10 * time.Second); n > 1100 {
			t.Errorf("%d units in ten seconds beside one late stream", n)
		}
		other.Close()
		if n := units(time.Second); n < 750 { // a window may have to come first
			t.Errorf("%d units in the second after the last late stream has ended", n)
		}
		s.Late(true)
		ctx, cancel := context.WithCancel(t.Context())
		time.Sleep(yieldCycle/2 - time.Since(m.began)%yieldCycle + yieldCycle)
		cancel()
		began := time.Now()
		if m.Yield(ctx); time.Since(began) != 0 {
			t.Error("who is told to end waits")
		}
	})
}
