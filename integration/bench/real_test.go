//go:build integration

package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	kafkago "github.com/segmentio/kafka-go"

	"github.com/thalweg/thalweg/connectors/kafka"
	apache "github.com/thalweg/thalweg/integration/kafka"
	"github.com/thalweg/thalweg/integration/minio"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/s3"
	"github.com/thalweg/thalweg/worker/stream/budget"
	"github.com/thalweg/thalweg/worker/stream/engine"
	"github.com/thalweg/thalweg/worker/stream/scorer"
)

// real is Apache Kafka and MinIO, each in processes of its own, and a model.
type real struct {
	kafka    *apache.Cluster
	bucket   storage.Bucket
	requests atomic.Int64 // to the store
	rounds   int          // each with a prefix of its own
	registry *engine.Registry
	flights  *flights
}

func newReal(b *testing.B) *real {
	b.Helper()
	r := &real{kafka: apache.Start(b, apache.Config{}), flights: open(b)}
	server := minio.Start(b)
	opener, err := s3.New(s3.Config{Endpoint: server.Address, AccessKey: server.AccessKey, SecretKey: server.SecretKey, PathStyle: true,
		Wrap: func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(req *http.Request) (*http.Response, error) {
				r.requests.Add(1)
				return next.RoundTrip(req)
			})
		}})
	check(b, err)
	b.Cleanup(func() { opener.Close() })
	check(b, opener.CreateBucket(b.Context(), "lake"))
	r.bucket, err = opener.Bucket(b.Context(), "lake")
	check(b, err)
	return r
}

// champion trains the model of the spec as more lines leave it.
func (r *real) champion(b *testing.B, more ...string) {
	b.Helper()
	f := open(b, more...)
	f.fit(b)
	_, r.registry = f.registered(b)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// score runs a scorer of a topic until it has scored up to offset n and
// committed that, and returns its last status.
func (r *real) score(b *testing.B, topic, prefix string, cfg scorer.Config, n int64, meanwhile func()) scorer.Status {
	b.Helper()
	memory := budget.NewMemory(0, runtime.GOMAXPROCS(0))
	share := memory.Share()
	defer share.Close()
	source, err := kafka.New(kafka.Config{Brokers: r.kafka.Brokers(), Topic: topic, Large: share.Large})
	check(b, err)
	defer source.Close()
	cfg.Pipeline, cfg.Generation, cfg.Topic, cfg.Prefix, cfg.Memory = "flights", 1, topic, prefix, share
	scorer, err := scorer.New(source, r.bucket, r.registry, slog.New(slog.DiscardHandler), cfg)
	check(b, err)
	return runUntil(b, scorer, n, meanwhile)
}

// cost is what a way of scoring took.
type cost struct {
	cpu       time.Duration
	allocated uint64
	requests  int64
}

func (r *real) costOf(b *testing.B, run func()) cost {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	began, asked := cpu(b), r.requests.Load()
	run()
	c := cost{cpu: cpu(b) - began, requests: r.requests.Load() - asked}
	runtime.ReadMemStats(&after)
	c.allocated = after.TotalAlloc - before.TotalAlloc
	return c
}

// BenchmarkRealStream takes a topic of Apache Kafka to committed Parquet objects
// in MinIO, scored by a linear model and by a network of layers of 128 and 64 values,
// and has the peer do the same with a linear model: kafka-go's Reader, encoding/json and
// parquet-go's generic writer, its files put into the same store. Speeds are per
// second of processor time of this process, client side; medians of the rounds.
// goal: at least 2 Mevents/s a core and 5x the peer; of the network 0.3 Mevents/s.
func BenchmarkRealStream(b *testing.B) {
	const n = 1_000_000
	r := newReal(b)
	producer := topic(b, r.kafka.Brokers()[0], "flights")
	messages := r.flights.events(b, n)
	size := 0
	for i := 0; i < n; i += 10_000 {
		for _, m := range messages[i : i+10_000] {
			size += len(m.Value)
		}
		check(b, producer.Produce(b.Context(), messages[i:i+10_000]))
	}
	b.Run("linear", func(b *testing.B) { r.stream(b, n, size) })
	b.Run("mlp", func(b *testing.B) {
		r.stream(b, n, size, "  model: {type: mlp, hidden: [128, 64]}\n  trainer: {epochs: 2}\n")
	})
}

// stream scores the topic of n events by a model, beside the peer.
func (r *real) stream(b *testing.B, n int64, size int, more ...string) {
	r.champion(b, more...)
	peer := newPeer()
	var ours, theirs []cost
	for b.Loop() {
		r.rounds++
		ours = append(ours, r.costOf(b, func() { r.score(b, "flights", fmt.Sprintf("scored/%d/", r.rounds), scorer.Config{}, n, nil) }))
		theirs = append(theirs, r.costOf(b, func() { peer.runTo(b, r.kafka.Brokers()[0], int(n), r.bucket, fmt.Sprintf("peer/%d/", r.rounds)) }))
	}
	speed := func(c cost) float64 { return float64(n) / c.cpu.Seconds() / 1e6 }
	a, p := median(ours, speed), median(theirs, speed)
	b.ReportMetric(a, "Mevents/core-s")
	b.ReportMetric(p, "peer-Mevents/core-s")
	b.ReportMetric(a/p, "x-peer")
	b.ReportMetric(median(ours, func(c cost) float64 { return float64(c.allocated) / float64(n) }), "B/event")
	b.ReportMetric(median(theirs, func(c cost) float64 { return float64(c.allocated) / float64(n) }), "peer-B/event")
	b.ReportMetric(median(ours, func(c cost) float64 { return float64(c.requests) / float64(n) * 1e6 }), "requests/Mevent")
	b.ReportMetric(float64(size)/float64(n), "JSON-B/event")
}

func median[T any](all []T, of func(T) float64) float64 {
	var values []float64
	for _, v := range all {
		values = append(values, of(v))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// The rate of BenchmarkRealLatency.
const (
	latencyRate    = 100_000
	latencySeconds = 10
	latencyGrain   = time.Millisecond
)

// BenchmarkRealLatency has a producer in a process of its own write 100,000
// events a second to Apache Kafka and reports how long they took from the
// producer's clock to their score, where batches are what comes while the one
// before is scored, and files roll into MinIO every second; and what a Reader
// with encoding/json takes of the same topic at the same rate. Kafka's timestamps
// are whole milliseconds.
// goal: p99 at most 5 ms.
func BenchmarkRealLatency(b *testing.B) {
	r := newReal(b)
	r.champion(b)
	peer := newPeer()
	var ours []scorer.Status
	var theirs [][]time.Duration
	for b.Loop() {
		round := len(ours)
		name := fmt.Sprintf("flights-%d", round)
		topic(b, r.kafka.Brokers()[0], name)
		cfg := scorer.Config{Batching: scorer.Limits{Period: time.Microsecond}, Rolling: scorer.Limits{Period: time.Second}}
		ours = append(ours, r.score(b, name, fmt.Sprintf("late/%d/", round), cfg, latencyRate*latencySeconds, func() { r.produce(b, name) }))
		name += "-peer"
		topic(b, r.kafka.Brokers()[0], name)
		ended := make(chan []time.Duration)
		go func() { ended <- peer.latencies(b, r.kafka.Brokers()[0], name, latencyRate*latencySeconds) }()
		r.produce(b, name)
		theirs = append(theirs, <-ended)
	}
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }
	b.ReportMetric(median(ours, func(s scorer.Status) float64 { return ms(s.P50) }), "p50-ms")
	b.ReportMetric(median(ours, func(s scorer.Status) float64 { return ms(s.P99) }), "p99-ms")
	b.ReportMetric(median(theirs, func(l []time.Duration) float64 { return ms(l[len(l)/2]) }), "peer-p50-ms")
	b.ReportMetric(median(theirs, func(l []time.Duration) float64 { return ms(l[len(l)*99/100]) }), "peer-p99-ms")
}

// producing, in the environment, makes this test binary a producer: brokers and
// topic.
const producing = "THALWEG_BENCH_PRODUCER"

// produce runs a producer to its end.
func (r *real) produce(b *testing.B, name string) {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestProduceAtARate$", "-test.count=1")
	cmd.Env = append(os.Environ(), producing+"="+r.kafka.Brokers()[0]+" "+name)
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
}

// TestProduceAtARate is the producer's process.
func TestProduceAtARate(t *testing.T) {
	address, name, asked := strings.Cut(os.Getenv(producing), " ")
	if !asked {
		return // it is no test by itself
	}
	p, err := kafka.NewProducer(kafka.Config{Brokers: []string{address}, Topic: name}, kafka.ProducerConfig{})
	check(t, err)
	defer p.Close()
	messages := open(t).events(t, 100_000)
	const (
		all  = latencyRate * latencySeconds
		each = int(latencyRate * latencyGrain / time.Second)
	)
	grain := time.NewTicker(latencyGrain / 2)
	defer grain.Stop()
	began := time.Now()
	for sent := 0; sent < all; {
		// What is due by now, as one batch: a producer that was not scheduled in time
		// stamps its events when it sends them.
		due := min(all, int(time.Since(began).Seconds()*latencyRate))
		if due-sent < each && due < all {
			<-grain.C // the rate of the producer
			continue
		}
		at := sent % len(messages)
		batch := messages[at:min(len(messages), at+due-sent)]
		now := time.Now()
		for i := range batch {
			batch[i].Time = now
		}
		check(t, p.Produce(t.Context(), batch))
		sent += len(batch)
	}
}

// runTo is run with the files put into a bucket, of 500,000 rows each.
func (p *peer) runTo(b *testing.B, address string, n int, bucket storage.Bucket, prefix string) {
	r := kafkago.NewReader(kafkago.ReaderConfig{Brokers: []string{address}, Topic: "flights", MinBytes: 1, MaxBytes: 4 << 20, QueueCapacity: 5000})
	defer r.Close()
	var out bytes.Buffer
	w := parquet.NewGenericWriter[flight](&out, parquet.Compression(&parquet.Zstd))
	batch := make([]flight, 0, 5000)
	for i := range n {
		m, err := r.ReadMessage(b.Context())
		check(b, err)
		if batch = append(batch, p.score(b, m)); len(batch) == cap(batch) || i == n-1 {
			_, err := w.Write(batch)
			check(b, err)
			batch = batch[:0]
		}
		if (i+1)%500_000 == 0 || i == n-1 {
			check(b, w.Close())
			_, err := bucket.Put(b.Context(), fmt.Sprintf("%s%d.parquet", prefix, i), out.Bytes())
			check(b, err)
			out.Reset()
			w.Reset(&out)
		}
	}
}

// score scores one message.
func (p *peer) score(b *testing.B, m kafkago.Message) flight {
	var row flight
	if err := json.Unmarshal(m.Value, &row); err != nil {
		b.Error(err)
	}
	z := p.weights["origin"][row.Origin] + p.weights["destination"][row.Destination] +
		p.weights["hour"][fmt.Sprint(row.Date.Hour())] + p.weights["weekday"][fmt.Sprint(row.Date.Weekday())]
	row.Probability, row.Offset = 1/(1+math.Exp(-z)), m.Offset
	return row
}

// latencies returns how long each of n messages took to its score, sorted.
func (p *peer) latencies(b *testing.B, address, name string, n int) []time.Duration {
	r := kafkago.NewReader(kafkago.ReaderConfig{Brokers: []string{address}, Topic: name, MinBytes: 1, MaxBytes: 4 << 20, QueueCapacity: 5000})
	defer r.Close()
	all := make([]time.Duration, 0, n)
	for range n {
		m, err := r.ReadMessage(b.Context())
		if err != nil {
			b.Error(err)
			break
		}
		_ = p.score(b, m)
		all = append(all, time.Since(m.Time))
	}
	slices.Sort(all)
	return all
}
