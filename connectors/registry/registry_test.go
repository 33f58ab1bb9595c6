package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/thalweg/thalweg"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server answers paths with texts; "503 …" is an answer of another status.
type server struct {
	*httptest.Server
	answers  map[string]string
	requests atomic.Int64
	last     atomic.Pointer[http.Request]
}

func serve(t *testing.T, answers map[string]string) *server {
	s := &server{answers: answers}
	s.Server = httptest.NewServer(http.HandlerFunc(s.handle))
	t.Cleanup(s.Close)
	return s
}

func (s *server) handle(w http.ResponseWriter, r *http.Request) {
	s.requests.Add(1)
	s.last.Store(r)
	text, ok := s.answers[r.URL.EscapedPath()]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"error_code":40403,"message":"Schema not found"}`)
		return
	}
	var status int
	if n, _ := fmt.Sscanf(text, "%d", &status); n == 1 {
		if status >= 300 && status < 400 {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(status)
		text = text[3:]
	}
	fmt.Fprint(w, text)
}

func schemaOf(text string, references ...reference) string {
	b, err := json.Marshal(map[string]any{"schema": text, "references": references})
	if err != nil {
		panic(err)
	}
	return string(b)
}

func client(t *testing.T, s *server, change ...func(*Config)) *Client {
	t.Helper()
	cfg := Config{URL: s.URL}
	for _, f := range change {
		f(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	c.limits.backoff = time.Millisecond
	return c
}

func TestASchemaIsAskedForOnceByAll(t *testing.T) {
	s := serve(t, map[string]string{"/schemas/ids/7": schemaOf(`"string"`)})
	c := client(t, s, func(c *Config) { c.URL += "/" })
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			if texts, err := c.Schema(t.Context(), 7); err != nil || !slices.Equal(texts, []string{`"string"`}) {
				t.Errorf("%q %v", texts, err)
			}
		})
	}
	group.Wait()
	if n := s.requests.Load(); n != 1 {
		t.Errorf("%d requests", n)
	}
}

func TestReferencesComeBeforeWhatRefersToThem(t *testing.T) {
	a, b := reference{"a/b c", 1}, reference{"b", 2}
	s := serve(t, map[string]string{
		"/schemas/ids/7":                 schemaOf("seven", b, a),
		"/subjects/b/versions/2":         schemaOf("b", a),
		"/subjects/a%2Fb%20c/versions/1": schemaOf("a"),
		"/schemas/ids/8":                 schemaOf("eight", reference{"gone", 1}),
		"/schemas/ids/9":                 schemaOf("nine", reference{"loop", 1}),
		"/subjects/loop/versions/1":      schemaOf("loop", reference{"loop", 1}),
	})
	c := client(t, s)
	texts, err := c.Schema(t.Context(), 7)
	if err != nil || !slices.Equal(texts, []string{"a", "b", "seven"}) {
		t.Errorf("%q %v", texts, err)
	}
	if _, err := c.Schema(t.Context(), 8); !thalweg.Is(err, thalweg.Corrupt) || !strings.Contains(err.Error(), `version 1 of subject "gone", which is not there`) {
		t.Errorf("a reference to nothing: %v", err)
	}
	if texts, err := c.Schema(t.Context(), 9); err != nil || !slices.Equal(texts, []string{"loop", "nine"}) {
		t.Errorf("a loop: %q %v", texts, err)
	}
}

// What the registry says of a schema is told apart from what it cannot say now:
// events die by the one and wait for the other.
func TestOnlyTheRegistrysWordOnASchemaIsAVerdict(t *testing.T) {
	many := make([]reference, maxReferences+1)
	answers := map[string]string{
		"/schemas/ids/1": `503{"error_code":50301,"message":"no leader"}`,
		"/schemas/ids/2": `500oops`,
		"/schemas/ids/3": `401`,
		"/schemas/ids/4": `404<html>nobody lives here</html>`,
		"/schemas/ids/5": `404{"error_code":404,"message":"HTTP 404 Not Found"}`,
		"/schemas/ids/6": `302`,
		"/schemas/ids/7": `<html>log in</html>`,
		"/schemas/ids/8": `{}`,
		"/schemas/ids/9": `429{}`,
		"/elsewhere":     schemaOf("a trap"),

		"/schemas/ids/20": `{"schema":"syntax = \"proto3\";","schemaType":"PROTOBUF"}`,
		"/schemas/ids/21": schemaOf(strings.Repeat("x", 2000)),
	}
	for i := range many {
		many[i] = reference{fmt.Sprint("s", i), 1}
		answers[fmt.Sprintf("/subjects/s%d/versions/1", i)] = schemaOf("x")
	}
	answers["/schemas/ids/22"] = schemaOf("x", many...)
	s := serve(t, answers)
	for id, want := range map[uint32]thalweg.Kind{
		1: thalweg.Unavailable, 2: thalweg.Unavailable, 3: thalweg.Unavailable, 4: thalweg.Unavailable, 5: thalweg.Unavailable,
		6: thalweg.Unavailable, 7: thalweg.Unavailable, 8: thalweg.Unavailable, 9: thalweg.Unavailable,
		20: thalweg.Unsupported, 21: thalweg.Corrupt, 23: thalweg.NotFound,
	} {
		c := client(t, s)
		c.limits.bodyBytes = 1000
		before := s.requests.Load()
		_, err := c.Schema(t.Context(), id)
		if thalweg.KindOf(err) != want {
			t.Errorf("id %d: got %v, want %v", id, err, want)
		}
		first := s.requests.Load() - before
		if _, again := c.Schema(t.Context(), id); thalweg.KindOf(again) != want {
			t.Errorf("id %d again: got %v, want %v", id, again, want)
		}
		second := s.requests.Load() - before - first
		if verdict := want != thalweg.Unavailable; verdict && (first != 1 || second != 0) || !verdict && (first != 3 || second != 3) {
			t.Errorf("id %d: %d requests, then %d", id, first, second)
		}
		if strings.Contains(fmt.Sprint(err), "secret") {
			t.Errorf("a secret in %v", err)
		}
	}
	c := client(t, s)
	if _, err := c.Schema(t.Context(), 22); !thalweg.Is(err, thalweg.Corrupt) || !strings.Contains(err.Error(), "refers to more than 64") {
		t.Errorf("too many references: %v", err)
	}
}

func TestAnUnknownIdIsAskedForAgainAfterAWhile(t *testing.T) {
	s := serve(t, map[string]string{})
	c := client(t, s)
	now := time.Now()
	c.now = func() time.Time { return now }
	for range 3 {
		if _, err := c.Schema(t.Context(), 7); !thalweg.Is(err, thalweg.NotFound) {
			t.Fatal(err)
		}
	}
	s.answers["/schemas/ids/7"] = schemaOf("x")
	now = now.Add(forgetAfter)
	if texts, err := c.Schema(t.Context(), 7); err != nil || len(texts) != 1 {
		t.Errorf("%q %v", texts, err)
	}
	if n := s.requests.Load(); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
}

func TestARegistryThatIsDownIsUnavailableAndBackAtOnce(t *testing.T) {
	s := serve(t, map[string]string{"/schemas/ids/7": schemaOf("x")})
	c := client(t, s)
	address := s.Listener.Addr().String()
	s.Close()
	if _, err := c.Schema(t.Context(), 7); !thalweg.Is(err, thalweg.Unavailable) || !strings.Contains(err.Error(), address) {
		t.Errorf("while it is down: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Schema(ctx, 7); !thalweg.Is(err, thalweg.Canceled) {
		t.Errorf("given up: %v", err)
	}
	back := serve(t, s.answers)
	c.cfg.URL = back.URL
	if texts, err := c.Schema(t.Context(), 7); err != nil || len(texts) != 1 {
		t.Errorf("after it is back: %q %v", texts, err)
	}
}

// A registry that accepts requests and never answers, or begins an answer that it
// does not end, is given up after a while, whatever it is asked; and at once when
// the caller gives up.
func TestEveryCallHasADeadlineAndEndsWithItsContext(t *testing.T) {
	for name, call := range map[string]func(ctx context.Context, c *Client) error{
		"Schema":   func(ctx context.Context, c *Client) error { _, err := c.Schema(ctx, 7); return err },
		"Register": func(ctx context.Context, c *Client) error { _, err := c.Register(ctx, "s", "x"); return err },
	} {
		for _, begins := range []bool{false, true} {
			met := make(chan struct{}, 2*attempts)
			h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				if begins {
					fmt.Fprint(w, `{"schema":`)
					w.(http.Flusher).Flush()
				}
				met <- struct{}{}
				<-r.Context().Done()
			}))
			for _, gives := range []thalweg.Kind{thalweg.Unavailable, thalweg.Canceled} {
				c, err := New(Config{URL: h.URL})
				if err != nil {
					t.Fatal(err)
				}
				c.limits.backoff = time.Microsecond
				if c.http.Timeout != requestTimeout {
					t.Errorf("a request may take %v", c.http.Timeout)
				}
				if gives == thalweg.Unavailable {
					c.http.Timeout = 20 * time.Millisecond
				}
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- call(ctx, c) }()
				<-met
				if gives == thalweg.Canceled {
					cancel()
				}
				select {
				case err := <-ended:
					if !thalweg.Is(err, gives) {
						t.Errorf("%s, answer begun %v: %v, want %v", name, begins, err, gives)
					}
				case <-time.After(requestTimeout / 2):
					t.Errorf("%s, answer begun %v: it does not end (%v)", name, begins, gives)
				}
				cancel()
				c.Close()
				for len(met) > 0 {
					<-met
				}
			}
			h.Close()
		}
	}
}

// as returns a login that does not change.
func as(username, password string) func() (string, string) {
	return func() (string, string) { return username, password }
}

func TestCredentialsGoToTheRegistryOnly(t *testing.T) {
	s := serve(t, map[string]string{"/schemas/ids/7": schemaOf("x")})
	c := client(t, s, func(c *Config) { c.Login = as("reader", "secret") })
	if _, err := c.Schema(t.Context(), 7); err != nil {
		t.Fatal(err)
	}
	if user, password, _ := s.last.Load().BasicAuth(); user != "reader" || password != "secret" {
		t.Errorf("authenticated as %q", user)
	}
	c.cfg.Login = as("reader", "changed")
	if _, err := c.Schema(t.Context(), 2); !thalweg.Is(err, thalweg.NotFound) {
		t.Errorf("id 2: %v", err)
	}
	if user, password, _ := s.last.Load().BasicAuth(); user != "reader" || password != "changed" {
		t.Errorf("asked as %s with %s", user, password)
	}
	_, err := c.Schema(t.Context(), 8)
	if strings.Contains(fmt.Sprint(err), "secret") {
		t.Errorf("the password is in %v", err)
	}
}

func TestTLSHoldsTheRegistryAgainstItsAuthority(t *testing.T) {
	s := &server{answers: map[string]string{"/schemas/ids/7": schemaOf("x")}}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(s.handle))
	s.Config.ErrorLog = nil
	s.StartTLS()
	t.Cleanup(s.Close)
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	c := client(t, s, func(c *Config) { c.TLS = &tls.Config{RootCAs: pool} })
	if _, err := c.Schema(t.Context(), 7); err != nil {
		t.Error(err)
	}
	if _, err := client(t, s).Schema(t.Context(), 7); !thalweg.Is(err, thalweg.Unavailable) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("another authority: %v", err)
	}
}

func TestTheSchemasThatAreKeptAreBounded(t *testing.T) {
	answers := map[string]string{}
	for id := range 20 {
		answers[fmt.Sprintf("/schemas/ids/%d", id)] = schemaOf(fmt.Sprint(id))
	}
	s := serve(t, answers)
	c := client(t, s)
	c.limits.maxSchemas = 5
	for range 2 {
		for id := range uint32(20) {
			for _, id := range []uint32{id, 0} { // 0 is in use all the time
				if texts, err := c.Schema(t.Context(), id); err != nil || texts[0] != fmt.Sprint(id) {
					t.Fatal(texts, err)
				}
			}
			if len(c.mu.answers) > 5 {
				t.Fatalf("%d kept", len(c.mu.answers))
			}
		}
	}
	if n := s.requests.Load(); n != 39 {
		t.Errorf("%d requests, want 39", n)
	}
}

func TestRegisteringSaysWhichIdOrWhyNot(t *testing.T) {
	s := serve(t, map[string]string{"/subjects/a%2Fb/versions": `{"id":7}`, "/subjects/refused/versions": `409{"error_code":409,"message":"incompatible"}`,
		"/subjects/nonsense/versions": `422{"error_code":42201,"message":"invalid"}`, "/subjects/down/versions": `503{}`, "/subjects/odd/versions": `{}`})
	c := client(t, s, func(c *Config) { c.Login = as("writer", "secret") })
	if id, err := c.Register(t.Context(), "a/b", `"string"`); err != nil || id != 7 {
		t.Errorf("id %d, %v", id, err)
	}
	if user, _, _ := s.last.Load().BasicAuth(); user != "writer" || s.last.Load().Method != http.MethodPost {
		t.Errorf("%s by %q", s.last.Load().Method, user)
	}
	for subject, want := range map[string]thalweg.Kind{"refused": thalweg.Invalid, "nonsense": thalweg.Invalid, "down": thalweg.Unavailable, "odd": thalweg.Unavailable} {
		if _, err := c.Register(t.Context(), subject, "x"); thalweg.KindOf(err) != want || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", subject, err)
		}
	}
}

func TestAddressesThatCannotBeAreRefused(t *testing.T) {
	for _, url := range []string{"", "registry:8081", "ftp://registry", "http://", "http://user:secret@registry", "http://registry/?a=b"} {
		if _, err := New(Config{URL: url}); !thalweg.Is(err, thalweg.Invalid) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", url, err)
		}
	}
}
