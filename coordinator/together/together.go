// Package together serves all who ask at a time at once: whoever asks while others are served
// is served next, together with all who did meanwhile.
package together

import (
	"context"
	"sync"
)

// Served is what becomes of those who asked: an answer or an error for all, and errors of
// some.
type Served[K comparable, A any] struct {
	Answer A
	Err    error
	Of     map[K]error
}

// Desk is where somebody serves those who ask, each by a key. Its methods may be called
// concurrently.
type Desk[K comparable, A any] struct {
	mu struct {
		sync.Mutex
		next *asked[K, A] // nil: nobody asks
	}
	wake   chan struct{} // has an element while somebody asks
	closed chan struct{}
}

// asked are those who are served at once, in the order in which they came.
type asked[K comparable, A any] struct {
	keys   []K
	known  map[K]bool
	done   chan struct{}
	served Served[K, A]
}

// NewDesk returns a desk at which nobody serves yet.
func NewDesk[K comparable, A any]() *Desk[K, A] {
	return &Desk[K, A]{wake: make(chan struct{}, 1), closed: make(chan struct{})}
}

// Ask waits until it is served, until ctx ends, or for ever if nobody serves. It fails with
// over once nobody does any more. What it is served with is from after it asked.
func (d *Desk[K, A]) Ask(ctx context.Context, key K, over error) (A, error) {
	a := d.join(key)
	var none A
	select {
	case <-a.done:
		if err := a.served.Err; err != nil {
			return none, err
		}
		return a.served.Answer, a.served.Of[key]
	case <-d.closed:
		return none, over
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

func (d *Desk[K, A]) join(key K) *asked[K, A] {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.next == nil {
		d.mu.next = &asked[K, A]{known: make(map[K]bool), done: make(chan struct{})}
	}
	a := d.mu.next
	if !a.known[key] {
		a.keys, a.known[key] = append(a.keys, key), true
	}
	select {
	case d.wake <- struct{}{}:
	default:
	}
	return a
}

// Serve serves those who ask until ctx ends. It is called once.
func (d *Desk[K, A]) Serve(ctx context.Context, serve func(keys []K) Served[K, A]) {
	defer close(d.closed)
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.wake:
		}
		d.mu.Lock()
		a := d.mu.next
		d.mu.next = nil
		d.mu.Unlock()
		if a != nil { // else they joined just before others were taken, and with them
			a.served = serve(a.keys)
			close(a.done)
		}
	}
}
