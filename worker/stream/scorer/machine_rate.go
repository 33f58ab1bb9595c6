package scorer

import (
	"fmt"

	"github.com/thalweg/thalweg/worker/stream/engine"
)

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
	most         float64  // share of events that may be dead letters, 0: any
	batches      [][2]int // events and dead letters of the newest batches, oldest first
	events, dead int      // in them
	tripped      string   // why nothing is scored until the operator resumes, "" if something is
}

// observe takes in a batch and reports whether it made the rate too high. It is
// the last one then, of rateWindow events at most.
func (r *deadRate) observe(events, dead int) bool {
	if r.most <= 0 || r.tripped != "" || events == 0 {
		return false
	}
	r.batches = append(r.batches, [2]int{events, dead})
	r.events += events
	r.dead += dead
	old := 0
	for ; r.events-r.batches[old][0] >= rateWindow; old++ { // as many events follow it
		r.events -= r.batches[old][0]
		r.dead -= r.batches[old][1]
	}
	r.batches = append(r.batches[:0], r.batches[old:]...)
	if r.events >= rateMinimum && float64(r.dead) > r.most*float64(r.events) {
		r.tripped = fmt.Sprintf("%d of the last %d events were dead letters, more than max_rate %.4g%%: nothing is scored until the stream is resumed",
			r.dead, r.events, 100*r.most)
	}
	return r.tripped != ""
}

// trialRate is the rate of the candidate of a canary, which is its own: the champion's events
// are no reason to give it up, nor is it one to stop them.
type trialRate struct {
	deadRate
	model engine.Model // that it is the rate of
}

// observe takes in the events and dead letters of a batch that the candidate had.
func (r *trialRate) observe(model engine.Model, of [2]int) bool {
	if r.model != model {
		r.model, r.deadRate = model, deadRate{most: r.most}
	}
	return r.deadRate.observe(of[0], of[1])
}
