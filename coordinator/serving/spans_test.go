package serving

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/thalweg/thalweg/tracing"
)

// TestARequestIsInItsClientsTrace: the coordinator's span is a child of the client's, and what
// the worker is told a child of that. A request that is in no trace begins one, some a second.
func TestARequestIsInItsClientsTrace(t *testing.T) {
	t.Parallel()
	var got []*otlp.Span
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		data := new(otlp.TracesData)
		if err := proto.Unmarshal(body, data); err != nil {
			t.Error(err)
			return
		}
		got = append(got, data.ResourceSpans[0].ScopeSpans[0].Spans...)
	}))
	defer collector.Close()
	traces, err := tracing.New(slog.New(slog.DiscardHandler), tracing.Config{Endpoint: collector.URL})
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	worker := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { told = append(told, r.Header.Get(tracing.Header)) }))
	defer worker.Close()
	c := &cluster{service: Service{Pipeline: "p", Workers: []Worker{{"a", strings.TrimPrefix(worker.URL, "http://")}}}}
	p := New(c, "test", NewMetrics(prometheus.NewRegistry()), traces)
	defer p.Close()
	client := tracing.NewRemote()
	ask(p, "POST", "/v1/score/p", "x", tracing.Header, client.String())
	ask(p, "POST", "/v1/score/p", "x", tracing.Header, strings.TrimSuffix(client.String(), "1")+"0")
	for range 3 * ownTraces {
		ask(p, "POST", "/v1/score/p", "x")
	}
	ended, end := context.WithCancel(t.Context())
	end()
	traces.Run(ended, t.Context())
	if len(got) < 2+2*ownTraces {
		t.Fatalf("%d spans: %v", len(got), got)
	}
	try, request := got[0], got[1] // a span is recorded when it is over
	carried, sampled := tracing.ParseRemote(told[0])
	if !sampled || carried.Trace != client.Trace || string(carried.Span[:]) != string(try.SpanId) ||
		string(request.ParentSpanId) != string(client.Span[:]) || string(try.ParentSpanId) != string(request.SpanId) || request.Name != "predict" {
		t.Errorf("the client's %v, the worker's %v: %v, %v", client, carried, request, try)
	}
	if told[1] != "" {
		t.Errorf("a trace that is not sampled goes on as %q", told[1])
	}
	if len(got[3].ParentSpanId) != 0 || string(got[3].TraceId) == string(client.Trace[:]) {
		t.Errorf("a request without a trace: %v", got[3])
	}
}
