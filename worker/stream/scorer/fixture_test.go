package scorer

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors/devbroker"
	"github.com/thalweg/thalweg/connectors/kafka"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/artifact/artifacttest"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/checkpoint"
	"github.com/thalweg/thalweg/storage/dataset"
	bucketmem "github.com/thalweg/thalweg/storage/memory"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/engine"
	"github.com/thalweg/thalweg/worker/stream/fsck"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const topic = "flights"

// trained returns an artifact of artifacttest.Flights; versions differ in their
// parameters.
func trained(t testing.TB, version int) *artifact.Artifact {
	t.Helper()
	return artifacttest.TrainFlights(t, artifacttest.Flights, version)
}

// trainedBy is trained, version 1, by another document for the same columns.
func trainedBy(t testing.TB, document string) *artifact.Artifact {
	t.Helper()
	return artifacttest.TrainFlights(t, document, 1)
}

// saved stores an artifact and returns it as a version.
func saved(t testing.TB, state storage.Bucket, version int, a *artifact.Artifact) engine.Candidate {
	t.Helper()
	parts, err := a.Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := checkpoint.Save(context.Background(), state, fmt.Sprintf("checkpoints/%d", version), parts)
	if err != nil {
		t.Fatal(err)
	}
	return engine.Candidate{Model: engine.Model{Name: "flight-delays", Version: thalweg.ModelVersion(version), Checkpoint: ref}, RegisteredAtUS: time.Now().UnixMicro()}
}

// world is what scorers of a test share: a broker, a sink, and registered
// versions.
type world struct {
	t        testing.TB
	broker   *devbroker.Broker
	sink     storage.Bucket
	state    *bucketmem.Bucket
	registry *engine.Registry
	producer *kafka.Producer
	versions map[int]engine.Candidate
	config   Config
}

func newWorld(t testing.TB, partitions int) *world {
	t.Helper()
	w := &world{t: t, sink: bucketmem.New(), state: bucketmem.New(), versions: make(map[int]engine.Candidate)}
	var err error
	if w.broker, err = devbroker.New("", devbroker.Config{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.broker.Close)
	w.registry = engine.NewRegistry(w.state, catalog.All())
	if w.producer, err = kafka.NewProducer(w.kafka(), kafka.ProducerConfig{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.producer.Close() })
	if err := w.producer.CreateTopic(t.Context(), partitions); err != nil {
		t.Fatal(err)
	}
	w.config = Config{Pipeline: "flight-delays", Generation: 2, Topic: topic, Prefix: "scored/",
		Batching: Limits{Count: 100, Period: time.Millisecond}, Rolling: Limits{Count: 1000, Period: 50 * time.Millisecond},
		FetchWait: 20 * time.Millisecond, MinBackoff: time.Millisecond, MaxBackoff: 20 * time.Millisecond}
	return w
}

func (w *world) kafka() kafka.Config {
	return kafka.Config{Brokers: []string{w.broker.Addr()}, Topic: topic, Group: "lag", RequestTimeout: 5 * time.Second}
}

// register saves a version and returns it; it is not offered yet.
func (w *world) register(version int) engine.Candidate {
	w.t.Helper()
	return w.registerArtifact(version, trained(w.t, version))
}

func (w *world) registerArtifact(version int, a *artifact.Artifact) engine.Candidate {
	w.t.Helper()
	c := saved(w.t, w.state, version, a)
	w.versions[version] = c
	return c
}

// promote makes versions the candidates, the champion first.
func (w *world) promote(versions ...int) {
	w.t.Helper()
	var candidates []engine.Candidate
	for _, v := range versions {
		c, ok := w.versions[v]
		if !ok {
			c = w.register(v)
		}
		candidates = append(candidates, c)
	}
	w.registry.Offer(candidates)
}

// goodEvent returns an event that can be scored; n makes it one of a kind.
func goodEvent(n int) string {
	return fmt.Sprintf(`{"date":"2001-03-%02d %02d:00:00","delay":%d,"distance":%d,"origin":"a%d"}`, 1+n%28, n%24, n%60-10, 100+n%2000, n%7)
}

func (w *world) produce(events ...string) {
	w.t.Helper()
	messages := make([]kafka.Message, len(events))
	for i, e := range events {
		messages[i] = kafka.Message{Value: []byte(e), Time: time.Now()}
	}
	if err := w.producer.Produce(context.Background(), messages); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) produceGood(from, n int) {
	w.t.Helper()
	events := make([]string, n)
	for i := range events {
		events[i] = goodEvent(from + i)
	}
	w.produce(events...)
}

func slogDiscard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// active is a Scorer whose Run is under way.
type active struct {
	*Scorer
	t      testing.TB
	cancel context.CancelFunc
	ended  chan error
}

// start runs a scorer until the test ends or stop is called.
func (w *world) start(change ...func(*Config)) *active {
	w.t.Helper()
	return w.startOn(func(*kafka.Config) {}, change...)
}

// startAllowed is start with an operator's permission, which a worker hands on before
// the scorer runs: one that has stopped for want of it does not go on.
func (w *world) startAllowed(authorization SkipAuthorization, change ...func(*Config)) *active {
	w.t.Helper()
	return w.startBy(func(*kafka.Config) {}, authorization, change...)
}

// startOn is start with another way to read the topic.
func (w *world) startOn(read func(*kafka.Config), change ...func(*Config)) *active {
	w.t.Helper()
	return w.startBy(read, SkipAuthorization{}, change...)
}

func (w *world) startBy(read func(*kafka.Config), authorization SkipAuthorization, change ...func(*Config)) *active {
	w.t.Helper()
	topic := w.kafka()
	read(&topic)
	source, err := kafka.New(topic)
	if err != nil {
		w.t.Fatal(err)
	}
	cfg := w.config
	for _, c := range change {
		c(&cfg)
	}
	s, err := New(source, w.sink, w.registry, slog.New(slog.DiscardHandler), cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	s.Skip(authorization)
	ctx, cancel := context.WithCancel(context.Background())
	r := &active{Scorer: s, t: w.t, cancel: cancel, ended: make(chan error, 1)}
	go func() {
		err := s.Run(ctx)
		source.Close()
		r.ended <- err
	}()
	w.t.Cleanup(func() { r.stop() })
	return r
}

// stop drains the scorer and returns what Run did.
func (r *active) stop() error {
	r.cancel()
	err := <-r.ended
	r.ended <- err
	return err
}

// wait returns once the status satisfies fact.
func (r *active) wait(what string, fact func(Status) bool) Status {
	r.t.Helper()
	deadline := time.NewTimer(time.Minute) // only where something is broken
	defer deadline.Stop()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for {
		if s := r.Status(); fact(s) {
			return s
		}
		select {
		case <-deadline.C:
			r.t.Fatalf("waited for %s in vain: %+v", what, r.Status())
		case <-poll.C:
		}
	}
}

func (r *active) waitCommitted(offset int64) Status {
	r.t.Helper()
	return r.wait(fmt.Sprintf("offset %d", offset), func(s Status) bool { return s.Committed >= offset })
}

// judge has fsck judge the sink.
func (w *world) judge() *fsck.Verdict {
	w.t.Helper()
	var models []fsck.Model
	for _, c := range w.versions {
		models = append(models, fsck.Model{Name: string(c.Name), Version: uint64(c.Version), Checkpoint: c.Checkpoint, RegisteredAtUS: c.RegisteredAtUS})
	}
	v, err := fsck.Run(context.Background(), w.sink, string(w.config.Pipeline), w.config.Prefix, models)
	if err != nil {
		w.t.Fatal(err)
	}
	if !v.OK() {
		w.t.Fatalf("fsck:\n%s", v)
	}
	return v
}

// scoredRow is one row as read back from the files.
type scoredRow struct {
	offset  int64
	version int64
	cells   map[string]string
}

// read returns the scored rows of a partition by offset, and the dead letters.
func (w *world) read(partition int) (map[int64]scoredRow, map[int64]engine.DeadLetter) {
	w.t.Helper()
	found := make(map[int64]scoredRow)
	layout := commitlog.Layout{Prefix: w.config.Prefix, Topic: topic, Partition: partition}
	for info, err := range w.sink.List(context.Background(), layout.DataDir(), "") {
		if err != nil {
			w.t.Fatal(err)
		}
		body, _, err := w.sink.Get(context.Background(), info.Key)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, row := range decodeRows(w.t, body) {
			if _, twice := found[row.offset]; twice {
				w.t.Errorf("offset %d is in two rows", row.offset)
			}
			found[row.offset] = row
		}
	}
	return found, w.readLetters(partition)
}

func (w *world) readLetters(partition int) map[int64]engine.DeadLetter {
	w.t.Helper()
	letters := make(map[int64]engine.DeadLetter)
	layout := commitlog.Layout{Prefix: w.config.Prefix, Topic: topic, Partition: partition}
	for info, err := range w.sink.List(context.Background(), layout.DeadDir(), "") {
		if err != nil {
			w.t.Fatal(err)
		}
		body, _, err := w.sink.Get(context.Background(), info.Key)
		if err != nil {
			w.t.Fatal(err)
		}
		for line := range bytes.Lines(body) {
			var d engine.DeadLetter
			if err := json.Unmarshal(line, &d); err != nil {
				w.t.Fatal(err)
			}
			letters[d.Offset] = d
		}
	}
	return letters
}

// readLive is read for readers by log: the scored rows are those of the live
// objects. Who takes longer than the retention reads the log again.
func (w *world) readLive(partition int) (map[int64]scoredRow, map[int64]engine.DeadLetter) {
	w.t.Helper()
	for range 100 {
		found, err := w.tryLive(partition)
		if err == nil {
			return found, w.readLetters(partition)
		}
		if !thalweg.Is(err, thalweg.NotFound) {
			w.t.Fatal(err)
		}
	}
	w.t.Fatal("live objects are gone each time")
	return nil, nil
}

func (w *world) tryLive(partition int) (map[int64]scoredRow, error) {
	w.t.Helper()
	log, err := commitlog.New(w.sink, commitlog.Config{Prefix: w.config.Prefix, Pipeline: w.config.Pipeline, Topic: topic, Partition: partition})
	if err != nil {
		return nil, err
	}
	found := make(map[int64]scoredRow)
	for e, err := range commitlog.Live(log.ReadBack(context.Background())) {
		if err != nil {
			return nil, err
		}
		for _, o := range e.Done.Objects {
			if o.Kind != commitlog.Scored {
				continue
			}
			body, _, err := w.sink.Get(context.Background(), o.Key)
			if err != nil {
				return nil, err
			}
			for _, row := range decodeRows(w.t, body) {
				if _, twice := found[row.offset]; twice {
					w.t.Errorf("offset %d is in two live rows", row.offset)
				}
				found[row.offset] = row
			}
		}
	}
	return found, nil
}

func decodeRows(t testing.TB, file []byte) []scoredRow {
	t.Helper()
	r, err := dataset.OpenBytes("rows", file, nil, dataset.ReaderConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var out []scoredRow
	for {
		rec, err := r.Next()
		if err != nil {
			return out
		}
		for i := range int(rec.NumRows()) {
			row := scoredRow{cells: make(map[string]string)}
			for j, c := range rec.Columns() {
				row.cells[rec.ColumnName(j)] = c.ValueStr(i)
			}
			fmt.Sscan(row.cells["_offset"], &row.offset)
			fmt.Sscan(row.cells["_model_version"], &row.version)
			out = append(out, row)
		}
		rec.Release()
	}
}

// objects returns every object of the sink by key.
func (w *world) objects() map[string]string {
	w.t.Helper()
	all := make(map[string]string)
	for info, err := range w.sink.List(context.Background(), "", "") {
		if err != nil {
			w.t.Fatal(err)
		}
		body, _, err := w.sink.Get(context.Background(), info.Key)
		if err != nil {
			w.t.Fatal(err)
		}
		all[info.Key] = string(body)
	}
	return all
}

// keys returns the sink's keys that contain part, in order.
func (w *world) keys(part string) []string {
	all := w.objects()
	return slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(k string) bool { return !strings.Contains(k, part) })
}

// reset forgets what was observed.
func (l *latency) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.mu.counts[:])
	l.mu.n = 0
}
