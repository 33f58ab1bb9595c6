//go:build integration

package integration

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors/kafka"
	schemaregistry "github.com/thalweg/thalweg/connectors/registry"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	apache "github.com/thalweg/thalweg/integration/kafka"
	"github.com/thalweg/thalweg/integration/minio"
	"github.com/thalweg/thalweg/integration/process"
)

// TestAvroOfARealRegistryWithColumnsFromRecords writes flights to a real Kafka as
// Avro whose schema a real registry keeps, with columns in keys, headers and
// timestamps, among them events of schemas that it does not have. Each row has
// the bits that the batch path gives.
func TestAvroOfARealRegistryWithColumnsFromRecords(t *testing.T) {
	server, schemas := minio.Start(t), startRegistry(t)
	lake := newLake(t, server)
	state := newBucket(t, newOpener(t, server), "thalweg")
	broker := apache.Start(t, apache.Config{})
	// The flights are of 2001: retention would take them at once.
	broker.CreateTopic(t, topic, 1, map[string]string{"retention.ms": "-1"})
	c := startCluster(t, clusterConfig{S3: server, Kafka: broker,
		Env: func(string) []string { return []string{"THALWEG_SCHEMA_REGISTRY=" + schemas} }})
	source := newSource(t, broker, topic, "")

	spec := strings.NewReplacer(
		"{type: json}", "{type: avro, schema_registry: default}",
		`delays/"}, format: {type: parquet}}`, `delays/"}, format: {type: parquet}, rolling: {period: 300ms}}`,
		"  input_features:\n", `  schema:
    columns:
      - {name: date,        type: timestamp, from: timestamp}
      - {name: delay,       type: int64}
      - {name: distance,    type: int64,  from: "header:distance"}
      - {name: origin,      type: string}
      - {name: destination, type: string, from: key}
  input_features:
`).Replace(flightsSpec(t, ""))
	file := filepath.Join(t.TempDir(), "flights.yaml")
	if err := os.WriteFile(file, []byte(spec), 0o600); err != nil {
		t.Fatal(err)
	}
	waitRun(t, c, apply(t, c, spec), "the model", succeeded)

	all := eventsOf(t, lake, math.MaxInt)
	const from = 0.95
	skip := int(from * float64(len(all)))
	t.Log(c.Run(t, "produce", filepath.Join(process.Root(t), "deploy", "demo", "flights.parquet"), "--topic", topic, "--spec", file,
		"--from", "0.95", "--schema-registry", schemas))
	flights := all[skip:]
	producer, err := kafka.NewProducer(kafka.Config{Brokers: broker.Brokers(), Topic: topic}, kafka.ProducerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	// A schema of no record, one that is not there, and no schema at all.
	client, err := schemaregistry.New(schemaregistry.Config{URL: schemas})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	id, err := client.Register(t.Context(), "texts", `"string"`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Register(t.Context(), "nonsense", `{"type":"what"}`); !thalweg.Is(err, thalweg.Invalid) {
		t.Errorf("a schema that is not one: %v", err)
	}
	bad := []string{"\x00\x00\x00\x00" + string(rune(id)) + "\x02a", "\x00\x00\x0f\x42\x40\x02a", `{"origin":"SFO"}`}
	reasons := []string{"not of a record", "the registry has no schema 1000000", "not in Confluent's wire format"}
	if err := write(t.Context(), producer, bad); err != nil {
		t.Fatal(err)
	}
	process.Until(t, "the stream to be scored to its end", func(ctx context.Context) error {
		status, err := c.Client().StreamStatus(ctx, &apiv1.StreamStatusRequest{Pipeline: "flight-delays"})
		if err != nil {
			return err
		}
		_, next, err := source.Bounds(ctx, 0)
		if err != nil {
			return err
		}
		if p := status.Partitions; len(p) != 1 || p[0].Committed < next {
			return fmt.Errorf("of %d events: %v", next, p)
		}
		return nil
	})

	t.Log(c.Run(t, "fsck", "flight-delays"))
	rows, dead := results(t, lake)
	if len(rows) != len(flights) || len(dead) != len(bad) {
		t.Errorf("%d rows of %d flights, dead letters %v", len(rows), len(flights), dead)
	}
	for i, want := range reasons {
		if got := dead[place{0, int64(len(flights) + i)}]; !strings.Contains(got, want) {
			t.Errorf("dead letter %d: got %q, want %q", i, got, want)
		}
	}
	batch := batchScores(t, c, state, lake, math.MaxInt)
	for at, row := range rows {
		want, ok := batch[row.version][flights[at.offset]]
		if !ok || math.Float64bits(row.probability) != math.Float64bits(float64(want)) {
			t.Errorf("event %+v: the stream says %v, the batch %v (%v): %s", at, row.probability, want, ok, flights[at.offset])
		}
	}
	t.Logf("%d events of Avro scored, %d dead letters", len(rows), len(dead))
}
