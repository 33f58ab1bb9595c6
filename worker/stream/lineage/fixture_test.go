package lineage

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/artifact/artifacttest"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/checkpoint"
	"github.com/thalweg/thalweg/storage/dataset"
	bucketmem "github.com/thalweg/thalweg/storage/memory"
	"github.com/thalweg/thalweg/worker/stream/engine"
	"github.com/thalweg/thalweg/worker/stream/scorer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	topicName = "flights"
	topicID   = "0123456789abcdef0123456789abcdef"
)

// document is a pipeline whose rows come from all parts of a record.
const document = `
apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: flight-delays}
spec:
  sources:
    train:  {connection: lake, s3: {path: "s3://lake/flights/*.parquet"}, format: {type: parquet}}
    events: {kafka: {topic: flights}, format: {type: json}}
  schema:
    columns:
      - {name: date,     type: timestamp, nullable: false}
      - {name: delay,    type: int64, nullable: true, available_in: [training]}
      - {name: distance, type: int64, nullable: true}
      - {name: ratio,    type: float64, nullable: true}
      - {name: origin,   type: string, nullable: true, from: key}
      - {name: carrier,  type: string, nullable: true, from: "header:carrier"}
      - {name: sent,     type: timestamp, nullable: true, from: timestamp}
  input_features:
    - {name: distance, type: number}
    - {name: ratio,    type: number}
    - {name: origin,   type: category}
    - {name: carrier,  type: category}
    - {name: hour,     type: category, expression: "hour(date)"}
  output_features:
    - {name: delayed, type: binary, expression: "delay > 15"}
  preprocessing:
    split: {type: random, probabilities: [0.7, 0.15, 0.15]}
  scoring:
    source: events
    sink: {s3: {path: "s3://lake/scored/"}, format: {type: parquet}}
`

var columns = table.Schema{Columns: []table.Column{
	{Name: "date", Type: table.Timestamp},
	{Name: "delay", Type: table.Int64, Nullable: true, TrainingOnly: true},
	{Name: "distance", Type: table.Int64, Nullable: true},
	{Name: "ratio", Type: table.Float64, Nullable: true},
	{Name: "origin", Type: table.String, Nullable: true, From: "key"},
	{Name: "carrier", Type: table.String, Nullable: true, From: "header:carrier"},
	{Name: "sent", Type: table.Timestamp, Nullable: true, From: "timestamp"},
}}

var manifest = &dataset.Manifest{Path: "flights/*.parquet", Rows: 100, SizeBytes: 30, Objects: []dataset.Object{
	{Key: "flights/a.parquet", SizeBytes: 10, ETag: "etag-a", Version: "v7", Rows: 40, RowGroups: 1},
	{Key: "flights/b.parquet", SizeBytes: 20, ETag: "etag-b", Rows: 60, RowGroups: 1}},
	Shards: []dataset.Shard{{Object: 0, EndRowGroup: 1, Rows: 40}, {Object: 1, EndRowGroup: 1, Rows: 60, FirstRow: 40}}}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// trained returns an artifact, with the manifest of its data or with its hash
// only.
func trained(t testing.TB, version int, withManifest bool) *artifact.Artifact {
	t.Helper()
	text := document
	if version == 2 { // it reads dates that version 1 does not
		text = strings.Replace(text, "format: {type: json}", `format: {type: json, timestamp_formats: [rfc3339, "2006-01-02 15:04:05", "02.01.2006"]}`, 1)
	}
	return trainedBy(t, text, version, withManifest)
}

// trainedBy is trained by another document for the same columns.
func trainedBy(t testing.TB, text string, version int, withManifest bool) *artifact.Artifact {
	t.Helper()
	var rows [][]any
	for i := range int64(100) {
		rows = append(rows, []any{i * 3600e6, i - 50, 100 + 17*i, float64(i) / 7, fmt.Sprintf("A%d", i%5), fmt.Sprintf("C%d", i%3), i})
	}
	a := artifacttest.Train(t, text, columns, version, rows...)
	a.Provenance.Dataset, a.Provenance.Epochs = manifest.Hash(), 3
	if withManifest {
		a.Dataset = manifest.JSON()
	}
	return a
}

// topic is a topic of one partition, in memory.
type topic struct {
	mu    sync.Mutex
	all   connectors.Records
	first int64
}

func newTopic() *topic {
	return &topic{all: connectors.Records{Want: connectors.Keys | connectors.Headers}}
}

// add writes an event; every fifth offset after it is none.
func (s *topic) add(key, carrier, value string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := int64(s.all.Len())
	at := n + n/5
	if carrier != "" {
		s.all.AppendHeader("carrier", []byte(carrier))
	}
	s.all.AppendHeader("trace", nil)
	var k, v []byte
	if key != "" {
		k = []byte(key)
	}
	if value != "" {
		v = []byte(value)
	}
	s.all.Append(at, 1_000_000_000+at*1000, k, v)
	return at
}

func (s *topic) end() int64 {
	n := int64(s.all.Len())
	return n + n/5
}

func (s *topic) cut(first int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.first = first
}

func (s *topic) Topic(context.Context) (connectors.Topic, error) {
	return connectors.Topic{ID: topicID, Partitions: 1}, nil
}

func (s *topic) Bounds(context.Context, int) (first, next int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.first, s.end(), nil
}

func (s *topic) Fetch(ctx context.Context, _ int, offset int64, _ time.Duration, maxBytes int, dst *connectors.Records) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	dst.Reset()
	dst.Next, dst.End = max(offset, s.end()), s.end()
	if offset < s.first {
		return &thalweg.Error{Op: "fetch", Kind: thalweg.Lost, Err: &connectors.MissingRange{Topic: topicName, From: offset, To: s.first, First: s.first, Next: s.end()}}
	}
	for i, at := range s.all.Offsets {
		if at < offset {
			continue
		}
		if dst.Len() > 0 && dst.SizeBytes() >= maxBytes {
			dst.Next = at
			return nil
		}
		// Fields that the reader did not ask for are not given.
		one := connectors.Records{Want: s.all.Want}
		one.AppendRecords(&s.all, i, i+1)
		one.Want = dst.Want
		dst.AppendRecords(&one, 0, 1)
	}
	return nil
}

func (s *topic) Commit(context.Context, int, int64) error { return nil }
func (s *topic) Close() error                             { return nil }

// world is a stream that has scored a topic.
type world struct {
	t        testing.TB
	topic    *topic
	lake     *bucketmem.Bucket
	state    *bucketmem.Bucket
	registry *engine.Registry
	versions map[int]engine.Candidate
}

func newWorld(t testing.TB, withManifest bool) *world {
	t.Helper()
	w := &world{t: t, topic: newTopic(), lake: bucketmem.New(), state: bucketmem.New(), versions: make(map[int]engine.Candidate)}
	w.registry = engine.NewRegistry(w.state, catalog.All())
	for v := 1; v <= 2; v++ {
		w.register(v, trained(t, v, withManifest))
	}
	w.registry.Offer([]engine.Candidate{w.versions[1]})
	return w
}

// register saves a version.
func (w *world) register(v int, a *artifact.Artifact) {
	w.t.Helper()
	parts, err := a.Encode(nil)
	check(w.t, err)
	ref, err := checkpoint.Save(w.t.Context(), w.state, "checkpoints/", parts)
	check(w.t, err)
	w.versions[v] = engine.Candidate{RegisteredAtUS: 1, Model: engine.Model{Name: "flight-delays", Version: thalweg.ModelVersion(v), Checkpoint: ref}}
}

// produce writes n events of all kinds.
func (w *world) produce(n int) {
	for i := range n {
		key, carrier := fmt.Sprintf("A%d", i%7), fmt.Sprintf("C%d", i%4)
		value := fmt.Sprintf(`{"date":"2001-03-%02d %02d:00:00","distance":%d,"ratio":%d.1}`, 1+i%28, i%24, 100+i, i)
		switch i % 8 {
		case 2:
			key = ""
		case 3:
			carrier = ""
		case 4:
			value = fmt.Sprintf(`{"date":"2001-03-%02d %02d:00:00","distance":null,"ratio":-0.0}`, 1+i%28, i%24)
		case 5:
			if value = `{"date":"yesterday"}`; i%16 == 5 {
				value = fmt.Sprintf(`{"date":"17.03.2001","distance":%d}`, i)
			}
		case 6:
			if i%16 == 6 {
				value = "" // null
			}
		}
		w.topic.add(key, carrier, value)
	}
}

// stream scores the topic to its end.
func (w *world) stream(change ...func(*scorer.Config)) {
	w.t.Helper()
	cfg := scorer.Config{Pipeline: "flight-delays", Generation: 2, Topic: topicName, Prefix: "scored/", Batching: scorer.Limits{Count: 10, Period: time.Millisecond},
		Rolling: scorer.Limits{Count: 20, Period: 5 * time.Millisecond}, FetchWait: time.Millisecond, MaxBackoff: 10 * time.Millisecond,
		Range: &scorer.Range{From: 0, To: w.topic.end(), TopicID: topicID, ScoredAtUS: 1_700_000_000_000_000}}
	for _, c := range change {
		c(&cfg)
	}
	s, err := scorer.New(w.topic, w.lake, w.registry, slog.New(slog.DiscardHandler), cfg)
	check(w.t, err)
	check(w.t, s.Run(w.t.Context()))
}

func (w *world) sources() Sources {
	return Sources{Sink: storage.Place{Bucket: w.lake, Name: "lake", Prefix: "scored/"}, State: w.state, Events: w.topic, Catalog: catalog.All()}
}

func (w *world) query(offset int64) Query {
	return Query{Pipeline: "flight-delays", Topic: topicName, Offset: offset}
}

// trace returns the lineage of an offset, as it comes out of JSON.
func (w *world) trace(offset int64, keep bool) *Document {
	w.t.Helper()
	doc, err := Trace(w.t.Context(), w.sources(), w, w.query(offset), keep)
	check(w.t, err)
	text, err := json.Marshal(doc)
	check(w.t, err)
	parsed, err := Parse(text)
	check(w.t, err)
	return parsed
}

// Version implements Registry.
func (w *world) Version(_ context.Context, m engine.Model) (Registered, error) {
	if w.versions[int(m.Version)].Model != m {
		return Registered{}, &thalweg.Error{Op: "find version", Kind: thalweg.NotFound, Subject: m.String()}
	}
	return Registered{RunID: fmt.Sprintf("run-%d", m.Version), RegisteredAt: time.UnixMicro(1)}, nil
}

// Spec implements Registry.
func (w *world) Spec(_ context.Context, _ thalweg.PipelineName, g thalweg.Generation) ([]byte, error) {
	return []byte(strings.Replace(document, "flight-delays", fmt.Sprint("generation ", g), 1)), nil
}

// Manifest implements Registry.
