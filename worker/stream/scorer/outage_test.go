package scorer

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/integration/effort"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/storage"
	bucketmem "github.com/thalweg/thalweg/storage/memory"
	"github.com/thalweg/thalweg/storage/s3"
	"github.com/thalweg/thalweg/worker/stream/budget"
	"github.com/thalweg/thalweg/worker/stream/engine"
	"github.com/thalweg/thalweg/worker/stream/fsck"
)

// s3Store answers S3's requests from memory, without a network, so that hours
// pass in a synctest bubble at once. What it does with each request is told by
// a mood.
type s3Store struct {
	objects *bucketmem.Bucket
	mood    func(now time.Duration) mood
	began   time.Time
	mu      struct {
		sync.Mutex
		requests []time.Duration
	}
}

type mood int

const (
	well    mood = iota
	busy         // 503, nothing done
	doubt        // done, and 503 all the same
	refused      // nobody listens
)

func (s *s3Store) RoundTrip(req *http.Request) (*http.Response, error) {
	now := time.Since(s.began)
	s.mu.Lock()
	s.mu.requests = append(s.mu.requests, now)
	mood := s.mood(now)
	s.mu.Unlock()
	select {
	case <-time.After(20 * time.Millisecond): // a store takes its time
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
	var body []byte
	if req.Body != nil {
		body, _ = io.ReadAll(req.Body)
		req.Body.Close()
	}
	switch mood {
	case refused:
		return nil, syscall.ECONNREFUSED
	case busy:
		return s3Answer(req, http.StatusServiceUnavailable, "<Error><Code>SlowDown</Code></Error>", nil), nil
	case doubt:
		s.serve(req, body)
		return s3Answer(req, http.StatusServiceUnavailable, "<Error><Code>SlowDown</Code></Error>", nil), nil
	}
	return s.serve(req, body), nil
}

func s3Answer(req *http.Request, status int, body string, header map[string]string) *http.Response {
	h := http.Header{"Last-Modified": {"Mon, 02 Jan 2006 15:04:05 GMT"}, "Content-Length": {strconv.Itoa(len(body))}}
	for k, v := range header {
		h.Set(k, v)
	}
	size, _ := strconv.ParseInt(h.Get("Content-Length"), 10, 64)
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h,
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: size, Request: req}
}

func (s *s3Store) serve(req *http.Request, body []byte) *http.Response {
	ctx := context.Background()
	_, key, _ := strings.Cut(strings.TrimPrefix(req.URL.Path, "/"), "/")
	fail := func(err error) *http.Response {
		switch thalweg.KindOf(err) {
		case thalweg.NotFound:
			return s3Answer(req, http.StatusNotFound, "<Error><Code>NoSuchKey</Code></Error>", nil)
		case thalweg.Exists:
			return s3Answer(req, http.StatusPreconditionFailed, "<Error><Code>PreconditionFailed</Code></Error>", nil)
		}
		return s3Answer(req, http.StatusInternalServerError, "", nil)
	}
	switch {
	case key == "" && req.Method == http.MethodHead:
		return s3Answer(req, http.StatusOK, "", nil)
	case key == "":
		return s.list(req)
	case req.Method == http.MethodPut:
		put := s.objects.Put
		if req.Header.Get("If-None-Match") == "*" {
			put = s.objects.PutIfAbsent
		}
		if _, err := put(ctx, key, body); err != nil {
			return fail(err)
		}
		return s3Answer(req, http.StatusOK, "", map[string]string{"ETag": `"tag"`})
	}
	object, info, err := s.objects.Get(ctx, key)
	if err != nil {
		return fail(err)
	}
	header := map[string]string{"ETag": `"` + info.ETag + `"`, "Content-Length": strconv.FormatInt(info.SizeBytes, 10)}
	if req.Method == http.MethodHead {
		return s3Answer(req, http.StatusOK, "", header)
	}
	var from, to int
	if n, _ := fmt.Sscanf(req.Header.Get("Range"), "bytes=%d-%d", &from, &to); n == 2 {
		part := object[from:min(to+1, len(object))]
		header["Content-Range"] = fmt.Sprintf("bytes %d-%d/%d", from, from+len(part)-1, len(object))
		header["Content-Length"] = strconv.Itoa(len(part))
		return s3Answer(req, http.StatusPartialContent, string(part), header)
	}
	return s3Answer(req, http.StatusOK, string(object), header)
}

func (s *s3Store) list(req *http.Request) *http.Response {
	type object struct {
		Key          string
		Size         int64
		ETag         string
		LastModified string
	}
	var page struct {
		XMLName  xml.Name `xml:"ListBucketResult"`
		Contents []object
	}
	q := req.URL.Query()
	for info, err := range s.objects.List(context.Background(), q.Get("prefix"), q.Get("start-after")) {
		if err == nil && len(page.Contents) < storage.MaxListPage {
			page.Contents = append(page.Contents, object{info.Key, info.SizeBytes, info.ETag, "2006-01-02T15:04:05Z"})
		}
	}
	var out bytes.Buffer
	_ = xml.NewEncoder(&out).Encode(page)
	return s3Answer(req, http.StatusOK, out.String(), nil)
}

// tap is a topic of endless events: one each interval in each partition, until
// its last.
type tap struct {
	began    time.Time
	interval time.Duration
	last     int64
}

func (c *tap) end() int64 { return min(c.last, int64(time.Since(c.began)/c.interval)) }

func (c *tap) Topic(context.Context) (connectors.Topic, error) {
	return connectors.Topic{ID: strings.Repeat("a", 32), Partitions: 1}, nil
}
func (c *tap) Close() error                                               { return nil }
func (c *tap) Commit(context.Context, int, int64) error                   { return nil }
func (c *tap) Bounds(context.Context, int) (first, next int64, err error) { return 0, c.end(), nil }

func (c *tap) Fetch(ctx context.Context, _ int, offset int64, maxWait time.Duration, _ int, dst *connectors.Records) error {
	dst.Reset()
	dst.Next = offset
	deadline := time.After(maxWait)
	for c.end() <= offset {
		select {
		case <-time.After(c.interval):
		case <-deadline:
			dst.End = c.end()
			return nil
		case <-ctx.Done():
			return &thalweg.Error{Op: "fetch", Kind: thalweg.Canceled, Err: ctx.Err()}
		}
	}
	for ; dst.Next < c.end() && dst.Next < offset+1000; dst.Next++ {
		dst.Append(dst.Next, time.Now().UnixMicro(), nil, []byte(goodEvent(int(dst.Next))))
	}
	dst.End = c.end()
	return nil
}

// outage is many partitions of one process on one store, through everything
// that lies between them and it.
type outage struct {
	store   *s3Store
	scorers []*Scorer
	model   fsck.Model
	last    int64
	rows    int64
}

const outageInterval = 200 * time.Millisecond

// outagePartitions returns how many partitions share the store: a sample, or
// all.
func outagePartitions() int {
	if effort.Full() {
		return 64
	}
	return 16
}

// playOutage runs the scorers until they have committed last events each; watch is
// called every 100 ms.
func playOutage(t *testing.T, last int64, mood func(now time.Duration) mood, watch func(now time.Duration, scorers []*Scorer)) *outage {
	t.Helper()
	o := &outage{store: &s3Store{objects: bucketmem.New(), mood: mood, began: time.Now()}}
	opener, err := s3.New(s3.Config{Endpoint: "store", TLS: true, AccessKey: "key", SecretKey: "secret", PathStyle: true,
		Wrap: func(http.RoundTripper) http.RoundTripper { return o.store }})
	if err != nil {
		t.Fatal(err)
	}
	var bucket storage.Bucket
	for bucket == nil {
		bucket, _ = opener.Bucket(t.Context(), "lake")
	}
	state := bucketmem.New()
	registry, model := engine.NewRegistry(state, catalog.All()), saved(t, state, 1, trained(t, 1))
	registry.Offer([]engine.Candidate{model})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	memory := budget.NewMemory(32<<20, 2)
	for p := range outagePartitions() {
		share := memory.Share()
		defer share.Close()
		s, err := New(&tap{began: time.Now(), interval: outageInterval, last: last}, bucket, registry, slogDiscard(), Config{Pipeline: "flight-delays", Generation: 1,
			Topic: topic, Partition: p, Prefix: "scored/", Rolling: Limits{Period: 8 * time.Second}, MaxBackoff: 2 * time.Second, Memory: share})
		if err != nil {
			t.Fatal(err)
		}
		o.scorers = append(o.scorers, s)
		running.Go(func() {
			if err := s.Run(ctx); err != nil {
				t.Errorf("a scorer gave up: %v", err)
			}
		})
	}
	for done := false; !done; {
		time.Sleep(100 * time.Millisecond)
		now := time.Since(o.store.began)
		watch(now, o.scorers)
		done = true
		for _, s := range o.scorers {
			if status := s.Status(); status.Committed < last {
				done = false
				if now > time.Hour {
					t.Fatalf("an hour later: %+v", status)
				}
			}
		}
	}
	cancel()
	running.Wait()
	o.last, o.model = last, fsck.Model{Name: "flight-delays", Version: 1, Checkpoint: model.Checkpoint, RegisteredAtUS: model.RegisteredAtUS}
	return o
}

// judge has fsck judge what is in the store. It must run outside the bubble: the
// decoders that it uses are shared by the whole process.
func (o *outage) judge(t *testing.T) {
	t.Helper()
	verdict, err := fsck.Run(t.Context(), o.store.objects, "flight-delays", "scored/", []fsck.Model{o.model})
	if err != nil {
		t.Fatal(err)
	}
	if !verdict.OK() {
		t.Errorf("fsck:\n%s", verdict)
	}
	for _, s := range o.scorers {
		o.rows += s.Status().Rows
	}
	if want := o.last * int64(outagePartitions()); o.rows != want {
		t.Errorf("%d rows of %d events", o.rows, want)
	}
}

func TestAStoreThatFailsThreeInTenForMinutesLosesNothing(t *testing.T) {
	var o *outage
	var late time.Duration
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 30))
		last := int64(150 * time.Second / outageInterval)
		o = playOutage(t, last, func(time.Duration) mood {
			switch rng.IntN(20) {
			case 0, 1, 2, 3, 4:
				return busy
			case 5:
				return doubt
			}
			return well
		}, func(now time.Duration, scorers []*Scorer) {
			if now < 10*time.Second {
				return
			}
			for _, s := range scorers {
				if status := s.Status(); status.Committed < last {
					late = max(late, time.Duration(status.End-status.Committed)*outageInterval)
				}
			}
		})
	})
	o.judge(t)
	t.Logf("%d rows exactly once; %d requests; an event was committed at most %v after it came", o.rows, len(o.store.mu.requests), late)
	if late > 25*time.Second {
		t.Errorf("an event was committed %v after it came", late)
	}
}

func TestAnOutageOfAMinuteLosesNothingAndEndsByItself(t *testing.T) {
	from, to := 30*time.Second, 90*time.Second
	var recovered time.Duration
	var o *outage
	synctest.Test(t, func(t *testing.T) {
		missed := int64(to / outageInterval)
		o = playOutage(t, int64(2*time.Minute/outageInterval), func(now time.Duration) mood {
			if now >= from && now < to {
				return refused
			}
			return well
		}, func(now time.Duration, scorers []*Scorer) {
			for _, s := range scorers {
				if s.Status().Committed < missed {
					return
				}
			}
			if recovered == 0 {
				recovered = now - to
			}
		})
	})
	o.judge(t)
	during := 0
	for _, at := range o.store.mu.requests {
		if at >= from && at < to {
			during++
		}
	}
	t.Logf("%d rows exactly once; %d requests of %d partitions in the minute; everything missed was committed %v after it", o.rows, during, outagePartitions(), recovered)
	if during > 500 {
		t.Errorf("%d requests while the store was down", during)
	}
	if recovered > 15*time.Second {
		t.Errorf("what was missed was committed %v after the outage", recovered)
	}
}
