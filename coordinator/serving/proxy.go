// Package serving passes requests for predictions on to the workers that answer them. A
// request that a worker does not answer, because it stops, is gone or has no version yet, goes
// to another one within the request's time: to score a row twice changes nothing.
package serving

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api"
	"github.com/thalweg/thalweg/coordinator/throttle"
	"github.com/thalweg/thalweg/retry"
	"github.com/thalweg/thalweg/tracing"
)

const (
	// longest is how long a request is worked on that names no time.
	longest = 30 * time.Second
	// look is the same of a request that scores nothing.
	look = 2 * time.Second
	// tryTimeout is how long one worker gets before another is asked: it may be cut off. In
	// each round it gets twice the time of the one before: it may have much to do.
	tryTimeout = 5 * time.Second
	// avoidFor is how long a worker that did not answer is asked after the others.
	avoidFor = 2 * time.Second
	// maxAnswerBytes bounds an answer, which is kept until it is whole.
	maxAnswerBytes = 64 << 20
	// maxWorkers bounds the workers to which connections are kept.
	maxWorkers = 1024
)

// pauses are those between rounds in which no worker has answered; a change of the state ends
// them.
var pauses = retry.Backoff{Min: 5 * time.Millisecond, Max: 250 * time.Millisecond}

// Service is what the state says of the service of a pipeline.
type Service struct {
	Pipeline string
	Workers  []Worker // that hold an endpoint
	// Missing says why there can be no answer, "" if there can.
	Missing string
	// RequestsPerSecond bounds what a client may ask; 0: nothing does.
	RequestsPerSecond float64
}

// Worker is one that answers.
type Worker struct{ ID, Address string }

// Cluster is what the proxy needs of a coordinator. Its methods may be called concurrently.
type Cluster interface {
	// Service returns the service of a pipeline; false if there is no such pipeline.
	Service(pipeline string) (Service, bool)
	// Services returns those that who asks may see.
	Services(ctx context.Context) []Service
	// Changed returns what is closed when the state has changed.
	Changed() <-chan struct{}
	// Permit reports why who asks may not ask about a pipeline, and who that is.
	Permit(r *http.Request, pipeline string) (client string, err error)
	// Transport reaches a worker, and proves that it is that one.
	Transport(worker string) http.RoundTripper
	// Scheme is that of URLs of workers.
	Scheme() string
}

// Proxy is the handler.
type Proxy struct {
	cluster Cluster
	build   string
	metrics *Metrics
	spans   *spans              // nil: there are none
	asked   throttle.Buckets    // by pipeline and client
	held    *semaphore.Weighted // bytes of bodies and answers
	next    atomic.Uint64       // whom to ask first
	mu      struct {
		sync.Mutex
		transports map[string]http.RoundTripper
		failed     map[Worker]time.Time // when it did not answer last
	}
}

// New returns a proxy of a coordinator of the given build. traces may be nil.
func New(cluster Cluster, build string, metrics *Metrics, traces *tracing.Tracer) *Proxy {
	p := &Proxy{cluster: cluster, build: build, metrics: metrics, spans: newSpans(traces), held: semaphore.NewWeighted(maxHeldBytes)}
	p.mu.transports, p.mu.failed = make(map[string]http.RoundTripper), make(map[Worker]time.Time)
	return p
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch {
	case r.URL.RawPath != "" || slices.Contains(parts[1:], "") || slices.Contains(parts, "..") || slices.Contains(parts, "."):
		http.NotFound(w, r)
	case len(parts) >= 3 && (parts[0] == "v1" && parts[1] == "score" || parts[0] == "v2" && parts[1] == "models"):
		held := &hold{of: p.held}
		defer held.release()
		a, err := p.pass(w.Header(), r, parts[2], nil, held)
		if err != nil {
			refuse(w, err)
			return
		}
		a.write(w)
	default:
		p.own(w, r, strings.Join(parts, "/"))
	}
}

// own answers what is asked of the server itself.
func (p *Proxy) own(w http.ResponseWriter, r *http.Request, path string) {
	switch method := r.Method + " " + path; method {
	case "GET v2":
		writeJSON(w, map[string]any{"name": serverName, "version": p.build, "extensions": extensions()})
	case "GET v2/health/live":
		writeJSON(w, map[string]bool{"live": true})
	case "GET v2/health/ready":
		writeJSON(w, map[string]bool{"ready": true})
	case "POST v2/repository/index":
		writeJSON(w, p.models(r.Context()))
	default:
		http.NotFound(w, r)
	}
}

// What a server of the Open Inference Protocol tells of itself.
const (
	serverName       = "thalweg"
	stateReady       = "READY"
	stateUnavailable = "UNAVAILABLE"
)

func extensions() []string { return []string{"binary_tensor_data", "model_repository", "statistics"} }

// model is what the index tells of one.
type model struct {
	Name   string `json:"name"`
	State  string `json:"state"`
	Reason string `json:"reason"`
}

// models lists those that who asks may see.
func (p *Proxy) models(ctx context.Context) []model {
	all := []model{}
	for _, s := range p.cluster.Services(ctx) {
		m := model{s.Pipeline, stateReady, s.Missing}
		if s.Missing != "" || len(s.Workers) == 0 {
			m.State, m.Reason = stateUnavailable, cmp.Or(s.Missing, "no worker answers yet")
		}
		all = append(all, m)
	}
	return all
}

// answer is a worker's answer, whole.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a *answer) write(w http.ResponseWriter) {
	for _, name := range []string{"Content-Type", "Retry-After", "Inference-Header-Content-Length", "Allow"} {
		if v := a.header.Values(name); len(v) > 0 {
			w.Header()[name] = v
		}
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}

// pass has a worker answer a request about a pipeline, whose body has not been read if it is nil.
// Of one that is refused header says when to try again.
func (p *Proxy) pass(header http.Header, r *http.Request, pipeline string, body []byte, held *hold) (a *answer, err error) {
	client, err := p.cluster.Permit(r, pipeline)
	if err != nil {
		return nil, err
	}
	service, known := p.cluster.Service(pipeline)
	if !known {
		return nil, &thalweg.Error{Op: "score", Kind: thalweg.NotFound, Subject: fmt.Sprintf("pipeline %.64q", pipeline), Hint: "`thalweg status` lists those that are served"}
	}
	if wait := p.wait(client, service); wait > 0 {
		p.metrics.throttled.Inc()
		header.Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		return nil, &thalweg.Error{Op: "score", Kind: thalweg.Throttled, Subject: client, Err: errors.New("it asks too often"), Hint: "serving.rate_limit"}
	}
	if body != nil {
		err = held.take(int64(len(body)), api.MaxPredictionBytes)
	} else {
		body, err = read(r, held)
	}
	if err != nil {
		return nil, err
	}
	patience := longest
	if r.Method == http.MethodGet { // it asks how things are now
		patience = look
	}
	if ms, err := strconv.ParseUint(r.Header.Get(api.TimeoutHeader), 10, 32); err == nil && ms > 0 {
		patience = min(patience, time.Duration(ms)*time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	of := p.spans.begin(r.Header.Get(tracing.Header), pipeline)
	defer func() { of.end(a, err) }()
	return p.persist(of.in(ctx), r, service, body, held)
}

// read returns the body of a request.
func read(r *http.Request, held *hold) ([]byte, error) {
	if err := held.take(r.ContentLength, api.MaxPredictionBytes); err != nil {
		return nil, err
	}
	body, err := io.ReadAll(r.Body)
	if large := new(http.MaxBytesError); errors.As(err, &large) {
		return nil, &thalweg.Error{Op: "score", Kind: thalweg.Exhausted, Subject: "body", Err: fmt.Errorf("it has more than %d bytes", large.Limit), Hint: "ask in several requests"}
	}
	if err != nil {
		return nil, &thalweg.Error{Op: "score", Kind: thalweg.Canceled, Err: err}
	}
	return body, nil
}

// wait counts a request, and returns how long its client has to wait if it asks too often.
func (p *Proxy) wait(client string, of Service) time.Duration {
	if of.RequestsPerSecond <= 0 {
		return 0
	}
	return p.asked.Take(of.Pipeline+"/"+client, of.RequestsPerSecond, 1, time.Now())
}

// persist asks one worker after the other, in rounds, until one answers or the time is over.
func (p *Proxy) persist(ctx context.Context, r *http.Request, service Service, body []byte, held *hold) (*answer, error) {
	var last error
	for rounds := 1; ; rounds++ {
		changed := p.cluster.Changed()
		var known bool
		if service, known = p.cluster.Service(service.Pipeline); !known || service.Missing != "" {
			return nil, &thalweg.Error{Op: "score", Kind: thalweg.Unavailable, Subject: "pipeline " + service.Pipeline, Err: errors.New(cmp.Or(service.Missing, "it is deleted"))}
		}
		var busy *answer
		for i, worker := range p.order(service.Workers) {
			if i > 0 || rounds > 1 {
				p.metrics.retries.Inc()
			}
			a, err := p.try(ctx, worker, r, body, held, tryTimeout<<min(rounds-1, 3))
			switch {
			case err == nil && a.status == http.StatusTooManyRequests:
				busy = a // another one may have room
				continue
			case err == nil:
				return a, nil
			case thalweg.Is(err, thalweg.Throttled): // there is no room here
				return nil, err
			}
			if last = err; ctx.Err() != nil {
				break
			}
		}
		if busy != nil {
			return busy, nil
		}
		timer := time.NewTimer(pauses.Delay(rounds, nil))
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			kind := thalweg.Unavailable
			if context.Cause(ctx) == context.Canceled {
				kind = thalweg.Canceled
			}
			return nil, &thalweg.Error{Op: "score", Kind: kind, Subject: "pipeline " + service.Pipeline, Err: cmp.Or(last, errors.New("no worker answers for it"))}
		}
		timer.Stop()
	}
}

// order returns whom to ask, one after the other: in turn, who did not answer last.
func (p *Proxy) order(workers []Worker) []Worker {
	if len(workers) == 0 {
		return nil
	}
	first := int(p.next.Add(1) % uint64(len(workers)))
	turn := slices.Concat(workers[first:], workers[:first])
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.mu.failed) > 0 {
		avoided := func(w Worker) int {
			if at, failed := p.mu.failed[w]; failed && time.Since(at) < avoidFor {
				return 1
			}
			return 0
		}
		slices.SortStableFunc(turn, func(a, b Worker) int { return cmp.Compare(avoided(a), avoided(b)) })
	}
	return turn
}

// try asks one worker, for a while. An error is one after which another is to be asked, but
// for Throttled.
func (p *Proxy) try(whole context.Context, worker Worker, r *http.Request, body []byte, held *hold, patience time.Duration) (a *answer, err error) {
	defer func() {
		if err != nil && (whole.Err() != nil || thalweg.Is(err, thalweg.Throttled)) {
			return // that says nothing of the worker
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		switch {
		case err == nil:
			delete(p.mu.failed, worker)
		case len(p.mu.failed) >= maxWorkers:
			clear(p.mu.failed)
			fallthrough
		default:
			p.mu.failed[worker] = time.Now()
		}
	}()
	ctx, cancel := context.WithTimeout(whole, patience)
	defer cancel()
	of := spanOf(whole).child(worker.ID)
	defer func() { of.end(a, err) }()
	url := *r.URL
	url.Scheme, url.Host = p.cluster.Scheme(), worker.Address
	out, err := http.NewRequestWithContext(ctx, r.Method, url.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	// Of a request that a worker answers only this counts; it learns nothing of who asks.
	for _, name := range []string{"Content-Type", "Content-Encoding", "Inference-Header-Content-Length"} {
		if v := r.Header.Values(name); len(v) > 0 {
			out.Header[name] = v
		}
	}
	if until, ok := ctx.Deadline(); ok {
		out.Header.Set(api.TimeoutHeader, strconv.FormatInt(max(1, time.Until(until).Milliseconds()), 10))
	}
	if of != nil {
		out.Header.Set(tracing.Header, of.remote.String())
	}
	res, err := p.transport(worker.ID).RoundTrip(out)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if err := held.take(res.ContentLength, maxAnswerBytes); err != nil {
		return nil, err
	}
	a = &answer{status: res.StatusCode, header: res.Header}
	if a.body, err = io.ReadAll(io.LimitReader(res.Body, maxAnswerBytes+1)); err != nil {
		return nil, err
	}
	if len(a.body) > maxAnswerBytes {
		return &answer{status: http.StatusRequestEntityTooLarge, body: []byte(`{"error":"the answer is too large: ask in several requests"}`)}, nil
	}
	switch a.status {
	case http.StatusServiceUnavailable, http.StatusBadGateway, http.StatusGatewayTimeout:
		return nil, fmt.Errorf("worker %s: %.400s", worker.ID, bytes.TrimSpace(a.body))
	}
	return a, nil
}

// transport returns the connections to a worker.
func (p *Proxy) transport(worker string) http.RoundTripper {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.mu.transports[worker]
	if t == nil {
		if len(p.mu.transports) >= maxWorkers {
			p.closeLocked()
		}
		t = p.cluster.Transport(worker)
		p.mu.transports[worker] = t
	}
	return t
}

// Close closes the connections that are kept.
func (p *Proxy) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closeLocked()
}

func (p *Proxy) closeLocked() {
	for _, t := range p.mu.transports {
		if c, ok := t.(interface{ CloseIdleConnections() }); ok {
			c.CloseIdleConnections()
		}
	}
	clear(p.mu.transports)
}

// refuse answers with an error in the form of workers.
func refuse(w http.ResponseWriter, err error) {
	status := api.HTTPStatus(err)
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	body, _ := json.Marshal(map[string]string{"error": err.Error()}) // a text can always be written
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

func writeJSON(w http.ResponseWriter, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
}
