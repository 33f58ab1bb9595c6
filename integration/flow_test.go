//go:build integration

package integration

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	apache "github.com/thalweg/thalweg/integration/kafka"
	"github.com/thalweg/thalweg/integration/minio"
	"github.com/thalweg/thalweg/storage"
)

// maxWorkerBytes is what a worker's resident memory may be at most, however
// fast events come.
const maxWorkerBytes = 512 << 20

// moodyStore is a store whose answers can be delayed, refused or held back, in
// front of a real one.
type moodyStore struct {
	server  *httptest.Server
	delay   atomic.Int64 // of each request
	refused atomic.Int64 // of ten requests
	down    atomic.Bool  // all are refused
	count   atomic.Int64 // requests
}

func newMoodyStore(t *testing.T, server *minio.Server) *moodyStore {
	t.Helper()
	s := &moodyStore{}
	pass := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: server.Address}) // keeps the Host that is signed
	pass.Transport = &http.Transport{MaxIdleConnsPerHost: 128, DisableCompression: true}
	pass.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }
	s.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := s.count.Add(1)
		if d := time.Duration(s.delay.Load()); d > 0 {
			select {
			case <-time.After(d): // the store's own slowness
			case <-r.Context().Done():
				return
			}
		}
		if s.down.Load() || n*7%10 < s.refused.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `<?xml version="1.0"?><Error><Code>SlowDown</Code></Error>`)
			return
		}
		pass.ServeHTTP(w, r)
	}))
	t.Cleanup(s.server.Close)
	return s
}

// env makes workers use the store.
func (s *moodyStore) env(member string) []string {
	if strings.HasPrefix(member, "w") {
		return []string{"THALWEG_STORE=" + s.server.URL}
	}
	return nil
}

// fill writes n flights to each partition of a topic, fast.
func fill(t *testing.T, brokers []string, partitions, n int, options ...kgo.Opt) {
	t.Helper()
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(brokers...), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(20*time.Millisecond), kgo.MaxBufferedRecords(200_000))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	values := make([][]byte, 0, 10_000)
	for i := 0; len(values) < cap(values); i++ {
		if f := makeFlight(i); !f.poison {
			values = append(values, f.value)
		}
	}
	var failed atomic.Value
	for i := range n {
		for p := range partitions {
			client.Produce(t.Context(), &kgo.Record{Partition: int32(p), Value: values[(i*31+p)%len(values)]}, func(_ *kgo.Record, err error) {
				if err != nil {
					failed.Store(err)
				}
			})
		}
	}
	if err := client.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := failed.Load(); err != nil {
		t.Fatal(err)
	}
}

// flowBed is a cluster with one worker on a moody store, a registered model,
// and a topic without events.
type flowBed struct {
	cluster *cluster
	kafka   *apache.Cluster
	lake    storage.Bucket
	store   *moodyStore
	server  *minio.Server
}

func newFlowBed(t *testing.T, partitions int, rolling time.Duration, properties map[string]string) *flowBed {
	t.Helper()
	b := &flowBed{kafka: apache.Start(t, apache.Config{Properties: properties}), server: minio.Start(t)}
	b.kafka.CreateTopic(t, topic, partitions, nil)
	b.lake = newLake(t, b.server)
	b.store = newMoodyStore(t, b.server)
	b.cluster = startCluster(t, clusterConfig{Coordinators: 1, Workers: 1, S3: b.server, Kafka: b.kafka, Env: b.store.env})
	waitRun(t, b.cluster, apply(t, b.cluster, streamSpec(t, rolling, "")), "the first model", succeeded)
	waitStream(t, b.cluster.Client(), "all partitions", all(partitions, func(p *apiv1.StreamPartition) bool { return p.State == "running" }))
	return b
}

// residentPeak returns the most memory that a process ever had (VmHWM).
func residentPeak(t *testing.T, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var kB int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kB); n == 1 {
			return kB << 10
		}
	}
	t.Fatalf("no VmHWM in %s", text)
	return 0
}

// wantAll waits until every event is committed and has fsck judge; it returns
// the rows and dead letters.
func (b *flowBed) wantAll(t *testing.T, ends []int64) (rows, dead int64) {
	t.Helper()
	waitStreamFor(t, b.cluster.Client(), 5*time.Minute, "all events to be committed", func(partitions []*apiv1.StreamPartition) bool {
		rows, dead = 0, 0 // as one answer has them: the next may be of a worker that has not read its logs yet
		for _, p := range partitions {
			rows += p.ScoredRows
			dead += p.DeadLetters
		}
		return committedTo(ends)(partitions)
	})
	judge(t, b.cluster.Client(), b.lake)
	return rows, dead
}

// TestAWorkerStaysWithinItsMemoryHoweverManyEventsWait has a worker find far
// more events than it can hold, in many partitions, on a store that is slow: a
// second's work of the scorer would fill its memory many times over.
func TestAWorkerStaysWithinItsMemoryHoweverManyEventsWait(t *testing.T) {
	for _, partitions := range []int{16, 64} {
		t.Run(fmt.Sprint(partitions), func(t *testing.T) {
			const events = 3_200_000 // 300 MB of JSON
			b := newFlowBed(t, partitions, time.Minute, nil)
			b.cluster.KillWorker(0)
			each := events / partitions
			fill(t, b.kafka.Brokers(), partitions, each, kgo.ProducerBatchCompression(kgo.Lz4Compression()), kgo.ProducerBatchMaxBytes(1_000_000))
			b.store.delay.Store(int64(200 * time.Millisecond))
			began := time.Now()
			b.cluster.RestartWorker(t, 0)
			ends := make([]int64, partitions)
			for p := range ends {
				ends[p] = int64(each)
			}
			rows, dead := b.wantAll(t, ends)
			peak := residentPeak(t, b.cluster.Worker(0).PID())
			t.Logf("%d partitions: %d rows and %d dead letters in %v, %d requests to the store; the worker's memory peaked at %d MB",
				partitions, rows, dead, time.Since(began).Round(time.Second), b.store.count.Load(), peak>>20)
			if rows+dead != events {
				t.Errorf("%d rows and %d dead letters of %d events", rows, dead, events)
			}
			if peak > maxWorkerBytes {
				t.Errorf("the worker's memory peaked at %d MB, the bound is %d MB", peak>>20, maxWorkerBytes>>20)
			}
		})
	}
}

// TestAWorkerEndsWithinTenSecondsOfSIGTERM stops a worker that holds rows of
// many partitions: on a store that is well it commits them all, on one that
// takes a second for each request too, and on one that is down it ends all the
// same and its successor scores what is left.
func TestAWorkerEndsWithinTenSecondsOfSIGTERM(t *testing.T) {
	const partitions, each = 64, 500
	b := newFlowBed(t, partitions, 30*time.Second, nil) // far longer than it takes to score them
	ends := make([]int64, partitions)
	total := int64(0)
	for _, store := range []struct {
		name     string
		set      func(on bool)
		finishes bool // all is committed before the end
	}{
		{"well", func(bool) {}, true},
		{"slow", func(on bool) {
			b.store.delay.Store(0)
			if on {
				b.store.delay.Store(int64(time.Second))
			}
		}, true},
		{"down", func(on bool) { b.store.down.Store(on) }, false},
	} {
		fill(t, b.kafka.Brokers(), partitions, each)
		for p := range ends {
			ends[p] += each
		}
		total += partitions * each
		waitStream(t, b.cluster.Client(), "all events to be scored", all(partitions, func(p *apiv1.StreamPartition) bool { return p.Scored >= ends[p.Partition] }))
		store.set(true)
		began := time.Now()
		code := b.cluster.StopWorker(t, 0)
		took := time.Since(began)
		rows, dead := results(t, b.lake)
		left := total - int64(len(rows)+len(dead))
		t.Logf("on a store that is %s the worker ended with code %d %v after SIGTERM, %d of %d events left to its successor", store.name, code, took.Round(time.Millisecond), left, partitions*each)
		if code != 0 || took > drainWithin {
			t.Errorf("code %d after %v", code, took)
		}
		if store.finishes && left > 0 {
			t.Errorf("%d events are not committed", left)
		}
		store.set(false)
		b.cluster.RestartWorker(t, 0)
		if rows, dead := b.wantAll(t, ends); rows+dead != total {
			t.Errorf("%d rows and %d dead letters of %d events", rows, dead, total)
		}
	}
}
