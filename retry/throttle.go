package retry

import (
	"container/list"
	"context"
	"sync"
	"time"
)

// The budget for retries. A failure costs one token, an answer earns half of
// one: a service that fails three requests in ten leaves the budget full, one
// that answers nothing has spent it within 50 requests.
const (
	fullBudget  = 100.0
	lowBudget   = fullBudget / 2 // below: the service is failing
	failureCost = 1.0
	answerGain  = 0.5
)

// The pace while the service is failing, in requests a second: it doubles with
// each answer and halves with each failure. Above openRate there is no limit.
const (
	minRate  = 5.0
	openRate = 100.0
)

// Throttle keeps all clients of one service, a store or a Kafka cluster, from
// overloading it while it fails. A client that must not give up tries again
// without end, and a process may have hundreds of them, so that it is not enough
// that each of them waits.
//
// All requests of a process to one service share it. While the budget lasts it
// does nothing. When the budget is spent, the requests of all clients pass one by
// one at a pace, first come first served, at least 5 a second; an answer doubles
// the pace, so that half a dozen answers lift the limit. It is safe for
// concurrent use.
type Throttle struct {
	mu struct {
		sync.Mutex
		tokens  float64
		rate    float64 // requests a second; 0: no limit
		next    time.Time
		waiting list.List // of chan struct{}, closed when it is their turn
		timer   *time.Timer
	}
}

// NewThrottle returns a Throttle with a full budget.
func NewThrottle() *Throttle {
	t := &Throttle{}
	t.mu.tokens = fullBudget
	return t
}

// Pass waits until a request may be sent. The error is ctx's.
func (t *Throttle) Pass(ctx context.Context) error {
	t.mu.Lock()
	if t.mu.rate == 0 {
		t.mu.Unlock()
		return ctx.Err()
	}
	turn := make(chan struct{})
	place := t.mu.waiting.PushBack(turn)
	t.serveLocked()
	t.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
		t.mu.Lock()
		t.mu.waiting.Remove(place) // does nothing if its turn came meanwhile
		t.mu.Unlock()
		return ctx.Err()
	}
}

// serveLocked lets those pass whose turn it is and sets the timer for the next.
func (t *Throttle) serveLocked() {
	for front := t.mu.waiting.Front(); front != nil; front = t.mu.waiting.Front() {
		if t.mu.rate > 0 {
			now := time.Now()
			if wait := t.mu.next.Sub(now); wait > 0 {
				if t.mu.timer == nil {
					t.mu.timer = time.AfterFunc(wait, t.serve)
				} else {
					t.mu.timer.Reset(wait)
				}
				return
			}
			t.mu.next = now.Add(interval(t.mu.rate))
		}
		t.mu.waiting.Remove(front)
		close(front.Value.(chan struct{}))
	}
}

func interval(rate float64) time.Duration { return time.Duration(float64(time.Second) / rate) }

func (t *Throttle) serve() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.serveLocked()
}

// Answered says that the service answered, be it by a refusal.
func (t *Throttle) Answered() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.tokens = min(fullBudget, t.mu.tokens+answerGain)
	if t.mu.rate == 0 {
		return
	}
	if t.mu.rate *= 2; t.mu.rate > openRate {
		t.mu.rate = 0
		t.mu.tokens = max(t.mu.tokens, lowBudget+failureCost)
	}
	t.mu.next = time.Now()
	t.serveLocked()
}

// Failed says that the service did not answer, or that it cannot now.
func (t *Throttle) Failed() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.tokens = max(0, t.mu.tokens-failureCost)
	switch {
	case t.mu.rate > 0:
		t.mu.rate = max(minRate, t.mu.rate/2)
	case t.mu.tokens < lowBudget:
		t.mu.rate = minRate
		t.mu.next = time.Now().Add(interval(minRate))
	}
}

// MayRepeat reports whether the budget allows a layer to try again what its
// caller will try again anyway. While it does not, only the caller tries again:
// the tries of layers multiply.
func (t *Throttle) MayRepeat() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mu.rate == 0
}
