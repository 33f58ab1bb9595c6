package coordinator

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/alert"
	"github.com/thalweg/thalweg/coordinator/alert/webhook"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/state"
	"github.com/thalweg/thalweg/coordinator/view"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/spelling"
)

// settleTTLs is how many times a lease's time a leader leads before it looks for alerts: until
// workers have called, much seems to be the matter that is not.
const settleTTLs = 3

// alerting is what a leadership remembers of alerts.
type alerting struct {
	watch  alert.Watch
	rates  alert.Rates
	sender *webhook.Sender
}

// watchAlerts looks for what somebody is to be told, and tells it, until ctx ends.
func (c *Coordinator) watchAlerts(ctx context.Context, lead *leadership) {
	defer lead.alerts.sender.Close()
	tick := time.NewTicker(c.cfg.AlertEvery)
	defer tick.Stop()
	began := time.Now()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if c.leading() != lead {
			continue
		}
		if time.Since(began) >= settleTTLs*c.cfg.LeaseTTL {
			if err := c.lookForAlerts(ctx, lead); err != nil && ctx.Err() == nil {
				c.log.Debug("alerts were put off", keyError, err)
			}
		}
		var due map[string][]webhook.Due
		c.replica.view(func(s *state.State) { due = webhook.DueOf(s.Alerts()) })
		lead.alerts.sender.Send(ctx, due)
	}
}

// newSender returns what tells webhooks, for a leadership.
func (c *Coordinator) newSender(lead *leadership) *webhook.Sender {
	cluster := ""
	if c.cfg.Credentials != nil {
		cluster = c.cfg.Credentials.Identity().Cluster
	}
	return webhook.NewSender(cluster, c.cfg.Version, c.cfg.Webhooks, c.metrics.alerts, func(t alert.Told) error {
		if c.leading() != lead {
			return notLeader("")
		}
		_, err := c.propose(&state.UpdateAlerts{Update: alert.Update{Told: []alert.Told{t}}})
		return err
	})
}

// lookForAlerts notes what has begun and what has ended.
func (c *Coordinator) lookForAlerts(ctx context.Context, lead *leadership) error {
	all := &apiv1.StatusResponse{Nodes: c.probeNodes(ctx, c.nodeView())}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var u alert.Update
	c.replica.view(func(s *state.State) {
		all.Level = uint32(s.Level())
		for p := range s.Pipelines() {
			all.Pipelines = append(all.Pipelines, pipelineView(lead, s, p, p.Newest()))
		}
		var conditions []alert.Condition
		for _, a := range view.Conditions(all, s, lead.liveness, time.Now(), true) {
			conditions = append(conditions, alert.Condition{Rule: a.Rule, Pipeline: thalweg.PipelineName(a.Pipeline), Subject: a.Subject, Message: a.Message})
		}
		streams, now := make(map[thalweg.PipelineName]bool), c.cfg.Now()
		for _, v := range all.Streams {
			name := thalweg.PipelineName(v.Pipeline)
			streams[name] = true
			if many, ok := lead.alerts.rates.Note(now, name, v.ScoredRows, v.DeadLetters); ok {
				conditions = append(conditions, many)
			}
		}
		lead.alerts.rates.Keep(streams)
		u = lead.alerts.watch.Look(now, conditions, s.Alerts(), func(name thalweg.PipelineName) *alert.Wanted {
			if p := s.Pipeline(name); p != nil {
				return p.Newest().Alerts
			}
			return nil
		}, c.cfg.clusterWebhooks())
	})
	if u.Empty() {
		return nil
	}
	_, err := c.propose(&state.UpdateAlerts{Update: u})
	if err == nil {
		for _, r := range u.Raise {
			c.log.Warn("an alert fires", "alert", r.Rule, "severity", r.Severity, "subject", r.Subject, keyReason, r.Message)
		}
		for _, r := range u.Resolve {
			c.log.Info("an alert is resolved", "alert", r.ID)
		}
	}
	return err
}

// clusterWebhooks are those that get the alerts of the cluster.
func (c Config) clusterWebhooks() (names []string) {
	for name, hook := range c.Webhooks {
		if hook.Cluster {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// alertsOf returns what a spec wants of alerts; nil: nothing.
func alertsOf(spec *pipeline.Spec) *alert.Wanted {
	m := spec.Spec.Monitoring
	if m == nil || len(m.Alerts)+len(m.Rules) == 0 {
		return nil
	}
	w := new(alert.Wanted)
	for _, a := range m.Alerts {
		w.Webhooks = append(w.Webhooks, alert.Webhook{Name: a.Webhook, Severity: a.Severity})
	}
	for _, r := range m.Rules {
		change := alert.Change{Rule: r.Alert, Severity: r.Severity}
		if r.For != nil {
			ms := time.Duration(*r.For).Milliseconds()
			change.ForMS = &ms
		}
		w.Rules = append(w.Rules, change)
	}
	return w
}

// checkWebhooks refuses a spec that names a webhook which this coordinator has not.
func (c *Coordinator) checkWebhooks(spec *pipeline.Spec) error {
	if m := spec.Spec.Monitoring; m != nil {
		for _, a := range m.Alerts {
			if _, known := c.cfg.Webhooks[a.Webhook]; !known {
				names := func(yield func(string) bool) {
					for name := range c.cfg.Webhooks {
						if !yield(name) {
							return
						}
					}
				}
				known := slices.Sorted(names)
				hint := "register it in the file of --connections of each coordinator; known are " + strings.Join(known, ", ")
				if len(known) == 0 {
					hint = "register it in the file of --connections of each coordinator: ops: {webhook: {url: https://…}}"
				}
				if near := spelling.Hint(a.Webhook, slices.Values(known)); near != "" {
					hint = near
				}
				return &thalweg.Error{Op: "apply spec", Kind: thalweg.NotFound, Subject: "spec.monitoring.alerts: webhook " + a.Webhook, Err: errors.New("no coordinator has it"), Hint: hint}
			}
		}
	}
	return nil
}

// ListAlerts lists the alerts of one pipeline, or of all and the cluster.
func (s *service) ListAlerts(ctx context.Context, req *apiv1.ListAlertsRequest) (*apiv1.ListAlertsResponse, error) {
	lead, err := s.c.waitLeading(ctx)
	if err != nil {
		return nil, err
	}
	shown := func(pipeline thalweg.PipelineName) bool {
		return (req.Pipeline == "" || string(pipeline) == req.Pipeline) && (pipeline == "" || sees(ctx, pipeline))
	}
	resp := &apiv1.ListAlertsResponse{}
	known, hint := req.Pipeline == "", ""
	err = s.c.read(func(st *state.State) {
		known = known || st.Pipeline(thalweg.PipelineName(req.Pipeline)) != nil
		hint = nearestPipeline(ctx, st, req.Pipeline)
		for _, r := range st.Alerts().Firing {
			if shown(r.Pipeline) {
				resp.Alerts = append(resp.Alerts, alertView(r, lead.alerts.sender))
			}
		}
		for _, p := range lead.alerts.watch.Pending() {
			if shown(p.Pipeline) {
				rule, _ := alert.RuleOf(p.Rule)
				resp.Alerts = append(resp.Alerts, &apiv1.Alert{Rule: p.Rule, Severity: p.Severity, Pipeline: string(p.Pipeline), Subject: p.Subject, Message: p.Message,
					Action: rule.Action, Docs: rule.Docs(), State: "pending", SinceUnixMs: p.Since.UnixMilli(), FiresUnixMs: p.Fires.UnixMilli()})
			}
		}
		if !req.Resolved {
			return
		}
		for _, r := range slices.Backward(st.Alerts().Ended) {
			if shown(r.Pipeline) {
				resp.Alerts = append(resp.Alerts, alertView(r, lead.alerts.sender))
			}
		}
	})
	if err == nil && !known {
		err = &thalweg.Error{Op: "list alerts", Kind: thalweg.NotFound, Subject: "pipeline " + req.Pipeline, Hint: hint}
	}
	return resp, err
}

// alertView is an alert as the RPC shows it.
func alertView(r *alert.Record, sender *webhook.Sender) *apiv1.Alert {
	rule, _ := alert.RuleOf(r.Rule)
	v := &apiv1.Alert{Rule: r.Rule, Severity: r.Severity, Pipeline: string(r.Pipeline), Subject: r.Subject, Message: r.Message, Action: rule.Action, Docs: rule.Docs(),
		State: alert.Firing, SinceUnixMs: r.SinceMS, FiresUnixMs: r.FiredMS, ResolvedUnixMs: r.ResolvedMS}
	if r.ResolvedMS > 0 {
		v.State = alert.Resolved
	}
	for _, s := range r.Sends {
		send := &apiv1.AlertSend{Webhook: s.Webhook, Told: s.Told}
		if r.Due(s.Webhook) != "" {
			st, known := sender.State(s.Webhook)
			send.Error, send.Failures = st.Error, uint32(st.Failures)
			if !st.Next.IsZero() {
				send.NextUnixMs = st.Next.UnixMilli()
			}
			if !known {
				send.Error = "the leader has no webhook of this name: register it in the file of --connections of each coordinator"
			}
		}
		v.Sends = append(v.Sends, send)
	}
	return v
}
