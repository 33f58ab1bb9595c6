package serving

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/broadcast"
	"github.com/thalweg/thalweg/coordinator/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cluster is a Cluster of one pipeline, p, whose workers come and go.
type cluster struct {
	changes broadcast.Notifier
	mu      sync.Mutex
	service Service
}

func (c *cluster) Service(pipeline string) (Service, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.service, pipeline == "p"
}

func (c *cluster) Services(context.Context) []Service {
	s, _ := c.Service("p")
	return []Service{s}
}

func (c *cluster) Changed() <-chan struct{} { return c.changes.Changed() }

func (c *cluster) Permit(r *http.Request, pipeline string) (string, error) {
	if r.Header.Get("Authorization") == "none" {
		return "", &thalweg.Error{Op: "authorize", Kind: thalweg.Forbidden, Subject: pipeline}
	}
	return r.Header.Get("Authorization"), nil
}

func (c *cluster) Transport(string) http.RoundTripper {
	return http.DefaultTransport.(*http.Transport).Clone()
}
func (c *cluster) Scheme() string { return "http" }

func (c *cluster) set(change func(*Service)) {
	c.mu.Lock()
	change(&c.service)
	c.mu.Unlock()
	c.changes.Notify()
}

// worker answers on a port of its own with what it is asked, until it is killed.
type worker struct {
	*http.Server
	address string
	status  func() int
}

func start(t testing.TB, address string, status func() int) *worker {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	w := &worker{address: l.Addr().String(), status: status}
	w.Server = &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(to http.ResponseWriter, r *http.Request) {
		if s := w.status(); s != http.StatusOK {
			to.WriteHeader(s)
			return
		}
		body, _ := io.ReadAll(r.Body)
		to.Header().Set("Content-Type", "text/plain")
		_, _ = to.Write(append([]byte("answer "), body...))
	})}
	go func() { _ = w.Serve(l) }()
	t.Cleanup(func() { _ = w.Close() })
	return w
}

func newProxy(t testing.TB) (*Proxy, *cluster) {
	c := &cluster{service: Service{Pipeline: "p"}}
	p := New(c, "test", NewMetrics(prometheus.NewRegistry()), nil)
	t.Cleanup(p.Close)
	return p, c
}

func ask(p *Proxy, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	return w
}

// TestNoRequestIsLostWhileWorkersDrainAndDie: each is answered, with its own answer, although
// at any time a worker stops, is killed in the middle of answers or comes back.
func TestNoRequestIsLostWhileWorkersDrainAndDie(t *testing.T) {
	t.Parallel()
	p, c := newProxy(t)
	fine := func() int { return http.StatusOK }
	first := start(t, "127.0.0.1:0", fine)
	c.set(func(s *Service) { s.Workers = []Worker{{"a", first.address}} })
	var asking sync.WaitGroup
	const clients, requests = 4, 150
	for k := range clients {
		asking.Go(func() {
			for i := range requests {
				body := fmt.Sprint(k, " ", i)
				if w := ask(p, "POST", "/v1/score/p", body); w.Code != http.StatusOK || w.Body.String() != "answer "+body {
					t.Errorf("request %s: %d %s", body, w.Code, w.Body)
				}
			}
		})
	}
	finished := make(chan struct{})
	go func() { asking.Wait(); close(finished) }()
	for n := 0; ; n++ {
		select {
		case <-finished:
			return
		default:
		}
		// The one that answers drains, dies or is taken away; another takes over, later.
		next := start(t, "127.0.0.1:0", fine)
		switch n % 3 {
		case 0:
			_ = first.Close()
		case 1:
			c.set(func(s *Service) { s.Workers = nil })
		}
		c.set(func(s *Service) { s.Workers = []Worker{{"a", first.address}, {fmt.Sprint("b", n%7), next.address}} })
		_ = first.Close()
		first = next
	}
}

func TestARequestIsAnsweredByWhoCan(t *testing.T) {
	t.Parallel()
	p, c := newProxy(t)
	answers := func(status int) *worker { return start(t, "127.0.0.1:0", func() int { return status }) }
	draining, busy, good := answers(503), answers(429), answers(200)
	set := func(workers ...*worker) {
		c.set(func(s *Service) {
			s.Workers = nil
			for i, w := range workers {
				s.Workers = append(s.Workers, Worker{fmt.Sprint(i), w.address})
			}
		})
	}
	set(draining, busy, good)
	for range 6 {
		if w := ask(p, "POST", "/v2/models/p/infer", "x"); w.Code != 200 {
			t.Fatalf("one of three can answer: %d %s", w.Code, w.Body)
		}
	}
	set(draining, busy)
	if w := ask(p, "POST", "/v1/score/p", "x"); w.Code != 429 {
		t.Errorf("all have too much to do: %d %s", w.Code, w.Body)
	}
	set(draining)
	if w := ask(p, "POST", "/v1/score/p", "x", api.TimeoutHeader, "50"); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("nobody answers in time: %d %s", w.Code, w.Body)
	}
	c.set(func(s *Service) { s.Missing = "no champion of model m yet" })
	if w := ask(p, "POST", "/v1/score/p", "x"); w.Code != 503 || !strings.Contains(w.Body.String(), "no champion") {
		t.Errorf("there is no version: %d %s", w.Code, w.Body)
	}
}

func TestWhatIsNotAllowedIsRefusedBeforeAWorkerIsAsked(t *testing.T) {
	t.Parallel()
	p, c := newProxy(t)
	for path, want := range map[string]int{"/v1/score/q": 404, "/v1/score/": 404, "/v1/score/../x": 404, "/v2/other": 404, "/v2/models//infer": 404} {
		if w := ask(p, "POST", path, "x"); w.Code != want {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if w := ask(p, "POST", "/v1/score/p", "x", "Authorization", "none"); w.Code != 403 {
		t.Errorf("who may not ask: %d %s", w.Code, w.Body)
	}
	good := start(t, "127.0.0.1:0", func() int { return 200 })
	c.set(func(s *Service) { s.Workers, s.RequestsPerSecond = []Worker{{"a", good.address}}, 0.001 })
	codes := make(map[int]int)
	for range 5 {
		codes[ask(p, "POST", "/v1/score/p", "x", "Authorization", "one").Code]++
	}
	w := ask(p, "POST", "/v1/score/p", "x", "Authorization", "another")
	if codes[429] != 4 || codes[200] != 1 || w.Code != 200 {
		t.Errorf("of five requests %v, of another client %d", codes, w.Code)
	}
	r := httptest.NewRequest(http.MethodPost, "/v1/score/p", http.MaxBytesReader(nil, io.NopCloser(strings.NewReader("xxx")), 2))
	r.Header.Set("Authorization", "third")
	large := httptest.NewRecorder()
	p.ServeHTTP(large, r)
	if large.Code != 413 {
		t.Errorf("a body that is too large: %d %s", large.Code, large.Body)
	}
}

func TestTheProxyTellsOfItself(t *testing.T) {
	t.Parallel()
	p, c := newProxy(t)
	for path, want := range map[string]string{"GET /v2": `"name":"thalweg"`, "GET /v2/health/live": `{"live":true}`, "GET /v2/health/ready": `{"ready":true}`,
		"POST /v2/repository/index": `[{"name":"p","state":"UNAVAILABLE","reason":"no worker answers yet"}]`} {
		method, at, _ := strings.Cut(path, " ")
		if w := ask(p, method, at, ""); w.Code != 200 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	c.set(func(s *Service) { s.Missing = "no" })
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("gone"))
	if _, err := p.persist(ctx, httptest.NewRequest(http.MethodPost, "/v1/score/p", http.NoBody), Service{Pipeline: "p"}, nil, &hold{of: p.held}); !thalweg.Is(err, thalweg.Unavailable) {
		t.Error(err)
	}
}

// TestWhatTheProxyKeepsIsBounded: bodies and answers of all requests at once.
func TestWhatTheProxyKeepsIsBounded(t *testing.T) {
	t.Parallel()
	p, c := newProxy(t)
	good := start(t, "127.0.0.1:0", func() int { return 200 })
	c.set(func(s *Service) { s.Workers = []Worker{{"a", good.address}} })
	others := &hold{of: p.held}
	if err := others.take(maxHeldBytes, maxHeldBytes); err != nil {
		t.Fatal(err)
	}
	if w := ask(p, "POST", "/v1/score/p", "x", "Authorization", "one"); w.Code != 429 {
		t.Errorf("without room: %d %s", w.Code, w.Body)
	}
	others.release()
	for range 3 {
		if w := ask(p, "POST", "/v1/score/p", "x", "Authorization", "one"); w.Code != 200 {
			t.Errorf("with room: %d %s", w.Code, w.Body)
		}
	}
	if !p.held.TryAcquire(maxHeldBytes) {
		t.Error("requests that are answered keep something")
	}
	if w := ask(p, "POST", "/v1/score/p%2Fq", "x", "Authorization", "one"); w.Code != 404 {
		t.Errorf("a name with a slash: %d %s", w.Code, w.Body)
	}
}
