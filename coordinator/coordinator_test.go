package coordinator

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
)

func TestWholeRunThenStream(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, nil)
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
		for _, err := range []error{got, status, set} {
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
		resp, err := (&http.Client{Transport: transport}).Post("http://"+c.nodes[node].cfg.peer(node).API+"/thalweg.coordinator.v1.CoordinatorService/"+verb,
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

func TestLeaderStopsMidRun(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, nil)
	client := c.client()
	applied := c.apply(client, "flights", 1)
	hold := make(chan struct{})
	busy := func(l *apiv1.Lease) bool {
		select {
		case <-hold:
			return false
		default:
			return l.Kind == "train"
		}
	}
	w1, w2 := newRobot(c, "w1", busy), newRobot(c, "w2", busy)
	c.employ(w1, w2)
	trains := func(r *robot) bool { l := r.leases(); return len(l) == 1 && l[0].Kind == "train" }
	c.eventually("both workers train", func() bool { return trains(w1) && trains(w2) })
	before := map[string]uint64{}
	for _, l := range append(w1.leases(), w2.leases()...) {
		before[l.TaskId] = l.Token
	}

	first := c.leader()
	c.stop(first)
	second := c.leader()
	// What was acknowledged is there, progress is reported anew, and the workers keep
	// their leases under the new leader.
	c.eventually("the new leader hears of the replicas", func() bool {
		resp, err := client.GetRun(c.ctx(), &apiv1.GetRunRequest{RunId: applied.RunId})
		if err != nil {
			t.Fatal(err)
		}
		train := resp.Run.Stages[3]
		return resp.Run.Stage == "train" && train.RowsDone == 10 && train.RowsTotal == 20 && train.Message == "busy"
	})
	for _, l := range append(w1.leases(), w2.leases()...) {
		if before[l.TaskId] != l.Token {
			t.Errorf("%s has token %d, had %d", l.TaskId, l.Token, before[l.TaskId])
		}
		if len(l.Peers) != 2 || l.Peers[0].Address == "" {
			t.Errorf("%s has peers %v", l.TaskId, l.Peers)
		}
	}
	c.start(first, [2]net.Listener{})
	c.stop(second)
	close(hold)
	if run := c.awaitRun(client, applied.RunId); run.State != "succeeded" {
		t.Errorf("the run ended: %v", run)
	}
	for _, r := range []*robot{w1, w2} {
		for task, n := range r.done {
			if n > 2 { // a report may be repeated when a leader goes while it is answered
				t.Errorf("%s did %s %d times", r.id, task, n)
			}
		}
	}
}

func TestLostWorkerIsReplacedAndFenced(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, nil)
	client := c.client()
	applied := c.apply(client, "flights", 1)
	lost := newRobot(c, "lost", func(*apiv1.Lease) bool { return true })
	dismiss := c.employ(lost)
	c.eventually("the worker has the first task", func() bool { return len(lost.leases()) == 1 })
	dismiss()
	late := resultOf(lost.leases()[0])
	if _, err := client.Status(c.ctx(), &apiv1.StatusRequest{}); err != nil {
		t.Fatal(err)
	}
	c.employ(newRobot(c, "w2", nil))
	c.awaitRun(client, applied.RunId)

	// The lost worker comes back with a result that it was not asked for any more.
	late.Outputs["manifest"] = "forged#" + strings.Repeat("0", 64)
	resp, err := client.Poll(c.ctx(), &apiv1.PollRequest{WorkerId: "lost", Incarnation: "i-lost", Slots: 0, Reports: []*apiv1.TaskReport{late}})
	if err != nil || len(resp.Accepted) != 1 {
		t.Fatalf("the late report: %v, %v", resp, err)
	}
	run := c.awaitRun(client, applied.RunId)
	if run.State != "succeeded" || strings.HasPrefix(run.Outputs["manifest"], "forged") {
		t.Errorf("the run ended: %v", run)
	}
	if task := run.Stages[0].Tasks[0]; task.Worker != "w2" || task.Token <= late.Token || task.Attempts != 2 {
		t.Errorf("the first task: %v, the late report had token %d", task, late.Token)
	}
}

func TestLeavingWorkerGivesItsLeasesBackAtOnce(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, func(cfg *Config) { cfg.LeaseTTL = time.Hour })
	client := c.client()
	applied := c.apply(client, "flights", 1)
	w1 := newRobot(c, "w1", func(*apiv1.Lease) bool { return true })
	dismiss := c.employ(w1)
	c.eventually("the worker has the first task", func() bool { return len(w1.leases()) == 1 })
	dismiss()
	resp, err := client.Poll(c.ctx(), &apiv1.PollRequest{WorkerId: "w1", Incarnation: "i-w1", Slots: 2, Leaving: true})
	if err != nil || len(resp.Leases) != 0 {
		t.Fatalf("leaving: %v, %v", resp, err)
	}
	c.employ(newRobot(c, "w2", nil))
	if run := c.awaitRun(client, applied.RunId); run.State != "succeeded" {
		t.Errorf("the run ended: %v", run)
	}
}

func TestSecondProcessUnderOneNameIsRefused(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, nil)
	client := c.client()
	poll := func(incarnation string) error {
		_, err := client.Poll(c.ctx(), &apiv1.PollRequest{WorkerId: "w1", Incarnation: incarnation, Slots: 1})
		return err
	}
	if err := poll("old"); err != nil {
		t.Fatal(err)
	}
	if err := poll("new"); err != nil {
		t.Fatal(err)
	}
	wantKind(t, "the older process", poll("old"), thalweg.Fenced)
}

func TestStateIsKeptOverARestartOfAll(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, func(cfg *Config) { cfg.Raft.TrailingLogs = 1 })
	client := c.client()
	applied := c.apply(client, "flights", 1)
	dismiss := c.employ(newRobot(c, "w1", nil))
	c.awaitRun(client, applied.RunId)
	dismiss()
	// One node starts from a snapshot and the rest of the log, the others from
	// their whole logs.
	if err := c.nodes["n1"].node.Snapshot(); err != nil {
		t.Fatal(err)
	}
	started, err := client.StartRun(c.ctx(), &apiv1.StartRunRequest{RequestId: "before", Pipeline: "flights"})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range c.peers {
		c.stop(p.ID)
	}
	// Ports may change; nodes find each other by their IDs.
	listeners := make(map[string][2]net.Listener)
	for i, p := range c.peers {
		c.peers[i], listeners[p.ID] = newPeer(t, p.ID)
	}
	for _, p := range c.peers {
		c.start(p.ID, listeners[p.ID])
	}
	client = c.client()
	again, err := client.StartRun(c.ctx(), &apiv1.StartRunRequest{RequestId: "before", Pipeline: "flights"})
	if err != nil || again.RunId != started.RunId {
		t.Errorf("the request was answered %v before and %v, %v after", started, again, err)
	}
	c.employ(newRobot(c, "w1", nil))
	if run := c.awaitRun(client, started.RunId); run.State != "succeeded" || run.ModelVersion != 2 {
		t.Errorf("the run ended: %v", run)
	}
	c.sameState()
}

// sameState waits until all nodes have applied the same index and compares
// their snapshots byte by byte.
func (c *cluster) sameState() {
	c.t.Helper()
	c.eventually("all nodes hold the same bytes", func() bool {
		var first []byte
		for _, r := range c.nodes {
			data, err := r.replica.Snapshot()
			if err != nil {
				c.t.Fatal(err)
			}
			if first == nil {
				first = data
			}
			if !bytes.Equal(first, data) {
				return false
			}
		}
		return true
	})
}

func TestNodeThatWasAwayCatchesUpFromASnapshot(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, func(cfg *Config) { cfg.Raft.TrailingLogs = 1 })
	client := c.client()
	away := c.follower()
	c.stop(away)
	applied := c.apply(client, "flights", 1)
	dismiss := c.employ(newRobot(c, "w1", nil))
	c.awaitRun(client, applied.RunId)
	dismiss()
	for _, r := range c.nodes {
		if err := r.node.Snapshot(); err != nil {
			t.Fatal(err)
		}
	}
	c.apply(client, "flights", 2)
	c.start(away, [2]net.Listener{})
	c.sameState()
}

func TestWithoutAMajorityNothingIsAcknowledged(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, func(cfg *Config) { cfg.LeaderWait = 300 * time.Millisecond })
	client := c.client()
	c.apply(client, "flights", 1)
	stay := c.leader()
	for _, p := range c.peers {
		if p.ID != stay {
			c.stop(p.ID)
		}
	}
	impatient := c.client(stay)
	resp, err := impatient.Status(c.ctx(), &apiv1.StatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	unreachable := 0
	for _, n := range resp.Nodes {
		if n.State == nodeUnreachable {
			unreachable++
		}
	}
	if unreachable != 2 {
		t.Errorf("nodes: %v", resp.Nodes)
	}
	once, cancel := timeout(2 * time.Second)
	defer cancel()
	if _, err := impatient.StartRun(once, &apiv1.StartRunRequest{Pipeline: "flights"}); err == nil {
		t.Error("a command was acknowledged without a majority")
	}
	if _, err := impatient.GetPipeline(once, &apiv1.GetPipelineRequest{Name: "flights"}); err == nil {
		t.Error("a read was answered without a majority")
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
	if code, body := get(readyPath); code != 200 || !strings.Contains(body, `leader "n1"`) {
		t.Errorf("ready: %d %s", code, body)
	}
	if code, _ := get(healthPath); code != 200 {
		t.Errorf("health: %d", code)
	}
	_, body := get(metricsPath)
	for _, want := range []string{"thalweg_coordinator_leader 1", `thalweg_coordinator_requests_total{outcome="ok",verb="Apply"} 1`,
		`thalweg_coordinator_commands_total{command="apply spec",outcome="ok"} 1`, `thalweg_coordinator_commands_total{command="promote",outcome="not found"} 1`, "thalweg_coordinator_active_runs 1"} {
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
