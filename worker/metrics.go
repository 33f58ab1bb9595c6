package worker

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage/dataset"
)

// Registerer is where a worker's metrics go; several workers of one process
// share it and are told apart by a label.
type Registerer = prometheus.Registerer

type metrics struct {
	columns *prometheus.CounterVec
	rows    prometheus.Counter
}

func newMetrics(reg Registerer, id thalweg.WorkerID) *metrics {
	labels := prometheus.Labels{"worker": string(id)}
	m := &metrics{
		columns: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "thalweg_dataset_columns_total",
			Help: "Column chunks read, by path: fast (typed pages) or slow (general reader).", ConstLabels: labels}, []string{"path"}),
		rows: prometheus.NewCounter(prometheus.CounterOpts{Name: "thalweg_dataset_rows_total",
			Help: "Rows read from training data.", ConstLabels: labels}),
	}
	reg.MustRegister(m.columns, m.rows)
	return m
}

func (m *metrics) observeRead(c dataset.Counters) {
	m.columns.WithLabelValues("fast").Add(float64(c.FastColumns))
	m.columns.WithLabelValues("slow").Add(float64(c.SlowColumns))
	m.rows.Add(float64(c.Rows))
}
