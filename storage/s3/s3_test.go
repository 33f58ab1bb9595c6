package s3_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/s3"
)

// The acceptance suite runs against a real server in storage/devserver. Here a
// scripted one gives the answers that a real one cannot be brought to give.

// request is what the scripted server saw.
type request struct {
	method, target string
	header         http.Header
	body           []byte
}

// script answers the n-th request (from 0) that is no question for the bucket.
type script func(n int, w http.ResponseWriter, r *http.Request)

// server runs a script and returns a bucket on it and the requests it saw.
func server(t *testing.T, config s3.Config, answer script) (storage.Bucket, func() []request) {
	t.Helper()
	var mu sync.Mutex
	var seen []request
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/lake/" && r.Method == http.MethodHead {
			return
		}
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		seen = append(seen, request{r.Method, r.URL.RequestURI(), r.Header.Clone(), body})
		n := len(seen) - 1
		mu.Unlock()
		answer(n, w, r)
	}))
	t.Cleanup(h.Close)
	config.Endpoint = strings.TrimPrefix(h.URL, "http://")
	config.AccessKey, config.SecretKey, config.PathStyle = "key", "secret", true
	if config.Backoff == 0 {
		config.Backoff = time.Microsecond
	}
	o, err := s3.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Close() })
	b, err := o.Bucket(t.Context(), "lake")
	if err != nil {
		t.Fatal(err)
	}
	return b, func() []request {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(seen)
	}
}

// fail answers as S3 does.
func fail(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	if code != "" {
		fmt.Fprintf(w, "<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>%s it is</Message></Error>", code, code)
	}
}

// hangUp ends the connection without an answer.
func hangUp(w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		conn.Close()
	}
}

const lastModified = "Mon, 02 Jan 2006 15:04:05 GMT" // minio-go insists on one

// object answers with a whole object.
func object(w http.ResponseWriter, body string) {
	w.Header().Set("ETag", `"tag"`)
	w.Header().Set("Last-Modified", lastModified)
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	io.WriteString(w, body)
}

func TestAnswersBecomeKinds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		code   string
		kind   thalweg.Kind
		tries  int // of an operation that may be repeated
	}{
		{404, "NoSuchKey", thalweg.NotFound, 1},
		{404, "NoSuchBucket", thalweg.NotFound, 1},
		{404, "", thalweg.NotFound, 1},
		{412, "PreconditionFailed", thalweg.Exists, 1},
		{412, "", thalweg.Exists, 1},
		{409, "ConditionalRequestConflict", thalweg.Unavailable, 3},
		{409, "OperationAborted", thalweg.Unavailable, 3},
		{409, "", thalweg.Unavailable, 3},
		{409, "ObjectParentIsFile", thalweg.Invalid, 1},
		{400, "XMinioParentIsObject", thalweg.Invalid, 1},
		{400, "InvalidArgument", thalweg.Invalid, 1},
		{400, "RequestTimeout", thalweg.Unavailable, 3},
		{400, "BadDigest", thalweg.Unavailable, 3},
		{403, "AccessDenied", thalweg.Other, 1},
		{403, "SignatureDoesNotMatch", thalweg.Other, 1},
		{408, "", thalweg.Unavailable, 3},
		{429, "", thalweg.Unavailable, 3},
		{500, "InternalError", thalweg.Unavailable, 3},
		{502, "", thalweg.Unavailable, 3},
		{503, "SlowDown", thalweg.Unavailable, 3},
		{504, "", thalweg.Unavailable, 3},
		{501, "NotImplemented", thalweg.Unsupported, 1},
		{507, "XMinioStorageFull", thalweg.Exhausted, 1},
		{416, "InvalidRange", thalweg.Invalid, 1},
	} {
		for name, operation := range map[string]func(context.Context, storage.Bucket) error{
			"PutIfAbsent": func(ctx context.Context, b storage.Bucket) error {
				_, err := b.PutIfAbsent(ctx, "dir/k", []byte("x"))
				return err
			},
			"Put": func(ctx context.Context, b storage.Bucket) error {
				_, err := b.Put(ctx, "dir/k", []byte("x"))
				return err
			},
			"Get": func(ctx context.Context, b storage.Bucket) error {
				_, _, err := b.Get(ctx, "dir/k")
				return err
			},
			"GetRange": func(ctx context.Context, b storage.Bucket) error {
				return b.GetRange(ctx, "dir/k", 0, make([]byte, 1))
			},
		} {
			t.Run(fmt.Sprint(name, " ", c.status, " ", c.code), func(t *testing.T) {
				t.Parallel()
				b, seen := server(t, s3.Config{Attempts: 3}, func(_ int, w http.ResponseWriter, _ *http.Request) { fail(w, c.status, c.code) })
				err := operation(t.Context(), b)
				var e *thalweg.Error
				if !thalweg.Is(err, c.kind) || !errors.As(err, &e) || e.Subject != "s3://lake/dir/k" {
					t.Errorf("%v, want %q of s3://lake/dir/k", err, c.kind)
				}
				want := c.tries
				if name == "PutIfAbsent" {
					want = 1
				}
				if got := len(seen()); got != want {
					t.Errorf("%d requests, want %d", got, want)
				}
			})
		}
	}
}

func TestWhatMayBeRepeatedIs(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]func(http.ResponseWriter){
		"a lost reply":  hangUp,
		"503":           func(w http.ResponseWriter) { fail(w, 503, "SlowDown") },
		"a broken body": func(w http.ResponseWriter) { w.Header().Set("Content-Length", "100"); io.WriteString(w, "half") },
	} {
		b, seen := server(t, s3.Config{}, func(n int, w http.ResponseWriter, r *http.Request) {
			switch {
			case n%3 != 2:
				trouble(w)
			case r.Method == http.MethodPut:
				w.Header().Set("ETag", `"tag"`)
			case r.Method == http.MethodDelete:
				w.WriteHeader(http.StatusNoContent)
			default:
				object(w, "body")
			}
		})
		got, info, err := b.Get(t.Context(), "k")
		if string(got) != "body" || err != nil || info != (storage.Info{Key: "k", SizeBytes: 4, ETag: "tag"}) {
			t.Errorf("Get after twice %s: %q, %+v, %v", name, got, info, err)
		}
		if name == "a broken body" {
			continue // a PUT's and HEAD's answers have none
		}
		if info, err := b.Head(t.Context(), "k"); err != nil || info.SizeBytes != 4 {
			t.Errorf("Head after twice %s: %+v, %v", name, info, err)
		}
		if info, err := b.Put(t.Context(), "k", []byte("new")); err != nil || info != (storage.Info{Key: "k", SizeBytes: 3, ETag: "tag"}) {
			t.Errorf("Put after twice %s: %+v, %v", name, info, err)
		}
		if err := b.Delete(t.Context(), "k"); err != nil {
			t.Errorf("Delete after twice %s: %v", name, err)
		}
		if n := len(seen()); n != 12 {
			t.Errorf("twice %s: %d requests, want 12", name, n)
		}
	}
}

func TestAConditionalCreateIsNeverRepeated(t *testing.T) {
	b, seen := server(t, s3.Config{}, func(_ int, w http.ResponseWriter, _ *http.Request) { hangUp(w) })
	_, err := b.PutIfAbsent(t.Context(), "k", []byte("x"))
	if !thalweg.Is(err, thalweg.Unavailable) {
		t.Errorf("a lost reply: %v", err)
	}
	if n := len(seen()); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

func TestAConditionalCreateIsOneRequestOfAnySize(t *testing.T) {
	b, seen := server(t, s3.Config{}, func(_ int, w http.ResponseWriter, _ *http.Request) { w.Header().Set("ETag", `"tag"`) })
	body := bytes.Repeat([]byte("0123456789abcdef"), 18<<20/16)
	if _, err := b.PutIfAbsent(t.Context(), "k", body); err != nil {
		t.Fatal(err)
	}
	all := seen()
	if len(all) != 1 || all[0].method != http.MethodPut || all[0].header.Get("If-None-Match") != "*" || all[0].header.Get("Content-MD5") == "" {
		t.Errorf("%d requests, the first with %v", len(all), all[0].header)
	}
}

func TestARangeMustBeTheOneAskedFor(t *testing.T) {
	for name, c := range map[string]struct {
		answer script
		kind   thalweg.Kind
	}{
		"the whole object instead": {func(_ int, w http.ResponseWriter, _ *http.Request) { object(w, "0123456789") }, thalweg.Unsupported},
		"another range": {func(_ int, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Last-Modified", lastModified)
			w.Header().Set("Content-Range", "bytes 0-3/10")
			w.WriteHeader(http.StatusPartialContent)
			io.WriteString(w, "0123")
		}, thalweg.Unsupported},
		"less than asked for": {func(_ int, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Last-Modified", lastModified)
			w.Header().Set("Content-Range", "bytes 4-5/6")
			w.Header().Set("Content-Length", "2")
			w.WriteHeader(http.StatusPartialContent)
			io.WriteString(w, "45")
		}, thalweg.Invalid},
	} {
		b, _ := server(t, s3.Config{}, c.answer)
		if err := b.GetRange(t.Context(), "k", 4, make([]byte, 4)); !thalweg.Is(err, c.kind) {
			t.Errorf("%s: %v, want %q", name, err, c.kind)
		}
	}
}

func TestAnObjectBeyondTheBoundIsNotRead(t *testing.T) {
	b, seen := server(t, s3.Config{MaxGetBytes: 8}, func(_ int, w http.ResponseWriter, r *http.Request) {
		object(w, strings.Repeat("x", 8+len(r.URL.Path)-len("/lake/k")))
	})
	if _, _, err := b.Get(t.Context(), "k"); err != nil {
		t.Errorf("an object within the bound: %v", err)
	}
	if _, _, err := b.Get(t.Context(), "k1"); !thalweg.Is(err, thalweg.Exhausted) || !strings.Contains(err.Error(), "9 bytes") {
		t.Errorf("an object beyond the bound: %v", err)
	}
	if n := len(seen()); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
}

func TestARequestThatMovesNoByteIsGivenUp(t *testing.T) {
	t.Parallel()
	b, seen := server(t, s3.Config{Stall: 30 * time.Millisecond, Attempts: 2}, func(_ int, w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "half") {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "half")
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done() // until the client gives up
	})
	for _, key := range []string{"silent", "half"} {
		_, _, err := b.Get(t.Context(), key)
		if !thalweg.Is(err, thalweg.Unavailable) || !strings.Contains(err.Error(), "no byte moved") {
			t.Errorf("Get of %s: %v", key, err)
		}
	}
	if _, err := b.PutIfAbsent(t.Context(), "silent", nil); !thalweg.Is(err, thalweg.Unavailable) {
		t.Errorf("PutIfAbsent: %v", err)
	}
	if n := len(seen()); n != 5 {
		t.Errorf("%d requests, want 5", n)
	}
}

func TestTheCallersContextEndsARequestAndItsRepetition(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	b, seen := server(t, s3.Config{}, func(_ int, w http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	if _, _, err := b.Get(ctx, "k"); !thalweg.Is(err, thalweg.Canceled) {
		t.Errorf("a request under way: %v", err)
	}
	if n := len(seen()); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
	waiting, stop := context.WithCancel(t.Context())
	b, _ = server(t, s3.Config{Backoff: time.Hour}, func(_ int, w http.ResponseWriter, _ *http.Request) {
		fail(w, 503, "")
		stop()
	})
	if _, _, err := b.Get(waiting, "k"); !thalweg.Is(err, thalweg.Canceled) {
		t.Errorf("while it waits: %v", err)
	}
}

// page answers a listing of keys k000 to k<total> from where it is to begin.
func page(w http.ResponseWriter, r *http.Request, total, size int) {
	after := r.URL.Query().Get("start-after")
	if token := r.URL.Query().Get("continuation-token"); token != "" {
		after = token
	}
	fmt.Fprint(w, `<?xml version="1.0"?><ListBucketResult><Name>lake</Name>`)
	last, n := "", 0
	for i := range total {
		if key := fmt.Sprintf("k%03d", i); key > after && n < size {
			fmt.Fprintf(w, `<Contents><Key>%s</Key><Size>%d</Size><ETag>"e%d"</ETag></Contents>`, key, i, i)
			last, n = key, n+1
		}
	}
	more := n == size && last < fmt.Sprintf("k%03d", total-1)
	fmt.Fprintf(w, `<IsTruncated>%t</IsTruncated>`, more)
	if more {
		fmt.Fprintf(w, `<NextContinuationToken>%s</NextContinuationToken>`, last)
	}
	fmt.Fprint(w, `</ListBucketResult>`)
}

func list(t *testing.T, b storage.Bucket, prefix, after string) (keys []string, err error) {
	t.Helper()
	for info, err := range b.List(t.Context(), prefix, after) {
		if err != nil {
			return keys, err
		}
		keys = append(keys, info.Key)
	}
	return keys, nil
}

func TestAListingGoesOnAfterAPageThatFailed(t *testing.T) {
	t.Parallel()
	b, seen := server(t, s3.Config{Attempts: 2}, func(n int, w http.ResponseWriter, r *http.Request) {
		switch n % 3 {
		case 1:
			fail(w, 503, "SlowDown")
		case 2:
			page(w, r, 60, 7)
		default:
			page(w, r, 60, 5)
		}
	})
	keys, err := list(t, b, "k", "k002")
	if err != nil || len(keys) != 57 || !slices.IsSorted(keys) || len(slices.Compact(keys)) != 57 {
		t.Errorf("%d keys, %v: %q", len(keys), err, keys)
	}
	if len(seen()) < 12 {
		t.Errorf("%d requests", len(seen()))
	}
}

func TestAListingThatMakesNoProgressEnds(t *testing.T) {
	t.Parallel()
	b, seen := server(t, s3.Config{Attempts: 3}, func(n int, w http.ResponseWriter, r *http.Request) {
		if n == 0 {
			page(w, r, 60, 5)
			return
		}
		fail(w, 500, "InternalError")
	})
	keys, err := list(t, b, "", "")
	if len(keys) != 5 || !thalweg.Is(err, thalweg.Unavailable) || !strings.Contains(err.Error(), "s3://lake/") {
		t.Errorf("%q, %v", keys, err)
	}
	if n := len(seen()); n != 7 { // the page and three tries after it, three more since there was progress
		t.Errorf("%d requests, want 7", n)
	}
}

func TestAListingOutOfOrderIsRefused(t *testing.T) {
	const contents = `<Contents><Key>b</Key><Size>1</Size></Contents><Contents><Key>a</Key><Size>1</Size></Contents>`
	b, _ := server(t, s3.Config{}, func(_ int, w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `<?xml version="1.0"?><ListBucketResult><Name>lake</Name>%s</ListBucketResult>`, contents)
	})
	keys, err := list(t, b, "", "")
	if !thalweg.Is(err, thalweg.Unsupported) || len(keys) != 1 {
		t.Errorf("%q, %v", keys, err)
	}
}

func TestAListingBeginsWhereItShouldThoughTheStoreDoesNot(t *testing.T) {
	b, _ := server(t, s3.Config{}, func(_ int, w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `<?xml version="1.0"?><ListBucketResult><Name>lake</Name>`+
			`<Contents><Key>a</Key></Contents><Contents><Key>b</Key></Contents><Contents><Key>c/</Key></Contents><Contents><Key>d</Key></Contents></ListBucketResult>`)
	})
	keys, err := list(t, b, "", "a")
	if err != nil || !slices.Equal(keys, []string{"b", "d"}) { // c/ stands for a directory
		t.Errorf("%q, %v", keys, err)
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	for answer, hint := range map[string]string{
		"403 AccessDenied":      "check the access key",
		"404 NoSuchBucket":      "create it, or correct its name",
		"301 PermanentRedirect": "check the endpoint and region",
		"501 NotImplemented":    "the store cannot do this",
	} {
		var status int
		var code string
		fmt.Sscan(answer, &status, &code)
		b, _ := server(t, s3.Config{}, func(_ int, w http.ResponseWriter, _ *http.Request) { fail(w, status, code) })
		_, _, err := b.Get(t.Context(), "k")
		if err == nil || !strings.Contains(err.Error(), hint) {
			t.Errorf("%s: %v, want it to say %q", answer, err, hint)
		}
	}
	gone := httptest.NewServer(nil)
	gone.Close()
	o, err := s3.New(s3.Config{Endpoint: strings.TrimPrefix(gone.URL, "http://"), Attempts: 2, Backoff: time.Microsecond})
	if err != nil {
		t.Fatal(err)
	}
	_, err = o.Bucket(t.Context(), "lake")
	if !thalweg.Is(err, thalweg.Unavailable) || !strings.Contains(err.Error(), "start the store there") {
		t.Errorf("nobody there: %v", err)
	}
}

func TestAnUntrustedCertificateIsNotTriedAgain(t *testing.T) {
	connections := make(chan struct{}, 10)
	h := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	h.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	h.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		connections <- struct{}{}
		return nil, nil
	}}
	h.StartTLS()
	defer h.Close()
	config := s3.Config{Endpoint: strings.TrimPrefix(h.URL, "https://"), TLS: true, PathStyle: true}
	o, err := s3.New(config)
	if err != nil {
		t.Fatal(err)
	}
	_, err = o.Bucket(t.Context(), "lake")
	if err == nil || thalweg.Is(err, thalweg.Unavailable) || !strings.Contains(err.Error(), "configure its CA") {
		t.Errorf("an untrusted certificate: %v", err)
	}
	if n := len(connections); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
	pool := x509.NewCertPool()
	pool.AddCert(h.Certificate())
	config.TLSConfig = &tls.Config{RootCAs: pool}
	if o, err = s3.New(config); err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if _, err := o.Bucket(t.Context(), "lake"); err != nil {
		t.Errorf("with its CA: %v", err)
	}
}

func TestAWrongConfigurationIsNamed(t *testing.T) {
	for field, c := range map[string]s3.Config{
		"endpoint":      {},
		"endpoint ":     {Endpoint: "http://localhost:9000"},
		"secret_key":    {Endpoint: "localhost:9000", AccessKey: "key"},
		"session_token": {Endpoint: "localhost:9000", SessionToken: "token"},
		"tls_config":    {Endpoint: "localhost:9000", TLSConfig: &tls.Config{}},
		"attempts":      {Endpoint: "localhost:9000", Attempts: -1},
	} {
		_, err := s3.New(c)
		var e *thalweg.Error
		if !errors.As(err, &e) || e.Kind != thalweg.Invalid || !strings.Contains(e.Subject, strings.TrimSpace(field)) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	c := s3.Config{Endpoint: "localhost:9000", AccessKey: "key", SecretKey: "hidden", SessionToken: "hidden"}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "config", c)
	if s := fmt.Sprintf("%v %+v %#v %s", c, c, c, log.String()); strings.Contains(s, "hidden") || !strings.Contains(s, "localhost:9000") {
		t.Errorf("printed as %s", s)
	}
}
