//go:build integration

package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/integration/process"
)

// peerTable is a table as integration/quality/peer.py describes it, with what
// scikit-learn reached, by seed.
type peerTable struct {
	Name   string
	Rows   int
	Metric string
	Specs  []string
	Scores []float64
}

// worseAtMost is how much worse than scikit-learn's untuned linear models a table
// may come out with nothing set.
const worseAtMost = 1.02

// TestQuality trains on tables that ship with packages of PyPI with nothing set but
// the columns, and holds the result to scikit-learn's on the same splits.
func TestQuality(t *testing.T) {
	dir, root := t.TempDir(), process.Root(t)
	cmd := exec.Command(filepath.Join(root, ".cache", "python", "quality", "bin", "python"), filepath.Join(root, "integration", "quality", "peer.py"), dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("peer.py: %v", err)
	}
	d := startDev(t, t.TempDir(), "dev")
	t.Logf("%-11s %6s  %-13s  %9s  %9s  %7s  %s", "table", "rows", "metric", "thalweg", "peer", "worse", "a run")
	for line := range bytes.Lines(out) {
		var table peerTable
		if err := json.Unmarshal(line, &table); err != nil {
			t.Fatal(err)
		}
		body, err := os.Open(filepath.Join(dir, table.Name+".parquet"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.aws().PutObject(t.Context(), &awss3.PutObjectInput{Bucket: aws.String("lake"), Key: aws.String(table.Name + "/table.parquet"), Body: body}); err != nil {
			t.Fatal(err)
		}
		var ours, peers float64
		began := time.Now()
		for i, spec := range table.Specs {
			ours += trained(t, d, fmt.Sprintf("%s-%d.yaml", table.Name, i+1), spec)[table.Metric]
			peers += table.Scores[i]
		}
		runs := len(table.Specs)
		t.Logf("%-11s %6d  %-13s  %9.5g  %9.5g  %+6.2f%%  %v", table.Name, table.Rows, table.Metric,
			ours/float64(runs), peers/float64(runs), 100*(ours/peers-1), (time.Since(began) / time.Duration(runs)).Round(time.Millisecond))
		if !(ours <= worseAtMost*peers) {
			t.Errorf("%s: %s is %.5g, scikit-learn's %.5g", table.Name, table.Metric, ours/float64(runs), peers/float64(runs))
		}
	}
}

// trained applies a spec and returns the metrics of its run.
func trained(t *testing.T, d *dev, file, spec string) map[string]float64 {
	t.Helper()
	res, err := d.client.Apply(t.Context(), &apiv1.ApplyRequest{Spec: spec, File: file})
	if err != nil {
		t.Fatal(err)
	}
	return waitRun(t, d, res.RunId, file+" to be trained", succeeded).Metrics
}
