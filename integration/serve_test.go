//go:build integration

package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/thalweg/thalweg/integration/process"
)

// TestClientsOfTheOpenInferenceProtocolRunUnchanged: the clients of Triton and KServe get from a
// coordinator by REST and gRPC what they get from Triton, and requests that come while the champion is swapped are answered,
// each by one version and as that version answers it.
func TestClientsOfTheOpenInferenceProtocolRunUnchanged(t *testing.T) {
	python := filepath.Join(process.Root(t), ".cache", "python", "serve", "bin", "python")
	if _, err := os.Stat(python); err != nil {
		t.Fatalf("no clients in %s: run make integration-deps", python)
	}
	d := startDev(t, t.TempDir(), "dev")
	demo := filepath.Join(process.Root(t), "deploy", "demo")
	d.run(t, "put", filepath.Join(demo, "flights.parquet"), "s3://lake/flights/flights.parquet")
	text, err := os.ReadFile(filepath.Join(demo, "flights.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	spec := filepath.Join(t.TempDir(), "flights.yaml")
	if err := os.WriteFile(spec, []byte(strings.Replace(string(text), "\n  scoring:\n", "\n  serving: {enabled: true}\n  scoring:\n", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	d.run(t, "apply", "-f", spec, "--wait")
	api := strings.TrimPrefix(d.process.Line(t, `^ *API +(http://\S+)`)[1], "http://")
	for _, library := range []string{"triton", "kserve"} {
		client := exec.Command(python, filepath.Join(process.Root(t), "integration", "serve", "client.py"), library, api, "flight-delays")
		if out, err := client.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}

	d.run(t, "runs", "start", "flight-delays", "--wait")
	const row = `{"date":"2001-03-04 05:06:07","distance":405,"origin":"SFO","destination":"LAX"}`
	ask := func(path string) (probability float64, version int, err error) {
		res, err := http.Post("http://"+api+"/v1/score/flight-delays"+path, "application/json", strings.NewReader(row))
		if err != nil {
			return 0, 0, err
		}
		defer res.Body.Close()
		var answer struct {
			Probability float64
			Version     int `json:"_model_version"`
		}
		if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || res.StatusCode != http.StatusOK {
			return 0, 0, fmt.Errorf("%s: %w", res.Status, err)
		}
		return answer.Probability, answer.Version, nil
	}
	want := make(map[int]float64)
	for version := 1; version <= 2; version++ {
		p, _, err := ask(fmt.Sprintf("/versions/%d", version))
		if err != nil {
			t.Fatal(err)
		}
		want[version] = p
	}
	var asked atomic.Int64
	var group sync.WaitGroup
	stop := make(chan struct{})
	for range 8 {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				asked.Add(1)
				if p, version, err := ask(""); err != nil || p != want[version] {
					t.Errorf("version %d: %v, %v, want %v", version, p, err, want[version])
					return
				}
			}
		})
	}
	for i := range 6 {
		d.run(t, "models", "promote", "flight-delays", fmt.Sprint(1+i%2))
	}
	close(stop)
	group.Wait()
	t.Logf("%d requests during 6 swaps", asked.Load())
}
