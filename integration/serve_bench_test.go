//go:build integration

package integration

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/integration/process"
)

// benchConnections is how many clients a server has at once.
const benchConnections = 32

const benchRow = `{"date":"2001-03-04 05:06:07","distance":405,"origin":"SFO","destination":"LAX"}`

const benchSpec = `apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: flight-delays}
spec:
  sources: {train: {s3: {path: "s3://lake/flights/*.parquet"}, format: {type: parquet}}}
  input_features: [{name: distance, type: number}, {name: origin, type: category}, {name: destination, type: category}, {name: hour, type: category, expression: "hour(date)"}]
  output_features: [{name: late, type: binary, expression: "delay > 15"}]
  MODEL
  serving: {enabled: true, workers: 1, rate_limit: {requests_per_second: 1000000}}
`

// benched is a server under load.
type benched struct {
	name, url, body string
	process         *process.Process
}

// load asks a server over benchConnections for a while: as fast as it answers, or at a rate
// that does not wait for answers. Times are from when a request was due.
func (b benched) load(t *testing.T, for_ time.Duration, rate float64) (requests int64, took []time.Duration) {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: benchConnections, MaxConnsPerHost: benchConnections}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: time.Minute}
	began := time.Now()
	var next, failed atomic.Int64
	var mu sync.Mutex
	var group sync.WaitGroup
	for range benchConnections {
		group.Go(func() {
			var mine []time.Duration
			for {
				due := time.Now()
				if rate > 0 {
					due = began.Add(time.Duration(float64(next.Add(1)) / rate * float64(time.Second)))
					<-time.After(time.Until(due))
				}
				if due.Sub(began) > for_ {
					break
				}
				res, err := client.Post(b.url, "application/json", strings.NewReader(b.body))
				if err != nil {
					failed.Add(1)
					continue
				}
				answer, _ := io.ReadAll(res.Body)
				res.Body.Close()
				if res.StatusCode != http.StatusOK && failed.Add(1) == 1 {
					t.Errorf("%s: %s %.300s", b.name, res.Status, answer)
				}
				mine = append(mine, time.Since(due))
			}
			mu.Lock()
			took = append(took, mine...)
			mu.Unlock()
		})
	}
	group.Wait()
	if n := failed.Load(); n > 0 {
		t.Errorf("%s: %d requests failed", b.name, n)
	}
	slices.Sort(took)
	return int64(len(took)), took
}

// TestServiceBesideOthers measures requests per processor second of servers of the same kind of
// model, and how long answers take at a constant rate, in one run on one machine: make
// bench-serve. BENCH_SERVE_SECONDS is how long each is asked.
func TestServiceBesideOthers(t *testing.T) {
	root := process.Root(t)
	python := filepath.Join(root, ".cache", "python", "peers", "bin")
	if _, err := os.Stat(filepath.Join(python, "mlserver")); err != nil {
		t.Fatalf("no servers to compare with in %s: run make bench-serve", python)
	}
	seconds, err := strconv.ParseFloat(cmp.Or(os.Getenv("BENCH_SERVE_SECONDS"), "8"), 64)
	if err != nil {
		t.Fatal(err)
	}
	for_ := time.Duration(seconds * float64(time.Second))
	flights := filepath.Join(root, "deploy", "demo", "flights.parquet")
	bare := filepath.Join(t.TempDir(), "bare")
	if out, err := exec.Command("go", "build", "-o", bare, "./serve/bare").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for kind, model := range map[string]string{"linear": "model: {type: linear}", "trees": "model: {type: trees}"} {
		d := startDev(t, t.TempDir(), "dev")
		d.run(t, "put", flights, "s3://lake/flights/flights.parquet")
		spec := filepath.Join(t.TempDir(), "flights.yaml")
		if err := os.WriteFile(spec, []byte(strings.Replace(benchSpec, "MODEL", model, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		d.run(t, "apply", "-f", spec, "--wait")
		api := strings.TrimPrefix(d.process.Line(t, `^ *API +(http://\S+)`)[1], "http://")
		trained := filepath.Join(t.TempDir(), "model")
		if out, err := exec.Command(filepath.Join(python, "python"), filepath.Join(root, "integration", "peers", "train.py"), flights, kind, trained).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		start := func(name string, cmd *exec.Cmd) (p *process.Process, address string) {
			cmd.Env = append(os.Environ(), "MODEL="+trained, "PATH="+python+":"+os.Getenv("PATH"))
			p = process.Start(t, name, cmd)
			if name == "mlserver" {
				return p, ""
			}
			return p, p.Line(t, `serves at (\S+)`)[1]
		}
		plain, plainAt := start("bare", exec.Command(bare))
		fast, fastAt := start("fastapi", exec.Command(filepath.Join(python, "python"), filepath.Join(root, "integration", "peers", "api.py")))
		mlserverAt := process.FreeAddress(t)
		_, port, _ := strings.Cut(mlserverAt, ":")
		settings := fmt.Sprintf(`{"parallel_workers": 0, "host": "127.0.0.1", "http_port": %s, "grpc_port": 0, "metrics_port": %s, "debug": false}`, port, strings.Split(process.FreeAddress(t), ":")[1])
		if err := os.WriteFile(filepath.Join(trained, "settings.json"), []byte(settings), 0o600); err != nil {
			t.Fatal(err)
		}
		ml, _ := start("mlserver", exec.Command(filepath.Join(python, "mlserver"), "start", trained))
		process.Until(t, "mlserver", ml.Answers("http://"+mlserverAt+"/v2/models/flights/ready"))
		const tensors = `{"parameters":{"content_type":"pd"},"inputs":[{"name":"distance","datatype":"FP64","shape":[1,1],"data":[405]},{"name":"origin","datatype":"BYTES","shape":[1,1],"data":["SFO"],"parameters":{"content_type":"str"}},{"name":"destination","datatype":"BYTES","shape":[1,1],"data":["LAX"],"parameters":{"content_type":"str"}}],"outputs":[{"name":"predict_proba"}]}`
		servers := []benched{
			{"thalweg, worker", "http://" + worker(t, d) + "/v1/score/flight-delays", benchRow, d.process},
			{"thalweg, coordinator and worker", "http://" + api + "/v1/score/flight-delays", benchRow, d.process},
			{"bare handler", "http://" + plainAt + "/", benchRow, plain},
			{"fastapi", "http://" + fastAt + "/score", benchRow, fast},
			{"mlserver", "http://" + mlserverAt + "/v2/models/flights/infer", tensors, ml},
		}
		for _, s := range servers {
			s.load(t, for_/8, 0) // to warm it
			before := s.process.CPU(t)
			n, took := s.load(t, for_, 0)
			per := float64(n) / (s.process.CPU(t) - before).Seconds()
			t.Logf("%s, %s: %.0f requests a processor second, %.0f a second, p99 %.1f ms", kind, s.name, per, float64(n)/for_.Seconds(), took[n*99/100].Seconds()*1000)
			if strings.HasPrefix(s.name, "thalweg") {
				const rate = 2000
				n, took := s.load(t, for_, rate)
				t.Logf("%s, %s at a constant %d requests a second: p50 %.2f ms, p99 %.2f ms", kind, s.name, rate, took[n/2].Seconds()*1000, took[n*99/100].Seconds()*1000)
			}
		}
		for _, s := range servers[1:] {
			s.process.Kill()
		}
	}
}

// worker returns where the worker that serves answers.
func worker(t *testing.T, d *dev) string {
	t.Helper()
	res, err := d.Client().ListEndpoints(t.Context(), &apiv1.ListEndpointsRequest{})
	if err != nil || len(res.Endpoints) == 0 || res.Endpoints[0].Address == "" {
		t.Fatalf("no endpoint: %v, %v", res, err)
	}
	return res.Endpoints[0].Address
}
