package serve

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are those of all endpoints of a process. A nil one notes nothing.
type Metrics struct {
	requests *prometheus.CounterVec
	rows     *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	batches  *prometheus.HistogramVec
}

// NewMetrics returns metrics with labels of the process.
func NewMetrics(labels prometheus.Labels) *Metrics {
	return &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "thalweg_serving_requests_total",
			Help: "Requests for predictions, by how they were answered.", ConstLabels: labels}, []string{"pipeline", "protocol", "code"}),
		rows: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "thalweg_serving_rows_total",
			Help: "Rows that clients asked about, by whether they were scored, rejected as a dead letter would be, or failed.", ConstLabels: labels}, []string{"pipeline", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "thalweg_serving_request_seconds",
			Help: "Time from a request's headers to its answer.", ConstLabels: labels, Buckets: prometheus.ExponentialBuckets(0.00025, 2, 14)}, []string{"pipeline", "protocol"}),
		batches: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "thalweg_serving_batch_rows",
			Help: "Rows of the micro-batches that were scored.", ConstLabels: labels, Buckets: prometheus.ExponentialBuckets(1, 2, 11)}, []string{"pipeline"}),
	}
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(to chan<- *prometheus.Desc) {
	for _, c := range m.all() {
		c.Describe(to)
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(to chan<- prometheus.Metric) {
	for _, c := range m.all() {
		c.Collect(to)
	}
}

func (m *Metrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.requests, m.rows, m.seconds, m.batches}
}

// The outcomes of rows.
const (
	rowScored   = "scored"
	rowRejected = "rejected"
	rowFailed   = "failed"
)

// batch notes a micro-batch.
func (m *Metrics) batch(pipeline string, rows, rejected int, err error) {
	if m == nil {
		return
	}
	m.batches.WithLabelValues(pipeline).Observe(float64(rows))
	if err != nil {
		m.rows.WithLabelValues(pipeline, rowFailed).Add(float64(rows))
		return
	}
	m.rows.WithLabelValues(pipeline, rowScored).Add(float64(rows - rejected))
	if rejected > 0 {
		m.rows.WithLabelValues(pipeline, rowRejected).Add(float64(rejected))
	}
}

// request notes a request that was answered.
func (m *Metrics) request(pipeline, protocol, code string, took time.Duration) {
	if m == nil {
		return
	}
	m.requests.WithLabelValues(pipeline, protocol, code).Inc()
	m.seconds.WithLabelValues(pipeline, protocol).Observe(took.Seconds())
}

// forget drops what there is of a pipeline that is not served here any more.
func (m *Metrics) forget(pipeline string) {
	if m == nil {
		return
	}
	of := prometheus.Labels{"pipeline": pipeline}
	m.requests.DeletePartialMatch(of)
	m.rows.DeletePartialMatch(of)
	m.seconds.DeletePartialMatch(of)
	m.batches.DeletePartialMatch(of)
}
