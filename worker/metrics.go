package worker

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/thalweg/thalweg/coordinator/auth/pki"
	"github.com/thalweg/thalweg/tracing"
	"github.com/thalweg/thalweg/worker/serve"
	"github.com/thalweg/thalweg/worker/stream/sketch"
)

// metrics are one worker's, in a registry of its own so that several workers can
// live in one process.
type metrics struct {
	registry *prometheus.Registry
	rows     prometheus.Counter
	kept     *prometheus.CounterVec // by what was done with them
	failed   *prometheus.CounterVec // of data tests
	tasks    *prometheus.CounterVec // by kind and outcome
	polls    prometheus.Counter     // that failed
	epochs   prometheus.Counter
	rounds   prometheus.Counter
	served   *serve.Metrics
	drift    *sketch.Watchers
	series   struct {
		sync.Mutex
		of map[[4]string]bool // that failed has
	}
}

// What data tests looked at, as a label says it.
const (
	inStream = "stream"
	inRuns   = "runs"
	// inService: what clients asked about.
	inService = "service"
)

// maxTestSeries bounds the series of data tests, since tests come and go with specs.
// otherTests is the name of those beyond.
const (
	maxTestSeries = 2000
	otherTests    = "others"
)

// testFailed counts rows that failed a data test of a pipeline.
func (m *metrics) testFailed(pipeline, in, test, severity string, rows int64) {
	if rows == 0 {
		return
	}
	labels := [4]string{pipeline, in, test, severity}
	m.series.Lock()
	if !m.series.of[labels] && len(m.series.of) >= maxTestSeries {
		labels[0], labels[2] = "", otherTests
	}
	m.series.of[labels] = true
	m.series.Unlock()
	m.failed.WithLabelValues(labels[:]...).Add(float64(rows))
}

// Metrics describes what a worker serves at /metrics.
func Metrics() prometheus.Collector { return newMetrics(Config{}, nil, nil).registry }

func newMetrics(cfg Config, tables *tables, leases func() int) *metrics {
	labels := prometheus.Labels{"worker": string(cfg.ID)}
	m := &metrics{registry: prometheus.NewRegistry(),
		rows: prometheus.NewCounter(prometheus.CounterOpts{Name: "thalweg_dataset_rows_total",
			Help: "Rows read from training data.", ConstLabels: labels}),
		kept: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "thalweg_prepared_bytes_total",
			Help: "Bytes of prepared rows that were written, read, found damaged or collected.", ConstLabels: labels}, []string{"what"}),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "thalweg_test_failed_rows_total",
			Help: "Rows that failed a data test, of runs that this worker judged or of streams that it scored: events that are scored again, as after a " +
				"crash, count again, and the counts of a stream go on at 0 where another worker takes it over.", ConstLabels: labels}, []string{"pipeline", "in", "test", "severity"}),
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels})
	}
	m.tasks = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "thalweg_worker_tasks_total",
		Help: "Tasks of runs and partitions that this worker reported, by the stage and whether they are done or failed.", ConstLabels: labels}, []string{"kind", "outcome"})
	m.polls = counter("thalweg_worker_poll_failures_total", "Polls that no coordinator answered.")
	m.epochs = counter("thalweg_training_epochs_total", "Epochs of the trainings that came to their end on this worker.")
	m.rounds = counter("thalweg_training_rounds_total", "Rounds of averaging of the trainings that came to their end on this worker.")
	held := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "thalweg_worker_leases", Help: "Tasks and partitions that this worker holds.",
		ConstLabels: labels}, func() float64 { return float64(leases()) })
	m.registry.MustRegister(m.tasks, m.polls, m.epochs, m.rounds, held)
	m.series.of = make(map[[4]string]bool)
	m.served = serve.NewMetrics(labels)
	m.drift = sketch.NewWatchers(labels)
	m.registry.MustRegister(m.drift, m.served, m.rows, m.kept, m.failed, newTableMetrics(labels, tables), pki.ExpiryGauge(cfg.Credentials, labels), tracing.Collector(cfg.Traces))
	return m
}

// tableMetrics tells of the worker's tables when it is asked, so that tables
// come and go with their streams.
type tableMetrics struct {
	tables                         *tables
	behind, version, commits, lost *prometheus.Desc
}

func newTableMetrics(labels prometheus.Labels, t *tables) *tableMetrics {
	desc := func(name, help string, names ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, append([]string{"pipeline"}, names...), labels)
	}
	return &tableMetrics{tables: t,
		behind:  desc("thalweg_table_behind_slots", "Finished slots of a log that are known not to be in the sink's table.", "log"),
		version: desc("thalweg_table_version", "Version of the sink's table, -1 while there is none."),
		commits: desc("thalweg_table_commits_total", "Versions of the table that this worker made."),
		lost:    desc("thalweg_table_conflicts_total", "Commits that another writer's version came before, and that were made again."),
	}
}

// Describe implements prometheus.Collector.
func (m *tableMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.behind, m.version, m.commits, m.lost} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *tableMetrics) Collect(ch chan<- prometheus.Metric) {
	for pipeline, s := range m.tables.statuses() {
		ch <- prometheus.MustNewConstMetric(m.version, prometheus.GaugeValue, float64(s.Version), pipeline)
		ch <- prometheus.MustNewConstMetric(m.commits, prometheus.CounterValue, float64(s.Commits), pipeline)
		ch <- prometheus.MustNewConstMetric(m.lost, prometheus.CounterValue, float64(s.Lost), pipeline)
		for source, of := range s.Sources {
			ch <- prometheus.MustNewConstMetric(m.behind, prometheus.GaugeValue, float64(of.Behind), pipeline, source.String())
		}
	}
}
