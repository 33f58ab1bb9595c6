//go:build integration

package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors/kafka"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	apache "github.com/thalweg/thalweg/integration/kafka"
	"github.com/thalweg/thalweg/integration/minio"
	"github.com/thalweg/thalweg/integration/process"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/event"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/checkpoint"
	"github.com/thalweg/thalweg/storage/dataset"
)

const (
	topic      = "flights"
	partitions = 4
	sinkPrefix = "scored/flight-delays/"
)

// rows calls fn with the batches of the lake's flights in the canonical form,
// until it returns false.
func rows(t *testing.T, lake storage.Bucket, fn func(batch arrow.Record) bool) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	manifest, schema, err := dataset.Discover(t.Context(), lake, "flights/*.parquet", dataset.DiscoverConfig{})
	check(err)
	canonical := table.FromArrow(schema)
	check(err)
	binder, err := table.NewBinder(canonical, schema)
	check(err)
	for shard := range manifest.Shards {
		reader, err := dataset.OpenShard(t.Context(), lake, manifest, shard, nil, dataset.ReaderConfig{})
		check(err)
		defer reader.Close()
		for first := manifest.Shards[shard].FirstRow; ; {
			batch, err := reader.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			check(err)
			bound, err := binder.Bind(batch, first)
			first += batch.NumRows()
			batch.Release()
			check(err)
			more := fn(bound)
			bound.Release()
			if !more {
				return
			}
		}
	}
}

// eventsOf returns the first n flights as events.
func eventsOf(t *testing.T, lake storage.Bucket, n int) []string {
	t.Helper()
	var events []string
	rows(t, lake, func(batch arrow.Record) bool {
		for i := 0; i < int(batch.NumRows()) && len(events) < n; i++ {
			events = append(events, string(event.AppendJSON(nil, batch, i)))
		}
		return len(events) < n
	})
	return events
}

// unscorable are events that are no rows of the flights, each in its own way.
var unscorable = []string{
	"", "not json", `{}`, `{"date":"2001-01-01T00:01:00Z"`, `["flight"]`,
	`{"date":"yesterday","distance":100,"origin":"SFO","destination":"LAX"}`,
	`{"date":"2001-01-01T00:01:00Z","distance":"far","origin":"SFO","destination":"LAX"}`,
	`{"date":"2001-01-01T00:01:00Z","distance":1.5,"origin":"SFO","destination":"LAX"}`,
	"{\"date\":\"2001-01-01T00:01:00Z\",\"distance\":1,\"origin\":\"\xff\",\"destination\":\"LAX\"}",
}

// odd are events that are rows though producers do not write them so.
var odd = []string{
	`{"distance":null}`, `{"date":null,"delay":null,"distance":null,"origin":null,"destination":null}`,
	`{"destination":"NOWHERE","origin":"\u0053FO","gate":{"name":["A",1]},"distance":1e3,"date":"2001-01-01 00:01:00"}`,
}

// write produces events and comes back when all are acknowledged. What is
// written again because nobody knew its fate is another event of the topic.
func write(ctx context.Context, producer *kafka.Producer, events []string) error {
	var messages []kafka.Message
	for _, e := range events {
		m := kafka.Message{Value: []byte(e)}
		if e == "" {
			m.Value = nil // a tombstone
		}
		messages = append(messages, m)
	}
	for len(messages) > 0 {
		batch := messages[:min(len(messages), 100)]
		if err := producer.Produce(ctx, batch); err != nil {
			if thalweg.Is(err, thalweg.Unavailable) && ctx.Err() == nil {
				continue
			}
			return err
		}
		messages = messages[len(batch):]
	}
	return nil
}

// committed returns how many offsets of the stream are committed, and how many
// the topic has.
func committed(ctx context.Context, c *cluster, source *kafka.Source) (done, end int64, err error) {
	status, err := c.Client().StreamStatus(ctx, &apiv1.StreamStatusRequest{Pipeline: "flight-delays"})
	if err != nil {
		return 0, 0, err
	}
	for _, p := range status.Partitions {
		if p.State == "stopped" && p.Message != "" { // without a reason its worker leaves in order
			return 0, 0, fmt.Errorf("%w: partition %d stopped: %s", process.ErrHopeless, p.Partition, p.Message)
		}
		done += p.Committed
	}
	for p := range partitions {
		_, next, err := source.Bounds(ctx, p)
		if err != nil {
			return 0, 0, err
		}
		end += next
	}
	return done, end, nil
}

func waitDrained(t *testing.T, c *cluster, source *kafka.Source) {
	t.Helper()
	process.Until(t, "the stream to be scored to its end", func(ctx context.Context) error {
		done, end, err := committed(ctx, c, source)
		if err == nil && done < end {
			err = fmt.Errorf("%d of %d events", done, end)
		}
		return err
	})
}

// scored is one row of the results.
type scored struct {
	probability float64
	version     int64
}

// place is where an event lies.
type place struct{ partition, offset int64 }

// results reads every Parquet object and dead letter under the sink with Arrow's
// own reader, as anyone could: no log, no code of the writer.
func results(t *testing.T, lake storage.Bucket) (rows map[place]scored, dead map[place]string) {
	t.Helper()
	rows, dead = map[place]scored{}, map[place]string{}
	once := func(p place) {
		_, a := rows[p]
		if _, b := dead[p]; a || b {
			t.Errorf("event %+v is in the results twice", p)
		}
	}
	for key, body := range objectsUnder(t, lake, sinkPrefix+"_dead/") {
		for line := range strings.Lines(string(body)) {
			var letter struct {
				Partition, Offset int64
				Reason            string
			}
			if err := json.Unmarshal([]byte(line), &letter); err != nil || letter.Reason == "" {
				t.Fatalf("%s: %q: %v", key, line, err)
			}
			p := place{letter.Partition, letter.Offset}
			once(p)
			dead[p] = letter.Reason
		}
	}
	for key, body := range objectsUnder(t, lake, sinkPrefix+"data/") {
		for p, s := range parquetRows(t, key, body) {
			once(p)
			rows[p] = s
		}
	}
	return rows, dead
}

func parquetRows(t *testing.T, key string, body []byte) map[place]scored {
	t.Helper()
	found := map[place]scored{}
	readParquet(t, key, body, func(batch arrow.Record) {
		partition, offset, version := ints(t, batch, "_partition"), ints(t, batch, "_offset"), ints(t, batch, "_model_version")
		probability := floats(t, batch, "probability")
		for i := range int(batch.NumRows()) {
			p := place{partition.Value(i), offset.Value(i)}
			if _, twice := found[p]; twice {
				t.Errorf("event %+v is twice in %s", p, key)
			}
			found[p] = scored{probability.Value(i), version.Value(i)}
		}
	})
	return found
}

// batchScores scores the first n flights by the batch path with each registered
// version: event text → probability.
func batchScores(t *testing.T, c *cluster, state, lake storage.Bucket, n int) map[int64]map[string]float32 {
	t.Helper()
	models, err := c.Client().ListModels(t.Context(), &apiv1.ListModelsRequest{Model: "flight-delays"})
	if err != nil {
		t.Fatal(err)
	}
	scores := map[int64]map[string]float32{}
	for _, v := range models.Models[0].Versions {
		ref, err := thalweg.ParseObjectRef(v.Checkpoint)
		if err != nil {
			t.Fatal(err)
		}
		parts, err := checkpoint.Load(t.Context(), state, ref)
		if err != nil {
			t.Fatal(err)
		}
		model, err := artifact.Decode(catalog.All(), parts)
		if err != nil {
			t.Fatal(err)
		}
		scorer, err := model.NewScorer(pipeline.InScoring)
		if err != nil {
			t.Fatal(err)
		}
		of := map[string]float32{}
		rows(t, lake, func(batch arrow.Record) bool {
			cleaned, predictions, err := scorer.Score(t.Context(), batch, &pipeline.Report{})
			if err != nil {
				t.Fatal(err)
			}
			cleaned.Release()
			if len(predictions) != int(batch.NumRows()) {
				t.Fatalf("%d predictions for %d rows", len(predictions), batch.NumRows())
			}
			for i, p := range predictions {
				of[string(event.AppendJSON(nil, batch, i))] = p
			}
			return len(of) < n
		})
		scores[int64(v.Version)] = of
	}
	return scores
}

// TestEachEventIsScoredOnceWhateverIsKilled streams flights, among them events
// that cannot be scored, while workers, coordinators, the store and the broker
// are killed one after the other and a second model takes over. In the end each
// event of the topic is in exactly one row or dead letter, each row has the bits
// that the batch path gives to the same flight with the same model, and fsck
// agrees.
func TestEachEventIsScoredOnceWhateverIsKilled(t *testing.T) {
	const perStep = 3000
	server := minio.Start(t)
	lake := newLake(t, server)
	state := newBucket(t, newOpener(t, server), "thalweg")
	broker := apache.Start(t, apache.Config{})
	broker.CreateTopic(t, topic, partitions, nil)
	producer, err := kafka.NewProducer(kafka.Config{Brokers: broker.Brokers(), Topic: topic}, kafka.ProducerConfig{Compression: "zstd"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { producer.Close() })
	source := newSource(t, broker, topic, "")
	c := startCluster(t, clusterConfig{S3: server, Kafka: broker})

	spec := flightsSpec(t, "")
	quick := strings.Replace(spec, `delays/"}, format: {type: parquet}}`, `delays/"}, format: {type: parquet}, rolling: {period: 300ms}}`, 1)
	if quick == spec {
		t.Fatal("the demo's pipeline has another sink than this test expects")
	}
	waitRun(t, c, apply(t, c, quick), "the first model", succeeded)

	steps := []struct {
		name    string
		disturb func()
	}{
		{"undisturbed", func() {}},
		{"a worker is killed", func() { c.KillWorker(0) }},
		{"it comes back and the other is killed", func() { c.RestartWorker(t, 0); c.KillWorker(1) }},
		{"all workers are killed and started again", func() {
			c.RestartWorker(t, 1)
			for i := range 2 {
				c.KillWorker(i)
				c.RestartWorker(t, i)
			}
		}},
		{"each worker is replaced in order", func() { c.RollWorkers(t) }},
		{"the leader is killed", func() {
			leader := c.Leader(t)
			c.KillCoordinator(leader)
			c.Leader(t)
			c.RestartCoordinator(t, leader)
		}},
		{"the store is killed and started again", func() { server.Kill(); server.Restart(t) }},
		{"the broker is killed and started again", func() { broker.Kill(0); broker.Restart(t, 0); broker.WaitReady(t) }},
		{"another model takes over", func() {
			waitRun(t, c, apply(t, c, quick+"  trainer: {optimizer: {type: momentum, learning_rate: 0.1}, seed: 7}\n"), "the second model", succeeded)
		}},
		{"everything is killed and started again", func() {
			for i := range 2 {
				c.KillWorker(i)
			}
			for i := range 3 {
				c.KillCoordinator(i)
			}
			server.Kill()
			server.Restart(t)
			for i := range 3 {
				c.RestartCoordinator(t, i)
			}
			for i := range 2 {
				c.RestartWorker(t, i)
			}
		}},
	}
	flights := eventsOf(t, lake, perStep*len(steps))
	for i, s := range steps {
		t.Logf("step %d: %s", i, s.name)
		var events []string
		for j, e := range flights[i*perStep : (i+1)*perStep] {
			events = append(events, e)
			switch {
			case j%50 == 17:
				events = append(events, unscorable[j/50%len(unscorable)])
			case j%50 == 42:
				events = append(events, odd[j/50%len(odd)])
			}
		}
		before, _, err := committed(t.Context(), c, source)
		if err != nil {
			t.Fatal(err)
		}
		written := make(chan error, 1)
		go func() { written <- write(t.Context(), producer, events) }()
		process.Until(t, "the first events of the step to be committed", func(ctx context.Context) error {
			now, end, err := committed(ctx, c, source)
			if err == nil && now == before {
				err = fmt.Errorf("%d of %d", now, end)
			}
			return err
		})
		s.disturb()
		if err := <-written; err != nil {
			t.Fatal(err)
		}
		waitDrained(t, c, source)
	}

	t.Log(c.Run(t, "fsck", "flight-delays"))
	rows, dead := results(t, lake)
	batch := batchScores(t, c, state, lake, len(flights))
	byVersion := map[int64]int{}
	isBad := map[string]bool{}
	for _, e := range unscorable {
		isBad[e] = true
	}
	seen, compared := 0, 0
	for p := range partitions {
		_, next, err := source.Bounds(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range fetchAll(t, source, p, 0, next, 1<<20) {
			at := place{int64(p), r.Offset}
			row, isRow := rows[at]
			reason, isDead := dead[at]
			switch {
			case !isRow && !isDead:
				t.Errorf("event %+v is nowhere: %q", at, r.Value)
			case isBad[r.Value] != isDead:
				t.Errorf("event %+v: %q: dead letter %v (%s)", at, r.Value, isDead, reason)
			case isRow:
				byVersion[row.version]++
				if want, ok := batch[row.version][r.Value]; ok {
					compared++
					if math.Float64bits(row.probability) != math.Float64bits(float64(want)) {
						t.Errorf("event %+v: the stream says %v, the batch %v: %q", at, row.probability, want, r.Value)
					}
				}
			}
			seen++
		}
	}
	if seen != len(rows)+len(dead) {
		t.Errorf("%d rows and %d dead letters of %d events", len(rows), len(dead), seen)
	}
	if len(byVersion) != 2 || compared < len(flights) {
		t.Errorf("rows by version: %v; %d of %d compared with the batch path", byVersion, compared, len(flights))
	}
	t.Logf("%d events: %d rows %v, %d dead letters", seen, len(rows), byVersion, len(dead))
}
