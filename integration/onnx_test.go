//go:build integration

package integration

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/thalweg/thalweg/integration/process"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/onnx"
	"github.com/thalweg/thalweg/pipeline/onnx/onnxtest"
)

// offAtMost is how far an output of an exported model may be from scoring's, in parts of it
// where that is above 1.
const offAtMost = 1e-6

// offBy is what a check says of an output.
type offBy struct {
	Largest float64 `json:"largest_difference"`
	Bits    int     `json:"other_bits"`
}

// TestExportedModelsScoreAsThalwegDoes has onnxruntime run each kind of feature and model on
// rows with nulls, unknown categories and extremes.
func TestExportedModelsScoreAsThalwegDoes(t *testing.T) {
	rows := onnxtest.Rows()
	defer rows.Release()
	root, dir := process.Root(t), t.TempDir()
	args := []string{filepath.Join(root, "integration", "onnx", "read.py"), filepath.Join(root, "pipeline", "onnx", "check.py")}
	cases := onnxtest.Cases(t)
	for _, c := range cases {
		m, err := onnx.Export(c.Artifact)
		if err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
		scorer, err := c.Artifact.NewScorer(pipeline.InTraining)
		if err != nil {
			t.Fatal(err)
		}
		sample, err := m.Sample(c.Artifact, scorer, rows)
		if err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
		at := filepath.Join(dir, c.Name)
		if err := os.Mkdir(at, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, data := range map[string][]byte{"model.onnx": m.Bytes, "sample.json": sample.JSON()} {
			if err := os.WriteFile(filepath.Join(at, name), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		args = append(args, at)
	}
	cmd := exec.Command(filepath.Join(root, ".cache", "python", "onnx", "bin", "python"), args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("read.py: %v", err)
	}
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	if len(lines) != len(cases) {
		t.Fatalf("%d of %d models were run", len(lines), len(cases))
	}
	for i, line := range lines {
		t.Logf("%-45s %s", cases[i].Name, line)
		var found map[string]json.RawMessage
		if err := json.Unmarshal(line, &found); err != nil {
			t.Fatal(err)
		}
		if string(found["other_answers"]) != "0" {
			t.Errorf("%s: %s answers are others", cases[i].Name, found["other_answers"])
		}
		for name, raw := range found {
			var off offBy
			if json.Unmarshal(raw, &off) != nil || raw[0] != '{' {
				continue
			}
			if !(off.Largest <= offAtMost) || name == "raw_score" && cases[i].Exact && off.Bits > 0 {
				t.Errorf("%s: %s is off by %g, %d values have other bits", cases[i].Name, name, off.Largest, off.Bits)
			}
		}
	}
}
