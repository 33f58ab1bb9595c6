package serve

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/thalweg/thalweg/pipeline/artifact/artifacttest"
	"github.com/thalweg/thalweg/tracing"
)

// TestARequestThatCarriesATraceIsInIt, from its headers to its answer, and others are in none.
func TestARequestThatCarriesATraceIsInIt(t *testing.T) {
	t.Parallel()
	var got []*otlp.Span
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		data := new(otlp.TracesData)
		check(t, proto.Unmarshal(body, data))
		got = append(got, data.ResourceSpans[0].ScopeSpans[0].Spans...)
	}))
	defer collector.Close()
	s := serving(t, artifacttest.TrainFlights(t, artifacttest.Flights, 1), Limits{})
	var err error
	s.traces, err = tracing.New(slog.New(slog.DiscardHandler), tracing.Config{Endpoint: collector.URL})
	check(t, err)
	from := tracing.NewRemote()
	ask(t, s, "POST", "/v1/score/flights", aFlight)
	ask(t, s, "POST", "/v1/score/flights", aFlight, tracing.Header, from.String())
	ask(t, s, "POST", "/v1/score/flights", "[", tracing.Header, from.String())
	ended, end := context.WithCancel(t.Context())
	end()
	s.traces.Run(ended, t.Context())
	if len(got) != 3 {
		t.Fatalf("%d spans: %v", len(got), got)
	}
	answer, score, failed := got[0], got[1], got[2]
	if answer.Name != "answer" || string(answer.TraceId) != string(from.Trace[:]) || string(answer.ParentSpanId) != string(from.Span[:]) || answer.Status != nil {
		t.Errorf("%v", answer)
	}
	if score.Name != "score" || string(score.ParentSpanId) != string(answer.SpanId) || score.EndTimeUnixNano > answer.EndTimeUnixNano {
		t.Errorf("%v", score)
	}
	if failed.Status.GetCode() != otlp.Status_STATUS_CODE_ERROR {
		t.Errorf("a request that is none: %v", failed)
	}
}
