package scorer

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"path"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/parquet-go/parquet-go"
	kafkago "github.com/segmentio/kafka-go"

	"github.com/thalweg/thalweg/connectors/devbroker"
	"github.com/thalweg/thalweg/connectors/kafka"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/artifact/artifacttest"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/monitor"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
	bucketmem "github.com/thalweg/thalweg/storage/memory"
	"github.com/thalweg/thalweg/worker/stream/compact"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// flights is the pipeline of the demo.
const flights = `
apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: flight-delays}
spec:
  sources:
    train:  {s3: {path: "s3://lake/flights/*.parquet"}, format: {type: parquet}}
    events: {kafka: {topic: flights}, format: {type: json}}
  input_features:
    - {name: distance,    type: number}
    - {name: origin,      type: category}
    - {name: destination, type: category}
    - {name: hour,        type: category, expression: "hour(date)"}
    - {name: weekday,     type: category, expression: "weekday(date)"}
  output_features:
    - {name: delayed, type: binary, expression: "delay > 15"}
  preprocessing:
    split: {type: datetime, column: date, probabilities: [0.7, 0.15, 0.15]}
  scoring:
    source: events
    sink: {s3: {path: "s3://lake/scored/flight-delays/"}, format: {type: parquet}}
`

var flightColumns = table.Schema{Columns: []table.Column{
	{Name: "date", Type: table.Timestamp, Nullable: true}, {Name: "delay", Type: table.Int64, Nullable: true}, {Name: "distance", Type: table.Int64, Nullable: true},
	{Name: "origin", Type: table.String, Nullable: true}, {Name: "destination", Type: table.String, Nullable: true},
}}

func airport(i int) string {
	return string([]byte{'A' + byte(i%26), 'A' + byte(i/26%10), 'X'})
}

// flightEvent returns an event of about 92 bytes.
func flightEvent(i int) []byte {
	return fmt.Appendf(nil, `{"date":"2001-%02d-%02d %02d:%02d:00","delay":%d,"distance":%d,"origin":"%s","destination":"%s"}`,
		1+i/40000%12, 1+i/1500%28, i/60%24, i%60, i*7%90-20, 100+i*13%2500, airport(i*31%200), airport(i*17%200))
}

// flightArtifact returns a version, and the reference that its stream is held against.
func flightArtifact(b *testing.B) (a *artifact.Artifact, reference []byte) {
	b.Helper()
	var rows [][]any
	for i := range int64(20_000) {
		rows = append(rows, []any{i * 1800e6, i*7%90 - 20, 100 + i*13%2500, airport(int(i) * 31 % 200), airport(int(i) * 17 % 200)})
	}
	a = artifacttest.Train(b, flights, flightColumns, 1, rows...)
	batch := tabletest.Batch(memory.DefaultAllocator, flightColumns, 0, rows...)
	defer batch.Release()
	s, err := a.NewScorer(pipeline.InScoring)
	if err != nil {
		b.Fatal(err)
	}
	cleaned, predictions, err := s.Score(b.Context(), batch, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer cleaned.Release()
	seen := monitor.NewSample(a.Plan(), a.Transform, a.Answer(), a.Model.Outputs(), cleaned.NumRows(), func(row int64) uint64 { return uint64(row) })
	if err = seen.Observe(cleaned, func(int) bool { return true }, predictions); err == nil {
		reference, err = json.Marshal(seen.Reference())
	}
	if err != nil {
		b.Fatal(err)
	}
	return a, reference
}

// cpu returns the processor time that this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// bed is a broker with events, and a registered model.
type bed struct {
	broker   *devbroker.Broker
	state    *bucketmem.Bucket
	model    engine.Candidate
	producer *kafka.Producer
}

func newBed(b *testing.B) *bed {
	b.Helper()
	t := &bed{state: bucketmem.New()}
	var err error
	if t.broker, err = devbroker.New("", devbroker.Config{}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(t.broker.Close)
	a, reference := flightArtifact(b)
	t.model = saved(b, t.state, 1, a)
	if _, err := t.state.Put(b.Context(), path.Join(path.Dir(t.model.Checkpoint.Key), monitor.ObjectName), reference); err != nil {
		b.Fatal(err)
	}
	if t.producer, err = kafka.NewProducer(t.kafka(), kafka.ProducerConfig{}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { t.producer.Close() })
	if err := t.producer.CreateTopic(context.Background(), 1); err != nil {
		b.Fatal(err)
	}
	return t
}

func (t *bed) kafka() kafka.Config {
	return kafka.Config{Brokers: []string{t.broker.Addr()}, Topic: topic}
}

func (t *bed) produce(b *testing.B, from, n, poison int) {
	b.Helper()
	messages := make([]kafka.Message, n)
	for i := range messages {
		messages[i] = kafka.Message{Value: flightEvent(from + i), Time: time.Now()}
		if poison > 0 && i%poison == 0 {
			messages[i].Value[10] = '"'
		}
	}
	if err := t.producer.Produce(context.Background(), messages); err != nil {
		b.Fatal(err)
	}
}

// start runs a scorer on a sink of its own; stop ends it.
func (t *bed) start(b *testing.B, cfg Config) (s *Scorer, sink *bucketmem.Bucket, stop func()) {
	b.Helper()
	source, err := kafka.New(t.kafka())
	if err != nil {
		b.Fatal(err)
	}
	registry := engine.NewRegistry(t.state, catalog.All())
	registry.Offer([]engine.Candidate{t.model})
	cfg.Pipeline, cfg.Generation, cfg.Topic, cfg.Prefix = "flight-delays", 1, topic, "scored/"
	sink = bucketmem.New()
	if s, err = New(source, sink, registry, slogDiscard(), cfg); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	return s, sink, func() {
		cancel()
		if err := <-ended; err != nil {
			b.Error(err)
		}
		source.Close()
	}
}

// reach waits for a committed offset.
func reach(b *testing.B, s *Scorer, offset int64) {
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(time.Minute); s.Status().Committed < offset; <-poll.C {
		if time.Now().After(deadline) {
			b.Fatalf("%+v", s.Status())
		}
	}
}

const benchEvents = 1_000_000

// BenchmarkStream takes a topic to Parquet files in a store: fetch, decode,
// clean, score, encode, commit. "cpu" is events by second of processor time of
// the whole process, the broker included; "obvious" is the way one would write
// it first.
func BenchmarkStream(b *testing.B) {
	t, poisoned := newBed(b), newBed(b)
	for i := 0; i < benchEvents; i += 10_000 {
		t.produce(b, i, 10_000, 0)
		poisoned.produce(b, i, 10_000, 100)
	}
	measure := func(name string, run func(b *testing.B)) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			before := cpu()
			for b.Loop() {
				run(b)
			}
			events := float64(b.N) * benchEvents
			b.ReportMetric(events/(cpu()-before).Seconds()/1e6, "Mevents/cpu-s")
			b.ReportMetric(events/b.Elapsed().Seconds()/1e6, "Mevents/s")
		})
	}
	whole := func(t *bed, watch *monitor.Config) func(b *testing.B) {
		return func(b *testing.B) {
			s, _, stop := t.start(b, Config{Batching: Limits{Period: time.Millisecond}, Rolling: Limits{Count: benchEvents / 2, Bytes: 512 << 20}, Watch: watch})
			reach(b, s, benchEvents)
			stop()
		}
	}
	standard := &monitor.Config{Window: time.Hour, OneIn: 32}
	measure("thalweg", whole(t, standard))
	measure("thalweg, not watched", whole(t, nil))
	measure("thalweg, all rows counted", whole(t, &monitor.Config{Window: time.Hour, OneIn: 1}))
	measure("thalweg, 1 % poison", whole(poisoned, standard))
	measure("obvious", func(b *testing.B) { t.obvious(b) })
}

// scoredFlight is a row as the obvious program writes it.
type scoredFlight struct {
	Date        time.Time `json:"-" parquet:"date,timestamp(microsecond)"`
	DateText    string    `json:"date" parquet:"-"`
	Delay       *int64    `json:"delay" parquet:"delay,optional"`
	Distance    *int64    `json:"distance" parquet:"distance,optional"`
	Origin      string    `json:"origin" parquet:"origin,dict"`
	Destination string    `json:"destination" parquet:"destination,dict"`
	Prediction  bool      `json:"-" parquet:"prediction"`
	Probability float64   `json:"-" parquet:"probability"`
	Topic       string    `json:"-" parquet:"_topic,dict"`
	Partition   int64     `json:"-" parquet:"_partition"`
	Offset      int64     `json:"-" parquet:"_offset"`
	Version     int64     `json:"-" parquet:"_model_version"`
	Hash        string    `json:"-" parquet:"_transform_hash,dict"`
	Generation  int64     `json:"-" parquet:"_spec_generation"`
	ScoredAt    time.Time `json:"-" parquet:"_scored_at,timestamp(microsecond)"`
}

// obvious is kafka-go's Reader, encoding/json, weights in maps, and
// parquet-go's generic writer.
func (t *bed) obvious(b *testing.B) {
	reader := kafkago.NewReader(kafkago.ReaderConfig{Brokers: []string{t.broker.Addr()}, Topic: topic, MinBytes: 1, MaxBytes: 4 << 20,
		MaxWait: 50 * time.Millisecond, QueueCapacity: 10_000})
	defer reader.Close()
	origins, destinations := make(map[string]float64), make(map[string]float64)
	for i := range 200 {
		origins[airport(i)], destinations[airport(i)] = math.Sin(float64(i)), math.Cos(float64(i))
	}
	var hours [24]float64
	var weekdays [7]float64
	var out bytes.Buffer
	w := parquet.NewGenericWriter[scoredFlight](&out, parquet.Compression(&parquet.Zstd))
	rows := make([]scoredFlight, 0, 5000)
	now := time.Now()
	for n := range benchEvents {
		m, err := reader.ReadMessage(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		var f scoredFlight
		if err := json.Unmarshal(m.Value, &f); err != nil {
			b.Fatal(err)
		}
		if f.Date, err = time.Parse("2006-01-02 15:04:05", f.DateText); err != nil {
			b.Fatal(err)
		}
		z := 0.1*(float64(*f.Distance)-800)/600 + origins[f.Origin] + destinations[f.Destination] + hours[f.Date.Hour()] + weekdays[f.Date.Weekday()]
		f.Probability = 1 / (1 + math.Exp(-z))
		f.Prediction = f.Probability >= 0.5
		f.Topic, f.Offset, f.Version, f.Hash, f.Generation, f.ScoredAt = topic, m.Offset, 1, "0123456789abcdef", 1, now
		if rows = append(rows, f); len(rows) == cap(rows) || n == benchEvents-1 {
			if _, err := w.Write(rows); err != nil {
				b.Fatal(err)
			}
			rows = rows[:0]
		}
		if n == benchEvents/2 {
			if err := w.Close(); err != nil {
				b.Fatal(err)
			}
			out.Reset()
			w.Reset(&out)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkLatency produces 50,000 events a second, a thousandth of a second's
// worth at a time, and reports how long an event waits for its prediction.
func BenchmarkLatency(b *testing.B) {
	const rate = 50_000
	t := newBed(b)
	s, _, stop := t.start(b, Config{Batching: Limits{Period: 5 * time.Millisecond}, Rolling: Limits{Count: 100_000, Period: 2 * time.Second}})
	defer stop()
	events := make([][]byte, rate)
	for i := range events {
		events[i] = flightEvent(i)
	}
	t.produce(b, 0, 1000, 0)
	reach(b, s, 1000)
	s.latency.reset()
	b.ResetTimer()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	began, sent := time.Now(), 0
	total := b.N * rate
	messages := make([]kafka.Message, 0, rate)
	var late []time.Duration
	for sent < total {
		<-tick.C
		now := time.Now()
		due := min(total, int(now.Sub(began).Seconds()*rate))
		messages = messages[:0]
		for ; sent < due; sent++ {
			messages = append(messages, kafka.Message{Value: events[sent%rate], Time: now})
		}
		if len(messages) == 0 {
			continue
		}
		if err := t.producer.Produce(context.Background(), messages); err != nil {
			b.Fatal(err)
		}
		late = append(late, time.Since(now))
	}
	for s.Status().Scored < int64(1000+total) {
		<-tick.C
	}
	b.StopTimer()
	slices.Sort(late)
	b.ReportMetric(float64(s.latency.quantile(0.5).Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(s.latency.quantile(0.99).Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(late[len(late)*99/100].Microseconds())/1000, "produce-p99-ms")
}

// BenchmarkMerge merges files of scored flights, as a compaction does once they
// are fetched.
func BenchmarkMerge(b *testing.B) {
	w := newWorld(b, 1)
	w.promote(1)
	const files, rows = 16, 20_000
	r := w.start(func(c *Config) {
		c.Rolling = Limits{Count: rows, Period: time.Minute}
		c.Batching = Limits{Count: 5000, Period: 5 * time.Millisecond}
	})
	for i := range files * rows / 1000 {
		w.produceGood(i*1000, 1000)
	}
	r.waitCommitted(files * rows)
	if err := r.stop(); err != nil {
		b.Fatal(err)
	}
	var parts [][]byte
	total := 0
	for _, key := range w.keys("/data/") {
		body, _, err := w.sink.Get(b.Context(), key)
		if err != nil {
			b.Fatal(err)
		}
		parts, total = append(parts, body), total+len(body)
	}
	b.SetBytes(int64(total))
	b.ReportAllocs()
	for b.Loop() {
		m := compact.NewParquetMerger("zstd", int64(total))
		for _, p := range parts {
			if err := m.Add("", "part", p); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := m.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(files*rows*b.N)/b.Elapsed().Seconds(), "rows/s")
}
