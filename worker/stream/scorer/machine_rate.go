package scorer

import "fmt"

// The rate of dead letters is that of the last rateWindow events at least,
// once there are rateMinimum: one bad event among three is no reason to stop,
// and hours of good ones are none to go on.
const (
	rateWindow  = 2000
	rateMinimum = 200
)

// deadRate stops scoring when too many events are dead letters: the fault is
// then rather the producer's, the spec's or the model's than theirs, and the
// rest of the topic would follow them.
type deadRate struct {
	most    float64 // share of events that may be dead letters, 0: any
	recent  window
	tripped string // why nothing is scored until the operator resumes, "" if something is
}

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

// observe takes in a batch and reports whether it made the rate too high. It is
// the last one then, of rateWindow events at most.
func (r *deadRate) observe(events, dead int) bool {
	if r.most <= 0 || r.tripped != "" {
		return false
	}
	r.recent.add(events, dead)
	if w := &r.recent; w.events >= rateMinimum && float64(w.dead) > r.most*float64(w.events) {
		r.tripped = fmt.Sprintf("%d of the last %d events were dead letters, more than max_rate %.4g%%: nothing is scored until the stream is resumed",
			w.dead, w.events, 100*r.most)
	}
	return r.tripped != ""
}

func (r *deadRate) reset() { r.recent, r.tripped = window{}, "" }
