// Package throttle has token buckets by client.
package throttle

import (
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxClients bounds the clients that Buckets know, twice.
const maxClients = 4096

// Buckets are token buckets by client. When there are too many, those that were not used
// since the last time are forgotten, so that they are full again. The zero value is ready,
// and may be used concurrently.
type Buckets struct {
	mu struct {
		sync.Mutex
		used, before map[string]*rate.Limiter
	}
}

// Take counts a request of a client that may make so many a second, and those of some seconds
// at once. It returns how long the client has to wait if it asks too often, 0 if it may go on.
func (b *Buckets) Take(client string, perSecond, seconds float64, now time.Time) (wait time.Duration) {
	limit, burst := rate.Limit(perSecond), int(math.Ceil(perSecond*seconds))
	b.mu.Lock()
	l := b.mu.used[client]
	if l == nil {
		if l = b.mu.before[client]; l == nil {
			l = rate.NewLimiter(limit, burst)
		}
		if b.mu.used == nil || len(b.mu.used) >= maxClients {
			b.mu.before, b.mu.used = b.mu.used, make(map[string]*rate.Limiter)
		}
		b.mu.used[client] = l
	}
	if l.Limit() != limit { // it may do more by now, or less
		l.SetLimitAt(now, limit)
		l.SetBurstAt(now, burst)
	}
	b.mu.Unlock()
	r := l.ReserveN(now, 1)
	if wait = r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
	}
	return wait
}
