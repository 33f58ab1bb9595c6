package verify

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	arrowmemory "github.com/apache/arrow/go/v15/arrow/memory"
	"go.uber.org/goleak"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors/devbroker"
	"github.com/thalweg/thalweg/connectors/kafka"
	"github.com/thalweg/thalweg/pipeline/artifact/artifacttest"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/checkpoint"
	"github.com/thalweg/thalweg/storage/memory"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/engine"
	"github.com/thalweg/thalweg/worker/stream/scorer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const topic = "flights"

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// stream is a topic of one partition and a version that scores it.
type stream struct {
	Sources
	lake  *memory.Bucket
	state *memory.Bucket
	topic *kafka.Source
}

func newStream(t *testing.T) *stream {
	t.Helper()
	broker, err := devbroker.New("", devbroker.Config{})
	check(t, err)
	t.Cleanup(broker.Close)
	cfg := kafka.Config{Brokers: []string{broker.Addr()}, Topic: topic, RequestTimeout: 5 * time.Second}
	producer, err := kafka.NewProducer(cfg, kafka.ProducerConfig{})
	check(t, err)
	t.Cleanup(func() { producer.Close() })
	check(t, producer.CreateTopic(t.Context(), 1))
	var messages []kafka.Message
	for i := range 300 {
		e := fmt.Sprintf(`{"date":"2001-03-%02d %02d:00:00","distance":%d,"origin":"A%d"}`, 1+i%28, i%24, 100+i%2000, i%9)
		if i%7 == 3 {
			e = fmt.Sprintf(`{"date":"yesterday %d"}`, i)
		}
		messages = append(messages, kafka.Message{Value: []byte(e), Time: time.UnixMilli(int64(1_000_000 + i))})
	}
	check(t, producer.Produce(t.Context(), messages))
	s := &stream{lake: memory.New(), state: memory.New()}
	s.topic, err = kafka.New(cfg)
	check(t, err)
	t.Cleanup(func() { s.topic.Close() })
	s.Sources = Sources{Events: s.topic, Live: storage.Place{Bucket: s.lake, Name: "lake", Prefix: "scored/"}, Models: engine.NewRegistry(s.state, catalog.All())}
	s.offer(t, 1)
	return s
}

// offer registers a version.
func (s *stream) offer(t *testing.T, version int) {
	t.Helper()
	parts, err := artifacttest.TrainFlights(t, artifacttest.Flights, version).Encode(nil)
	check(t, err)
	ref, err := checkpoint.Save(t.Context(), s.state, fmt.Sprintf("checkpoints/%d/", version), parts)
	check(t, err)
	s.Models.Offer([]engine.Candidate{{RegisteredAtUS: int64(version), Model: engine.Model{Name: "flight-delays", Version: thalweg.ModelVersion(version), Checkpoint: ref}}})
}

// score has the stream score what there is, below a prefix.
func (s *stream) score(t *testing.T, prefix string) {
	t.Helper()
	_, next, err := s.topic.Bounds(t.Context(), 0)
	check(t, err)
	run, err := scorer.New(s.topic, s.lake, s.Models, slog.New(slog.DiscardHandler), scorer.Config{Pipeline: "flight-delays", Generation: 2, Topic: topic,
		Prefix: prefix, Batching: scorer.Limits{Count: 50, Period: time.Millisecond}, Rolling: scorer.Limits{Count: 100, Period: 5 * time.Millisecond}, FetchWait: 20 * time.Millisecond})
	check(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run.Run(ctx) }()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for run.Status().Committed < next {
		select {
		case <-poll.C:
		case err := <-ended:
			t.Fatalf("the stream ended: %v", err)
		}
	}
	stop()
	check(t, <-ended)
}

func request(rows int) Request {
	return Request{Logs: []commitlog.Config{{Pipeline: "flight-delays", Prefix: "scored/", Topic: topic}}, Rows: rows}
}

func TestAStreamIsComparedWithItsEventsScoredAgain(t *testing.T) {
	s := newStream(t)
	if _, err := Run(t.Context(), s.Sources, request(10)); !thalweg.Is(err, thalweg.NotFound) {
		t.Errorf("a stream without rows: %v", err)
	}
	s.score(t, "scored/")
	all, err := Run(t.Context(), s.Sources, request(1000))
	check(t, err)
	if want := 300 - 43; all.Rows != want || all.OtherBits != 0 || all.Largest != 0 || all.Version != 1 {
		t.Errorf("%+v", all)
	}
	if all.Export == nil || all.Sample.Rows != all.Rows || len(all.Sample.Predictions) != 4*all.Rows || len(all.Sample.Answers) != all.Rows {
		t.Errorf("the sample has %d rows", all.Sample.Rows)
	}
	some, err := Run(t.Context(), s.Sources, request(20))
	check(t, err)
	if some.Rows == 0 || some.Rows > 20 || some.OtherBits != 0 {
		t.Errorf("%+v", some)
	}
}

// The version is the newest that any log ends in, whichever comes first; logs that end in
// others have none of its rows.
func TestTheNewestVersionIsCompared(t *testing.T) {
	s := newStream(t)
	s.score(t, "old/")
	s.offer(t, 2)
	s.score(t, "new/")
	for _, prefixes := range [][]string{{"old/", "new/"}, {"new/", "old/"}} {
		r := Request{Rows: 1000}
		for _, prefix := range prefixes {
			r.Logs = append(r.Logs, commitlog.Config{Pipeline: "flight-delays", Prefix: prefix, Topic: topic})
		}
		got, err := Run(t.Context(), s.Sources, r)
		check(t, err)
		if got.Version != 2 || got.Rows != 300-43 || got.OtherBits != 0 {
			t.Errorf("%v: %+v", prefixes, got)
		}
	}
}

// Columns of the user's may be called what the scores of other answers are.
func TestScoresAreReadFromTheColumnOfTheAnswer(t *testing.T) {
	schema := arrow.NewSchema([]arrow.Field{{Name: "probabilities", Type: arrow.ListOf(arrow.BinaryTypes.String)}, {Name: "score", Type: arrow.PrimitiveTypes.Float64},
		{Name: "probability", Type: arrow.PrimitiveTypes.Float64}, {Name: "_offset", Type: arrow.PrimitiveTypes.Int64}}, nil)
	rows, _, err := array.RecordFromJSON(arrowmemory.DefaultAllocator, schema, strings.NewReader(
		`[{"probabilities":["x"],"score":7,"probability":0.25,"_offset":4},{"probabilities":[],"score":8,"probability":0.5,"_offset":5},{"probabilities":[],"score":9,"probability":0.75,"_offset":6}]`))
	check(t, err)
	defer rows.Release()
	out, in := map[int64][]float64{}, &commitlog.Intent{From: 4, To: 6}
	check(t, (&comparison{column: "probability"}).scores(rows, in, out))
	if len(out) != 2 || !slices.Equal(out[4], []float64{0.25}) || !slices.Equal(out[5], []float64{0.5}) {
		t.Errorf("%v", out)
	}
	for _, column := range []string{"probabilities", "quantiles"} {
		if err := (&comparison{column: column}).scores(rows, in, out); err == nil || !strings.Contains(err.Error(), column) {
			t.Errorf("%s: %v", column, err)
		}
	}
}

func TestRowsThatDifferAreNamed(t *testing.T) {
	in := &commitlog.Intent{Topic: topic, Partition: 3}
	c := new(comparison)
	c.compare(in, 1, []float64{0.5}, []float32{0.5})
	c.compare(in, 2, []float64{0.5}, []float32{0.75})
	c.compare(in, 4, nil, []float32{0.5})
	c.compare(in, 5, []float64{0.5}, nil)
	if c.OtherBits != 3 || c.Largest != 0.25 || !strings.HasPrefix(c.First, "flights/3 offset 2: ") {
		t.Errorf("%+v", c.Report)
	}
}
