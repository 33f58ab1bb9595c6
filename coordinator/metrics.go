package coordinator

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/alert"
	"github.com/thalweg/thalweg/coordinator/alert/webhook"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/auth/pki"
	"github.com/thalweg/thalweg/coordinator/serving"
	"github.com/thalweg/thalweg/coordinator/state"
	"github.com/thalweg/thalweg/coordinator/view"
	"github.com/thalweg/thalweg/tracing"
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
	restarts                         *prometheus.CounterVec // by reason
	flaps                            prometheus.Counter
	serving                          *serving.Metrics
	alerts                           *webhook.Metrics
}

// Why a task is leased again.
const (
	restartFailed = "failed"
	restartLost   = "worker lost"
)

// Metrics describes what a coordinator serves at /metrics.
func Metrics() prometheus.Collector { return newMetrics(nil).registry }

func newMetrics(c *Coordinator) *metrics {
	r := prometheus.NewRegistry()
	m := &metrics{
		registry: r,
		serving:  serving.NewMetrics(r),
		alerts:   webhook.NewMetrics(r),
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
	m.restarts = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "thalweg_coordinator_task_restarts_total",
		Help: "Leases that ended because a task failed or its worker was lost, as this node saw it while it led; the last failure of a run counts too."}, []string{"reason"})
	for _, reason := range []string{restartFailed, restartLost} {
		m.restarts.WithLabelValues(reason) // 0 is told too
	}
	m.flaps = prometheus.NewCounter(prometheus.CounterOpts{Name: "thalweg_coordinator_worker_flaps_total",
		Help: "Times that a worker had begun anew soon after it had, and got no leases for a while, as this node saw it while it led."})
	r.MustRegister(m.forwarded, m.refused, m.collectedObjects, m.collectedBytes, m.restarts, m.flaps, newStreamMetrics(c), firingAlerts{c})
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
	gauge("thalweg_coordinator_term", "Raft term that this node is in: each election begins a new one.", func(*state.State) int {
		if c.node == nil {
			return 0
		}
		return int(c.node.Term())
	})
	gauge("thalweg_coordinator_leases", "Tasks and partitions that workers hold.", func(s *state.State) (n int) {
		for _, id := range s.Holders() {
			n += len(s.HeldBy(id))
		}
		return n
	})
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
	var cfg Config
	if c != nil {
		cfg = c.cfg
	}
	r.MustRegister(pki.ExpiryGauge(cfg.Credentials, nil), tracing.Collector(cfg.Traces))
	gauge("thalweg_coordinator_parked_polls", "Polls that wait for work on this node.",
		func(*state.State) int { return int(c.parked.Load()) })
	return m
}

// firingAlerts counts alerts when it is asked.
type firingAlerts struct{ c *Coordinator }

var firingDesc = prometheus.NewDesc("thalweg_alerts_firing", "Alerts that fire, by severity: the same on each node that has applied as much.", []string{"severity"}, nil)

// Describe is of prometheus.Collector.
func (firingAlerts) Describe(descs chan<- *prometheus.Desc) { descs <- firingDesc }

// Collect is of prometheus.Collector.
func (a firingAlerts) Collect(values chan<- prometheus.Metric) {
	firing := map[string]float64{alert.Error: 0, alert.Warning: 0}
	a.c.replica.view(func(s *state.State) {
		for _, r := range s.Alerts().Firing {
			firing[r.Severity]++
		}
	})
	for severity, n := range firing {
		values <- prometheus.MustNewConstMetric(firingDesc, prometheus.GaugeValue, n, severity)
	}
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

// streamMetrics tells of the streams when it is asked, on the leader alone: only it
// hears from workers. They come and go with their pipelines.
type streamMetrics struct {
	c                                                      *Coordinator
	lag, lagSeconds, deadLetters, partitions, rate, wanted *prometheus.Desc
	sent, sentLatency, share, bad                          *prometheus.Desc
}

func newStreamMetrics(c *Coordinator) *streamMetrics {
	desc := func(name, help string, names ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, append([]string{"pipeline"}, names...), nil)
	}
	return &streamMetrics{c: c,
		lag:         desc("thalweg_stream_lag_events", "Events of the topic that are not scored yet, of partitions whose ends are known; the leader tells."),
		lagSeconds:  desc("thalweg_stream_lag_seconds", "Age of the oldest event that is not scored, by its timestamp in the topic, of the partition that is furthest behind; 0 where all are scored, absent while no partition's is known; the leader tells."),
		wanted:      desc("thalweg_stream_wanted_workers", "Workers that the stream wants by scoring.scale of its spec, absent without one; the leader tells."),
		deadLetters: desc("thalweg_stream_dead_letters", "Dead letters since the logs of the stream began; the leader tells."),
		partitions:  desc("thalweg_stream_partitions", "Partitions by state: waiting, running, paused or stopped; the leader tells.", "state"),
		sent:        desc("thalweg_stream_rows_sent", "Rows in the topic of rows since the workers that hold the partitions began, absent without such a topic; the leader tells."),
		sentLatency: desc("thalweg_stream_sent_latency_seconds", "Time from an event's timestamp to when its row was committed to the topic of rows, by quantile, 0.5 or 0.99, of the partition where it is longest; the leader tells.", "quantile"),
		share:       desc("thalweg_rollout_percent", "Share of the rows that the candidate of the pipeline's rollout has, absent while none goes on; the leader tells.", "candidate"),
		bad:         desc("thalweg_rollout_bad_verdicts", "Bad verdicts on the candidate of the pipeline's rollout, absent while none goes on; the leader tells.", "candidate"),
		rate:        desc("thalweg_stream_events_per_second", "Events that are scored in a second, as workers measured it last; the leader tells."),
	}
}

// Describe implements prometheus.Collector.
func (m *streamMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.lag, m.lagSeconds, m.wanted, m.deadLetters, m.sent, m.sentLatency, m.share, m.bad, m.partitions, m.rate} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *streamMetrics) Collect(ch chan<- prometheus.Metric) {
	lead := m.c.leading()
	if lead == nil {
		return
	}
	views, now := make(map[string][]*apiv1.StreamPartition), time.Now()
	wanted := make(map[string]uint32)
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	m.c.replica.view(func(s *state.State) {
		for p := range s.Pipelines() {
			if p.Wanted > 0 {
				wanted[string(p.Name)] = p.Wanted
			}
			if r := s.Rollout(p); r.Going() {
				candidate := strconv.FormatUint(uint64(r.Candidate), 10)
				gauge(m.share, float64(r.Percent()), string(p.Name), candidate)
				gauge(m.bad, float64(r.Failures), string(p.Name), candidate)
			}
			for _, part := range p.Partitions {
				views[string(p.Name)] = append(views[string(p.Name)], view.Partition(s, p, part, lead.liveness, now))
			}
		}
	})
	for pipeline, n := range wanted {
		gauge(m.wanted, float64(n), pipeline)
	}
	for pipeline, parts := range views {
		var lag, dead, sent int64
		rate, behind, p50, p99, sends := 0.0, -1.0, 0.0, 0.0, false
		states := make(map[string]int)
		for _, p := range parts {
			if p.End >= 0 && p.Scored >= 0 {
				lag += max(0, p.End-p.Scored)
			}
			behind = max(behind, p.LagSeconds)
			dead += p.DeadLetters
			sends, sent = sends || p.RowsTopic != "", sent+p.RowsSent
			p50, p99 = max(p50, p.SentP50Ms), max(p99, p.SentP99Ms)
			rate += p.RowsPerSecond
			states[p.State]++
		}
		gauge(m.lag, float64(lag), pipeline)
		if behind >= 0 {
			gauge(m.lagSeconds, behind, pipeline)
		}
		gauge(m.deadLetters, float64(dead), pipeline)
		if sends {
			gauge(m.sent, float64(sent), pipeline)
			gauge(m.sentLatency, p50/1000, pipeline, "0.5")
			gauge(m.sentLatency, p99/1000, pipeline, "0.99")
		}
		gauge(m.rate, rate, pipeline)
		for state, n := range states {
			gauge(m.partitions, float64(n), pipeline, state)
		}
	}
}
