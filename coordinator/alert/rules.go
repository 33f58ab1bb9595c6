package alert

import (
	"slices"
	"time"
)

// Rule is something that the leader looks for.
type Rule struct {
	Name     string
	Severity string
	// For is how long its condition has to hold before it fires.
	For time.Duration
	// Action says what to do.
	Action string
	// OfCluster: it concerns no single pipeline.
	OfCluster bool
}

// The rules.
const (
	CoordinatorUnreachable = "coordinator_unreachable"
	CoordinatorReadOnly    = "coordinator_read_only"
	CertificateExpires     = "certificate_expires"
	CertificateExpired     = "certificate_expired"
	BuildsDiffer           = "builds_differ"
	WorkerLost             = "worker_lost"
	WorkerDiskFull         = "worker_disk_full"
	NoWorker               = "no_worker"
	RunFailed              = "run_failed"
	RunWaits               = "run_waits"
	ShardsSkipped          = "shards_skipped"
	GatesFailed            = "gates_failed"
	StreamStopped          = "stream_stopped"
	StreamPaused           = "stream_paused"
	StreamLag              = "stream_lag"
	DeadLetters            = "dead_letters"
	ServiceDegraded        = "service_degraded"
	RolloutWaits           = "rollout_waits"
	RolloutBad             = "rollout_bad"
	RolledBack             = "rolled_back"
	DeletionStuck          = "deletion_stuck"
)

// Rules is the catalog. To add one: a line here, what finds it in coordinator/view, its name in
// pipeline.AlertRule, and its section in docs/alerts.md.
func Rules() []Rule {
	return []Rule{
		{CoordinatorUnreachable, Error, time.Minute, "start the node again, or replace it: thalweg members remove ID", true},
		{CoordinatorReadOnly, Error, 0, "make room where the node's log is (--dir)", true},
		{CertificateExpired, Error, 0, "give the node another one: thalweg init node … --renew", true},
		{CertificateExpires, Warning, 0, "renew it: thalweg init node … --renew", true},
		{BuildsDiffer, Warning, 24 * time.Hour, "end the upgrade: thalweg status names the builds", true},
		{WorkerLost, Error, time.Minute, "start the worker again, or leave it if it is not to come back: its work has moved", true},
		{WorkerDiskFull, Warning, 5 * time.Minute, "make room in the worker's --dir: it gets no tasks of runs meanwhile", true},
		{NoWorker, Error, time.Minute, "start a worker: there is work and nobody does it", true},
		{RunFailed, Error, 0, "thalweg runs show RUN says why; mend the data or the spec, then thalweg runs start PIPELINE", false},
		{RunWaits, Warning, 10 * time.Minute, "add a worker with enough memory, or lower resources.worker.memory", false},
		{ShardsSkipped, Warning, 0, "thalweg runs show RUN names the shards that were left out", false},
		{GatesFailed, Warning, 0, "thalweg runs show RUN has the gates; the champion stays until a version passes or thalweg models promote", false},
		{StreamStopped, Error, 0, "thalweg stream status PIPELINE says what is lost or damaged; thalweg stream resume PIPELINE goes on", false},
		{StreamPaused, Error, 0, "thalweg dlq list PIPELINE says why events are dead; thalweg stream resume PIPELINE goes on", false},
		{StreamLag, Warning, 5 * time.Minute, "add workers, or raise scoring.scale.target_lag_seconds: thalweg stream status PIPELINE", false},
		{DeadLetters, Warning, 0, "thalweg dlq list PIPELINE counts them by reason; thalweg dlq replay PIPELINE scores them once they can be", false},
		{ServiceDegraded, Warning, time.Minute, "thalweg status says why no worker answers, under SERVICE", false},
		{RolloutWaits, Warning, time.Hour, "thalweg rollout status PIPELINE has the verdicts; thalweg rollout resume, promote or abort PIPELINE", false},
		{RolloutBad, Warning, 0, "thalweg rollout status PIPELINE has the verdicts; thalweg rollout abort PIPELINE ends it", false},
		{RolledBack, Warning, 0, "thalweg rollout status PIPELINE says why; the champion answers", false},
		{DeletionStuck, Error, 10 * time.Minute, "thalweg status says what the deletion waits for", false},
	}
}

// RuleOf returns the rule of a name.
func RuleOf(name string) (Rule, bool) {
	rules := Rules()
	i := slices.IndexFunc(rules, func(r Rule) bool { return r.Name == name })
	if i < 0 {
		return Rule{}, false
	}
	return rules[i], true
}

// Docs is where a rule is described.
func (r Rule) Docs() string { return "docs/alerts.md#" + r.Name }

// Wanted is what a spec says of alerts.
type Wanted struct {
	// Webhooks get the alerts of the pipeline from a severity on.
	Webhooks []Webhook `json:"webhooks,omitempty"`
	Rules    []Change  `json:"rules,omitempty"`
}

// Webhook is one that gets alerts from a severity on.
type Webhook struct {
	Name     string `json:"name"`
	Severity string `json:"severity,omitempty"` // Error; else all
}

// Change is how a rule differs from the catalog's for a pipeline.
type Change struct {
	Rule     string `json:"rule"`
	ForMS    *int64 `json:"for_ms,omitempty"`
	Severity string `json:"severity,omitempty"`
}

// Rule returns a rule as a spec wants it.
func (w *Wanted) Rule(r Rule) Rule {
	if w == nil {
		return r
	}
	for _, c := range w.Rules {
		if c.Rule != r.Name {
			continue
		}
		if c.ForMS != nil {
			r.For = time.Duration(*c.ForMS) * time.Millisecond
		}
		if c.Severity != "" {
			r.Severity = c.Severity
		}
	}
	return r
}

// To returns the webhooks that get an alert of a severity.
func (w *Wanted) To(severity string) (names []string) {
	if w == nil {
		return nil
	}
	for _, h := range w.Webhooks {
		if severity == Error || h.Severity != Error {
			names = append(names, h.Name)
		}
	}
	return names
}
