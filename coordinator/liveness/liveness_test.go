package liveness

import (
	"fmt"
	"testing"
	"time"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
)

// A worker that begins anew soon after it had, again and again, rests longer each time, up to
// a bound. One that does so seldom never rests, nor does one that left.
func TestAWorkerThatBeginsAnewAgainAndAgainRests(t *testing.T) {
	const ttl = 5 * time.Second
	l, now := New(ttl), time.UnixMilli(1_000_000)
	n := 0
	begin := func(after time.Duration) Noted {
		n++
		now = now.Add(after)
		noted, err := l.Note(&apiv1.PollRequest{WorkerId: "w1", Incarnation: fmt.Sprint(n), Slots: 1}, now)
		if err != nil {
			t.Fatal(err)
		}
		return noted
	}
	for _, step := range []struct{ after, rests time.Duration }{
		{0, 0}, {time.Second, 0}, {time.Second, time.Second}, {time.Second, 2 * time.Second}, {9 * time.Second, 4 * time.Second},
		{calmTTLs * ttl, 8 * time.Second}, {time.Second, 16 * time.Second}, {time.Second, 30 * time.Second}, {time.Second, 30 * time.Second},
		{30*time.Second + calmTTLs*ttl + 1, 0}, {30 * time.Second, 0}, {30 * time.Second, 0},
	} {
		if got := begin(step.after); got.Rests != step.rests {
			t.Errorf("process %d, after %v: rests %v, want %v", n, step.after, got.Rests, step.rests)
		}
		if until := l.Snapshot().Workers["w1"].RestsUntil; (step.rests > 0) != until.After(now) {
			t.Errorf("process %d rests until %v, now %v", n, until, now)
		}
	}
	for range 5 {
		l.Left("w1")
		if got := begin(time.Second); got.Rests != 0 {
			t.Errorf("a worker that left rests %v", got.Rests)
		}
	}
}

// A worker that falls silent for a lease's time again and again flaps too.
func TestAWorkerThatFallsSilentAgainAndAgainRests(t *testing.T) {
	const ttl = 5 * time.Second
	l, now := New(ttl), time.UnixMilli(1_000_000)
	for i, want := range []time.Duration{0, 0, time.Second, 2 * time.Second} {
		noted, err := l.Note(&apiv1.PollRequest{WorkerId: "w1", Incarnation: "1", Slots: 1}, now)
		if err != nil || noted.Rests != want {
			t.Errorf("call %d: rests %v, want %v; %v", i, noted.Rests, want, err)
		}
		l.Closed("w1", "1", true, now)
		now = now.Add(ttl + time.Second)
	}
}

// What peers say of a worker counts while it has no poll open, and of the process that they
// tried to reach; its next poll ends it.
func TestAWorkerIsUnreachableUntilItPolls(t *testing.T) {
	l, now := New(5*time.Second), time.UnixMilli(1_000_000)
	poll := func(id string, unreachable ...*apiv1.Peer) {
		if _, err := l.Note(&apiv1.PollRequest{WorkerId: id, Incarnation: "1", ExchangeAddress: id + ":9", Slots: 1, Unreachable: unreachable}, now); err != nil {
			t.Fatal(err)
		}
	}
	want := func(what string, unreachable bool) {
		t.Helper()
		if w := l.Snapshot().Workers["w1"]; w.Unreachable != unreachable || unreachable && !w.Silent.Equal(now) {
			t.Errorf("%s: unreachable %v, silent since %v", what, w.Unreachable, w.Silent)
		}
	}
	poll("w1")
	poll("w2", &apiv1.Peer{Worker: "w1", Address: "w1:9"}, &apiv1.Peer{Worker: "w9", Address: "w9:9"})
	want("a poll is open", false)
	l.Closed("w1", "1", false, now)
	poll("w2", &apiv1.Peer{Worker: "w1", Address: "elsewhere:9"})
	want("an earlier process", false)
	poll("w2", &apiv1.Peer{Worker: "w1", Address: "w1:9"})
	want("its connection broke", true)
	poll("w1")
	want("it polls", false)
}

// A worker that peers could not reach is there again with its next poll, and whoever planned
// without it plans anew.
func TestAWorkerThatIsBackChangesTheVersion(t *testing.T) {
	l, now := New(10*time.Second), time.Now()
	note := func(r *apiv1.PollRequest) {
		t.Helper()
		if _, err := l.Note(r, now); err != nil {
			t.Fatal(err)
		}
	}
	a := &apiv1.PollRequest{WorkerId: "a", Incarnation: "1", Slots: 1, ExchangeAddress: "a:1"}
	note(a)
	note(&apiv1.PollRequest{WorkerId: "b", Incarnation: "1", Slots: 1})
	l.Closed("a", "1", false, now)
	note(&apiv1.PollRequest{WorkerId: "b", Incarnation: "1", Slots: 1, Unreachable: []*apiv1.Peer{{Worker: "a", Address: "a:1"}}})
	now = now.Add(time.Second)
	alive, _ := l.Alive(now)
	before := l.Version()
	note(a)
	if again, _ := l.Alive(now); alive != 1 || again != 2 || l.Version() == before {
		t.Errorf("%d alive, then %d; version %d, then %d", alive, again, before, l.Version())
	}
}
