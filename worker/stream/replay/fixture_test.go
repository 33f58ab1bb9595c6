package replay

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/connectors/devbroker"
	"github.com/thalweg/thalweg/connectors/kafka"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/artifact/artifacttest"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/checkpoint"
	bucketmem "github.com/thalweg/thalweg/storage/memory"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/compact"
	"github.com/thalweg/thalweg/worker/stream/crash/crashtest"
	"github.com/thalweg/thalweg/worker/stream/engine"
	"github.com/thalweg/thalweg/worker/stream/fsck"
	"github.com/thalweg/thalweg/worker/stream/scorer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	topic      = "flights"
	partitions = 2
)

// trained returns an artifact; versions differ in their parameters.
func trained(t testing.TB, version int) *artifact.Artifact {
	t.Helper()
	return artifacttest.TrainFlights(t, artifacttest.Flights, version)
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is a topic, a stream that scores it with version 1, and a second
// version.
type world struct {
	t        testing.TB
	broker   *devbroker.Broker
	client   *kgo.Client
	lake     *bucketmem.Bucket
	state    *bucketmem.Bucket
	registry *engine.Registry
	producer *kafka.Producer
	source   *kafka.Source
	versions map[int]engine.Candidate
	days     string // column that the rows of stream and replays are partitioned by
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, lake: bucketmem.New(), state: bucketmem.New(), versions: make(map[int]engine.Candidate)}
	var err error
	w.broker, err = devbroker.New("", devbroker.Config{})
	check(t, err)
	t.Cleanup(w.broker.Close)
	cfg := kafka.Config{Brokers: []string{w.broker.Addr()}, Topic: topic, RequestTimeout: 5 * time.Second}
	w.producer = w.newProducer()
	check(t, w.producer.CreateTopic(t.Context(), partitions))
	w.source, err = kafka.New(cfg)
	check(t, err)
	t.Cleanup(func() { w.source.Close() })
	w.client, err = kgo.NewClient(kgo.SeedBrokers(w.broker.Addr()))
	check(t, err)
	t.Cleanup(w.client.Close)
	w.registry = engine.NewRegistry(w.state, catalog.All())
	for v := 1; v <= 2; v++ {
		parts, err := trained(t, v).Encode(nil)
		check(t, err)
		ref, err := checkpoint.Save(t.Context(), w.state, "checkpoints/", parts)
		check(t, err)
		w.versions[v] = engine.Candidate{RegisteredAtUS: time.Now().UnixMicro(),
			Model: engine.Model{Name: "flight-delays", Version: thalweg.ModelVersion(v), Checkpoint: ref}}
	}
	w.registry.Offer([]engine.Candidate{w.versions[1]})
	return w
}

func (w *world) newProducer() *kafka.Producer {
	w.t.Helper()
	p, err := kafka.NewProducer(kafka.Config{Brokers: []string{w.broker.Addr()}, Topic: topic, RequestTimeout: 5 * time.Second}, kafka.ProducerConfig{})
	check(w.t, err)
	w.t.Cleanup(func() { p.Close() })
	return p
}

// produce writes n events from number first on; every seventh cannot be scored.
func (w *world) produce(first, n int) {
	w.t.Helper()
	var messages []kafka.Message
	for i := first; i < first+n; i++ {
		e := fmt.Sprintf(`{"date":"2001-03-%02d %02d:00:00","delay":%d,"distance":%d,"origin":"A%d"}`, 1+i%28, i%24, i%60-10, 100+i%2000, i%9)
		switch {
		case i%7 == 3:
			e = fmt.Sprintf(`{"date":"yesterday %d"}`, i)
		case i%11 == 5:
			e = fmt.Sprintf(`{"date":"2001-03-%02d %02d:00:00","distance":null}`, 1+i%28, i%24)
		}
		messages = append(messages, kafka.Message{Value: []byte(e), Time: time.UnixMilli(int64(1_000_000 + i))})
	}
	check(w.t, w.producer.Produce(context.Background(), messages))
}

func (w *world) live() storage.Place {
	return storage.Place{Bucket: w.lake, Name: "lake", Prefix: "scored/"}
}

func (w *world) into(prefix string) storage.Place {
	return storage.Place{Bucket: w.lake, Name: "lake", Prefix: prefix}
}

// stream scores what the topic has with the versions on offer, as the live
// stream does.
func (w *world) stream() {
	w.t.Helper()
	w.streamUntil(compact.Config{}, func(int) bool { return true })
}

// streamUntil does so with small files being merged, until a fact about each
// partition holds too.
func (w *world) streamUntil(merge compact.Config, fact func(partition int) bool) {
	w.t.Helper()
	for p := range partitions {
		_, next, err := w.source.Bounds(w.t.Context(), p)
		check(w.t, err)
		s, err := scorer.New(w.source, w.lake, w.registry, slog.New(slog.DiscardHandler), scorer.Config{Pipeline: "flight-delays", Generation: 2, Topic: topic,
			Partition: p, Prefix: "scored/", Batching: scorer.Limits{Count: 100, Period: time.Millisecond}, Rolling: scorer.Limits{Count: 150, Period: 5 * time.Millisecond},
			FetchWait: 20 * time.Millisecond, PartitionBy: w.days, Compaction: merge})
		check(w.t, err)
		ctx, stop := context.WithCancel(w.t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		poll := time.NewTicker(time.Millisecond)
		defer poll.Stop()
		for s.Status().Committed < next || !fact(p) {
			select {
			case <-poll.C:
			case err := <-ended:
				w.t.Fatalf("the stream ended: %v", err)
			}
		}
		stop()
		check(w.t, <-ended)
	}
}

// taken is the sink of the pipeline at a prefix of the bucket.
func taken(prefix string) pipeline.Claim {
	return pipeline.Claim{Use: pipeline.Rows, Owner: "flight-delays", Kind: pipeline.StoreConnection, Bucket: "lake", Key: prefix, Field: "spec.scoring.sink.s3.path"}
}

func (w *world) request(version int, into, from, to string) Request {
	w.t.Helper()
	f, err := ParseBound("--from", from)
	check(w.t, err)
	u, err := ParseBound("--to", to)
	check(w.t, err)
	return Request{Pipeline: "flight-delays", Generation: 2, Topic: topic, Model: w.versions[version], From: f, To: u,
		Live: w.live(), Into: w.into(into), Taken: []pipeline.Claim{taken("scored/")}, NowUS: time.Now().UnixMicro()}
}

// run carries a replay out on a bucket.
func (w *world) run(ctx context.Context, m *Manifest, bucket storage.Bucket, prefix string) (Progress, error) {
	w.t.Helper()
	return w.runThrough(ctx, m, bucket, prefix, crashtest.NewGate(crashtest.NewScript(), crashtest.Process{}))
}

// runThrough does so with a gate before the process's steps.
func (w *world) runThrough(ctx context.Context, m *Manifest, bucket storage.Bucket, prefix string, gate *crashtest.Gate) (Progress, error) {
	w.t.Helper()
	a, err := w.registry.Load(w.t.Context(), m.Model)
	check(w.t, err)
	source, err := kafka.New(kafka.Config{Brokers: []string{w.broker.Addr()}, Topic: topic, RequestTimeout: 5 * time.Second})
	check(w.t, err)
	defer source.Close()
	r := New(m, gate.Source(source), gate.Bucket(bucket), prefix, a, slog.New(slog.DiscardHandler), Config{Score: scorer.Config{Rolling: scorer.Limits{Count: 100},
		Batching: scorer.Limits{Count: 30, Period: time.Millisecond}, FetchWait: 20 * time.Millisecond, MinBackoff: time.Millisecond, MaxBackoff: 5 * time.Millisecond,
		DrainTimeout: 50 * time.Millisecond, Hook: gate.Do, PartitionBy: w.days, Outbox: noOutbox{w.t}, OnLost: scorer.Latest, MaxDeadRate: 0.01,
		Compaction: compact.Config{MinFiles: 2, Retention: time.Millisecond}}})
	err = r.Run(ctx)
	return r.Progress(), err
}

// noOutbox is the topic of a stream's dead letters, where a replay has no
// business.
type noOutbox struct{ t testing.TB }

func (o noOutbox) Deliver(context.Context, connectors.Group, iter.Seq2[connectors.Message, error]) error {
	o.t.Error("a replay delivers dead letters to the stream's topic")
	return nil
}

func (o noOutbox) Close() error { return nil }

// replay opens a replay and carries it out.
func (w *world) replay(version int, into, from, to string) (*Manifest, Progress) {
	w.t.Helper()
	m, err := Open(w.t.Context(), w.source, w.request(version, into, from, to))
	check(w.t, err)
	p, err := w.run(w.t.Context(), m, w.lake, into)
	check(w.t, err)
	return m, p
}

// judge has fsck judge what lies under a prefix.
func (w *world) judge(prefix string) *fsck.Verdict {
	w.t.Helper()
	var models []fsck.Model
	for _, c := range w.versions {
		models = append(models, fsck.Model{Name: string(c.Name), Version: uint64(c.Version), Checkpoint: c.Checkpoint, RegisteredAtUS: c.RegisteredAtUS})
	}
	v, err := fsck.Run(context.Background(), w.lake, "flight-delays", prefix, models)
	check(w.t, err)
	if !v.OK() {
		w.t.Fatalf("fsck of %s:\n%s", prefix, v)
	}
	return v
}

// objects returns what lies under a prefix, by key.
func (w *world) objects(prefix string) map[string]string {
	w.t.Helper()
	all := make(map[string]string)
	for info, err := range w.lake.List(context.Background(), prefix, "") {
		check(w.t, err)
		body, _, err := w.lake.Get(context.Background(), info.Key)
		if thalweg.Is(err, thalweg.NotFound) {
			continue // merged meanwhile
		}
		check(w.t, err)
		all[info.Key] = string(body)
	}
	return all
}

// cells returns every row and dead letter of a partition under a prefix, by
// offset, as text: all columns of all objects that its log names.
func (w *world) cells(prefix string, partition int) map[int64]string {
	w.t.Helper()
	log, err := commitlog.New(w.lake, commitlog.Config{Pipeline: "flight-delays", Prefix: prefix, Topic: topic, Partition: partition})
	check(w.t, err)
	found := make(map[int64]string)
	for e, err := range log.Read(context.Background(), 0) {
		check(w.t, err)
		for _, o := range e.Done.Objects {
			body, _, err := w.lake.Get(context.Background(), o.Key)
			check(w.t, err)
			if o.Kind == commitlog.Dead {
				letters, err := engine.ParseLetters(body)
				check(w.t, err)
				for _, d := range letters {
					d.Text = nil // says what Raw says
					found[d.Offset] = fmt.Sprintf("dead %+v", d)
				}
				continue
			}
			for batch, err := range engine.ReadRows(o.Key, body) {
				check(w.t, err)
				batch := batch.Rows
				at := batch.Schema().FieldIndices("_offset")[0]
				for i := range int(batch.NumRows()) {
					text := ""
					for j, f := range batch.Schema().Fields() {
						if f.Name != table.RowColumn {
							text += f.Name + "=" + batch.Column(j).ValueStr(i) + " "
						}
					}
					var offset int64
					fmt.Sscan(batch.Column(at).ValueStr(i), &offset)
					if _, twice := found[offset]; twice {
						w.t.Errorf("%s: offset %d appears twice", prefix, offset)
					}
					found[offset] = text
				}
			}
		}
	}
	return found
}
