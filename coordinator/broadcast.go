package coordinator

import "sync"

// broadcast wakes whoever waits for something to change. Waiters take the channel
// first and look afterwards, so that no change falls in between.
type broadcast struct {
	mu struct {
		sync.Mutex
		next chan struct{}
	}
}

func newBroadcast() *broadcast {
	b := &broadcast{}
	b.mu.next = make(chan struct{})
	return b
}

// Changed returns a channel that the next Notify closes.
func (b *broadcast) Changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.next
}

// Notify wakes all waiters.
func (b *broadcast) Notify() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.mu.next)
	b.mu.next = make(chan struct{})
}
