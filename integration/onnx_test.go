//go:build integration

package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/thalweg/thalweg/integration/process"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/kernel"
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

// onnxPython is the Python that has the packages of integration/onnx.
func onnxPython(t *testing.T) string {
	return filepath.Join(process.Root(t), ".cache", "python", "onnx", "bin", "python")
}

// runPython returns what a script prints.
func runPython(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(onnxPython(t), args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", args[0], err)
	}
	return out
}

// TestParametersAreReadByThePackageSafetensors by their names, shapes and bits.
func TestParametersAreReadByThePackageSafetensors(t *testing.T) {
	for _, c := range onnxtest.Cases(t) {
		if !strings.HasSuffix(c.Name, " category") {
			continue
		}
		parts, err := c.Artifact.Encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "model.safetensors")
		if err := os.WriteFile(file, parts[artifact.PartModel], 0o644); err != nil {
			t.Fatal(err)
		}
		var found map[string]struct {
			Shape []int
			Type  string
			Bytes []byte
		}
		if err := json.Unmarshal(runPython(t, filepath.Join(process.Root(t), "integration", "onnx", "tensors.py"), file), &found); err != nil {
			t.Fatal(err)
		}
		views := c.Artifact.Model.Views()
		if len(found) != len(views) {
			t.Errorf("%s: %d tensors of %d", c.Name, len(found), len(views))
		}
		for _, v := range views {
			have := found[v.Name]
			if have.Type != "float32" || !slices.Equal(have.Shape, v.Shape) || !bytes.Equal(have.Bytes, kernel.AppendFloats(nil, v.Of(c.Artifact.Params))) {
				t.Errorf("%s: %s is %s of %v", c.Name, v.Name, have.Type, have.Shape)
			}
		}
	}
}

// TestVerifyComparesBatchStreamAndONNX on rows that a stream has just scored.
func TestVerifyComparesBatchStreamAndONNX(t *testing.T) {
	d := startDev(t, t.TempDir(), "dev")
	dir := t.TempDir()
	flights := filepath.Join(process.Root(t), "deploy", "demo", "flights.parquet")
	spec, err := os.ReadFile(filepath.Join(process.Root(t), "deploy", "demo", "flights.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "flights.yaml")
	text := strings.Replace(string(spec), "\n  scoring:", "\n  model: {type: trees, trees: 10}\n  registry: {export: [onnx]}\n  scoring:", 1)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	d.run(t, "put", flights, "s3://lake/flights/")
	d.run(t, "apply", "-f", file, "--wait")
	if shown := d.run(t, "models", "show", "flight-delays"); !strings.Contains(shown, "onnx: checkpoints/flight-delays-1-1/") {
		t.Errorf("no export is named:\n%s", shown)
	}
	d.run(t, "produce", flights, "--topic", "flights", "--from", "0.999")
	process.Until(t, "rows to be committed", func(ctx context.Context) error {
		cmd := exec.CommandContext(ctx, d.binary, "verify", "flight-delays")
		cmd.Env = d.env
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	said := d.run(t, "verify", "flight-delays", "--python", onnxPython(t), "-o", "json")
	var found struct {
		Rows      int `json:"rows"`
		OtherBits int `json:"other_bits"`
		ONNX      struct {
			Raw offBy `json:"raw_score"`
		} `json:"onnx"`
	}
	if err := json.Unmarshal([]byte(said), &found); err != nil {
		t.Fatalf("%v in %s", err, said)
	}
	if found.Rows == 0 || found.OtherBits != 0 || found.ONNX.Raw.Bits != 0 {
		t.Errorf("%s", said)
	}
}

// TestExportedModelsScoreAsThalwegDoes has onnxruntime run each kind of feature and model on
// rows with nulls, unknown categories and extremes.
func TestExportedModelsScoreAsThalwegDoes(t *testing.T) {
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
		sample, err := m.Sample(c.Artifact, scorer, c.Rows)
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
	lines := bytes.Split(bytes.TrimSpace(runPython(t, args...)), []byte("\n"))
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
