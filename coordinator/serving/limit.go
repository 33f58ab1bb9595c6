package serving

import (
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
)

// maxLimited bounds the clients that limits know, twice: those not used since the last time
// that there were too many are forgotten.
const maxLimited = 4096

// limits are token buckets by pipeline and client, of one second's requests each.
type limits struct {
	mu struct {
		sync.Mutex
		used, before map[[2]string]*rate.Limiter
	}
}

// take counts a request, and returns how long the client has to wait if it asks too often.
func (l *limits) take(client string, of Service, now time.Time) time.Duration {
	if of.RequestsPerSecond <= 0 {
		return 0
	}
	key := [2]string{of.Pipeline, client}
	limit := rate.Limit(of.RequestsPerSecond)
	l.mu.Lock()
	b := l.mu.used[key]
	if b == nil {
		if b = l.mu.before[key]; b == nil {
			b = rate.NewLimiter(limit, int(math.Ceil(of.RequestsPerSecond)))
		}
		if l.mu.used == nil || len(l.mu.used) >= maxLimited {
			l.mu.before, l.mu.used = l.mu.used, make(map[[2]string]*rate.Limiter)
		}
		l.mu.used[key] = b
	}
	if b.Limit() != limit { // the spec has another one by now
		b.SetLimitAt(now, limit)
		b.SetBurstAt(now, int(math.Ceil(of.RequestsPerSecond)))
	}
	l.mu.Unlock()
	r := b.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

// Metrics are those of a proxy.
type Metrics struct{ retries, throttled prometheus.Counter }

// NewMetrics registers the metrics of a proxy.
func NewMetrics(to prometheus.Registerer) *Metrics {
	m := &Metrics{
		retries: prometheus.NewCounter(prometheus.CounterOpts{Name: "thalweg_serving_retries_total",
			Help: "Requests for predictions that were given to another worker, or again, because one did not answer."}),
		throttled: prometheus.NewCounter(prometheus.CounterOpts{Name: "thalweg_serving_throttled_total",
			Help: "Requests for predictions that were refused because their client asks too often."}),
	}
	to.MustRegister(m.retries, m.throttled)
	return m
}
