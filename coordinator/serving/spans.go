package serving

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"github.com/thalweg/thalweg/tracing"
)

// ownTraces is how many requests a second begin a trace though their clients ask for none: a
// collector sees how requests fare, and is not flooded. Requests that carry a trace are in it.
const ownTraces = 5

// spans makes those of requests. A nil one makes none.
type spans struct {
	to  *tracing.Tracer
	own *rate.Limiter
}

func newSpans(to *tracing.Tracer) *spans {
	if to == nil {
		return nil
	}
	return &spans{to: to, own: rate.NewLimiter(ownTraces, ownTraces)}
}

// span is that of a request, or of one try to have it answered. A nil one is of none.
type span struct {
	to             *tracing.Tracer
	remote, parent tracing.Remote
	name           string
	began          time.Time
	attribute      tracing.Attribute
}

// begin returns the span of a request that came with a header.
func (s *spans) begin(header, pipeline string) *span {
	if s == nil {
		return nil
	}
	parent, sampled := tracing.ParseRemote(header)
	of := &span{to: s.to, parent: parent, remote: parent.Child(), name: "predict", began: time.Now(), attribute: tracing.Pipeline.String(pipeline)}
	if !sampled {
		if header != "" || !s.own.Allow() {
			return nil
		}
		of.parent, of.remote = tracing.Remote{}, tracing.NewRemote()
	}
	return of
}

// child returns the span of a try.
func (s *span) child(worker string) *span {
	if s == nil {
		return nil
	}
	return &span{to: s.to, parent: s.remote, remote: s.remote.Child(), name: "ask worker", began: time.Now(), attribute: tracing.Worker.String(worker)}
}

// end records a span.
func (s *span) end(a *answer, err error) {
	if s == nil {
		return
	}
	failure := ""
	if err != nil {
		failure = err.Error()
	} else if a.status >= 500 {
		failure = fmt.Sprintf("status %d", a.status)
	}
	s.to.Record(tracing.Span{Trace: s.remote.Trace, ID: s.remote.Span, Parent: s.parent.Span, Name: s.name, From: s.began, To: time.Now(), Err: failure, Attributes: []tracing.Attribute{s.attribute}})
}

// spanKey finds a request's span in its context.
type spanKey struct{}

func (s *span) in(ctx context.Context) context.Context {
	if s == nil {
		return ctx
	}
	return context.WithValue(ctx, spanKey{}, s)
}

func spanOf(ctx context.Context) *span {
	s, _ := ctx.Value(spanKey{}).(*span)
	return s
}
