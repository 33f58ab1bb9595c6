package retry

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

var errFlaky = errors.New("flaky")

func always(error) bool { return true }

func TestPausesDoubleUpToTheirCapAndHalfOfEachIsRandom(t *testing.T) {
	capped := Backoff{Min: 10 * time.Millisecond, Max: 65 * time.Millisecond}
	uncapped := Backoff{Min: time.Millisecond}
	for _, c := range []struct {
		backoff  Backoff
		failures int
		longest  time.Duration
	}{
		{capped, 0, 10 * time.Millisecond}, {capped, 1, 10 * time.Millisecond}, {capped, 2, 20 * time.Millisecond}, {capped, 3, 40 * time.Millisecond},
		{capped, 4, 65 * time.Millisecond}, {capped, 1 << 40, 65 * time.Millisecond},
		{uncapped, 4, 8 * time.Millisecond}, {uncapped, 1 << 40, 1024 * time.Millisecond},
		{Backoff{}, 7, 0}, {Backoff{Min: time.Second, Max: time.Millisecond}, 1, time.Millisecond},
	} {
		low, high := c.longest, time.Duration(0)
		for range 2000 {
			d := c.backoff.Delay(c.failures, nil)
			low, high = min(low, d), max(high, d)
		}
		if low < c.longest/2 || high > c.longest {
			t.Errorf("%+v after %d failures: pauses of %v to %v, want half of %v to all of it", c.backoff, c.failures, low, high, c.longest)
		}
		if spread := c.longest / 2; high-low < spread*9/10 {
			t.Errorf("%+v after %d failures: pauses of %v to %v do not spread", c.backoff, c.failures, low, high)
		}
	}
}

func TestTheSameSeedGivesTheSamePauses(t *testing.T) {
	b := Backoff{Min: time.Millisecond, Max: time.Minute}
	one, two := rand.New(rand.NewPCG(1, 2)), rand.New(rand.NewPCG(1, 2))
	for n := range 100 {
		if x, y := b.Delay(n, one), b.Delay(n, two); x != y {
			t.Fatalf("%v and %v after %d failures", x, y, n)
		}
	}
}

func TestTryingEndsWithSuccessABoundOrAnErrorThatStays(t *testing.T) {
	spent := NewThrottle()
	for range int(fullBudget) {
		spent.Failed()
	}
	for name, c := range map[string]struct {
		policy    Policy
		succeeds  int // the try that does
		transient func(error) bool
		tries     int
		err       error
	}{
		"at once":             {Policy{Attempts: 3}, 1, always, 1, nil},
		"later":               {Policy{Attempts: 3}, 3, always, 3, nil},
		"attempts used up":    {Policy{Attempts: 3}, 4, always, 3, errFlaky},
		"without end":         {Policy{}, 1000, always, 1000, nil},
		"not transient":       {Policy{Attempts: 3}, 3, func(error) bool { return false }, 1, errFlaky},
		"budget is spent":     {Policy{Attempts: 3, Throttle: spent}, 3, always, 1, errFlaky},
		"budget is not spent": {Policy{Attempts: 3, Throttle: NewThrottle()}, 3, always, 3, nil},
	} {
		tries := 0
		err := c.policy.Do(t.Context(), c.transient, func() error {
			if tries++; tries == c.succeeds {
				return nil
			}
			return errFlaky
		})
		if tries != c.tries || err != c.err {
			t.Errorf("%s: %d tries, then %v; want %d and %v", name, tries, err, c.tries, c.err)
		}
	}
}

func TestAPauseEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		why := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(why) })
		began := time.Now()
		err := Policy{Backoff: Backoff{Min: time.Hour}}.Do(ctx, always, func() error { return errFlaky })
		if err != why || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}
