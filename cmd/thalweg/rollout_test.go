package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/thalweg/thalweg/cmd/thalweg/embedded"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/worker/cluster"
)

// TestAVersionIsRolledOutByItselfAndBackByItself: beside a stream that goes on, a candidate like
// its champion is promoted, and one that rejects events is not.
func TestAVersionIsRolledOutByItselfAndBackByItself(t *testing.T) {
	c := parallelDev(t, embedded.Config{})
	cl := client(t, c)
	body := fewFlights(t, 6000)
	upload(t, c, body)
	file := filepath.Join(t.TempDir(), "flights.parquet")
	if err := os.WriteFile(file, body, 0o600); err != nil {
		t.Fatal(err)
	}
	spec := strings.Replace(demoSpec(t), "  scoring:\n", `  rollout: {steps: [20, 50, 100], by: origin, interval: 1s, min_rows: 100, failure_limit: 1, rollback_if: ["error_rate_increase > 1%", "psi(score) > 0.5"]}
  scoring:
`, 1)
	applyAndWait(t, cl, spec)
	sent := sendRows(t, c, file, 0.9)
	committed(t, c, cl, sent)
	// ended sends events until the rollout of a version has ended.
	ended := func(version uint64) *apiv1.Rollout {
		t.Helper()
		for {
			sent += sendRows(t, c, file, 0.9)
			res, err := cl.GetPipeline(t.Context(), &apiv1.GetPipelineRequest{Name: "flight-delays"})
			if err != nil {
				t.Fatal(err)
			}
			if r := res.Pipeline.Rollout; r != nil && r.Candidate == version && r.EndedAtUnixMs > 0 {
				return r
			}
			select {
			case <-t.Context().Done():
				t.Fatalf("%+v", res.Pipeline.Rollout)
			case <-time.After(terminal.FollowEvery):
			}
		}
	}
	run, err := cl.StartRun(t.Context(), &apiv1.StartRunRequest{Pipeline: "flight-delays"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := terminal.Follow(t.Context(), cl, &strings.Builder{}, run.RunId); err != nil {
		t.Fatal(err)
	}
	if r := ended(2); r.State != "promoted" || len(r.Verdicts) < 2 || r.Verdicts[len(r.Verdicts)-1].Percent != 50 {
		t.Errorf("a version like its champion is %s because of %s: %v", r.State, r.Why, r.Verdicts)
	}
	applyAndWait(t, cl, strings.Replace(spec, "  preprocessing:\n", "  preprocessing:\n    clean: [{filter: {expression: \"distance > 800\", apply_to: [training, scoring]}}]\n", 1))
	if r := ended(3); r.State != "rolled back" || !strings.Contains(r.Why, "error_rate_increase") || r.Champion != 2 {
		t.Errorf("a version that rejects events is %s because of %s", r.State, r.Why)
	}
	for _, want := range []struct {
		text string
		args []string
	}{{"version 3 takes over champion from version 2, as a canary rolled back: error_rate_increase", []string{"rollout", "status", "flight-delays"}},
		{"flight-delays 3 (rejected)", []string{"models"}}, {"version 3 was rolled back: error_rate_increase", []string{"status"}}} {
		if text := strings.Join(strings.Fields(said(t, c, want.args...)), " "); !strings.Contains(text, want.text) {
			t.Errorf("%v does not say %q:\n%s", want.args, want.text, text)
		}
	}
	verdict, err := (&cluster.Client{Client: cl, Conns: c.Connections}).Judge(t.Context(), "flight-delays", "")
	if err != nil {
		t.Fatal(err)
	}
	if by := verdict.RowsByModel; !verdict.OK() || by["flight-delays 1"] == 0 || by["flight-delays 2"] == 0 || by["flight-delays 3"] == 0 || verdict.Dead == 0 {
		t.Errorf("of %d events:\n%s", sent, verdict)
	}
}
