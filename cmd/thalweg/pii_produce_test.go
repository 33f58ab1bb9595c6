package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg/cmd/thalweg/connections"
	"github.com/thalweg/thalweg/cmd/thalweg/localdata"
	"github.com/thalweg/thalweg/cmd/thalweg/produce"
	"github.com/thalweg/thalweg/connectors/kafka"
	"github.com/thalweg/thalweg/storage/s3"
)

const droppedSpec = `apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: p}
spec:
  sources:
    train: {s3: {path: "s3://lake/p/*.csv"}, format: {type: csv}}
    events: {kafka: {topic: p}, format: FORMAT}
  schema:
    columns:
      - {name: seat, type: string, pii: drop}
      - {name: x, type: float64}
      - {name: y, type: float64, available_in: [training]}
  input_features: [{name: x, type: number}]
  output_features: [{name: y, type: number}]
  model: {type: linear}
  registry: {model: p}
  scoring: {source: events, sink: {s3: {path: "s3://lake/scored/"}, format: {type: parquet}}}
`

// Events have the columns that are dropped when they are read, where a decoder expects them.
func TestEventsThatAreProducedHaveColumnsThatAreDropped(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "all.csv"), "seat,x,y\n12A,0.5,1.5\n")
	put(t, filepath.Join(dir, "less.csv"), "x,y\n0.5,1.5\n")
	if err := os.Mkdir(filepath.Join(dir, "lake"), 0o700); err != nil {
		t.Fatal(err)
	}
	conns, err := connections.New("file://"+dir, s3.Config{}, kafka.Config{}, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conns.Close)
	lake, err := conns.Bucket(t.Context(), "", "lake")
	if err != nil {
		t.Fatal(err)
	}
	const avro = `{"type":"record","name":"P","fields":[{"name":"seat","type":"string"},{"name":"x","type":"double"}]}`
	if _, err := lake.Put(t.Context(), "p.avsc", []byte(avro)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ file, format, want, fault string }{
		{"all.csv", "{type: csv}", "12A,0.5", ""},
		{"all.csv", "{type: csv, columns: [x]}", "0.5", ""},
		{"all.csv", "{type: json}", `{"seat":"12A","x":0.5}`, ""},
		{"all.csv", `{type: avro, schema_file: "s3://lake/p.avsc"}`, "\x0612A\x00\x00\x00\x00\x00\x00\xe0\x3f", ""},
		{"less.csv", "{type: json}", `{"x":0.5}`, ""},
		{"less.csv", "{type: csv, columns: [x]}", "0.5", ""},
		{"less.csv", "{type: csv}", "", "column seat: events of CSV have a place for it"},
	} {
		text := strings.Replace(droppedSpec, "FORMAT", c.format, 1)
		spec := filepath.Join(t.TempDir(), "spec.yaml")
		put(t, spec, text)
		local, err := localdata.OpenFiles(t.Context(), filepath.Join(dir, c.file), nil)
		if err != nil {
			t.Fatal(err)
		}
		form, err := produce.NewForm(t.Context(), conns, local, "p", spec, "")
		if c.fault != "" {
			if err == nil || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%s: %v", c.format, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.format, err)
			continue
		}
		if err := local.Each(t.Context(), func(batch arrow.Record) error {
			for m, err := range form.Messages(batch, 0) {
				if err != nil {
					return err
				}
				if string(m.Value) != c.want {
					t.Errorf("%s: %q, want %q", c.format, m.Value, c.want)
				}
			}
			return nil
		}); err != nil {
			t.Fatal(c.format, err)
		}
	}
}

// What validate counts is what a run counts, where the key is registered.
func TestValidateCountsByTheKeyThatIsRegistered(t *testing.T) {
	dir := t.TempDir()
	mac := hmac.New(sha256.New, []byte("the secret of the test"))
	mac.Write([]byte("12A"))
	hash := hex.EncodeToString(mac.Sum(nil)[:16])
	text := strings.Replace(strings.Replace(droppedSpec, "FORMAT", "{type: json}", 1), "pii: drop", "pii: hash", 1)
	text = strings.Replace(text, "  input_features", "  preprocessing: {clean: [{filter: {expression: \"seat == '"+hash+"'\"}}]}\n  input_features", 1)
	put(t, filepath.Join(dir, "spec.yaml"), text)
	put(t, filepath.Join(dir, "all.csv"), "seat,x,y\n12A,0.5,1.5\n12B,0.5,1.5\n")
	put(t, filepath.Join(dir, "conns.yaml"), "connections:\n  pii: {key: {secret: {file: "+filepath.Join(dir, "key")+"}}}\n")
	put(t, filepath.Join(dir, "key"), "the secret of the test\n")
	line := "validate " + filepath.Join(dir, "spec.yaml") + " --data " + filepath.Join(dir, "all.csv")
	if out, err := runLine(t, line+" --connections "+filepath.Join(dir, "conns.yaml")); err != nil || !strings.Contains(out, "2 read, 1 to learn from") {
		t.Errorf("with the key: %s %v", out, err)
	}
	if out, err := runLine(t, line); err != nil || !strings.Contains(out, "key pii is not registered here") {
		t.Errorf("without: %s %v", out, err)
	}
}
