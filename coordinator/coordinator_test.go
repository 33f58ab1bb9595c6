package coordinator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/auth"
)

// logged is a log that nodes write and a test reads.
type logged struct {
	sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (l *logged) Write(line []byte) (int, error) {
	l.Lock()
	defer l.Unlock()
	return l.text.Write(line)
}

// lines counts those that a pattern matches.
func (l *logged) lines(pattern string) int {
	l.Lock()
	defer l.Unlock()
	return len(regexp.MustCompile(pattern).FindAllIndex(l.text.Bytes(), -1))
}

func TestWholeRunThenStream(t *testing.T) {
	t.Parallel()
	var log logged
	c := newClusterWithLog(t, 3, nil, slog.New(slog.NewJSONHandler(&log, nil)))
	client := c.client()
	applied := c.apply(client, "flights", 1)
	if applied.RunId != "flights-1-1" || applied.Generation != 1 || !applied.Changed {
		t.Fatalf("applied: %v", applied)
	}
	w1, w2 := newRobot(c, "w1", nil), newRobot(c, "w2", nil)
	c.employ(w1, w2)
	run := c.awaitRun(client, applied.RunId)
	if run.State != "succeeded" || run.ModelVersion != 1 || run.Metrics["test.roc_auc"] != 0.65 || run.Counts["shards"] != 3 {
		t.Fatalf("the run ended: %v", run)
	}
	for _, stage := range append(run.Stages, &apiv1.Stage{}) {
		line := fmt.Sprintf(`"msg":"stage ended","node":"n[0-9]","pipeline":"flights","run":"flights-1-1","stage":"%s"`, stage.Name)
		if stage.Name == "" {
			line = `"msg":"run ended","node":"n[0-9]","pipeline":"flights","run":"flights-1-1","state":"succeeded"`
		}
		if n := log.lines(line); n != 1 {
			t.Errorf("%d lines of the log say %s", n, line)
		}
	}
	for _, stage := range run.Stages {
		if wantRows := map[string]int64{"profile": 100, "clean": 300, "fit": 300, "train": 200, "evaluate": 300}[stage.Name]; stage.RowsDone != wantRows {
			t.Errorf("stage %s has %d rows, want %d", stage.Name, stage.RowsDone, wantRows)
		}
		if stage.State != "done" || stage.TasksDone != stage.TasksTotal {
			t.Errorf("stage %v", stage)
		}
	}
	models, err := client.ListModels(c.ctx(), &apiv1.ListModelsRequest{Model: "flights"})
	if err != nil || len(models.Models) != 1 || models.Models[0].Aliases["champion"] != 1 || models.Models[0].Versions[0].ModelSha256 != "abc" {
		t.Fatalf("models: %v, %v", models, err)
	}

	// The stream begins with partition 0 and grows as its holder sees the topic.
	c.eventually("three partitions are scored by two workers", func() bool {
		resp, err := client.StreamStatus(c.ctx(), &apiv1.StreamStatusRequest{Pipeline: "flights"})
		if err != nil {
			t.Fatal(err)
		}
		workers := make(map[string]int)
		for _, p := range resp.Partitions {
			if p.State == "running" && p.Committed == 7 {
				workers[p.Worker]++
			}
		}
		return len(resp.Partitions) == 3 && len(workers) == 2 && workers["w1"]+workers["w2"] == 3
	})
	for _, want := range []string{`thalweg_stream_partitions{pipeline="flights",state="running"} 3`, "thalweg_coordinator_leases 3", `thalweg_stream_lag_events{pipeline="flights"} `, `thalweg_stream_lag_seconds{pipeline="flights"} 0`} {
		if !strings.Contains(c.metricsOfLeader(client), want) {
			t.Errorf("the leader's metrics lack %s", want)
		}
	}
	score := append(w1.leases(), w2.leases()...)[0]
	if score.Kind != "score" || len(score.Models) != 1 || score.Models[0].Version != 1 || score.Paused || score.Spec == "" {
		t.Errorf("score lease: %v", score)
	}

	// Pausing reaches the holders under the same lease.
	if _, err := client.SetStream(c.ctx(), &apiv1.SetStreamRequest{Pipeline: "flights", Paused: true}); err != nil {
		t.Fatal(err)
	}
	c.eventually("all partitions are paused", func() bool {
		all := append(w1.leases(), w2.leases()...)
		for _, l := range all {
			if !l.Paused {
				return false
			}
		}
		return len(all) == 3
	})

	// A second run makes version 2, which the leases offer first.
	started, err := client.StartRun(c.ctx(), &apiv1.StartRunRequest{Pipeline: "flights"})
	if err != nil {
		t.Fatal(err)
	}
	if run := c.awaitRun(client, started.RunId); run.State != "succeeded" || run.ModelVersion != 2 {
		t.Fatalf("the second run ended: %v", run)
	}
	c.eventually("the new champion is offered, then the one before", func() bool {
		for _, l := range append(w1.leases(), w2.leases()...) {
			if len(l.Models) != 2 || l.Models[0].Version != 2 || l.Models[1].Version != 1 {
				return false
			}
		}
		return true
	})
	back, err := client.Promote(c.ctx(), &apiv1.PromoteRequest{Model: "flights", Version: 1})
	if err != nil || back.Previous != 2 {
		t.Errorf("rollback: %v, %v", back, err)
	}
	runs, err := client.ListRuns(c.ctx(), &apiv1.ListRunsRequest{Pipeline: "flights"})
	if err != nil || len(runs.Runs) != 2 || runs.Runs[0].Id != "flights-1-2" {
		t.Errorf("runs: %v, %v", runs, err)
	}
}

// metricsOfLeader returns what the leader serves for Prometheus.
func (c *cluster) metricsOfLeader(client *api.Client) string {
	c.t.Helper()
	status, err := client.Status(c.ctx(), &apiv1.StatusRequest{})
	if err != nil || c.nodes[status.Leader] == nil {
		c.t.Fatalf("%v, %v", status, err)
	}
	to := httptest.NewRecorder()
	promhttp.HandlerFor(c.nodes[status.Leader].metrics.registry, promhttp.HandlerOpts{}).ServeHTTP(to, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return to.Body.String()
}

func TestAnyNodeTakesAnyRequest(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, nil)
	follower := c.follower()
	client := c.client(follower)
	c.apply(client, "flights", 1)
	got, err := client.GetPipeline(c.ctx(), &apiv1.GetPipelineRequest{Name: "flights"})
	if err != nil || !strings.Contains(got.Pipeline.RenderedSpec, "s3://lake/flights/*.parquet") || got.Pipeline.Generation != 1 {
		t.Fatalf("pipeline: %v, %v", got, err)
	}
	// Errors keep their kind on the way through a follower.
	_, err = client.GetRun(c.ctx(), &apiv1.GetRunRequest{RunId: "nobody"})
	wantKind(t, "unknown run", err, thalweg.NotFound)
	for name, hint := range map[string]string{"flihgts": "did you mean flights?", "nobody": "`thalweg status` lists"} {
		_, got := client.GetPipeline(c.ctx(), &apiv1.GetPipelineRequest{Name: name})
		_, status := client.StreamStatus(c.ctx(), &apiv1.StreamStatusRequest{Pipeline: name})
		_, set := client.SetStream(c.ctx(), &apiv1.SetStreamRequest{Pipeline: name, RequestId: "r-" + name})
		_, start := client.StartRun(c.ctx(), &apiv1.StartRunRequest{Pipeline: name})
		_, list := client.ListRuns(c.ctx(), &apiv1.ListRunsRequest{Pipeline: name})
		for _, err := range []error{got, status, set, start, list} {
			wantKind(t, "unknown pipeline", err, thalweg.NotFound)
			if !strings.Contains(err.Error(), hint) {
				t.Errorf("%v, want %s", err, hint)
			}
		}
	}
	_, err = client.StartRun(c.ctx(), &apiv1.StartRunRequest{Pipeline: "flights"})
	wantKind(t, "second run", err, thalweg.Exists)
	// Polls too, waiting included.
	c.employ(&robot{id: "w1", client: client, hold: func(*apiv1.Lease) bool { return false }, done: map[string]int{}})
	if run := c.awaitRun(client, "flights-1-1"); run.State != "succeeded" {
		t.Errorf("the run ended: %v", run)
	}
	_, err = client.ListModels(c.ctx(), &apiv1.ListModelsRequest{Model: "flihgts"})
	if !thalweg.Is(err, thalweg.NotFound) || !strings.Contains(err.Error(), "did you mean flights?") {
		t.Errorf("a misspelt model: %v", err)
	}
	if c.nodes[follower].leading() != nil {
		t.Error("the follower leads by now; the test shows nothing")
	}
}

func TestCurlWithJSONWorks(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, nil)
	c.leader()
	once := func(node, verb string, body any) (int, map[string]any) {
		t.Helper()
		data, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		transport := &http.Transport{DisableKeepAlives: true} // HTTP/1.1, as curl speaks it
		resp, err := (&http.Client{Transport: transport}).Post("http://"+c.nodes[node].apiOf(node)+"/thalweg.coordinator.v1.CoordinatorService/"+verb,
			"application/json", bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var answer map[string]any
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, answer
	}
	post := func(node, verb string, body any) (code int, answer map[string]any) {
		t.Helper()
		// Leaders may change on a busy machine; then a client asks again.
		c.eventually(verb+" is answered on "+node, func() bool {
			code, answer = once(node, verb, body)
			return code != http.StatusServiceUnavailable
		})
		return code, answer
	}
	for node := range c.nodes {
		if code, answer := post(node, "Apply", map[string]any{"spec": specText("flights", 1), "requestId": "apply-" + node}); code != 200 || answer["pipeline"] != "flights" {
			t.Errorf("apply on %s: %d %v", node, code, answer)
		}
		if code, answer := post(node, "GetRun", map[string]any{"runId": "flights-1-9"}); code != 404 || answer["code"] != "not_found" {
			t.Errorf("unknown run on %s: %d %v", node, code, answer)
		}
		if code, answer := post(node, "Status", struct{}{}); code != 200 || answer["leader"] != c.leader() {
			t.Errorf("status on %s: %d %v", node, code, answer)
		}
	}
}

func TestUnchangedSpecStartsNothing(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, nil)
	client := c.client()
	c.apply(client, "flights", 1)
	if again := c.apply(client, "flights", 1); again.Changed || again.RunId != "" || again.Generation != 1 {
		t.Errorf("applied again: %v", again)
	}
	if changed := c.apply(client, "flights", 2); !changed.Changed || changed.RunId != "flights-2-1" {
		t.Errorf("applied changed: %v", changed)
	}
	if run := c.awaitRun(client, "flights-1-1"); run.State != "canceled" || !strings.Contains(run.Error, "generation 2") {
		t.Errorf("the first run: %v", run)
	}
	_, err := client.Apply(c.ctx(), &apiv1.ApplyRequest{Spec: "apiVersion: thalweg/v1\nkynd: Pipeline\n", File: "x.yaml"})
	wantKind(t, "a spec with an unknown field", err, thalweg.Invalid)
	if err != nil && !strings.Contains(err.Error(), "kynd") {
		t.Errorf("the error does not name the field: %v", err)
	}
}

// A new rolling period reaches the scorers, and does not train.
func TestAChangeOfTheStreamHalfRollsTheScorersWithoutARun(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, nil)
	client := c.client()
	c.apply(client, "flights", 1)
	w := newRobot(c, "w1", nil)
	c.employ(w)
	if run := c.awaitRun(client, "flights-1-1"); run.State != "succeeded" {
		t.Fatalf("the first run: %v", run)
	}
	scores := func(generation uint64, spec string) bool {
		return slices.ContainsFunc(w.leases(), func(l *apiv1.Lease) bool {
			return l.Kind == "score" && l.Generation == generation && strings.Contains(l.Spec, spec) &&
				len(l.Models) == 1 && l.Models[0].Version == 1
		})
	}
	c.eventually("the stream runs", func() bool { return scores(1, "period: 10s") })
	text := strings.Replace(specText("flights", 1), `scored/flights/"}, `, `scored/flights/"}, rolling: {period: 1s}, `, 1)
	changed, err := client.Apply(c.ctx(), &apiv1.ApplyRequest{Spec: text, File: "flights.yaml"})
	if err != nil || !changed.Changed || changed.Generation != 2 || changed.RunId != "" {
		t.Fatalf("another rolling period: %v %v", changed, err)
	}
	c.eventually("the stream runs with the new period and the same version", func() bool { return scores(2, "period: 1s") })
	started, err := client.StartRun(c.ctx(), &apiv1.StartRunRequest{Pipeline: "flights"})
	if err != nil || started.RunId != "flights-2-1" {
		t.Fatalf("a run by hand: %v %v", started, err)
	}
	if run := c.awaitRun(client, started.RunId); run.State != "succeeded" || run.ModelVersion != 2 {
		t.Errorf("a run by hand: %v", run)
	}
	if trains := c.apply(client, "flights", 2); trains.RunId != "flights-3-1" {
		t.Errorf("another seed: %v", trains)
	}
}

func TestRepeatedRequestIDGetsTheFirstAnswer(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, nil)
	client := c.client()
	req := &apiv1.ApplyRequest{RequestId: "once", Spec: specText("flights", 1)}
	first, err := client.Apply(c.ctx(), req)
	if err != nil {
		t.Fatal(err)
	}
	c.stop(c.leader())
	again, err := client.Apply(c.ctx(), req)
	if err != nil || again.RunId != first.RunId || !again.Changed {
		t.Errorf("first %v, again %v, %v", first, again, err)
	}
}

func TestHealthAndMetrics(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, nil)
	c.apply(c.client(), "flights", 1)
	if _, err := c.client().Promote(t.Context(), &apiv1.PromoteRequest{Model: "flights", Alias: "champion", Version: 7}); err == nil {
		t.Error("a version that does not exist was promoted")
	}
	get := func(path string) (int, string) {
		t.Helper()
		transport := &http.Transport{DisableKeepAlives: true}
		resp, err := (&http.Client{Transport: transport}).Get("http://" + c.peers[0].API + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	if code, body := get(auth.ReadyPath); code != 200 || !strings.Contains(body, `leader "n1"`) {
		t.Errorf("ready: %d %s", code, body)
	}
	if code, _ := get(auth.HealthPath); code != 200 {
		t.Errorf("health: %d", code)
	}
	_, body := get(auth.MetricsPath)
	for _, want := range []string{"thalweg_coordinator_leader 1", `thalweg_coordinator_requests_total{outcome="ok",verb="Apply"} 1`,
		`thalweg_coordinator_commands_total{command="apply spec",outcome="ok"} 1`, `thalweg_coordinator_commands_total{command="promote",outcome="not found"} 1`, "thalweg_coordinator_active_runs 1", "thalweg_coordinator_leases 0", "thalweg_coordinator_term "} {
		if !strings.Contains(body, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	good := Config{ID: "a", Stages: specStages, Records: (&cluster{}).records, Dir: t.TempDir(), Peers: []Peer{{ID: "a", API: "127.0.0.1:1", Raft: "127.0.0.1:2"}}}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*Config){
		"no directory":    func(c *Config) { c.Dir = "" },
		"unknown node":    func(c *Config) { c.ID = "b" },
		"no API port":     func(c *Config) { c.Peers = []Peer{{ID: "a", API: "127.0.0.1", Raft: "127.0.0.1:2"}} },
		"no raft":         func(c *Config) { c.Peers = []Peer{{ID: "a", API: "127.0.0.1:1"}} },
		"no stages":       func(c *Config) { c.Stages = nil },
		"no records":      func(c *Config) { c.Records = nil },
		"lease too short": func(c *Config) { c.LeaseTTL = time.Millisecond },
	} {
		cfg := good
		spoil(&cfg)
		wantKind(t, name, cfg.Validate(), thalweg.Invalid)
	}
}
