package scorer

import "fmt"

// The rate of dead letters is that of the last rateWindow events at least,
// once there are rateMinimum: one bad event among three is no reason to stop,
// and hours of good ones are none to go on.
const (
	rateWindow  = 2000
	rateMinimum = 200
)

// window counts the newest events, batch by batch.
type window struct {
	batches      []windowBatch // oldest first
	events, dead int
}

type windowBatch struct{ events, dead int }

// add takes in a batch and forgets those that rateWindow events follow. There
// are at most rateWindow batches: an empty one does not count.
func (w *window) add(events, dead int) {
	if events == 0 {
		return
	}
	w.batches = append(w.batches, windowBatch{events, dead})
	w.events += events
	w.dead += dead
	old := 0
	for w.events-w.batches[old].events >= rateWindow {
		w.events -= w.batches[old].events
		w.dead -= w.batches[old].dead
		old++
	}
	w.batches = append(w.batches[:0], w.batches[old:]...)
}

// watchRate stops scoring when too many events are dead letters: the fault is
// then rather the producer's, the spec's or the model's than theirs, and the
// rest of the topic would follow them. The batch that shows it, of rateWindow
// events at most, is the last. It reports whether that was now.
func (m *machine) watchRate(events, dead int) bool {
	if m.cfg.maxRate <= 0 || m.tripped != "" {
		return false
	}
	m.recent.add(events, dead)
	if w := &m.recent; w.events >= rateMinimum && float64(w.dead) > m.cfg.maxRate*float64(w.events) {
		m.tripped = fmt.Sprintf("%d of the last %d events were dead letters, more than max_rate %.4g%%: nothing is scored until the stream is resumed",
			w.dead, w.events, 100*m.cfg.maxRate)
	}
	return m.tripped != ""
}
