//go:build integration

package integration

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg/integration/process"
)

// answer is what the demo's model said of one flight.
type answer struct {
	probability float64
	late        bool
}

// TestTheDemosFiguresAreThoseOfItsFiles runs the demo and computes its summary
// again from the events and the Parquet files that it leaves behind.
func TestTheDemosFiguresAreThoseOfItsFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	cmd := exec.Command(buildBinary(t, ""), "demo", "--dir", dir)
	cmd.Dir = process.Root(t)
	demo := process.Start(t, "demo", cmd)
	if code := demo.Wait(t); code != 0 {
		t.Fatalf("exit code %d: %s", code, demo.Tail())
	}

	var summary struct {
		RowsIn         int64            `json:"rows_in"`
		EventsStreamed int64            `json:"events_streamed"`
		EventsScored   int64            `json:"events_scored"`
		DeadLetters    int64            `json:"dead_letters"`
		Rows           map[string]int64 `json:"rows_by_model_version"`
		Stream         struct {
			LogLoss float64 `json:"log_loss"`
			ROCAUC  float64 `json:"roc_auc"`
		}
		Versions []struct{ Metrics map[string]float64 }
		Fsck     string
	}
	text, err := os.ReadFile(filepath.Join(dir, "summary.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &summary); err != nil {
		t.Fatal(err)
	}
	events, err := os.ReadFile(filepath.Join(dir, "events.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	left := map[string]int{} // events without a row
	for line := range strings.Lines(string(events)) {
		left[strings.TrimSpace(line)]++
	}
	streamed := int64(strings.Count(string(events), "\n"))

	files, err := filepath.Glob(filepath.Join(dir, "results", "*.parquet"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no results: %v", err)
	}
	var answers []answer
	versions := map[string]int64{}
	for _, name := range files {
		body, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		readParquet(t, name, body, func(batch arrow.Record) {
			date := columnOf[*array.Timestamp](t, batch, "date")
			delay, distance, version := ints(t, batch, "delay"), ints(t, batch, "distance"), ints(t, batch, "_model_version")
			origin, destination := columnOf[arrow.Array](t, batch, "origin"), columnOf[arrow.Array](t, batch, "destination")
			probability := floats(t, batch, "probability")
			for i := range int(batch.NumRows()) {
				event := fmt.Sprintf(`{"date":"%s","delay":%d,"distance":%d,"origin":"%s","destination":"%s"}`,
					date.Value(i).ToTime(arrow.Microsecond).Format("2006-01-02T15:04:05Z"), delay.Value(i), distance.Value(i), origin.ValueStr(i), destination.ValueStr(i))
				if left[event]--; left[event] < 0 {
					t.Errorf("a row too many of %s", event)
				}
				versions[fmt.Sprint(version.Value(i))]++
				answers = append(answers, answer{probability.Value(i), delay.Value(i) > 15})
			}
		})
	}
	for event, n := range left {
		if n > 0 {
			t.Errorf("no row of %s", event)
		}
	}
	if n := int64(len(answers)); summary.RowsIn != 300_000 || streamed != summary.EventsStreamed || n != summary.EventsScored || summary.DeadLetters != 0 {
		t.Errorf("%d events and %d rows; the summary says %+v", streamed, n, summary)
	}
	if len(versions) != 2 || !maps.Equal(versions, summary.Rows) {
		t.Errorf("rows by version %v; the summary says %v", versions, summary.Rows)
	}
	if loss := logLoss(answers); math.Abs(loss-summary.Stream.LogLoss) > 1e-6 {
		t.Errorf("log loss of the stream %v; the summary says %v", loss, summary.Stream.LogLoss)
	}
	if auc := rocAUC(answers); math.Abs(auc-summary.Stream.ROCAUC) > 1e-4 { // theirs is of a histogram
		t.Errorf("ROC AUC of the stream %v; the summary says %v", auc, summary.Stream.ROCAUC)
	}
	for i, v := range summary.Versions {
		if v.Metrics["test.roc_auc"] < 0.65 || v.Metrics["test.log_loss"] > 0.5 {
			t.Errorf("version %d has learnt little: %v", i+1, v.Metrics)
		}
	}
	if summary.Fsck != "ok" || len(summary.Versions) != 2 {
		t.Errorf("fsck %q, %d versions", summary.Fsck, len(summary.Versions))
	}
}

// logLoss is the mean of -log p of what happened.
func logLoss(answers []answer) float64 {
	sum := 0.0
	for _, a := range answers {
		p := a.probability
		if !a.late {
			p = 1 - p
		}
		sum -= math.Log(p)
	}
	return sum / float64(len(answers))
}

// rocAUC is the share of pairs of a late and a punctual flight in which the late
// one has the higher probability, equal ones counting half: the rank sum of the
// late ones (Mann and Whitney, 1947).
func rocAUC(answers []answer) float64 {
	slices.SortFunc(answers, func(a, b answer) int { return cmp.Compare(a.probability, b.probability) })
	rankSum, late := 0.0, 0.0
	for i := 0; i < len(answers); {
		j := i
		for j < len(answers) && answers[j].probability == answers[i].probability {
			j++
		}
		rank := float64(i+j+1) / 2 // the mean of ranks i+1 to j
		for ; i < j; i++ {
			if answers[i].late {
				rankSum += rank
				late++
			}
		}
	}
	punctual := float64(len(answers)) - late
	return (rankSum - late*(late+1)/2) / (late * punctual)
}
