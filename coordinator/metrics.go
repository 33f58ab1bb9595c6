package coordinator

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/auth/pki"
	"github.com/thalweg/thalweg/coordinator/state"
)

// metrics are one node's, in a registry of its own so that several nodes can
// live in one process.
type metrics struct {
	registry  *prometheus.Registry
	requests  timed // by verb
	commands  timed // by name
	forwarded prometheus.Counter
	refused   *prometheus.CounterVec // by kind
	// of the state bucket, by collect
	collectedObjects, collectedBytes prometheus.Counter
}

// Metrics describes what a coordinator serves at /metrics.
func Metrics() prometheus.Collector { return newMetrics(nil).registry }

func newMetrics(c *Coordinator) *metrics {
	r := prometheus.NewRegistry()
	m := &metrics{
		registry: r,
		requests: newTimed(r, "thalweg_coordinator_request", "verb",
			"Requests served by this node, by verb and outcome.", "Time to answer, by verb; a poll waits for work."),
		commands: newTimed(r, "thalweg_coordinator_command", "command",
			"Commands proposed by this node, by name and outcome.", "Time from proposal to answer, by command."),
		forwarded: prometheus.NewCounter(prometheus.CounterOpts{Name: "thalweg_coordinator_forwarded_total",
			Help: "Requests that this node passed on to the leader."}),
	}
	m.refused = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "thalweg_coordinator_refused_requests_total",
		Help: "Requests of callers who did not prove who they are, may not do it, or asked too often, by which of these."}, []string{"outcome"})
	m.collectedObjects = prometheus.NewCounter(prometheus.CounterOpts{Name: "thalweg_coordinator_collected_objects_total",
		Help: "Objects that this node removed from the state bucket because nobody needs them."})
	m.collectedBytes = prometheus.NewCounter(prometheus.CounterOpts{Name: "thalweg_coordinator_collected_bytes_total",
		Help: "Bytes that this node removed from the state bucket because nobody needs them."})
	r.MustRegister(m.forwarded, m.refused, m.collectedObjects, m.collectedBytes)
	gauge := func(name, help string, read func(*state.State) int) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() (value float64) {
			c.replica.view(func(s *state.State) { value = float64(read(s)) })
			return value
		}))
	}
	gauge("thalweg_coordinator_leader", "1 on the node that leads.", func(*state.State) int {
		if c.node != nil && c.leading() != nil {
			return 1
		}
		return 0
	})
	gauge("thalweg_coordinator_applied_index", "Index of the last log entry applied.", func(s *state.State) int { return int(s.Index()) })
	gauge("thalweg_coordinator_free_bytes", "Space left where the log is; below 64 MiB the node only reads.", func(*state.State) int {
		if c.node == nil {
			return 0
		}
		free, _ := c.node.FreeBytes() // 0 where it cannot be told
		return int(free)
	})
	gauge("thalweg_coordinator_active_runs", "Runs that have not ended.", func(s *state.State) int { return len(s.ActiveRuns()) })
	gauge("thalweg_coordinator_lease_holders", "Workers that hold at least one lease.",
		func(s *state.State) int { return len(s.Holders()) })
	var certs *pki.Credentials
	if c != nil {
		certs = c.cfg.Credentials
	}
	r.MustRegister(pki.ExpiryGauge(certs, nil))
	gauge("thalweg_coordinator_parked_polls", "Polls that wait for work on this node.",
		func(*state.State) int { return int(c.parked.Load()) })
	return m
}

// timed counts what has an outcome, and measures how long it takes.
type timed struct {
	total   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
}

func newTimed(r *prometheus.Registry, name, label, totalHelp, secondsHelp string) timed {
	t := timed{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{Name: name + "s_total", Help: totalHelp}, []string{label, "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name + "_seconds", Help: secondsHelp,
			Buckets: prometheus.ExponentialBuckets(0.0005, 4, 8)}, []string{label}),
	}
	r.MustRegister(t.total, t.seconds)
	return t
}

func (t timed) observe(label string, took time.Duration, err error) {
	outcome := "ok"
	if err != nil {
		outcome = thalweg.KindOf(err).String()
	}
	t.total.WithLabelValues(label, outcome).Inc()
	t.seconds.WithLabelValues(label).Observe(took.Seconds())
}
