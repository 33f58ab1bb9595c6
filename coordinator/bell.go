package coordinator

import "sync"

// bell wakes whoever waits for something to change. Waiters take the channel
// first and look afterwards, so that no change falls in between.
type bell struct {
	mu struct {
		sync.Mutex
		next chan struct{}
	}
}

func newBell() *bell {
	b := &bell{}
	b.mu.next = make(chan struct{})
	return b
}

// wait returns a channel that the next ring closes.
func (b *bell) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.next
}

// ring wakes all waiters.
func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.mu.next)
	b.mu.next = make(chan struct{})
}
