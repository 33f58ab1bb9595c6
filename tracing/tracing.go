// Package tracing tells a collector of OpenTelemetry what a process did, and when. It is
// off unless an operator names a collector. DESIGN.md says which spans there are.
package tracing

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/thalweg/thalweg"
)

const (
	// maxWaiting bounds the spans that wait for the collector, some 4 MB: a minute of a
	// busy worker. More are dropped, and counted.
	maxWaiting = 8192
	// maxBatch is how many go with one request, some 256 KB, and sendEvery how long the
	// first of them waits for others.
	maxBatch  = 512
	sendEvery = 2 * time.Second
	// maxText bounds a text of a span: a failure's may be long.
	maxText = 1 << 10
)

type (
	// TraceID names a trace.
	TraceID [16]byte
	// SpanID names a span of a trace.
	SpanID [8]byte
)

// Key names an attribute.
type Key string

// The keys of attributes.
const (
	Pipeline   Key = "thalweg.pipeline"
	Run        Key = "thalweg.run"
	Stage      Key = "thalweg.stage"
	Task       Key = "thalweg.task"
	Worker     Key = "thalweg.worker"
	Shards     Key = "thalweg.shards" // first-last
	Tasks      Key = "thalweg.tasks"
	Rows       Key = "thalweg.rows"
	Events     Key = "thalweg.events"
	Bytes      Key = "thalweg.bytes"
	FromOffset Key = "thalweg.offset.from"
	ToOffset   Key = "thalweg.offset.to" // the one behind the last
	Version    Key = "thalweg.model.version"
	Topic      Key = "messaging.destination.name"
	Partition  Key = "messaging.destination.partition.id"
)

// Attribute is a fact of a span.
type Attribute = *common.KeyValue

// String returns an attribute with a text.
func (k Key) String(text string) Attribute {
	return &common.KeyValue{Key: string(k), Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: short(text)}}}
}

// Int returns an attribute with a number.
func (k Key) Int(n int64) Attribute {
	return &common.KeyValue{Key: string(k), Value: &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: n}}}
}

// short returns what a message of protobuf may hold of a text.
func short(text string) string { return strings.ToValidUTF8(text[:min(len(text), maxText)], "") }

// Span is a stretch of work that is over.
type Span struct {
	Trace    TraceID
	ID       SpanID // zero: one of its own
	Parent   SpanID // zero: it is the first of its trace
	Name     string
	From, To time.Time
	Err      string // why it failed; empty: it did not
	// Attributes are the Tracer's from Record on.
	Attributes []Attribute
}

// TraceOf returns the trace of what all processes know by the same parts. So they need
// not tell each other, and who goes on with another's work goes on with its trace.
func TraceOf(parts ...any) TraceID { return TraceID(derived(parts)[:16]) }

// SpanOf returns the span of a trace that all processes know by the same name.
func SpanOf(t TraceID, name string) SpanID { return SpanID(derived([]any{t[:], name})[:8]) }

func derived(parts []any) []byte {
	sum := sha256.Sum256(fmt.Appendf([]byte("thalweg trace "), "%q", parts))
	return sum[:]
}

// RunTrace returns the trace of a run that began at a time, milliseconds since 1970 UTC.
func RunTrace(id thalweg.RunID, startedMS int64) TraceID { return TraceOf("run", id, startedMS) }

// The names by which SpanOf finds what others are children of: a run, and the request
// that started it. A stage has its own.
const (
	RunSpan     = "run"
	RequestSpan = "request"
)

// Tracer sends spans. A nil one is off. It may be used concurrently.
type Tracer struct {
	sender
	waiting chan *otlp.Span

	sent, dropped, failed atomic.Int64 // spans
	failing               bool         // of Run
}

// Record has a span sent, or drops it where too many wait. It does not block.
func (t *Tracer) Record(s Span) {
	if t != nil {
		t.record(s)
	}
}

func (t *Tracer) record(s Span) {
	if s.ID == (SpanID{}) {
		_, _ = rand.Read(s.ID[:]) // it never fails
	}
	span := &otlp.Span{TraceId: s.Trace[:], SpanId: s.ID[:], Name: s.Name, Kind: otlp.Span_SPAN_KIND_INTERNAL,
		StartTimeUnixNano: uint64(s.From.UnixNano()), EndTimeUnixNano: uint64(max(s.From.UnixNano(), s.To.UnixNano())), Attributes: s.Attributes}
	if s.Parent != (SpanID{}) {
		span.ParentSpanId = s.Parent[:]
	}
	if s.Err != "" {
		span.Status = &otlp.Status{Code: otlp.Status_STATUS_CODE_ERROR, Message: short(s.Err)}
	}
	select {
	case t.waiting <- span:
	default:
		t.dropped.Add(1)
	}
}

// Run sends spans until ctx ends, and then those that wait, until the second one does.
func (t *Tracer) Run(ctx, last context.Context) {
	tick := time.NewTicker(sendEvery)
	defer tick.Stop()
	defer t.client.CloseIdleConnections()
	batch := make([]*otlp.Span, 0, maxBatch)
	for ctx.Err() == nil {
		select {
		case s := <-t.waiting:
			if batch = append(batch, s); len(batch) < maxBatch {
				continue
			}
		case <-tick.C:
		case <-ctx.Done():
		}
		t.export(last, batch)
		batch = batch[:0]
	}
	for last.Err() == nil {
		for len(t.waiting) > 0 && len(batch) < maxBatch {
			batch = append(batch, <-t.waiting)
		}
		if len(batch) == 0 {
			return
		}
		t.export(last, batch)
		batch = batch[:0]
	}
	t.dropped.Add(int64(len(t.waiting)))
}

// export sends spans. What the collector does not take is lost, and counted.
func (t *Tracer) export(ctx context.Context, spans []*otlp.Span) {
	if len(spans) == 0 {
		return
	}
	if err := t.send(ctx, spans); err != nil {
		t.failed.Add(int64(len(spans)))
		if !t.failing {
			t.log.Warn("the collector does not take traces; they are dropped until it does", "error", err)
		}
		t.failing = true
		return
	}
	t.sent.Add(int64(len(spans)))
	if t.failing {
		t.log.Info("the collector takes traces again")
	}
	t.failing = false
}

// Collector returns the metrics of a tracer, which may be nil.
func Collector(t *Tracer) prometheus.Collector {
	if t == nil {
		t = new(Tracer)
	}
	return collector{t, prometheus.NewDesc("thalweg_trace_spans_total",
		"Spans of traces by what became of them: sent to the collector, dropped because too many waited for it, or failed there.", []string{"outcome"}, nil)}
}

type collector struct {
	of   *Tracer
	desc *prometheus.Desc
}

// Describe is that of prometheus.Collector.
func (c collector) Describe(out chan<- *prometheus.Desc) { out <- c.desc }

// Collect is that of prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	for outcome, n := range map[string]*atomic.Int64{"sent": &c.of.sent, "dropped": &c.of.dropped, "failed": &c.of.failed} {
		out <- prometheus.MustNewConstMetric(c.desc, prometheus.CounterValue, float64(n.Load()), outcome)
	}
}
