package coordinator

import (
	"path"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/state"
)

// metrics are one node's, in a registry of its own so that several nodes can
// live in one process.
type metrics struct {
	registry  *prometheus.Registry
	requests  *prometheus.CounterVec
	requestS  *prometheus.HistogramVec
	commands  *prometheus.CounterVec
	commandS  *prometheus.HistogramVec
	forwarded prometheus.Counter
}

func newMetrics(c *Coordinator) *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	m.requests = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "thalweg_coordinator_requests_total",
		Help: "Requests served by this node, by verb and outcome."}, []string{"verb", "outcome"})
	m.requestS = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "thalweg_coordinator_request_seconds",
		Help: "Time to answer, by verb; a poll waits for work.", Buckets: prometheus.ExponentialBuckets(0.0005, 4, 8)}, []string{"verb"})
	m.commands = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "thalweg_coordinator_commands_total",
		Help: "Commands proposed by this node, by name and outcome."}, []string{"command", "outcome"})
	m.commandS = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "thalweg_coordinator_command_seconds",
		Help: "Time from proposal to answer, by command.", Buckets: prometheus.ExponentialBuckets(0.0005, 4, 8)}, []string{"command"})
	m.forwarded = prometheus.NewCounter(prometheus.CounterOpts{Name: "thalweg_coordinator_forwarded_total",
		Help: "Requests that this node passed on to the leader."})
	m.registry.MustRegister(m.requests, m.requestS, m.commands, m.commandS, m.forwarded,
		gauge("thalweg_coordinator_leader", "1 on the node that leads.", func() float64 {
			if c.node != nil && c.leading() != nil {
				return 1
			}
			return 0
		}),
		gauge("thalweg_coordinator_applied_index", "Index of the last log entry applied.", func() float64 {
			var index uint64
			c.replica.view(func(s *state.State) { index = s.Index() })
			return float64(index)
		}),
		gauge("thalweg_coordinator_active_runs", "Runs that have not ended.", func() float64 {
			var n int
			c.replica.view(func(s *state.State) { n = len(s.ActiveRuns()) })
			return float64(n)
		}),
		gauge("thalweg_coordinator_lease_holders", "Workers that hold at least one lease.", func() float64 {
			var n int
			c.replica.view(func(s *state.State) { n = len(s.Holders()) })
			return float64(n)
		}),
		gauge("thalweg_coordinator_parked_polls", "Polls that wait for work on this node.", func() float64 {
			return float64(c.parked.Load())
		}))
	return m
}

func gauge(name, help string, read func() float64) prometheus.GaugeFunc {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read)
}

// request counts a served request.
func (m *metrics) request(procedure string, took time.Duration, err error) {
	verb := path.Base(procedure)
	m.requests.WithLabelValues(verb, outcome(err)).Inc()
	m.requestS.WithLabelValues(verb).Observe(took.Seconds())
}

// command counts a proposed command.
func (m *metrics) command(name string, took time.Duration, err error) {
	m.commands.WithLabelValues(name, outcome(err)).Inc()
	m.commandS.WithLabelValues(name).Observe(took.Seconds())
}

func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	return thalweg.KindOf(err).String()
}
