package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/connections"
	"github.com/thalweg/thalweg/connectors/kafka"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/endpoint"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/memory"
	"github.com/thalweg/thalweg/storage/s3"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/scorer"
)

// TestResultsListEachRowOnce: files that a compaction replaced are there, and
// are not listed.
func TestResultsListEachRowOnce(t *testing.T) {
	b := memory.New()
	log, err := commitlog.New(b, commitlog.Config{Prefix: "scored/", Pipeline: "p", Topic: "events"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	slot := func(change func(*commitlog.Intent), finish func(commitlog.Object) (commitlog.Done, error)) {
		t.Helper()
		s := log.State()
		from := max(0, s.NextOffset)
		in := commitlog.Intent{Seq: s.NextSeq, ID: commitlog.NewID(), Pipeline: "p", Topic: "events", From: from, To: from + 10, Model: "m", ModelVersion: 3,
			Checkpoint: thalweg.CheckpointRef{Key: "checkpoints/m", SHA256: strings.Repeat("a", 64)}, SpecGeneration: 1, ScoredAtUS: 1, Previous: s.Previous}
		change(&in)
		if _, _, err := log.Claim(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		o, err := log.Publish(t.Context(), commitlog.Scored, "", 10, []byte("rows"), nil)
		if err != nil {
			t.Fatal(err)
		}
		d, err := finish(o)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := log.Finish(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	for range 4 {
		slot(func(*commitlog.Intent) {}, func(o commitlog.Object) (commitlog.Done, error) {
			return log.Complete(commitlog.Done{Objects: []commitlog.Object{o}})
		})
	}
	slot(func(in *commitlog.Intent) {
		in.Action, in.Slots, in.To = commitlog.Compact, [2]uint64{1, 3}, in.From
		in.Model, in.ModelVersion, in.Checkpoint = "", 0, thalweg.CheckpointRef{}
	}, func(o commitlog.Object) (commitlog.Done, error) {
		return log.Complete(commitlog.Done{Objects: []commitlog.Object{o}, Inputs: []uint64{1, 2}, Offsets: [2]int64{10, 30}})
	})
	sink := &stream{cfg: scorer.Config{Pipeline: "p", Prefix: "scored/", Topic: "events"}, live: storage.Place{Bucket: b, Name: "lake", Prefix: "scored/"}}
	files, err := sink.files(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range files {
		got = append(got, fmt.Sprintf("[%d, %d) %s", f.From, f.To, f.version()))
	}
	if want := "[0, 10) 3; [10, 30) merged; [30, 40) 3"; strings.Join(got, "; ") != want {
		t.Errorf("listed are %s, want %s", strings.Join(got, "; "), want)
	}
}

// TestResultsSayHowToRead: the lines can be copied as they are, once the table is
// there.
func TestResultsSayHowToRead(t *testing.T) {
	const none, dev = "", connections.DevSecretKey
	for _, c := range []struct{ store, secret, want string }{
		{"http://127.0.0.1:9000", dev, `pandas   deltalake.DeltaTable("s3://lake/scored", storage_options={"endpoint_url": "http://127.0.0.1:9000", "allow_http": "true"}).to_pandas()`},
		{"http://127.0.0.1:9000", dev, `DuckDB   CREATE OR REPLACE SECRET thalweg (TYPE s3, KEY_ID 'thalweg', SECRET 'thalweg-dev-secret', REGION 'us-east-1', ENDPOINT '127.0.0.1:9000', URL_STYLE 'path', USE_SSL false, SCOPE 's3://lake');`},
		{"http://127.0.0.1:9000", dev, "first    export AWS_ACCESS_KEY_ID=thalweg AWS_SECRET_ACCESS_KEY=thalweg-dev-secret AWS_REGION=us-east-1   # pandas and Spark"},
		{"https://minio.example", "of-somebody", `pandas   deltalake.DeltaTable("s3://lake/scored", storage_options={"endpoint_url": "https://minio.example", "allow_http": "false"}).to_pandas()`},
		{"https://minio.example", "of-somebody", `DuckDB   CREATE OR REPLACE SECRET thalweg (TYPE s3, KEY_ID 'ACCESS_KEY', SECRET 'SECRET_KEY', REGION 'us-east-1', ENDPOINT 'minio.example', URL_STYLE 'path', USE_SSL true, SCOPE 's3://lake');`},
		{"file://" + t.TempDir(), none, `lake/scored").to_pandas()`},
	} {
		conns, err := connections.New(c.store, s3.Config{AccessKey: connections.DevAccessKey, SecretKey: c.secret}, kafka.Config{}, "")
		if err != nil {
			t.Fatal(err)
		}
		spec := &pipeline.Spec{Spec: pipeline.Body{Scoring: &pipeline.Scoring{Sink: pipeline.Sink{Table: pipeline.Choice{Options: new(endpoint.Delta)}}}}}
		sink := &stream{cluster: &cluster{conns: conns}, spec: spec, live: storage.Place{Bucket: memory.New(), Name: "lake", Prefix: "scored/"}}
		if _, err := sink.live.Bucket.Put(t.Context(), "scored/data/rows.parquet", nil); err != nil {
			t.Fatal(err)
		}
		if lines, err := sink.howToRead(t.Context()); err != nil || lines != nil {
			t.Errorf("before there is a table: %v, %v", lines, err)
		}
		if _, err := sink.live.Bucket.Put(t.Context(), "scored/_delta_log/00000000000000000000.json", nil); err != nil {
			t.Fatal(err)
		}
		lines, err := sink.howToRead(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Join(lines, "\n")
		if !strings.Contains(got+"\n", c.want+"\n") || strings.Contains(got, "of-somebody") || strings.Contains(got, "SECRET") != strings.HasPrefix(c.store, "http") {
			t.Errorf("at %s:\n%s\nhas no line\n%s", c.store, got, c.want)
		}
	}
}
