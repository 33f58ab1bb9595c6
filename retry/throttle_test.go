package retry

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// clients is how many try without end, as partitions do.
const clients = 64

// run has clients call a service for a while, each pausing 0 to 100 ms after
// an answer and 50 to 100 ms after a failure, and returns when each request was
// made and when the last client got its first answer after the moment since.
func run(t *testing.T, lasts, since time.Duration, works func(now time.Duration, rng *rand.Rand) bool) (requests []time.Duration, recovered time.Duration) {
	t.Helper()
	th := NewThrottle()
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), lasts)
	defer cancel()
	var mu sync.Mutex
	var group sync.WaitGroup
	for i := range clients {
		group.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 7))
			well := false
			for th.Pass(ctx) == nil {
				now := time.Since(began)
				ok := works(now, rng)
				mu.Lock()
				requests = append(requests, now)
				if ok && now >= since && !well {
					well, recovered = true, max(recovered, now)
				}
				mu.Unlock()
				pause := time.Duration(rng.Int64N(int64(100 * time.Millisecond)))
				if ok {
					th.Answered()
				} else {
					th.Failed()
					pause = 50*time.Millisecond + pause/2
				}
				select {
				case <-time.After(pause):
				case <-ctx.Done():
				}
			}
		})
	}
	group.Wait()
	return requests, recovered
}

func TestAServiceThatIsDownIsAskedAFewTimesASecondByAllTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to := 10*time.Second, 70*time.Second
		requests, recovered := run(t, 80*time.Second, to, func(now time.Duration, _ *rand.Rand) bool { return now < from || now >= to })
		n := 0
		for _, at := range requests {
			if at >= from && at < to {
				n++
			}
		}
		// 5 a second, and what it takes to see that there is trouble.
		if n > 300+clients+2*fullBudget {
			t.Errorf("%d requests in a minute of trouble", n)
		}
		if late := recovered - to; late > 3*time.Second {
			t.Errorf("the last of %d clients got an answer %v after the trouble ended", clients, late)
		}
		t.Logf("%d requests in a minute without answers, all %d clients served %v after it", n, clients, recovered-to)
	})
}

func TestAServiceThatFailsThreeInTenIsNotSlowedDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		healthy, _ := run(t, time.Minute, 0, func(time.Duration, *rand.Rand) bool { return true })
		flaky, _ := run(t, time.Minute, 0, func(_ time.Duration, rng *rand.Rand) bool { return rng.IntN(10) >= 3 })
		if len(flaky) < len(healthy)*8/10 { // its pauses after failures are longer
			t.Errorf("%d requests in a minute with failures, %d without", len(flaky), len(healthy))
		}
	})
}

func TestWhoeverGoesGivesTheTurnToTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := NewThrottle()
		for range int(fullBudget) {
			th.Failed()
		}
		if th.MayRepeat() {
			t.Error("the budget is spent, and yet a layer below may repeat")
		}
		began := time.Now()
		gone, cancel := context.WithCancel(t.Context())
		for range 100 {
			go th.Pass(gone)
		}
		synctest.Wait()
		cancel()
		synctest.Wait()
		if err := th.Pass(t.Context()); err != nil || time.Since(began) > time.Second {
			t.Errorf("passed after %v: %v", time.Since(began), err)
		}
	})
}

func TestAnEndedCallerDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := NewThrottle()
		for range int(fullBudget) {
			th.Failed()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := th.Pass(ctx); err != context.DeadlineExceeded {
			t.Errorf("%v", err)
		}
	})
}
