package coordinator

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/alert"
	"github.com/thalweg/thalweg/coordinator/alert/webhook"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
)

// hooked is a receiver of alerts, which refuses the first requests.
type hooked struct {
	*httptest.Server
	mu struct {
		sync.Mutex
		refuse int
		told   []string // alert, status and pipeline
		ids    map[string]int
		bad    []string
	}
}

const hookSecret = "0123456789abcdef-secret"

func newHooked(t *testing.T, refuse int) *hooked {
	h := new(hooked)
	h.mu.refuse, h.mu.ids = refuse, map[string]int{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.mu.refuse > 0 {
			h.mu.refuse--
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		seconds, _ := strconv.ParseInt(r.Header.Get(webhook.HeaderTimestamp), 10, 64)
		want, _ := webhook.Sign(hookSecret, r.Header.Get(webhook.HeaderID), time.Unix(seconds, 0), body)
		var m webhook.Message
		if r.Header.Get(webhook.HeaderSignature) != want || json.Unmarshal(body, &m) != nil || len(m.Alerts) != 1 {
			h.mu.bad = append(h.mu.bad, string(body))
			return
		}
		h.mu.ids[r.Header.Get(webhook.HeaderID)]++
		h.mu.told = append(h.mu.told, m.Alerts[0].Labels["alertname"]+" "+m.Status+" "+m.Alerts[0].Labels["pipeline"])
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hooked) told() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.mu.told)
}

// TestAlertsAreToldOnceWhoeverLeads: an alert fires once its condition has held by the clock, a
// webhook that refuses is tried again, and the next leader tells nothing twice and the end.
func TestAlertsAreToldOnceWhoeverLeads(t *testing.T) {
	t.Parallel()
	hook := newHooked(t, 2)
	var ahead atomic.Int64 // of the clock
	c := newCluster(t, 3, func(cfg *Config) {
		cfg.AlertEvery = 10 * time.Millisecond
		cfg.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		cfg.Webhooks = map[string]webhook.Config{"ops": {URL: hook.URL, Secret: func() string { return hookSecret }, Cluster: true}}
	})
	client := c.client()
	c.leader()
	// A run without a worker to do it.
	run := c.apply(client, "flights", 1).RunId
	alerts := func(resolved bool) map[string]*apiv1.Alert {
		t.Helper()
		res, err := client.ListAlerts(c.ctx(), &apiv1.ListAlertsRequest{Resolved: resolved})
		if err != nil {
			t.Fatal(err)
		}
		byRule := map[string]*apiv1.Alert{}
		for _, a := range res.Alerts {
			byRule[a.Rule] = a
		}
		return byRule
	}
	c.eventually("it is pending", func() bool { a := alerts(false)[alert.NoWorker]; return a != nil && a.State == "pending" })
	if told := hook.told(); len(told) > 0 {
		t.Fatalf("told %q before its time", told)
	}
	ahead.Add(int64(59 * time.Second)) // a minute is the rule's; the rest passes, or not
	ahead.Add(int64(2 * time.Second))
	c.eventually("it is told", func() bool { return slices.Equal(hook.told(), []string{"no_worker firing "}) })
	c.eventually("it is noted", func() bool {
		a := alerts(false)[alert.NoWorker]
		return a != nil && a.State == alert.Firing && len(a.Sends) == 1 && a.Sends[0].Told == alert.Firing && a.Action != ""
	})
	status, err := client.Status(c.ctx(), &apiv1.StatusRequest{})
	if err != nil || status.AlertsFiring != 1 {
		t.Errorf("%v alerts fire: %v", status.GetAlertsFiring(), err)
	}
	if metrics := c.metricsOfLeader(client); !strings.Contains(metrics, `thalweg_alerts_firing{severity="error"} 1`) || !strings.Contains(metrics, `thalweg_alert_sends_total{outcome="failed",webhook="ops"}`) {
		t.Error("metrics do not tell of the alert")
	}
	first := c.leader()
	c.stop(first)
	second := c.leader()
	if second == first {
		t.Fatal("the stopped node leads")
	}
	c.eventually("the next leader looks", func() bool {
		lead := c.nodes[c.leader()].leading()
		return lead != nil && len(lead.alerts.watch.Pending()) > 0 // the node that is gone
	})
	if _, err := client.CancelRun(c.ctx(), &apiv1.CancelRunRequest{RunId: run}); err != nil {
		t.Fatal(err)
	}
	c.eventually("its end is told", func() bool { return len(hook.told()) > 1 })
	c.eventually("its end is noted", func() bool {
		a := alerts(true)[alert.NoWorker]
		return a != nil && a.State == alert.Resolved && a.Sends[0].Told == alert.Resolved
	})
	if told := hook.told(); !slices.Equal(told, []string{"no_worker firing ", "no_worker resolved "}) {
		t.Errorf("told %q", told)
	}
	hook.mu.Lock()
	defer hook.mu.Unlock()
	if len(hook.mu.bad) > 0 || len(hook.mu.ids) != 2 {
		t.Errorf("bad requests %q, ids %v", hook.mu.bad, hook.mu.ids)
	}
}

// TestSpecsChangeTheRulesOfPipelines, each of them, and none of the cluster.
func TestSpecsChangeTheRulesOfPipelines(t *testing.T) {
	t.Parallel()
	for _, r := range alert.Rules() {
		text := specText("flights", 1) + "  monitoring: {rules: [{alert: " + r.Name + ", for: 3m}]}\n"
		spec, err := pipeline.Parse(catalog.All(), "x", []byte(text))
		if (err == nil) == r.OfCluster {
			t.Errorf("%s: %v", r.Name, err)
		}
		if err == nil && alertsOf(spec).Rule(r).For != 3*time.Minute {
			t.Errorf("%s: %+v", r.Name, alertsOf(spec))
		}
	}
}

// TestASpecNamesAWebhookThatThereIs, and rules of its own for its own alerts.
func TestASpecNamesAWebhookThatThereIs(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, func(cfg *Config) { cfg.Webhooks = map[string]webhook.Config{"ops": {URL: "http://127.0.0.1:9/"}} })
	client := c.client()
	text := specText("flights", 1) + "  monitoring: {alerts: [{webhook: opps}], rules: [{alert: stream_lag, for: 1m, severity: error}]}\n"
	_, err := client.Apply(c.ctx(), &apiv1.ApplyRequest{Spec: text})
	if !thalweg.Is(err, thalweg.NotFound) || !strings.Contains(err.Error(), "did you mean ops?") {
		t.Errorf("another webhook: %v", err)
	}
	if _, err := client.Apply(c.ctx(), &apiv1.ApplyRequest{Spec: strings.Replace(text, "opps", "ops", 1)}); err != nil {
		t.Error(err)
	}
	if _, err := client.ListAlerts(c.ctx(), &apiv1.ListAlertsRequest{Pipeline: "flight"}); !thalweg.Is(err, thalweg.NotFound) || !strings.Contains(err.Error(), "flights") {
		t.Errorf("alerts of no pipeline: %v", err)
	}
}
