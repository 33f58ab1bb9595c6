// Package clock notices when the wall clock jumps. Leases do not go by it
// (coordinator/DESIGN.md), and schedules and expiry do, so that an operator should know.
package clock

import "time"

// enough is the difference between two clocks from which on one of them has jumped; what
// keeps a clock right in passing moves it by a thousandth.
const enough = 5 * time.Second

// Watch compares the wall clock with the time that the process has run. It is of one
// goroutine.
type Watch struct {
	now        func() time.Time // the wall clock
	wall, mono time.Time        // when it was last asked, by either clock
}

// NewWatch returns a watch of a wall clock from now on.
func NewWatch(now func() time.Time) *Watch {
	w := &Watch{now: now}
	w.Jumped()
	return w
}

// Jumped returns by how much the wall clock has jumped since it was last asked, 0 if it has
// not.
func (w *Watch) Jumped() time.Duration {
	wall, mono := w.now().Round(0), time.Now() // Round takes the monotonic clock's part away
	jump := wall.Sub(w.wall) - mono.Sub(w.mono)
	w.wall, w.mono = wall, mono
	if jump.Abs() < enough {
		return 0
	}
	return jump
}
