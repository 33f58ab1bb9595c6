package fault

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/retry"
)

// Call is a call that is about to be made.
type Call struct {
	Op   Op
	Key  string // as in Rule
	Body []byte // what it writes; the caller may use it again afterwards
	// Make makes the call, with the damage that hit says: Truncated, BitFlip, Stale
	// or Duplicate, as they apply to Op.
	Make func(ctx context.Context, hit Hit) error
	// Late makes the call again when nobody is left to be told how it went. It is
	// set for Writes only.
	Late func(ctx context.Context, body []byte)
}

// Interceptor decides what becomes of calls. It may be called concurrently.
type Interceptor interface {
	Intercept(ctx context.Context, c Call) error
}

// Hit is a fault and its details; the zero value is none.
type Hit struct {
	Fault Fault
	Bits  uint64 // random
	Cause error  // of the error that the call returns
}

// Failure returns the error of a call that went wrong.
func (h Hit) Failure(kind thalweg.Kind, op Op, key string) error {
	return &thalweg.Error{Op: op.String(), Kind: kind, Subject: key, Err: h.Cause}
}

// flip inverts one bit of data.
func (h Hit) flip(data []byte) {
	if len(data) > 0 {
		data[h.Bits>>3%uint64(len(data))] ^= 1 << (h.Bits & 7)
	}
}

// part returns how much of an answer of so many parts is left.
func (h Hit) part(whole int) int { return int(h.Bits % uint64(whole)) }

// Injector carries a Plan out.
type Injector struct {
	plan Plan
	mu   struct {
		sync.Mutex
		calls    map[callKey]*history
		late     []lateCall
		injected map[Fault]int
	}
}

// callKey tells the operations on one key apart.
type callKey struct {
	op  Op
	key string
}

type history struct {
	calls  int
	failed []int // per rule
}

// lateCall is a write whose effect is still on its way.
type lateCall struct {
	after  uint64 // so many operations from now
	effect func(context.Context)
}

const (
	maxLate = 6                      // operations that a late write comes late, at most
	slow    = 200 * time.Millisecond // what a slow operation takes more than others
)

func newInjector(plan Plan) *Injector {
	i := &Injector{plan: plan}
	i.mu.calls = make(map[callKey]*history)
	i.mu.injected = make(map[Fault]int)
	return i
}

// Injected returns how often each fault has hit.
func (i *Injector) Injected() map[Fault]int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return maps.Clone(i.mu.injected)
}

// Settle lets every late write take effect.
func (i *Injector) Settle(ctx context.Context) {
	i.mu.Lock()
	pending := i.mu.late
	i.mu.late = nil
	i.mu.Unlock()
	for _, l := range pending {
		l.effect(ctx)
	}
}

// Intercept implements Interceptor.
func (i *Injector) Intercept(ctx context.Context, c Call) error {
	hit, due := i.next(c)
	for _, l := range due {
		l.effect(context.WithoutCancel(ctx))
	}
	switch hit.Fault {
	case 0:
		return c.Make(ctx, Hit{})
	case Truncated, BitFlip, Stale, Duplicate:
		return c.Make(ctx, hit)
	case Slow:
		if err := retry.Sleep(ctx, slow); err != nil {
			return &thalweg.Error{Op: c.Op.String(), Kind: thalweg.Canceled, Subject: c.Key, Err: err}
		}
		return c.Make(ctx, Hit{})
	case LostReply:
		_ = c.Make(ctx, Hit{}) // whatever it was, the caller does not learn it
	case Reply412:
		// Only the reply to a create that took effect is turned around.
		if err := c.Make(ctx, Hit{}); err != nil {
			return err
		}
		return hit.Failure(thalweg.Exists, c.Op, c.Key)
	case Reply500:
		if c.Op&Writes != 0 && hit.Bits&1 == 0 {
			_ = c.Make(ctx, Hit{})
		}
	case Late:
		body := bytes.Clone(c.Body)
		i.mu.Lock()
		i.mu.late = append(i.mu.late, lateCall{1 + hit.Bits%maxLate, func(ctx context.Context) { c.Late(ctx, body) }})
		i.mu.Unlock()
	}
	return hit.Failure(thalweg.Unavailable, c.Op, c.Key)
}

// next returns what happens to this call, and the late writes that take effect
// before it.
func (i *Injector) next(c Call) (hit Hit, due []lateCall) {
	i.mu.Lock()
	defer i.mu.Unlock()
	waiting := i.mu.late[:0:0]
	for _, l := range i.mu.late {
		if l.after--; l.after == 0 {
			due = append(due, l)
		} else {
			waiting = append(waiting, l)
		}
	}
	i.mu.late = waiting
	h := i.mu.calls[callKey{c.Op, c.Key}]
	if h == nil {
		h = &history{failed: make([]int, len(i.plan.Rules))}
		i.mu.calls[callKey{c.Op, c.Key}] = h
	}
	hit.Fault, hit.Bits = i.plan.decide(c.Op, c.Key, h.calls, h.failed)
	h.calls++
	if hit.Fault != 0 {
		i.mu.injected[hit.Fault]++
		hit.Cause = fmt.Errorf("injected, seed %d", i.plan.Seed)
	}
	return hit, due
}
