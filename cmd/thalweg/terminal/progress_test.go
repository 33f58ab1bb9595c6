package terminal

import (
	"context"
	"strings"
	"testing"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
)

// TestAPlainRunTellsNoRateThatMeansNothing: a stage that reads footers, or that
// ends at once, has no speed.
func TestAPlainRunTellsNoRateThatMeansNothing(t *testing.T) {
	var out strings.Builder
	printStages(&out)(&apiv1.Run{Stages: []*apiv1.Stage{
		{Name: "profile", State: "done", RowsDone: 300_000, StartedAtUnixMs: 1, EndedAtUnixMs: 5001},
		{Name: "clean", State: "done", RowsDone: 300_000, StartedAtUnixMs: 1, EndedAtUnixMs: 21},
		{Name: "fit", State: "done", RowsDone: 300_000, StartedAtUnixMs: 1, EndedAtUnixMs: 1001}}})
	lines := strings.Split(strings.TrimRight(out.String(), "\n"), "\n")
	for i, l := range lines {
		lines[i] = strings.Join(strings.Fields(l), " ")
	}
	if got, want := strings.Join(lines, "\n"), "profile 5s 300,000 rows\nclean 20ms 300,000 rows\nfit 1s 300,000 rows, 300,000 rows/s"; got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// workers is a cluster with one worker in a state.
type workers string

// Status implements statusAsker.
func (w workers) Status(context.Context, *apiv1.StatusRequest) (*apiv1.StatusResponse, error) {
	return &apiv1.StatusResponse{Workers: []*apiv1.Worker{{Id: "w1", State: string(w)}}}, nil
}

// A run that waits for a worker says so; before, it said nothing for ever.
func TestARunWithoutWorkersSaysWhatItWaitsFor(t *testing.T) {
	for state, says := range map[string]bool{"alive": false, "dead": true} {
		var out strings.Builder
		if err := WarnWithoutWorkers(t.Context(), workers(state), &out); err != nil || strings.Contains(out.String(), "no worker is alive") != says {
			t.Errorf("%s: %v, %q", state, err, &out)
		}
	}
}
