package serve

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api"
)

// recorder notes the sizes of its batches, which take a time.
type recorder struct {
	takes   time.Duration
	mu      sync.Mutex
	batches []int
}

func (r *recorder) score(calls []*call) {
	time.Sleep(r.takes) // of a bubble's clock
	rows := 0
	for _, c := range calls {
		rows += c.len()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.batches = append(r.batches, rows)
}

// rowsOfBytes are n rows of a byte each.
func rowsOfBytes(n int) rows {
	of := rows{values: make([]byte, n)}
	for i := range n {
		of.ends = append(of.ends, i+1)
	}
	return of
}

func callOf(ctx context.Context, rows int) *call {
	return newCall(ctx, time.Time{}, rowsOfBytes(rows))
}

func TestRowsThatComeWhileABatchIsScoredAreTheNextOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{takes: 10 * time.Millisecond}
		b := newBatcher(Limits{MaxBatch: 8, MaxQueued: 100, MaxQueuedBytes: 100}, []scorer{r})
		var calls []*call
		for _, rows := range []int{1, 3, 4, 2, 8} {
			c := callOf(t.Context(), rows)
			check(t, b.add(c))
			calls = append(calls, c)
			synctest.Wait()
		}
		for _, c := range calls {
			check(t, c.wait())
		}
		if want := []int{1, 7, 2, 8}; !slices.Equal(r.batches, want) {
			t.Errorf("batches of %v rows, want %v", r.batches, want)
		}
	})
}

// A batch waits for requests that have begun, no longer than MaxDelay, and not at all if
// there are none.
func TestABatchWaitsForWhoIsAboutToAddRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		b := newBatcher(Limits{MaxBatch: 8, MaxDelay: time.Millisecond, MaxQueued: 100, MaxQueuedBytes: 100}, []scorer{r, &recorder{}})
		began := time.Now()
		alone := callOf(t.Context(), 1)
		check(t, b.add(alone))
		check(t, alone.wait())
		if waited := time.Since(began); waited > 0 {
			t.Errorf("a request that is alone waited %v", waited)
		}
		b.arrive()
		b.arrive()
		first, second := callOf(t.Context(), 1), callOf(t.Context(), 2)
		check(t, b.add(first))
		time.Sleep(time.Millisecond / 2)
		check(t, b.add(second))
		b.arrived()
		check(t, second.wait())
		check(t, first.wait())
		if waited := time.Since(began); waited != time.Millisecond {
			t.Errorf("two of which one more was to come waited %v", waited)
		}
		b.arrived()
	})
}

// careless panics about its first batch.
type careless struct{ recorder }

func (c *careless) score(calls []*call) {
	c.recorder.score(calls)
	if len(c.batches) == 1 {
		panic("a bug")
	}
}

func TestAScorerThatPanicsScoresTheNextBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBatcher(Limits{MaxBatch: 8, MaxQueued: 100, MaxQueuedBytes: 100}, []scorer{new(careless)})
		first, next := callOf(t.Context(), 1), callOf(t.Context(), 1)
		if err := b.ask(first); err == nil || api.HTTPStatus(err) != 500 {
			t.Errorf("a panic: %v", err)
		}
		check(t, b.ask(next))
	})
}

func TestWhatIsTooMuchIsRefusedAndWhoGivesUpIsLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{takes: time.Second}
		b := newBatcher(Limits{MaxBatch: 4, MaxQueued: 6, MaxQueuedBytes: 100}, []scorer{r})
		running := callOf(t.Context(), 4)
		check(t, b.add(running))
		synctest.Wait()
		impatient, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		lost, kept := callOf(impatient, 3), callOf(t.Context(), 3)
		check(t, b.add(lost))
		check(t, b.add(kept))
		if err := b.add(callOf(t.Context(), 1)); !thalweg.Is(err, thalweg.Throttled) || api.HTTPStatus(err) != 429 {
			t.Errorf("a row too many: %v", err)
		}
		if err := lost.wait(); !errors.Is(err, context.DeadlineExceeded) || api.HTTPStatus(err) != 504 {
			t.Errorf("a deadline that is over: %v", err)
		}
		check(t, running.wait())
		check(t, kept.wait())
		late := newCall(t.Context(), time.Now().Add(-time.Millisecond), rowsOfBytes(1))
		check(t, b.add(late))
		if err := late.wait(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("rows whose time is over before they are scored: %v", err)
		}
		if want := []int{4, 3}; !slices.Equal(r.batches, want) {
			t.Errorf("batches of %v rows, want %v", r.batches, want)
		}
	})
}
