// Package broadcast wakes all who wait for something to change. Waiters take the
// channel first and look afterwards, so that no change falls in between.
package broadcast

import "sync"

// Notifier announces changes. Its zero value is ready, and its methods may be
// called concurrently, under other locks too.
type Notifier struct {
	mu struct {
		sync.Mutex
		next chan struct{} // nil: nobody has asked for it since the last change
	}
}

// Changed returns a channel that the next Notify closes.
func (n *Notifier) Changed() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mu.next == nil {
		n.mu.next = make(chan struct{})
	}
	return n.mu.next
}

// Notify wakes all waiters.
func (n *Notifier) Notify() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mu.next != nil {
		close(n.mu.next)
		n.mu.next = nil
	}
}
