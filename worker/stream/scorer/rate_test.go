package scorer

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
)

// poison returns n events of which each that is true of bad is no event.
func poison(from, n int, bad func(i int) bool) []string {
	events := make([]string, n)
	for i := range events {
		events[i] = goodEvent(from + i)
		if bad(from + i) {
			events[i] = fmt.Sprintf("poison %d", from+i)
		}
	}
	return events
}

// TestTooManyDeadLettersStopAStreamInsteadOfDrainingTheTopic: a topic that
// turns bad is left where it is, but for one window of events at most.
func TestTooManyDeadLettersStopAStreamInsteadOfDrainingTheTopic(t *testing.T) {
	const good, bad = 5_000, 60_000
	w := newWorld(t, 1)
	w.promote(1)
	s := w.start(func(c *Config) {
		c.MaxDeadRate = 0.05
		c.Batching = Limits{Count: 5000, Period: time.Millisecond}
	})
	w.produce(poison(0, good, func(i int) bool { return i%100 == 7 })...) // 1 % is borne
	s.waitCommitted(good)
	w.produce(poison(good, bad, func(int) bool { return true })...)
	status := s.wait("a trip", func(s Status) bool {
		return s.Tripped != "" && s.State == thalweg.StreamPaused && s.Committed == s.Scored
	})
	if !strings.Contains(status.Message, "more than max_rate 5%") {
		t.Errorf("message %q", status.Message)
	}
	if drained := status.DeadLetters - good/100; drained > rateMinimum+2*rateWindow {
		t.Errorf("%d events became dead letters before the stream stopped", drained)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	v := w.judge()
	t.Logf("stopped at %d of %d, %d dead letters; fsck: %d scored, %d dead", status.Committed, good+bad, status.DeadLetters, v.Scored, v.Dead)

	// A successor, who knows nothing of it, gives away no more than that again.
	next := w.start(func(c *Config) { c.MaxDeadRate = 0.05; c.Batching = Limits{Count: 5000, Period: time.Millisecond} })
	again := next.wait("another trip", func(s Status) bool { return s.Tripped != "" && s.Committed == s.Scored })
	if drained := again.DeadLetters - status.DeadLetters; drained > rateMinimum+2*rateWindow {
		t.Errorf("%d more dead letters after a takeover", drained)
	}

	// The operator wants them all the same: each resumption counts anew.
	next.Resume()
	resumed := next.wait("a trip after the resumption", func(s Status) bool {
		return s.Tripped != "" && s.Committed == s.Scored && s.Committed > again.Committed
	})
	if resumed.DeadLetters-again.DeadLetters < rateMinimum {
		t.Errorf("%d dead letters after the resumption: nothing was counted anew", resumed.DeadLetters-again.DeadLetters)
	}
	if err := next.stop(); err != nil {
		t.Fatal(err)
	}
	w.judge()
}

// TestAFewDeadLettersAmongFewEventsAreNoRate: one bad event among three.
func TestAFewDeadLettersAmongFewEventsAreNoRate(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	s := w.start(func(c *Config) { c.MaxDeadRate = 0.01 })
	w.produce(poison(0, rateMinimum-1, func(i int) bool { return i%3 == 1 })...)
	if status := s.waitCommitted(rateMinimum - 1); status.Tripped != "" || status.DeadLetters == 0 {
		t.Errorf("%+v", status)
	}
	w.produce(poison(rateMinimum-1, 1, func(int) bool { return false })...)
	s.wait("a trip", func(s Status) bool { return s.Tripped != "" })
	// Good events since the resumption keep it going.
	s.Resume()
	w.produceGood(0, 3*rateMinimum)
	if status := s.waitCommitted(4 * rateMinimum); status.Tripped != "" {
		t.Errorf("%+v", status)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	w.judge()
}

// TestTheWindowForgetsWhatIsLongAgo: hours of good events are no reason to go
// on through bad ones, and old bad ones none to stop.
func TestTheWindowForgetsWhatIsLongAgo(t *testing.T) {
	w := deadRate{most: 1}
	for range 1000 {
		w.observe(100, 0)
	}
	if w.events < rateWindow || w.events >= rateWindow+100 || len(w.batches) > rateWindow {
		t.Errorf("%d events in %d batches", w.events, len(w.batches))
	}
	for range rateWindow / 100 {
		w.observe(100, 100)
	}
	if w.dead != w.events {
		t.Errorf("%d of %d are dead", w.dead, w.events)
	}
	for range 5 * rateWindow {
		w.observe(1, 0)
		w.observe(0, 0)
	}
	if w.dead != 0 || w.events != rateWindow || len(w.batches) != rateWindow {
		t.Errorf("%d of %d are dead, in %d batches", w.dead, w.events, len(w.batches))
	}
}
