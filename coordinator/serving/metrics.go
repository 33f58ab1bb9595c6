package serving

import "github.com/prometheus/client_golang/prometheus"

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
