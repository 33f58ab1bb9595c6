package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/thalweg/thalweg/cmd/thalweg/embedded"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/retry"
)

// A schedule on new objects starts a run of its own when there are some; one that finds
// none says so and makes no version; who looks sees both, and when the next is.
func TestAScheduleTrainsOnWhatIsNew(t *testing.T) {
	c := parallelDev(t, embedded.Config{LookEvery: 50 * time.Millisecond})
	upload(t, c, fewFlights(t, 3000))
	bucket, err := c.Connections.Bucket(t.Context(), "", "lake")
	if err != nil {
		t.Fatal(err)
	}
	airports := func(text string) {
		if _, err := bucket.Put(t.Context(), "airports/all.csv", []byte("iata,elevation\n"+text)); err != nil {
			t.Fatal(err)
		}
	}
	airports("JFK,13\nLAX,128\n,5\n")
	spec := filepath.Join(t.TempDir(), "spec.yaml")
	write := func(schedule string) {
		put(t, spec, specOf("fresh", delayedByDistance+`
  lookups: [{name: airports, s3: {path: "s3://lake/airports/*.csv"}, format: {type: csv}, key: {origin: iata}, columns: [elevation]}]
  preprocessing: {clean: [{lookup: {table: airports}}]}
`+"  trainer: {warm_start: champion}\n"+schedule))
	}
	write("")
	said(t, c, "apply", "-f", spec, "--wait")
	write("  schedule: {cron: \"0 0 1 1 *\", on_new_objects: true, on_overlap: queue}\n")
	if text := said(t, c, "plan", "-f", spec); !strings.Contains(text, "runs start by it from now on") || strings.Contains(text, "trained anew") {
		t.Error(text)
	}
	if text := said(t, c, "apply", "-f", spec); strings.Contains(text, "fresh-2-1") {
		t.Errorf("a schedule trains: %s", text)
	}
	ended := func(id string) *apiv1.Run {
		t.Helper()
		for late := time.Now().Add(time.Minute); time.Now().Before(late) && retry.Sleep(t.Context(), 10*time.Millisecond) == nil; {
			if res, err := client(t, c).GetRun(t.Context(), &apiv1.GetRunRequest{RunId: id}); err == nil && res.Run.EndedAtUnixMs > 0 {
				return res.Run
			}
		}
		t.Fatalf("run %s did not end\n%s", id, said(t, c, "runs"))
		return nil
	}
	// The first look finds objects that no run since has seen, and they are not new.
	if run := ended("fresh-2-1"); run.State != "succeeded" || run.ModelVersion != 0 || run.Trigger != "new objects" || len(run.Stages) < 2 || run.Stage != "profile" {
		t.Errorf("%v", run)
	}
	const nothing = "nothing new: version 1 was trained on the same objects, 1 in all"
	for _, args := range [][]string{{"runs"}, {"runs", "show", "fresh-2-1"}, {"status"}} {
		if text := said(t, c, args...); !strings.Contains(text, nothing) {
			t.Errorf("%v\n%s", args, text)
		}
	}
	upload(t, c, fewFlights(t, 4000))
	if run := ended("fresh-2-2"); run.ModelVersion != 2 || run.Trigger != "new objects" || !strings.Contains(run.Outputs["started"], "from version 1") {
		t.Errorf("%v", run)
	}
	airports("JFK,13\nLAX,128\nSFO,13\n") // a table is new too, and the version before keeps its own
	if run := ended("fresh-2-3"); run.ModelVersion != 3 || run.Counts["rows of table airports"] != 3 || run.Counts["unmatched: 1 lookup airports"] == 0 {
		t.Errorf("%v", run)
	}
	for version, want := range map[string]string{"2": "table airports, 2 rows", "3": "table airports, 3 rows"} {
		if text := said(t, c, "models", "card", "fresh", version); !strings.Contains(text, want) || !strings.Contains(text, "`airports/all.csv`") {
			t.Errorf("%s: %s", version, text)
		}
	}
	for _, args := range [][]string{{"runs", "--pipeline", "fresh"}, {"status"}} {
		text := said(t, c, args...)
		for _, want := range []string{"SCHEDULE OF", "0 0 1 1 * UTC, on new objects", "-01-01 00:00:00", "run fresh-2-3 succeeded: version 3"} {
			if !strings.Contains(text, want) {
				t.Errorf("%v lacks %q\n%s", args, want, text)
			}
		}
	}
}

// A pause is shown wherever the schedule is, a changed spec keeps it, and it ends when it
// is told to.
func TestAPausedScheduleIsShown(t *testing.T) {
	c := parallelDev(t, embedded.Config{})
	upload(t, c, fewFlights(t, 300))
	spec := filepath.Join(t.TempDir(), "spec.yaml")
	write := func(hour string) {
		put(t, spec, specOf("calm", delayedByDistance+"  schedule: {cron: \"0 "+hour+" 1 1 *\"}\n"))
	}
	write("0")
	said(t, c, "apply", "-f", spec, "--wait")
	if text := said(t, c, "schedule", "pause", "calm"); text != "schedule of calm: paused\n" {
		t.Error(text)
	}
	for _, args := range [][]string{{"runs"}, {"status"}} {
		if text := said(t, c, args...); !strings.Contains(strings.Join(strings.Fields(text), " "), "0 0 1 1 * UTC paused - -") {
			t.Errorf("%v\n%s", args, text)
		}
	}
	const paused = "the schedule is paused: no run starts by it until thalweg schedule resume calm"
	if text := said(t, c, "plan", "-f", spec); !strings.Contains(text, "unchanged") || !strings.Contains(text, paused) {
		t.Error(text)
	}
	write("1")
	for _, verb := range []string{"plan", "apply", "plan"} {
		if text := said(t, c, verb, "-f", spec); !strings.Contains(text, paused) {
			t.Errorf("%s\n%s", verb, text)
		}
	}
	if text := said(t, c, "schedule", "resume", "calm"); text != "schedule of calm: resumed\n" {
		t.Error(text)
	}
	if text := said(t, c, "plan", "-f", spec) + said(t, c, "runs"); strings.Contains(text, "paused") {
		t.Error(text)
	}
	if text, err := command(t, c, "schedule", "pause", "clam"); err == nil || !strings.Contains(err.Error(), "did you mean calm?") {
		t.Errorf("%v\n%s", err, text)
	}
}
