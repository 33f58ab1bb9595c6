package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/embedded"
	"github.com/thalweg/thalweg/connectors/kafka"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/storage/checkpoint"
	"github.com/thalweg/thalweg/worker/stream/lineage"
)

// command runs one command line against a dev cluster and returns what it
// printed.
func command(t *testing.T, c *embedded.Cluster, args ...string) (string, error) {
	t.Helper()
	root := newRoot()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&bytes.Buffer{})
	root.SetArgs(append([]string{"--coordinator", strings.Join(c.Endpoints.API, ","), "--kafka", c.Endpoints.Kafka, "--store", c.Endpoints.Store}, args...))
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

func parsed[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// oddEvents are events with nulls, unknown categories, and such as cannot be
// scored.
var oddEvents = []string{
	`{"date":"2001-01-01T00:01:00Z","delay":null,"distance":null,"origin":"SFO","destination":"LAX"}`,
	`{"date":"2001-01-01T00:02:00Z","distance":7,"origin":"NOWHERE","destination":"\u00e9"}`,
	`{"date":"yesterday","distance":100,"origin":"SFO","destination":"LAX"}`,
	`not json`, ``,
}

func TestReplaysAreComparedAndLineageIsVerifiedBitForBit(t *testing.T) {
	c := parallelDev(t, embedded.Config{})
	cl := client(t, c)
	body := fewFlights(t, 20_000)
	upload(t, c, body)
	applyAndWait(t, cl, demoSpec(t))
	file := filepath.Join(t.TempDir(), "flights.parquet")
	if err := os.WriteFile(file, body, 0o600); err != nil {
		t.Fatal(err)
	}
	n := sendRows(t, c, file, 0.9)
	producer, err := kafka.NewProducer(kafka.Config{Brokers: []string{c.Endpoints.Kafka}, Topic: "flights"}, kafka.ProducerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	var odd []kafka.Message
	for _, e := range oddEvents {
		m := kafka.Message{Value: []byte(e), Key: []byte("odd")}
		if e == "" {
			m.Value = nil
		}
		odd = append(odd, m)
	}
	if err := producer.Produce(t.Context(), odd); err != nil {
		t.Fatal(err)
	}
	total := n + int64(len(odd))
	drained := func() {
		t.Helper()
		for at := int64(0); at < total; {
			res, err := cl.StreamStatus(t.Context(), &apiv1.StreamStatusRequest{Pipeline: "flight-delays"})
			if err != nil {
				t.Fatal(err)
			}
			at = 0
			for _, p := range res.Partitions {
				at += p.Committed
			}
			if err := t.Context().Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	drained()

	text, err := command(t, c, "replay", "flight-delays", "--model", "1", "--into", "s3://lake/replays/same/", "--diff", "-o", "json")
	if err != nil {
		t.Fatalf("a replay with the same version: %v\n%s", err, text)
	}
	same := parsed[replayed](t, text)
	if d := same.Diff; d.Both != n+2 || d.Equal != d.Both || d.DeadBoth != 3 || !d.Same() || same.Scored != n+2 || same.Dead != 3 {
		t.Errorf("a replay with the same version differs: %s", text)
	}

	scoredAsLive(t, c, file, n)

	// Another version: a shorter training.
	short := strings.Replace(demoSpec(t), "trainer: {", "trainer: {epochs: 1, seed: 7, ", 1)
	if short == demoSpec(t) {
		short = strings.Replace(demoSpec(t), "  scoring:", "  trainer: {epochs: 1, seed: 7}\n  scoring:", 1)
	}
	run := applyAndWait(t, cl, short)
	if run.ModelVersion != 2 {
		t.Fatalf("version %d", run.ModelVersion)
	}
	text, err = command(t, c, "replay", "--topic", "flights", "--from", "earliest", "--to", "latest", "--model", run.Outputs["checkpoint"],
		"--into", "s3://lake/replays/other", "--diff", "--top", "3", "-o", "json")
	other := parsed[replayed](t, text)
	if d := other.Diff; !thalweg.Is(err, thalweg.Conflict) || d.Both != n+2 || d.Differ == 0 || len(d.Largest) != 3 || d.Largest[0].Replayed.Version != 2 {
		t.Errorf("a replay with another version: %v\n%s", err, text)
	}
	again, err := command(t, c, "diff", "flight-delays", "--with", "s3://lake/replays/other/", "--top", "3", "-o", "json")
	if d := parsed[map[string]any](t, again); !thalweg.Is(err, thalweg.Conflict) || d["different"] != float64(other.Diff.Differ) {
		t.Errorf("diff afterwards: %v\n%s", err, again)
	}
	for _, prefix := range []string{"s3://lake/replays/same/", "s3://lake/replays/other/"} {
		if text, err := command(t, c, "fsck", "flight-delays", "--at", prefix); err != nil || !strings.Contains(text, "ok:") {
			t.Errorf("fsck of %s: %v\n%s", prefix, err, text)
		}
	}
	if text, err := command(t, c, "fsck", "flight-delays"); err != nil {
		t.Errorf("fsck of the live rows: %v\n%s", err, text)
	}

	checkLineages(t, c, total)

	// A checkpoint that is no version.
	state, err := c.Connections.Bucket(t.Context(), "", "thalweg")
	if err != nil {
		t.Fatal(err)
	}
	models, err := cl.ListModels(t.Context(), &apiv1.ListModelsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	registered, err := thalweg.ParseObjectRef(models.Models[0].Versions[0].Checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	parts, err := checkpoint.Load(t.Context(), state, registered)
	if err != nil {
		t.Fatal(err)
	}
	saved, err := checkpoint.Save(t.Context(), state, "mine/", parts)
	if err != nil {
		t.Fatal(err)
	}
	unregistered := saved.String()
	text, err = command(t, c, "replay", "flight-delays", "--from", "0:0", "--to", "0:100", "--model", unregistered, "--into", "s3://lake/replays/between/", "-o", "json")
	if r := parsed[replayed](t, text); err != nil || r.Scored+r.Dead != 100 || !strings.HasPrefix(string(r.Replay.Name), "flight-delays@") {
		t.Errorf("a checkpoint that is no version: %v\n%s", err, text)
	}
	if text, err := command(t, c, "fsck", "flight-delays", "--at", "s3://lake/replays/between/"); err != nil {
		t.Errorf("fsck of it: %v\n%s", err, text)
	}
	text, err = command(t, c, "lineage", "flight-delays", "--offset", "0", "--at", "s3://lake/replays/between/", "--verify", "-o", "json")
	if d := parsed[lineage.Document](t, text); err != nil || !d.Verification.OK || len(d.Notes) != 1 || !strings.Contains(d.Notes[0], "not in the registry") {
		t.Errorf("lineage of it: %v\n%s", err, text)
	}
}

// checkLineages verifies random rows, and every odd one, from their documents
// alone: no coordinator is asked.
func checkLineages(t *testing.T, c *embedded.Cluster, total int64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(3, 7))
	type place struct{ partition, offset int64 }
	var places []place
	status, err := client(t, c).StreamStatus(t.Context(), &apiv1.StreamStatusRequest{Pipeline: "flight-delays"})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range status.Partitions {
		for range 4 {
			places = append(places, place{int64(p.Partition), rng.Int64N(p.Committed)})
		}
		for i := range min(p.Committed, int64(len(oddEvents))) {
			places = append(places, place{int64(p.Partition), p.Committed - 1 - i})
		}
	}
	file := filepath.Join(t.TempDir(), "row.json")
	outcomes, notKnown := map[string]int{}, "127.0.0.1:1"
	for i, p := range places {
		args := []string{"lineage", "flight-delays", "--partition", fmt.Sprint(p.partition), "--offset", fmt.Sprint(p.offset), "-o", "json"}
		if i%3 == 2 {
			args = append(args, "--at", "s3://lake/replays/other/")
		}
		text, err := command(t, c, args...)
		if err != nil {
			t.Fatalf("%+v: %v", p, err)
		}
		doc := parsed[lineage.Document](t, text)
		outcomes[doc.Outcome]++
		if tr := doc.Training; tr == nil || len(tr.Objects) != 1 || tr.Objects[0].ETag == "" || tr.Objects[0].Key != "flights/flights.parquet" || tr.Path == "" ||
			doc.Model.RunID == "" || doc.Spec.SHA256 == "" || !doc.Event.Held || doc.Event.TimestampUS == 0 || len(doc.Notes) != 0 {
			t.Errorf("%+v: %s", p, text)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		text, err = command(t, c, "lineage", "--coordinator", notKnown, "--from-file", file, "--verify", "-o", "json")
		if err != nil {
			t.Fatalf("%+v: %v\n%s", p, err, text)
		}
		v := parsed[lineage.Document](t, text).Verification
		if !v.OK || v.Object != "equal" || v.Event != "broker" || v.EventSHA256 != doc.Event.SHA256 || doc.Outcome == lineage.Scored && (v.Columns < 12 || v.Equal != v.Columns) {
			t.Errorf("%+v: %s", p, text)
		}
	}
	if outcomes[lineage.Dead] == 0 || outcomes[lineage.Scored] < 8 {
		t.Errorf("lineages of %v", outcomes)
	}
	// A document of which one bit was changed.
	text, err := command(t, c, "lineage", "flight-delays", "--offset", "0", "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	doc := parsed[lineage.Document](t, text)
	for i, cell := range doc.Row {
		if cell.Name == "probability" {
			bits := []byte(cell.Bits)
			bits[len(bits)-1] ^= 1
			doc.Row[i].Bits = string(bits)
		}
	}
	changed, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, changed, 0o600); err != nil {
		t.Fatal(err)
	}
	text, err = command(t, c, "lineage", "--from-file", file, "--verify")
	if !thalweg.Is(err, thalweg.Corrupt) || !strings.Contains(text, "probability: recorded") || !strings.Contains(text, "NOT the same") {
		t.Errorf("a changed document: %v\n%s", err, text)
	}
}
