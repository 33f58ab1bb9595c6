package serve

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/artifact/artifacttest"
	"github.com/thalweg/thalweg/storage/dataset"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// explained is artifacttest.Flights with reasons.
var explained = strings.Replace(artifacttest.Flights, "    source: events\n", "    source: events\n    explanations: {top: 2}\n", 1)

var flights = engine.Model{Name: "flight-delays", Version: 3}

// serving returns a server whose pipeline flights answers with an artifact.
func serving(t testing.TB, a *artifact.Artifact, limits Limits) *Server {
	t.Helper()
	models := &engine.Fixed{Candidate: engine.Candidate{Model: flights}, Artifact: a}
	e := NewEndpoint(EndpointConfig{Pipeline: "flights", Generation: 1, Alias: "champion", Limits: limits, Engine: engine.Config{MaxEventBytes: engine.DefaultMaxEventBytes}},
		models, NewMetrics(nil), slog.New(slog.DiscardHandler))
	if !e.follow(t.Context(), []engine.Candidate{models.Candidate}) {
		_, why := e.Status()
		t.Fatal(why)
	}
	e.Offer([]Offered{{flights, []string{"champion", "blue"}}})
	s := NewServer(e.metrics, nil)
	s.Add(e)
	return s
}

// ask makes a request of a server, and returns the status and the body.
func ask(t testing.TB, s *Server, method, path, body string, headers ...string) (int, string, http.Header) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r := httptest.NewRequestWithContext(ctx, method, path, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	res := w.Result()
	answer, err := io.ReadAll(res.Body)
	check(t, err)
	return res.StatusCode, string(answer), res.Header
}

// streamed returns what the stream makes of events: for each the answer that a service gives,
// as JSON.
func streamed(t testing.TB, a *artifact.Artifact, events []string) []string {
	t.Helper()
	e, err := engine.New(flights, a, engine.Config{Compression: dataset.Zstd, MaxEventBytes: engine.DefaultMaxEventBytes})
	check(t, err)
	var records connectors.Records
	for i, event := range events {
		records.Append(int64(i), 1, nil, []byte(event))
	}
	rows := &engine.Rows{Topic: "flights", Generation: 1, Model: flights, Engine: e}
	defer rows.Release()
	check(t, e.Score(t.Context(), engine.BatchOf(&records, 0, int64(len(events))), rows))
	out := make([]string, len(events))
	letters, err := engine.ParseLetters(rows.DeadLetters())
	check(t, err)
	for _, l := range letters {
		answer := &Answer{rejects: []engine.Reject{{Offset: l.Offset, Stage: l.Stage, Reason: l.Reason}}, at: []place{{-1, 0}}}
		out[l.Offset] = string(answer.appendJSON(nil, 0))
	}
	s, err := engine.NewRequestScorer(flights, a, engine.Config{})
	check(t, err)
	columns := answerColumnsOf(s)
	files, err := e.Encode(commitlog.Intent{Topic: "flights", Model: flights.Name, ModelVersion: flights.Version, SpecGeneration: 1, To: int64(len(events)), ScoredAtUS: 1}, rows)
	check(t, err)
	for _, f := range files {
		for batch, err := range engine.ReadRows("file", f.Body) {
			check(t, err)
			answers, offsets := columns.take(batch.Rows)
			for i, offset := range offsets {
				out[offset] = string((&Answer{records: asRecords(answers), at: []place{{0, int32(i)}}}).appendJSON(nil, 0))
			}
		}
	}
	return out
}
