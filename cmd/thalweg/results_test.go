package main

import (
	"strings"
	"testing"

	"github.com/thalweg/thalweg/cmd/thalweg/connections"
	"github.com/thalweg/thalweg/connectors/kafka"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/endpoint"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/memory"
	"github.com/thalweg/thalweg/storage/s3"
	"github.com/thalweg/thalweg/worker/cluster"
	work "github.com/thalweg/thalweg/worker/jobs"
)

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
		sink := &cluster.Stream{Client: &cluster.Client{Conns: conns}, Spec: spec, Live: storage.Place{Bucket: memory.New(), Name: "lake", Prefix: "scored/"}}
		if _, err := sink.Live.Bucket.Put(t.Context(), "scored/data/rows.parquet", nil); err != nil {
			t.Fatal(err)
		}
		if lines, err := work.HowToRead(t.Context(), sink); err != nil || lines != nil {
			t.Errorf("before there is a table: %v, %v", lines, err)
		}
		if _, err := sink.Live.Bucket.Put(t.Context(), "scored/_delta_log/00000000000000000000.json", nil); err != nil {
			t.Fatal(err)
		}
		lines, err := work.HowToRead(t.Context(), sink)
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Join(lines, "\n")
		if !strings.Contains(got+"\n", c.want+"\n") || strings.Contains(got, "of-somebody") || strings.Contains(got, "SECRET") != strings.HasPrefix(c.store, "http") {
			t.Errorf("at %s:\n%s\nhas no line\n%s", c.store, got, c.want)
		}
	}
}
