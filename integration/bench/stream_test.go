package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/parquet-go/parquet-go"
	kafkago "github.com/segmentio/kafka-go"

	"github.com/thalweg/thalweg/connectors/devbroker"
	"github.com/thalweg/thalweg/connectors/kafka"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/event"
	"github.com/thalweg/thalweg/storage/checkpoint"
	"github.com/thalweg/thalweg/storage/memory"
	"github.com/thalweg/thalweg/worker/stream/engine"
	"github.com/thalweg/thalweg/worker/stream/scorer"
)

// brokerDir, in the environment, makes this test binary a broker, so that its
// processor time is not the scorer's.
const brokerDir = "THALWEG_BENCH_BROKER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(brokerDir); dir != "" {
		b, err := devbroker.New(dir, devbroker.Config{Partitions: 1})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(b.Addr())
		io.Copy(io.Discard, os.Stdin) // until the parent goes
		b.Close()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// broker starts a broker in a process of its own and returns its address.
func broker(b *testing.B) string {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), brokerDir+"="+b.TempDir())
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	check(b, err)
	out, err := cmd.StdoutPipe()
	check(b, err)
	check(b, cmd.Start())
	b.Cleanup(func() { in.Close(); cmd.Wait() })
	address, err := bufio.NewReader(out).ReadString('\n')
	check(b, err)
	return strings.TrimSpace(address)
}

// cpu returns the processor time that this process has used.
func cpu(tb testing.TB) time.Duration {
	var u syscall.Rusage
	check(tb, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// events returns n flights as messages.
func (f *flights) events(tb testing.TB, n int) []kafka.Message {
	tb.Helper()
	var messages []kafka.Message
	for len(messages) < n {
		for shard := range f.manifest.Shards {
			check(tb, f.rows(tb.Context(), shard, func(batch arrow.Record) error {
				for i := range int(batch.NumRows()) {
					if len(messages) < n {
						messages = append(messages, kafka.Message{Value: event.AppendJSON(nil, batch, i)})
					}
				}
				return nil
			}))
		}
	}
	return messages
}

// topic makes a topic of one partition and returns a producer for it.
func topic(tb testing.TB, address, name string) *kafka.Producer {
	tb.Helper()
	p, err := kafka.NewProducer(kafka.Config{Brokers: []string{address}, Topic: name}, kafka.ProducerConfig{})
	check(tb, err)
	tb.Cleanup(func() { p.Close() })
	check(tb, p.CreateTopic(tb.Context(), 1))
	return p
}

// registered trains a model and registers it as the champion of a new bucket.
func (f *flights) registered(tb testing.TB) (*memory.Bucket, *engine.Registry) {
	tb.Helper()
	a, result := f.train(tb, 8)
	a.Params = result.Params
	parts, err := a.Encode(nil)
	check(tb, err)
	bucket := memory.New()
	ref, err := checkpoint.Save(tb.Context(), bucket, "checkpoints/", parts)
	check(tb, err)
	registry := engine.NewRegistry(bucket, catalog.All())
	registry.Offer([]engine.Candidate{{Model: engine.Model{Name: "flights", Version: 1, Checkpoint: ref}, RegisteredAtUS: 1}})
	return bucket, registry
}

// until runs a scorer until its log has reached offset n.
func until(tb testing.TB, address, name string, bucket *memory.Bucket, registry *engine.Registry, cfg scorer.Config, n int64, meanwhile func()) scorer.Status {
	tb.Helper()
	source, err := kafka.New(kafka.Config{Brokers: []string{address}, Topic: name})
	check(tb, err)
	defer source.Close()
	cfg.Pipeline, cfg.Generation, cfg.Topic, cfg.Prefix = "flights", 1, name, "scored/"+name+"/"
	scorer, err := scorer.New(source, bucket, registry, slog.New(slog.DiscardHandler), cfg)
	check(tb, err)
	return runUntil(tb, scorer, n, meanwhile)
}

// runUntil runs a scorer until it has scored up to offset n and committed that,
// and returns its last status.
func runUntil(tb testing.TB, scorer *scorer.Scorer, n int64, meanwhile func()) scorer.Status {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	done := make(chan error, 1)
	go func() { done <- scorer.Run(ctx) }()
	if meanwhile != nil {
		meanwhile()
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for scorer.Status().Scored < n {
		select {
		case err := <-done:
			tb.Fatalf("scorer ended: %v", err)
		case <-tick.C:
		}
	}
	// The last file need not be full: it is committed because the scorer is told to
	// end, not after a rolling period of rest, which nobody wants to measure.
	cancel()
	check(tb, <-done)
	status := scorer.Status()
	if status.Committed < n {
		tb.Fatalf("committed %d of %d", status.Committed, n)
	}
	return status
}

// BenchmarkStream scores a topic that is there already, from fetch to a
// committed Parquet object in memory, against a group-less Reader with
// encoding/json and the generic Parquet writer. Speeds are per second of
// processor time of this process; the broker is another. goal: at least 1
// Mevents/s a core and 4x the peer.
func BenchmarkStream(b *testing.B) {
	const n = 500_000
	f := open(b)
	f.fit(b)
	peer := newPeer()
	f.stream(b, n, peer.run)
}

// stream scores a topic of n flights again and again, beside a peer if there is one.
func (f *flights) stream(b *testing.B, n int, peer func(b *testing.B, address string, n int)) {
	b.Helper()
	bucket, registry := f.registered(b)
	address := broker(b)
	check(b, topic(b, address, "flights").Produce(b.Context(), f.events(b, n)))
	var ours, theirs time.Duration
	i := 0
	for b.Loop() {
		i++
		fresh := memory.New()
		for info, err := range bucket.List(b.Context(), "checkpoints/", "") {
			check(b, err)
			body, _, err := bucket.Get(b.Context(), info.Key)
			check(b, err)
			_, err = fresh.Put(b.Context(), info.Key, body)
			check(b, err)
		}
		began := cpu(b)
		until(b, address, "flights", fresh, registry, scorer.Config{}, int64(n), nil)
		between := cpu(b)
		ours += between - began
		if peer != nil {
			peer(b, address, n)
			theirs += cpu(b) - between
		}
	}
	b.ReportMetric(float64(i)*float64(n)/ours.Seconds()/1e6, "Mevents/core-s")
	if peer != nil {
		b.ReportMetric(float64(i)*float64(n)/theirs.Seconds()/1e6, "peer-Mevents/core-s")
		b.ReportMetric(float64(theirs)/float64(ours), "x-peer")
	}
}

// BenchmarkLatency produces 50,000 events a second and reports how long they
// took from the producer's clock to a visible score, at a batch period of 5 ms.
// goal: p99 at most 20 ms.
func BenchmarkLatency(b *testing.B) {
	const rate, seconds, grain = 50_000, 4, 2 * time.Millisecond
	f := open(b)
	f.fit(b)
	bucket, registry := f.registered(b)
	address := broker(b)
	messages := f.events(b, rate*seconds)
	var status scorer.Status
	round := 0
	for b.Loop() {
		name := fmt.Sprintf("flights-%d", round)
		round++
		producer := topic(b, address, name)
		cfg := scorer.Config{Batching: scorer.Limits{Count: 5000, Bytes: 8 << 20, Period: 5 * time.Millisecond}, Rolling: scorer.Limits{Count: 500_000, Bytes: 128 << 20, Period: time.Second}}
		status = until(b, address, name, bucket, registry, cfg, rate*seconds, func() {
			each := int(rate * grain / time.Second)
			began := time.Now()
			for i := 0; i < len(messages); i += each {
				check(b, producer.Produce(b.Context(), messages[i:i+each]))
				<-time.After(time.Until(began.Add(time.Duration(i+each) * time.Second / rate))) // the rate of the producer
			}
		})
	}
	b.ReportMetric(float64(status.P50.Microseconds())/1e3, "p50-ms")
	b.ReportMetric(float64(status.P99.Microseconds())/1e3, "p99-ms")
}

// peer is what one would write first: a Reader, encoding/json into a struct,
// maps for the categories, and the generic writer.
type peer struct {
	weights map[string]map[string]float64
}

type flight struct {
	Date        time.Time `json:"date" parquet:"date,timestamp(microsecond)"`
	Delay       *int64    `json:"delay" parquet:"delay,optional"`
	Distance    *int64    `json:"distance" parquet:"distance,optional"`
	Origin      string    `json:"origin" parquet:"origin,dict"`
	Destination string    `json:"destination" parquet:"destination,dict"`
	Probability float64   `json:"-" parquet:"probability"`
	Offset      int64     `json:"-" parquet:"_offset"`
}

func newPeer() *peer {
	p := &peer{weights: map[string]map[string]float64{"origin": {}, "destination": {}, "hour": {}, "weekday": {}}}
	for i, name := range []string{"ATL", "ORD", "LAX", "DFW", "PHX"} {
		p.weights["origin"][name], p.weights["destination"][name] = float64(i)/10, -float64(i)/10
	}
	for h := range 24 {
		p.weights["hour"][fmt.Sprint(h)], p.weights["weekday"][fmt.Sprint(h)] = float64(h)/100, 0
	}
	return p
}

func (p *peer) run(b *testing.B, address string, n int) {
	r := kafkago.NewReader(kafkago.ReaderConfig{Brokers: []string{address}, Topic: "flights", MinBytes: 1, MaxBytes: 4 << 20, QueueCapacity: 5000})
	defer r.Close()
	var out bytes.Buffer
	w := parquet.NewGenericWriter[flight](&out, parquet.Compression(&parquet.Zstd))
	batch := make([]flight, 0, 5000)
	for range n {
		m, err := r.ReadMessage(b.Context())
		check(b, err)
		var row flight
		check(b, json.Unmarshal(m.Value, &row))
		z := p.weights["origin"][row.Origin] + p.weights["destination"][row.Destination] +
			p.weights["hour"][fmt.Sprint(row.Date.Hour())] + p.weights["weekday"][fmt.Sprint(row.Date.Weekday())]
		row.Probability, row.Offset = 1/(1+math.Exp(-z)), m.Offset
		if batch = append(batch, row); len(batch) == cap(batch) {
			_, err := w.Write(batch)
			check(b, err)
			batch = batch[:0]
		}
	}
	_, err := w.Write(batch)
	check(b, err)
	check(b, w.Close())
}
