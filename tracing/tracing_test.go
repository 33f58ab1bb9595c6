package tracing

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/thalweg/thalweg"
)

// collecting is a collector that keeps what it gets.
type collecting struct {
	mu       sync.Mutex
	requests []*http.Request
	got      []*otlp.TracesData
	err      error
}

func (c *collecting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	data := new(otlp.TracesData)
	err = errors.Join(err, proto.Unmarshal(body, data))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests, c.got, c.err = append(c.requests, r), append(c.got, data), errors.Join(c.err, err)
	w.WriteHeader(http.StatusOK)
}

func started(t testing.TB, cfg Config, log io.Writer) *Tracer {
	t.Helper()
	tracer, err := New(slog.New(slog.NewTextHandler(log, nil)), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return tracer
}

// running has a tracer send until the returned function is called, which gives it so long
// to send what waits.
func running(tracer *Tracer) (end func(time.Duration)) {
	ctx, stop := context.WithCancel(context.Background())
	last, giveUp := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tracer.Run(ctx, last)
	}()
	return func(within time.Duration) {
		stop()
		time.AfterFunc(within, giveUp)
		<-ended
	}
}

func TestSpansArriveAsTheyWere(t *testing.T) {
	c := new(collecting)
	server := httptest.NewTLSServer(c)
	defer server.Close()
	token := "Bearer one"
	tracer := started(t, Config{Endpoint: server.URL + "/otlp/", Process: map[string]string{"service.name": "thalweg-worker", "service.instance.id": "w1"},
		Headers: func() map[string]string { return map[string]string{"Authorization": token} },
		TLS:     &tls.Config{RootCAs: server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}}, io.Discard)
	end := running(tracer)
	trace := RunTrace("flights-1-1", 1_700_000_000_000)
	from := time.UnixMilli(1_700_000_000_000)
	tracer.Record(Span{Trace: trace, ID: SpanOf(trace, RunSpan), Name: "run", From: from, To: from.Add(time.Second), Err: strings.Repeat("é", maxText),
		Attributes: []Attribute{Pipeline.String("flights\xff"), Rows.Int(7)}})
	tracer.Record(Span{Trace: trace, Parent: SpanOf(trace, RunSpan), Name: "train", From: from, To: from})
	end(time.Minute)
	if c.err != nil || len(c.got) != 1 || c.requests[0].URL.Path != "/otlp/v1/traces" || c.requests[0].Header.Get("Authorization") != token || c.requests[0].Header.Get("Content-Type") != "application/x-protobuf" {
		t.Fatalf("%v, %v, %v", c.requests, c.got, c.err)
	}
	resource := c.got[0].ResourceSpans[0]
	if text := resource.Resource.String(); !strings.Contains(text, "thalweg-worker") || !strings.Contains(text, `"w1"`) {
		t.Errorf("resource %s", text)
	}
	spans := resource.ScopeSpans[0].Spans
	run, train := spans[0], spans[1]
	switch {
	case len(spans) != 2 || run.Name != "run" || !bytes.Equal(run.TraceId, trace[:]) || len(run.ParentSpanId) != 0,
		run.StartTimeUnixNano != uint64(from.UnixNano()) || run.EndTimeUnixNano != uint64(from.Add(time.Second).UnixNano()),
		run.Status.Code != otlp.Status_STATUS_CODE_ERROR || len(run.Status.Message) != maxText,
		run.Attributes[0].Key != "thalweg.pipeline" || run.Attributes[0].Value.GetStringValue() != "flights" || run.Attributes[1].Value.GetIntValue() != 7:
		t.Errorf("%v", run)
	case !bytes.Equal(train.TraceId, trace[:]) || !bytes.Equal(train.ParentSpanId, run.SpanId) || len(train.SpanId) != 8 || train.Status != nil:
		t.Errorf("%v", train)
	}
	if tracer.sent.Load() != 2 || tracer.dropped.Load()+tracer.failed.Load() != 0 || len(tracer.waiting) != 0 {
		t.Errorf("%d sent", tracer.sent.Load())
	}
}

// TestACollectorThatHangsStopsNothing: what does not fit is dropped and counted, and an
// end does not wait for it.
func TestACollectorThatHangsStopsNothing(t *testing.T) {
	hang := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	defer close(hang)
	tracer := started(t, Config{Endpoint: server.URL}, io.Discard)
	end := running(tracer)
	const n = 3 * maxWaiting
	now := time.Now()
	for range n {
		tracer.Record(Span{Trace: TraceOf("x"), Name: "x", From: now, To: now})
	}
	if took := time.Since(now); took > sendTimeout/2 {
		t.Errorf("%d spans took %v", n, took)
	}
	if got := tracer.dropped.Load(); got < n-maxWaiting-maxBatch || got > n-maxWaiting {
		t.Errorf("%d dropped, want %d", got, n-maxWaiting)
	}
	now = time.Now()
	end(100 * time.Millisecond)
	if took := time.Since(now); took > sendTimeout/2 {
		t.Errorf("the end took %v", took)
	}
	if got := tracer.dropped.Load() + tracer.failed.Load(); got != n || tracer.sent.Load() != 0 {
		t.Errorf("%d of %d are counted as lost", got, n)
	}
}

func TestWhatACollectorDoesNotTakeIsCountedAndLoggedOnce(t *testing.T) {
	var code = http.StatusServiceUnavailable
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }))
	defer server.Close()
	var log bytes.Buffer
	tracer := started(t, Config{Endpoint: server.URL}, &log)
	send := func() {
		tracer.Record(Span{Trace: TraceOf("x"), Name: "x", From: time.Now(), To: time.Now()})
		tracer.export(t.Context(), []*otlp.Span{<-tracer.waiting})
	}
	for range 3 {
		send()
	}
	if tracer.failed.Load() != 3 || strings.Count(log.String(), "does not take traces") != 1 || !strings.Contains(log.String(), "it answers 503") {
		t.Errorf("%d failed:\n%s", tracer.failed.Load(), &log)
	}
	code = http.StatusOK
	send()
	if tracer.sent.Load() != 1 || !strings.Contains(log.String(), "takes traces again") {
		t.Errorf("%d sent:\n%s", tracer.sent.Load(), &log)
	}
	server.Close()
	send()
	if tracer.failed.Load() != 4 {
		t.Errorf("%d failed once nobody is there", tracer.failed.Load())
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(Collector(tracer))
	want := "# HELP thalweg_trace_spans_total Spans of traces by what became of them: sent to the collector, dropped because too many waited for it, or failed there.\n" +
		"# TYPE thalweg_trace_spans_total counter\nthalweg_trace_spans_total{outcome=\"dropped\"} 0\nthalweg_trace_spans_total{outcome=\"failed\"} 4\nthalweg_trace_spans_total{outcome=\"sent\"} 1\n"
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

// TestATracerThatIsOffCostsNothing, and has its metrics.
func TestATracerThatIsOffCostsNothing(t *testing.T) {
	off, err := New(slog.New(slog.DiscardHandler), Config{})
	if off != nil || err != nil {
		t.Fatal(off, err)
	}
	if n := testing.AllocsPerRun(100, func() { off.Record(Span{Name: "x"}) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if n := testutil.CollectAndCount(Collector(off)); n != 3 {
		t.Errorf("%d series", n)
	}
}

func TestWhatIsNoCollectorIsRefused(t *testing.T) {
	secret := func() map[string]string { return map[string]string{"Authorization": "x"} }
	for name, cfg := range map[string]Config{
		"no URL": {Endpoint: "collector:4318"}, "gRPC": {Endpoint: "grpc://collector:4317"}, "a user": {Endpoint: "https://a:b@collector"}, "a query": {Endpoint: "https://collector?a"},
		"a metadata service": {Endpoint: "http://169.254.169.254"}, "headers in the clear": {Endpoint: "http://collector:4318", Headers: secret},
	} {
		if tracer, err := New(slog.New(slog.DiscardHandler), cfg); tracer != nil || !thalweg.Is(err, thalweg.Invalid) && !thalweg.Is(err, thalweg.Forbidden) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, cfg := range []Config{{Endpoint: "http://collector:4318"}, {Endpoint: "https://collector", Headers: secret}, {Endpoint: "http://127.0.0.1:4318", Headers: secret}} {
		started(t, cfg, io.Discard)
	}
}

func FuzzParsePairs(f *testing.F) {
	for _, text := range []string{"Authorization=Bearer%20x,a=b", "a", "=b", "a=%zz", ",", " a = b "} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		headers, err := ParsePairs(text)
		if err != nil && (headers != nil || len(err.Error()) > 100) {
			t.Errorf("%v, %v", headers, err)
		}
		for name := range headers {
			if name == "" {
				t.Error("a header has no name")
			}
		}
	})
}

// BenchmarkRecord is what a span costs, with a collector and without.
func BenchmarkRecord(b *testing.B) {
	server := httptest.NewServer(new(collecting))
	defer server.Close()
	for name, t := range map[string]*Tracer{"off": nil, "on": started(b, Config{Endpoint: server.URL}, io.Discard)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			s := Span{Trace: TraceOf("x"), Name: "x", From: time.Now(), To: time.Now()}
			for b.Loop() {
				t.Record(s)
			}
		})
	}
}

// TestASpanIsCarriedToAnotherProcess, if it is sampled.
func TestASpanIsCarriedToAnotherProcess(t *testing.T) {
	t.Parallel()
	of := NewRemote()
	if back, sampled := ParseRemote(of.String()); !sampled || back != of {
		t.Errorf("%s is %v", of, back)
	}
	if child := of.Child(); child.Trace != of.Trace || child.Span == of.Span {
		t.Errorf("a child of %v: %v", of, child)
	}
	const known = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-"
	if of, sampled := ParseRemote(known + "01"); !sampled || of.String() != known+"01" {
		t.Errorf("%v, %v", of, sampled)
	}
	for _, text := range []string{"", known + "00", known + "01-x", "ff" + known[2:] + "01", strings.Replace(known, "4", "g", 1) + "01", "00-" + strings.Repeat("0", 32) + known[35:] + "01", known} {
		if of, sampled := ParseRemote(text); sampled {
			t.Errorf("%q is %v", text, of)
		}
	}
	if _, sampled := ParseRemote("cc" + known[2:] + "01-what-comes"); !sampled {
		t.Error("a later version is not read")
	}
}
