package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
)

// answers is a coordinator that says what a test wants to be printed, and
// remembers what it was told to do.
type answers struct {
	apiv1.UnimplementedCoordinatorServiceHandler
	runs     []*apiv1.Run
	models   []*apiv1.Model
	parts    []*apiv1.StreamPartition
	status   *apiv1.StatusResponse
	applied  *apiv1.ApplyResponse
	promoted *apiv1.PromoteRequest
	set      *apiv1.SetStreamRequest
	job      *apiv1.StartJobRequest
	pages    int
	err      error
}

func respond[T any](a *answers, m *T) (*T, error) {
	if a.err != nil {
		return nil, api.ToConnect(a.err)
	}
	return m, nil
}

func (a *answers) ListRuns(_ context.Context, req *apiv1.ListRunsRequest) (*apiv1.ListRunsResponse, error) {
	a.pages++
	from := 0
	if req.PageToken != "" {
		fmt.Sscan(req.PageToken, &from)
	}
	to := min(from+int(req.PageSize), len(a.runs))
	page := &apiv1.ListRunsResponse{Runs: a.runs[from:to]}
	if to < len(a.runs) {
		page.NextPageToken = fmt.Sprint(to)
	}
	return respond(a, page)
}

func (a *answers) GetRun(_ context.Context, req *apiv1.GetRunRequest) (*apiv1.GetRunResponse, error) {
	for _, r := range a.runs {
		if r.Id == req.RunId || strings.HasPrefix(r.Id, req.RunId+"-") { // the newest is first
			return respond(a, &apiv1.GetRunResponse{Run: r})
		}
	}
	if a.err == nil {
		a.err = &thalweg.Error{Op: "get run", Kind: thalweg.NotFound, Subject: req.RunId}
	}
	return nil, api.ToConnect(a.err)
}

func (a *answers) StartRun(_ context.Context, req *apiv1.StartRunRequest) (*apiv1.StartRunResponse, error) {
	return respond(a, &apiv1.StartRunResponse{RunId: req.Pipeline + "-1-2"})
}

func (a *answers) CancelRun(context.Context, *apiv1.CancelRunRequest) (*apiv1.CancelRunResponse, error) {
	return respond(a, &apiv1.CancelRunResponse{})
}

func (a *answers) ListModels(context.Context, *apiv1.ListModelsRequest) (*apiv1.ListModelsResponse, error) {
	return respond(a, &apiv1.ListModelsResponse{Models: a.models})
}

func (a *answers) Promote(_ context.Context, req *apiv1.PromoteRequest) (*apiv1.PromoteResponse, error) {
	a.promoted = req
	return respond(a, &apiv1.PromoteResponse{Previous: 3})
}

// StartJob answers as for a pipeline that was deleted.
func (a *answers) StartJob(_ context.Context, req *apiv1.StartJobRequest) (*apiv1.StartJobResponse, error) {
	a.job = req
	return nil, api.ToConnect(&thalweg.Error{Op: "start job", Kind: thalweg.NotFound, Subject: "pipeline " + req.Pipeline})
}

func (a *answers) SetStream(_ context.Context, req *apiv1.SetStreamRequest) (*apiv1.SetStreamResponse, error) {
	a.set = req
	return respond(a, &apiv1.SetStreamResponse{})
}

func (a *answers) StreamStatus(context.Context, *apiv1.StreamStatusRequest) (*apiv1.StreamStatusResponse, error) {
	return respond(a, &apiv1.StreamStatusResponse{Partitions: a.parts})
}

func (a *answers) Status(context.Context, *apiv1.StatusRequest) (*apiv1.StatusResponse, error) {
	return respond(a, a.status)
}

func (a *answers) ListPipelines(context.Context, *apiv1.ListPipelinesRequest) (*apiv1.ListPipelinesResponse, error) {
	return respond(a, &apiv1.ListPipelinesResponse{Pipelines: []*apiv1.Pipeline{
		{Name: "flights", Generation: 2, AppliedAtUnixMs: 1_780_000_000_000, Model: "flights"}, {Name: "taxis", Generation: 1, StreamPaused: true}}})
}

func (a *answers) GetPipeline(context.Context, *apiv1.GetPipelineRequest) (*apiv1.GetPipelineResponse, error) {
	text, err := os.ReadFile(filepath.Join(demoFiles, "flights.yaml"))
	return &apiv1.GetPipelineResponse{Pipeline: &apiv1.Pipeline{Name: "p", Generation: 2, RenderedSpec: string(text)}}, err
}

func (a *answers) DeletePipeline(_ context.Context, req *apiv1.DeletePipelineRequest) (*apiv1.DeletePipelineResponse, error) {
	return respond(a, &apiv1.DeletePipelineResponse{Pipeline: req.Pipeline, Generation: 2, Done: true})
}

func (a *answers) Apply(context.Context, *apiv1.ApplyRequest) (*apiv1.ApplyResponse, error) {
	return respond(a, a.applied)
}

// serve returns what runs a command line against the coordinator and returns
// what it prints; the words of the line are separated by spaces.
func (a *answers) serve(t *testing.T) func(line string) (string, error) {
	t.Helper()
	address := a.listen(t)
	return func(line string) (string, error) {
		t.Helper()
		return runLine(t, "--coordinator "+address+" "+line)
	}
}

// listen serves the coordinator, and returns where.
func (a *answers) listen(t *testing.T) (address string) {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle(apiv1.NewCoordinatorServiceHandler(a))
	server := httptest.NewUnstartedServer(mux)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// squeezed is a table with one space between cells.
func squeezed(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, l := range lines {
		lines[i] = strings.Join(strings.Fields(l), " ")
	}
	return strings.Join(lines, "\n")
}

func someRuns() []*apiv1.Run {
	return []*apiv1.Run{
		{Id: "flights-2-1", State: "failed", Stage: "train", StartedAtUnixMs: 1_780_000_000_000, EndedAtUnixMs: 1_780_000_012_340, Error: "no memory"},
		{Id: "flights-1-1", State: "succeeded", Stage: "register", StartedAtUnixMs: 1_779_000_000_000, EndedAtUnixMs: 1_779_000_001_000, ModelVersion: 1,
			Stages: []*apiv1.Stage{{Name: "clean", State: "done", TasksDone: 3, TasksTotal: 3, RowsDone: 1_234_567, StartedAtUnixMs: 1000, EndedAtUnixMs: 2500},
				{Name: "train", State: "done", TasksDone: 4, TasksTotal: 4, Message: "epoch 3/3"}, {Name: "register", State: "done"}},
			Counts: map[string]int64{"rows_in": 1_234_567, "dropped.null": 7}, Metrics: map[string]float64{"test.log_loss": 0.4321234, "test.log_loss.low": 0.43, "test.log_loss.high": 0.4345}},
	}
}

func someModels() []*apiv1.Model {
	return []*apiv1.Model{{Name: "flights", Aliases: map[string]uint64{"champion": 3, "best": 3}, Versions: []*apiv1.ModelVersion{
		{Version: 1, RunId: "flights-1-1", ModelSha256: "0123456789abcdef", Metrics: map[string]float64{"test.log_loss": 0.5}},
		{Version: 3, RunId: "flights-2-1", RegisteredAtUnixMs: 1_780_000_000_000}}}}
}

// someStatus is a cluster that lost a coordinator.
func someStatus() *apiv1.StatusResponse {
	return &apiv1.StatusResponse{Node: "c1", Leader: "c1", Term: 2, AppliedIndex: 40,
		Attention: []*apiv1.Attention{{Severity: "error", Subject: "node c2", Message: "is unreachable at c2:7070"}},
		Nodes: []*apiv1.Node{{Id: "c1", Address: "c1:7070", State: "leader", Version: "v1", Term: 2, AppliedIndex: 40, FreeBytes: 2 << 30},
			{Id: "c2", Address: "c2:7070", State: "unreachable", FreeBytes: -1, AgeMs: -1}},
		Workers: []*apiv1.Worker{{Id: "w1", Address: "w1:7071", State: "alive", Leases: 4, Tasks: 3, Partitions: 1, Slots: 2, Cores: 8, MemoryBytes: 4 << 30, Version: "v1",
			LastSeenUnixMs: time.Now().Add(time.Hour).UnixMilli()}}, // it polls as we look
		ActiveRuns: []*apiv1.Run{{Id: "flights-2-2", Stage: "train", StartedAtUnixMs: 1_780_000_000_000,
			Stages: []*apiv1.Stage{{Name: "clean"}, {Name: "train", TasksDone: 1, TasksTotal: 4, RowsDone: 1000, RowsTotal: 4000, Message: "epoch 1/3"}}}},
		ActiveRunsTotal: 1,
		Pipelines:       []*apiv1.Pipeline{{Name: "flights", Generation: 2, AppliedAtUnixMs: 1_780_000_000_000, Model: "flights"}, {Name: "taxis", Generation: 1}},
		Streams: []*apiv1.StreamSummary{{Pipeline: "flights", State: "stopped", Message: "offsets 50 to 80 are gone", Partitions: 2, ScoredRows: 1234, LagEvents: -1,
			LagSeconds: 200, RowsPerSecond: 12.6, Workers: 2, WantedWorkers: 4}}}
}

func someParts() []*apiv1.StreamPartition {
	return []*apiv1.StreamPartition{
		{Pipeline: "flights", Topic: "t", Partition: 0, State: "running", Committed: 90, Scored: 95, End: 100, ScoredRows: 1234, ModelVersion: 3, RowsPerSecond: 12.6, LagSeconds: 1.5, Worker: "w1"},
		{Pipeline: "flights", Topic: "t", Partition: 1, State: "stopped", Committed: 50, Scored: 50, End: -1, LagSeconds: -1, Message: "offsets 50 to 80 are gone",
			Lost: &apiv1.SkipAuthorization{Partition: 1, From: 50, To: 80, TopicId: "id"}}}
}

func TestVerbsPrintTables(t *testing.T) {
	a := &answers{runs: someRuns(), models: someModels(), parts: someParts(), status: someStatus()}
	run := a.serve(t)
	for line, want := range map[string]string{
		"runs": "RUN STATE STAGE STARTED BY TOOK VERSION MESSAGE\n" +
			"flights-2-1 failed train 2026-05-28 20:26:40 - 12.34s - no memory\n" +
			"flights-1-1 succeeded register 2026-05-17 06:40:00 - 1s 1 -",
		"runs show flights-1-1": "RUN STATE STAGE STARTED TOOK VERSION\nflights-1-1 succeeded register 2026-05-17 06:40:00 1s 1\n\n" +
			"STAGE STATE TASKS ROWS TOOK MESSAGE\nclean done 3/3 1,234,567 1.5s -\ntrain done 4/4 - - epoch 3/3\nregister done - - - -\n\n" +
			"COUNT VALUE\ndropped.null 7\nrows_in 1,234,567\n\nMETRIC VALUE 95 % INTERVAL\ntest.log_loss 0.432123 0.43 to 0.4345",
		"runs start flights":  "flights-1-2",
		"runs cancel flights": "flights-2-1 is canceled",
		"models": "MODEL VERSION ALIAS RUN REGISTERED TEST LOG LOSS TEST ROC AUC SHA256\n" +
			"flights 1 - flights-1-1 - 0.5000 - 0123456789ab\nflights 3 best,champion flights-2-1 2026-05-28 20:26:40 - - -",
		"models promote flights 1": "champion of flights is now version 1 (was 3)",
		"stream pause flights":     "flights: paused",
		"stream resume flights":    "flights: resumed",
		"stream status": "PIPELINE TOPIC PARTITION STATE COMMITTED SCORED END LAG BEHIND ROWS DEAD MISSING VERSION ROWS/S WORKER MESSAGE\n" +
			"flights t 0 running 90 95 100 5 1.5s 1,234 0 0 3 13 w1 -\nflights t 1 stopped 50 50 - - - 0 0 0 - 0 - offsets 50 to 80 are gone",
		"status": "c1 leads and answers: index 40, term 2\n\n" +
			"ATTENTION OF MESSAGE\nerror node c2 is unreachable at c2:7070\n\n" +
			"COORDINATOR ADDRESS STATE VERSION TERM APPLIED LEADER SEEN FREE\nc1 c1:7070 leader v1 2 40 now 2.0 GiB\nc2 c2:7070 unreachable - - - - -\n\n" +
			"WORKER ADDRESS STATE SEEN TASKS PARTITIONS SLOTS CORES MEMORY VERSION\nw1 w1:7071 alive now 3 1 2 8 4.0 GiB v1\n\n" +
			"RUN STAGE STARTED TASKS ROWS MESSAGE\nflights-2-2 train 2026-05-28 20:26:40 1/4 1,000 of 4,000 epoch 1/3\n\n" +
			"PIPELINE GENERATION APPLIED MODEL STREAM ROWS DEAD LAG BEHIND ROWS/S WORKERS MESSAGE\n" +
			"flights 2 2026-05-28 20:26:40 flights stopped 1,234 0 - 3m20s 13 2 of 4 offsets 50 to 80 are gone\ntaxis 1 - - - - - - - - - -",
	} {
		text, err := run(line)
		if got := squeezed(text); err != nil || got != want {
			t.Errorf("%s: %v\n%s\nwant\n%s", line, err, got, want)
		}
	}
}

// TestVerbsPrintForPrograms: JSON and YAML hold the whole answer, by the names of
// the RPC, zeros included.
func TestVerbsPrintForPrograms(t *testing.T) {
	run := (&answers{runs: someRuns(), models: someModels(), parts: someParts(), status: someStatus()}).serve(t)
	for line, want := range map[string]string{
		"runs":                  `"id":"flights-1-1"`,
		"runs show flights-1-1": `"rows_in":"1234567"`,
		"models list":           `"champion":"3"`,
		"stream status":         `"deadLetters":"0"`,
		"status":                `"leases":4`,
	} {
		text, err := run(line + " -o json")
		var value any
		if err == nil {
			err = json.Unmarshal([]byte(text), &value)
		}
		if compact, _ := json.Marshal(value); err != nil || !strings.Contains(string(compact), want) {
			t.Errorf("%s -o json: %v\n%s", line, err, text)
		}
		text, err = run(line + " -o yaml")
		var same any
		if err == nil {
			err = yaml.Unmarshal([]byte(text), &same)
		}
		asJSON, _ := json.Marshal(same)
		if compact, _ := json.Marshal(value); err != nil || string(asJSON) != string(compact) {
			t.Errorf("%s -o yaml: %v\n%s", line, err, text)
		}
		if _, err := run(line + " -o xml"); err == nil || !strings.Contains(err.Error(), "table, json or yaml") {
			t.Errorf("%s -o xml: %v", line, err)
		}
	}
}

func TestRunsAreListedPageByPage(t *testing.T) {
	a := &answers{}
	for i := range 250 {
		a.runs = append(a.runs, &apiv1.Run{Id: fmt.Sprintf("flights-1-%d", 250-i), State: "succeeded"})
	}
	run := a.serve(t)
	line, listed := "runs", 0
	for range 3 {
		text, err := run(line)
		if err != nil {
			t.Fatal(err)
		}
		listed += strings.Count(text, "flights-1-")
		_, token, more := strings.Cut(text, "there are more: --page-token ")
		if line = "runs --page-token " + token; !more {
			break
		}
	}
	if listed != 250 || a.pages != 3 {
		t.Errorf("%d of 250 runs in %d pages", listed, a.pages)
	}
	if text, err := run("runs --limit 7"); err != nil || strings.Count(text, "flights-1-") != 7 {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestAFollowedRunThatDoesNotSucceedIsAnError(t *testing.T) {
	run := (&answers{runs: someRuns()}).serve(t)
	if text, err := run("runs follow flights-1-1"); err != nil || !strings.Contains(text, "succeeded") {
		t.Errorf("%v\n%s", err, text)
	}
	if _, err := run("runs follow flights-2-1"); err == nil || !strings.Contains(err.Error(), "run flights-2-1: failed in stage train: no memory (see `thalweg runs show flights-2-1`)") {
		t.Errorf("%v", err)
	}
}

func TestRollbackGoesToTheVersionBeforeTheOneThatTheAliasNames(t *testing.T) {
	a := &answers{models: someModels()}
	run := a.serve(t)
	if text, err := run("models rollback flights"); err != nil || a.promoted.Version != 1 || a.promoted.Alias != "champion" {
		t.Errorf("%v: %s, %v", err, text, a.promoted)
	}
	a.models[0].Aliases["champion"] = 1
	for line, want := range map[string]string{
		"models rollback flights":               "there is no version before the one that champion names",
		"models rollback taxis":                 "find model: taxis: not found",
		"models promote flights two":            `flights two: not found (a number or an alias`,
		"models export flights 9":               "find model version: flights 9: not found",
		"models rollback flights --alias other": "there is no version before the one that other names",
	} {
		if _, err := run(line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", line, err, want)
		}
	}
}

// TestSkippedOffsetsMustBeExactlyThoseThatAreLost, so that a slip of the pen skips
// nothing.
func TestSkippedOffsetsMustBeExactlyThoseThatAreLost(t *testing.T) {
	a := &answers{parts: someParts()}
	run := a.serve(t)
	for line, want := range map[string]string{
		"--partition 0 --skip 50-80":                    "nothing is missing there",
		"--partition 1 --skip 50-81":                    "what is missing is 50-80",
		"--partition 1 --skip 49-80":                    "what is missing is 50-80",
		"--partition 1 --skip 50-80 --accept-topic new": "leave --accept-topic out",
		"--partition 7 --skip 50-80":                    "partition 7: not found",
		"--partition 1 --skip 50":                       `--skip: "50": invalid`,
	} {
		if _, err := run("stream resume flights " + line); err == nil || !strings.Contains(err.Error(), want) || a.set != nil {
			t.Errorf("%s: %v, want %s; the coordinator was told %v", line, err, want, a.set)
		}
	}
	text, err := run("stream resume flights --partition 1 --skip 50-80")
	if err != nil || text != "flights/1: offsets [50, 80) are skipped\nflights: resumed\n" || a.set.Skip.TopicId != "id" || a.set.Paused {
		t.Errorf("%v: %s; %v", err, text, a.set)
	}
}

func TestApplySaysWhetherARunBegins(t *testing.T) {
	a := &answers{runs: []*apiv1.Run{{Id: "r", State: "succeeded"}}}
	run := a.serve(t)
	spec := filepath.Join(demoFiles, "flights.yaml")
	for want, res := range map[string]*apiv1.ApplyResponse{
		"p is unchanged at generation 2; `thalweg runs start p` trains again":                        {Pipeline: "p", Generation: 2},
		"p is unchanged at generation 2, and no run of it has registered a version: run r has begun": {Pipeline: "p", Generation: 2, RunId: "r"},
		"p is now at generation 3; run r has begun":                                                  {Pipeline: "p", Generation: 3, Changed: true, RunId: "r"},
		"p is now at generation 3; no run: its training half is unchanged, so the ":                  {Pipeline: "p", Generation: 3, Changed: true},
	} {
		a.applied = res
		if text, err := run("apply -f " + spec); err != nil || !strings.HasPrefix(text, want) {
			t.Errorf("%v: %s, want %s", err, text, want)
		}
	}
	a.applied = &apiv1.ApplyResponse{Pipeline: "p", Generation: 3, Changed: true, RunId: "r"}
	if text, err := run("apply --wait -f " + spec); err != nil || !strings.Contains(text, "succeeded") {
		t.Errorf("%v: %s", err, text)
	}
	// A spec that is applied again waits for its last run, or says how that ended.
	a.applied = &apiv1.ApplyResponse{Pipeline: "p", Generation: 3}
	if text, err := run("apply --wait -f " + spec); err != nil || !strings.HasPrefix(text, "p is unchanged at generation 3; ") {
		t.Errorf("after a run that succeeded: %v: %s", err, text)
	}
	a.runs = []*apiv1.Run{{Id: "r2", Pipeline: "p", State: "failed", Stage: "train", Error: "no memory"}, {Id: "r", State: "succeeded"}}
	if text, err := run("apply --wait -f " + spec); err == nil || !strings.Contains(err.Error(), "no memory") || !strings.Contains(err.Error(), "`thalweg runs start p` trains again") {
		t.Errorf("after a run that failed: %v: %s", err, text)
	}
	if text, err := run("apply -f " + spec); err != nil {
		t.Errorf("without --wait: %v: %s", err, text)
	}
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	put(t, bad, "apiVersion: thalweg/v1\nkind: Pipelin\n")
	a.err = fmt.Errorf("nobody may ask")
	if _, err := run("apply -f " + bad); err == nil || !strings.Contains(err.Error(), bad+":2:7") {
		t.Errorf("%v", err)
	}
}

// TestRefusalsOfTheCoordinatorKeepTheirKindAndHint, and make the exit code 1.
func TestRefusalsOfTheCoordinatorKeepTheirKindAndHint(t *testing.T) {
	a := &answers{err: &thalweg.Error{Op: "do it", Kind: thalweg.Conflict, Subject: "flights", Hint: "ask again"}}
	run := a.serve(t)
	if _, err := run("fsck p --store file://" + t.TempDir()); err == nil {
		t.Error("fsck without a pipeline succeeds")
	}
	for _, line := range []string{"runs", "runs start p", "runs cancel r", "models list", "models promote m 1", "stream status", "stream pause p", "status"} {
		text, err := run(line)
		if !thalweg.Is(err, thalweg.Conflict) || !strings.Contains(err.Error(), "ask again") || text != "" {
			t.Errorf("%s: %v, printed %q", line, err, text)
		}
	}
}

func TestTheExitCodeTellsWhetherACommandSucceeded(t *testing.T) {
	for line, want := range map[string]int{"version": 0, "--help": 0, "strem": 1, "validate nowhere.yaml": 1,
		"validate " + filepath.Join(demoFiles, "flights.yaml"): 0, "version -o": 1} {
		var out, errs strings.Builder
		got := run(strings.Fields(line), &out, &errs)
		if got != want || (out.Len() > 0) != (want == 0) || strings.HasPrefix(errs.String(), "thalweg: ") != (want == 1) {
			t.Errorf("%s: exit code %d, want %d; printed %.100q, and on standard error %.100q", line, got, want, out.String(), errs.String())
		}
	}
}

func TestHelpShowsTheGlobalFlagsThatAVerbUses(t *testing.T) {
	for line, want := range map[string]string{
		"version": "", "render": "", "schema": "", "validate": "connections output store", "coordinator": "certs connections log-level state-bucket store",
		"status": "certs coordinator output token-file", "runs show": "certs coordinator output token-file", "stream resume": "certs coordinator output token-file",
		"results": "certs coordinator output token-file", "dlq": "certs coordinator output token-file",
		"models promote": "certs coordinator output token-file", "models export": "certs coordinator output token-file",
		"dlq replay": "certs coordinator output token-file",
		"worker":     "certs connections coordinator kafka log-level schema-registry state-bucket store",
	} {
		text, err := runLine(t, line+" --help")
		_, global, _ := strings.Cut(text, "Global Flags:")
		global, _, _ = strings.Cut(global, "\n\n")
		var names []string
		for _, word := range strings.Fields(global) {
			if name, ok := strings.CutPrefix(word, "--"); ok {
				names = append(names, name)
			}
		}
		if got := strings.Join(names, " "); err != nil || got != want {
			t.Errorf("%s: %v, %s; want %s", line, err, got, want)
		}
		// A flag that help does not show is taken all the same, wherever it stands.
		if _, err := runLine(t, "--store file:///tmp --log-level warn "+line+" --help"); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func TestSpecsAreCheckedAndRenderedWithoutACluster(t *testing.T) {
	spec := filepath.Join(demoFiles, "flights.yaml")
	for line, want := range map[string]string{
		"validate " + spec:              "flights.yaml: valid (fields)",
		"validate " + spec + " -o json": `"flight-delays"`,
		"validate " + spec + " --data " + filepath.Join(demoFiles, "flights.parquet"): "columns and types",
		"render " + spec: "alias: champion",
		"schema":         `"$schema"`,
		"version":        "thalweg ",
	} {
		if text, err := runLine(t, line); err != nil || !strings.Contains(text, want) {
			t.Errorf("%s: %v\n%.300s", line, err, text)
		}
	}
	rendered, err := runLine(t, "render "+spec)
	if err != nil {
		t.Fatal(err)
	}
	again := filepath.Join(t.TempDir(), "rendered.yaml")
	put(t, again, rendered)
	if text, err := runLine(t, "render "+again); err != nil || text != rendered {
		t.Errorf("a rendered spec renders as another: %v\n%s", err, text)
	}
}

// TestAStreamShowsWhatItIs: what nobody knows yet is a dash and not 0.
func TestAStreamShowsWhatItIs(t *testing.T) {
	unknown := &apiv1.StreamPartition{Pipeline: "flights", Topic: "t", State: "waiting", Committed: -1, Scored: -1, End: -1, LagSeconds: -1, Message: "no champion of model flights yet"}
	text, err := (&answers{parts: []*apiv1.StreamPartition{unknown}}).serve(t)("stream status")
	if want := "flights t 0 waiting - - - - - - - - - - - no champion of model flights yet"; err != nil || !strings.HasSuffix(squeezed(text), want) {
		t.Errorf("stream status: %v\n%s\nwant\n%s", err, squeezed(text), want)
	}
}

// TestVersionsAreNamedByAliases: wherever a verb takes a number it takes an alias,
// and knows the one that was meant.
func TestVersionsAreNamedByAliases(t *testing.T) {
	a := &answers{models: someModels()}
	run := a.serve(t)
	if _, err := run("models promote flights best"); err != nil || a.promoted.Version != 3 {
		t.Errorf("%v, %v", a.promoted, err)
	}
	for _, line := range []string{"models promote flights champoin", "models export flights champoin --dir " + t.TempDir()} {
		if _, err := run(line); err == nil || !strings.Contains(err.Error(), "flights champoin: not found (did you mean champion?)") {
			t.Errorf("%s: %v", line, err)
		}
	}
	m := a.models[0].Versions[1]
	m.Checkpoint = "checkpoints/x#" + strings.Repeat("a", 64)
	_, err := run("models export flights best --dir " + t.TempDir())
	if !thalweg.Is(err, thalweg.NotFound) || a.job.GetKind() != "checkpoint" || a.job.GetParameters() != `{"model":"flights","version":"3"}` {
		t.Errorf("an export by alias has a worker read %v, and ends with %v", a.job, err)
	}
	m.Retired = true
	if _, err := run("models export flights best --dir " + t.TempDir()); err == nil || !strings.Contains(err.Error(), "the state bucket still has checkpoints/x") {
		t.Errorf("an export of a version whose pipeline was deleted ends with %v", err)
	}
}

// TestAFailedRunNamesItsCauseOnce: a task's name holds run and stage already.
func TestAFailedRunNamesItsCauseOnce(t *testing.T) {
	a := &answers{runs: []*apiv1.Run{{Id: "lab-1-1", State: "failed", Stage: "profile", Error: "lab-1-1/profile.reduce failed on w2, w1: no object matches"}}}
	_, err := a.serve(t)("runs follow lab-1-1")
	if want := "run lab-1-1: profile.reduce failed on w2, w1: no object matches (see `thalweg runs show lab-1-1`)"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}
