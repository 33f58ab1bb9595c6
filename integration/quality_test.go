//go:build integration

package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/integration/process"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

// peerTable is a table as integration/quality/peer.py describes it, with what
// scikit-learn reached, by seed.
type peerTable struct {
	Name   string
	Model  string
	Kind   string // of the label
	Loss   string // empty: the default
	Rows   int
	Metric string
	Specs  []string
	Scores []float64
	// Held are the scores of a search that compares trials by the validation rows alone.
	Held []float64
	// Accuracies are those of scikit-learn's network where the accuracy is compared.
	Accuracies []float64
}

// worseAtMost is how much worse than scikit-learn's untuned models a table may come out
// with nothing set but the type of the model and a loss.
const worseAtMost = 1.02

// lessAccurateAtMost is how much lower the accuracy of a network may be than that of
// scikit-learn's, on images of digits.
const lessAccurateAtMost = 0.005

// TestQuality trains on tables that ship with packages of PyPI with nothing set but
// the columns, the type of the model and a loss, and holds the result to scikit-learn's
// on the same splits: LogisticRegression, of several classes too, Ridge, LinearSVC for
// loss hinge, and HistGradientBoosting for trees. Networks are held to MLPClassifier and
// MLPRegressor, by the mean over the tables: that of one table is chance, as they have few rows.
// On images, convolutional ones are held to MLPClassifier too, and both by their accuracy.
func TestQuality(t *testing.T) {
	dir := t.TempDir()
	sets := peerTables(t, "peer.py", dir, strings.Fields(os.Getenv("TABLES"))) // none: all
	d := startDev(t, t.TempDir(), "dev")
	t.Logf("%-11s %-6s %6s  %-15s  %9s  %9s  %7s  %s", "table", "model", "rows", "metric", "thalweg", "peer", "worse", "a run")
	var networks []float64
	for _, set := range sets {
		set.put(t, d, dir)
		var ours, peers, accuracy, accurate float64
		began := time.Now()
		for i, spec := range set.Specs {
			metrics := trained(t, d, fmt.Sprintf("%s-%s-%s-%d.yaml", set.Name, set.Model, set.Loss, i+1), spec)
			ours += metrics[set.Metric]
			peers += set.Scores[i]
			if set.Accuracies != nil {
				accuracy, accurate = accuracy+metrics["test.accuracy"], accurate+set.Accuracies[i]
			}
		}
		runs := len(set.Specs)
		t.Logf("%-11s %-6s %6d  %-15s  %9.5g  %9.5g  %+6.2f%%  %v", set.Name, set.Model, set.Rows, set.Metric,
			ours/float64(runs), peers/float64(runs), 100*(ours/peers-1), (time.Since(began) / time.Duration(runs)).Round(time.Millisecond))
		if n := float64(runs); set.Accuracies != nil {
			if t.Logf("%-11s %-6s %6d  %-15s  %9.5g  %9.5g", set.Name, set.Model, set.Rows, "test.accuracy", accuracy/n, accurate/n); !(accuracy/n >= accurate/n-lessAccurateAtMost) {
				t.Errorf("%s, %s: the accuracy is %.5g, scikit-learn's %.5g", set.Name, set.Model, accuracy/n, accurate/n)
			}
		}
		if set.Model == "cnn" {
			continue
		}
		if set.Model == "mlp" {
			networks = append(networks, ours/peers)
			continue
		}
		if !(ours <= worseAtMost*peers) {
			t.Errorf("%s, %s: %s is %.5g, scikit-learn's %.5g", set.Name, set.Model, set.Metric, ours/float64(runs), peers/float64(runs))
		}
		if set.Kind == "category" || set.Loss != "" || set.Model != "linear" { // answers that have no base rate
			continue
		}
		if off := offBaseRate(t, d, set.Name+"-linear-1"); off > 1e-6 {
			t.Errorf("%s: the score of an event with everything missing or unknown is %.3g off the mean of the labels", set.Name, off)
		}
	}
	mean := 0.0
	for _, worse := range networks {
		mean += worse / float64(len(networks))
	}
	if t.Logf("networks: %+.2f%% in the mean of %d tables", 100*(mean-1), len(networks)); !(mean <= worseAtMost) {
		t.Errorf("networks come out %.4g times scikit-learn's in the mean", mean)
	}
}

// TestSearchedNetworks searches for the options of networks, and holds the version of the best
// trial to scikit-learn's network, tuned by the same search: trials of the same values on the same
// splits, compared by the same rows. The mean over the tables counts. Intervals are of
// 95 %: of a table over its splits, and over the tables. Beside it stands what scikit-learn's comes
// to where its trials are compared by the validation rows alone.
func TestSearchedNetworks(t *testing.T) {
	dir := t.TempDir()
	sets := peerTables(t, "search.py", dir, strings.Fields(os.Getenv("TABLES"))) // none: all
	d := startDev(t, t.TempDir(), "dev")
	t.Logf("%-11s %6s  %-15s  %9s  %9s  %7s  %9s  %6s  %7s  %s", "table", "rows", "metric", "thalweg", "peer", "worse", "interval", "better", "held", "a search")
	var all, held []float64
	within := 0
	for _, set := range sets {
		set.put(t, d, dir)
		var ours, peers float64
		runs := len(set.Specs)
		scores := make([]float64, runs)
		better, began := 0, time.Now()
		for i, spec := range set.Specs {
			scores[i] = trained(t, d, fmt.Sprintf("%s-searched-%d.yaml", set.Name, i+1), spec)[set.Metric]
			if ours, peers = ours+scores[i], peers+set.Scores[i]; scores[i] < set.Scores[i] {
				better++
			}
		}
		for i := range scores {
			scores[i] = (scores[i] - set.Scores[i]) * float64(runs) / peers
		}
		byHeld := float64(runs) * stat.Mean(set.Held, nil)
		held = append(held, ours/byHeld-1)
		t.Logf("%-11s %6d  %-15s  %9.5g  %9.5g  %+6.2f%%  %9s  %d of %d  %+6.2f%%  %v", set.Name, set.Rows, set.Metric, ours/float64(runs), peers/float64(runs),
			100*(ours/peers-1), interval(scores), better, runs, 100*(ours/byHeld-1), (time.Since(began) / time.Duration(runs)).Round(time.Millisecond))
		if all = append(all, ours/peers-1); ours <= worseAtMost*peers {
			within++
		}
	}
	mean := stat.Mean(all, nil)
	if t.Logf("searched networks: %+.2f%% %s in the mean of %d tables, %d of them at most %.0f%% worse; %+.2f%% %s where scikit-learn's trials are compared by validation rows",
		100*mean, interval(all), len(sets), within, 100*(worseAtMost-1), 100*stat.Mean(held, nil), interval(held)); !(1+mean <= worseAtMost) {
		t.Errorf("searched networks come out %.4g times scikit-learn's in the mean", 1+mean)
	}
}

// interval is how far the mean of shares may be off by chance, of 95 % of such means, in percent.
func interval(shares []float64) string {
	n := float64(len(shares))
	if n < 2 {
		return "-"
	}
	return fmt.Sprintf("±%.2f%%", 100*distuv.StudentsT{Sigma: 1, Nu: n - 1}.Quantile(0.975)*stat.StdDev(shares, nil)/math.Sqrt(n))
}

// peerTables has a script of integration/quality write tables, none: all, to dir, and returns
// what it found.
func peerTables(t *testing.T, script, dir string, tables []string) (sets []peerTable) {
	t.Helper()
	root := process.Root(t)
	cmd := exec.Command(filepath.Join(root, ".cache", "python", "quality", "bin", "python"), append([]string{filepath.Join(root, "integration", "quality", script), dir}, tables...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	for line := range bytes.Lines(out) {
		var set peerTable
		if err := json.Unmarshal(line, &set); err != nil {
			t.Fatal(err)
		}
		sets = append(sets, set)
	}
	return sets
}

// put uploads a table to where its specs read it.
func (p *peerTable) put(t *testing.T, d *dev, dir string) {
	t.Helper()
	body, err := os.Open(filepath.Join(dir, p.Name+".parquet"))
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if _, err := d.aws().PutObject(t.Context(), &awss3.PutObjectInput{Bucket: aws.String("lake"), Key: aws.String(p.Name + "/table.parquet"), Body: body}); err != nil {
		t.Fatal(err)
	}
}

// trained applies a spec and returns the metrics of its run.
func trained(t *testing.T, d *dev, file, spec string) map[string]float64 {
	t.Helper()
	res, err := d.client.Apply(t.Context(), &apiv1.ApplyRequest{Spec: spec, File: file})
	if err != nil {
		t.Fatal(err)
	}
	return waitRunFor(t, 10*time.Minute, d, res.RunId, file+" to be trained", succeeded).Metrics
}

// offBaseRate returns how far the scores of events with nothing but missing and
// unknown values are from the mean of the training labels, in parts of it.
func offBaseRate(t *testing.T, d *dev, model string) (off float64) {
	t.Helper()
	dir := t.TempDir()
	d.run(t, "models", "export", model, "1", "--dir", dir)
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	parts := make(map[string][]byte)
	for _, file := range files {
		if parts[filepath.Base(file)], err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	a, err := artifact.Decode(catalog.All(), parts)
	if err != nil {
		t.Fatal(err)
	}
	s, err := a.NewScorer(pipeline.InScoring)
	if err != nil {
		t.Fatal(err)
	}
	in := s.Input()
	missing, unknown := make([]any, len(in.Columns)), make([]any, len(in.Columns))
	for i, c := range in.Columns {
		if c.Type == table.String {
			unknown[i] = "a value of no training"
		}
	}
	rows, predictions, err := s.Score(t.Context(), tabletest.Batch(memory.DefaultAllocator, in, 0, missing, unknown), nil)
	if err != nil || len(predictions) != 2 {
		t.Fatalf("%s: %d predictions: %v", model, len(predictions), err)
	}
	defer rows.Release()
	mean := a.Transform.Label().Statistics.Mean
	for _, p := range predictions {
		off = max(off, math.Abs(float64(p)/mean-1))
	}
	return off
}
