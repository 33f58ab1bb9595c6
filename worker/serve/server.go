package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api"
	"github.com/thalweg/thalweg/tracing"
)

const (
	// maxWait is how long a request is worked on if it names no time itself: nobody waits
	// longer for an answer.
	maxWait = 30 * time.Second
	// atOnce is the time of a request below which it is answered the moment that it is over. A
	// longer one is looked at when its rows are about to be scored, which takes no timer: rows
	// wait for some batches at most.
	atOnce = time.Second
)

// Paths are where a server answers: all below them is its own.
var Paths = []string{"/v1/score/", "/v2/models/"}

// Server answers requests for the pipelines whose endpoints it has.
type Server struct {
	metrics  *Metrics
	traces   *tracing.Tracer // nil: off
	draining atomic.Bool
	unpacked *semaphore.Weighted // of maxUnpackedBytes
	mu       struct {
		sync.RWMutex
		endpoints map[string]*Endpoint
	}
}

// NewServer returns a server without endpoints. Requests that carry a trace have spans in
// traces, which may be nil.
func NewServer(metrics *Metrics, traces *tracing.Tracer) *Server {
	s := &Server{metrics: metrics, traces: traces, unpacked: semaphore.NewWeighted(maxUnpackedBytes)}
	s.mu.endpoints = make(map[string]*Endpoint)
	return s
}

// Add has an endpoint answer for its pipeline, instead of the one before.
func (s *Server) Add(e *Endpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.endpoints[e.cfg.Pipeline] = e
}

// Remove ends what Add began, unless another has taken over. Requests that have begun are
// answered.
func (s *Server) Remove(e *Endpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.endpoints[e.cfg.Pipeline] == e {
		delete(s.mu.endpoints, e.cfg.Pipeline)
		s.metrics.forget(e.cfg.Pipeline)
	}
}

// Drain has new requests be answered with 503, so that they go to another worker.
func (s *Server) Drain() { s.draining.Store(true) }

// endpoint returns the endpoint of a pipeline. Where there is none, another worker may have
// one.
func (s *Server) endpoint(pipeline string) (*Endpoint, error) {
	if s.draining.Load() {
		return nil, &thalweg.Error{Op: "score", Kind: thalweg.Unavailable, Subject: "pipeline " + pipeline, Err: errors.New("this worker stops"), Hint: "ask another one, or a coordinator"}
	}
	s.mu.RLock()
	e := s.mu.endpoints[pipeline]
	s.mu.RUnlock()
	if e == nil {
		return nil, &thalweg.Error{Op: "score", Kind: thalweg.Unavailable, Subject: fmt.Sprintf("pipeline %.64q", pipeline), Err: errors.New("this worker does not serve it"), Hint: "ask a coordinator: it knows which one does"}
	}
	return e, nil
}

// Handler returns what answers. Who may ask is the caller's to say.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, path := range []string{"POST /v1/score/{pipeline}", "POST /v1/score/{pipeline}/versions/{version}"} {
		mux.Handle(path, s.answering("score", s.scoreRows))
	}
	s.inferenceRoutes(mux)
	return mux
}

// exchange is one request that a pipeline's endpoint answers.
type exchange struct {
	http.ResponseWriter
	r        *http.Request
	ctx      context.Context // ends when the client is gone or, if that is soon, its time is over
	until    time.Time       // when its time is over
	endpoint *Endpoint
	version  *Version
	protocol string // of metrics
	status   int
	rows     int // asked about
	unpacked *semaphore.Weighted
	reserved int64 // of unpacked
	// asked and scored are when the first rows were, and the last.
	asked, scored time.Time
}

// WriteHeader implements http.ResponseWriter.
func (x *exchange) WriteHeader(status int) {
	x.status = status
	x.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// answering serves requests that are scored by the version that the path names.
func (s *Server) answering(protocol string, serve func(x *exchange) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began, pipeline := time.Now(), r.PathValue("pipeline")
		x := &exchange{ResponseWriter: w, r: r, protocol: protocol, status: http.StatusOK, unpacked: s.unpacked}
		defer func() { x.unpacked.Release(x.reserved) }()
		wait, err := waitOf(r)
		if x.ctx, x.until = r.Context(), began.Add(wait); err == nil {
			if wait < atOnce || r.PathValue("version") != "" { // which may have to be loaded
				ctx, cancel := context.WithDeadline(x.ctx, x.until)
				defer cancel()
				x.ctx = ctx
			}
			x.endpoint, err = s.endpoint(pipeline)
		}
		if err == nil {
			x.version, err = x.endpoint.Version(x.ctx, r.PathValue("version"))
		}
		if err == nil {
			err = serve(x)
		}
		if err != nil {
			refuse(x, err)
		}
		if x.endpoint != nil { // else the name may be anything
			s.metrics.request(pipeline, x.protocol, strconv.Itoa(x.status), time.Since(began))
			x.endpoint.stats.request(time.Since(began), x.status < 400)
			if s.traces != nil {
				s.trace(x, began, err)
			}
		}
	})
}

// trace records what a request took, if it carries a trace: from its headers to its answer and,
// of that, from its last byte to the answers to its rows.
func (s *Server) trace(x *exchange, began time.Time, err error) {
	parent, sampled := tracing.ParseRemote(x.r.Header.Get(tracing.Header))
	if !sampled {
		return
	}
	failure := ""
	if err != nil {
		failure = err.Error()
	}
	attributes := []tracing.Attribute{tracing.Pipeline.String(x.endpoint.cfg.Pipeline), tracing.Rows.Int(int64(x.rows))}
	if x.version != nil {
		attributes = append(attributes, tracing.Version.Int(int64(x.version.Model.Version)))
	}
	of := parent.Child()
	s.traces.Record(tracing.Span{Trace: of.Trace, ID: of.Span, Parent: parent.Span, Name: "answer", From: began, To: time.Now(), Err: failure, Attributes: attributes})
	if !x.asked.IsZero() {
		s.traces.Record(tracing.Span{Trace: of.Trace, Parent: of.Span, Name: "score", From: x.asked, To: x.scored})
	}
}

// score has the version that answers score rows.
func (x *exchange) score(of rows) (*Answer, error) {
	if x.rows == 0 {
		x.asked = time.Now()
	}
	x.rows += of.len()
	a, err := x.version.score(x.ctx, x.until, of)
	x.scored = time.Now()
	return a, err
}

// waitOf returns how long a client waits for its answer.
func waitOf(r *http.Request) (time.Duration, error) {
	text := r.Header.Get(api.TimeoutHeader)
	if text == "" {
		return maxWait, nil
	}
	ms, err := strconv.ParseUint(text, 10, 32)
	if err != nil || ms == 0 {
		return 0, invalid(api.TimeoutHeader, fmt.Sprintf("%.20q is no number of milliseconds", text))
	}
	return min(maxWait, time.Duration(ms)*time.Millisecond), nil
}

func invalid(subject, why string) error {
	return &thalweg.Error{Op: "read request", Kind: thalweg.Invalid, Subject: subject, Err: errors.New(why)}
}

// refuse answers with an error; writing can only fail when the caller is gone.
func refuse(w http.ResponseWriter, err error) {
	status := api.HTTPStatus(err)
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	body, failed := json.Marshal(map[string]string{"error": err.Error()})
	if failed != nil {
		body = []byte(`{"error":"unspeakable"}`)
	}
	write(w, "application/json", status, body)
}

// write answers with a whole body.
func write(w http.ResponseWriter, contentType string, status int, body []byte) {
	h := w.Header()
	h["Content-Type"] = []string{contentType}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// arriving reads the body of a request and takes it apart. Micro-batches wait for it meanwhile.
func (x *exchange) arriving(take func(body []byte) error) error {
	x.version.batcher.arrive()
	defer x.version.batcher.arrived()
	body, err := x.read()
	if err != nil {
		return err
	}
	return take(body)
}

// read returns the whole body of a request, within its bound.
func (x *exchange) read() ([]byte, error) {
	if encoding := x.r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return nil, &thalweg.Error{Op: "read request", Kind: thalweg.Unsupported, Subject: fmt.Sprintf("Content-Encoding %.20q", encoding), Hint: "send it as it is"}
	}
	return readBody(x.r)
}

func readBody(r *http.Request) ([]byte, error) {
	if r.ContentLength > api.MaxPredictionBytes {
		return nil, tooLarge()
	}
	// A byte more tells the end without growing; what a client only says of its size is not believed.
	body := make([]byte, 0, min(max(r.ContentLength+1, 512), 64<<10))
	for {
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case len(body) > api.MaxPredictionBytes:
			return nil, tooLarge()
		case err == io.EOF:
			return body, nil
		case err != nil:
			return nil, &thalweg.Error{Op: "read request", Kind: thalweg.Canceled, Err: err}
		case len(body) == cap(body):
			body = slices.Grow(body, len(body))
		}
	}
}

func tooLarge() error {
	return &thalweg.Error{Op: "read request", Kind: thalweg.Exhausted, Subject: "body", Err: fmt.Errorf("it has more than %d bytes", api.MaxPredictionBytes), Hint: "ask in several requests"}
}
