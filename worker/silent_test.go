package worker

import (
	"context"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/connectors/registry"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact/artifacttest"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/checkpoint"
	"github.com/thalweg/thalweg/storage/memory"
)

// silence is one call that gets no answer, before its caller gives it up.
type silence struct {
	call string
	met  chan struct{} // closed when the call was made
	once sync.Once
}

func (s *silence) answer(ctx context.Context, call string) error {
	if call != s.call {
		return nil
	}
	s.once.Do(func() { close(s.met) })
	<-ctx.Done()
	return &thalweg.Error{Op: call, Kind: thalweg.Canceled, Err: ctx.Err()}
}

// silentOpener has a bucket that is silent, and those of memory.
type silentOpener struct {
	*memory.Opener
	s *silence
}

func (o silentOpener) Bucket(ctx context.Context, name string) (storage.Bucket, error) {
	b, err := o.Opener.Bucket(ctx, name)
	if err != nil || name == "good" {
		return b, err
	}
	return silentBucket{b, o.s, name}, o.s.answer(ctx, name+" Bucket")
}

// silentBucket is the sink of the stream that meets the silence, and the state of
// all.
type silentBucket struct {
	storage.Bucket
	s    *silence
	name string
}

func (b silentBucket) answer(ctx context.Context, key, call string) error {
	if strings.HasPrefix(key, "_probe/") {
		call = "probe " + call
	}
	if b.name == "thalweg" && !strings.Contains(key, "silent") {
		return nil
	}
	return b.s.answer(ctx, b.name+" "+call)
}

func (b silentBucket) Get(ctx context.Context, key string) ([]byte, storage.Info, error) {
	if err := b.answer(ctx, key, "Get"); err != nil {
		return nil, storage.Info{}, err
	}
	return b.Bucket.Get(ctx, key)
}

func (b silentBucket) GetRange(ctx context.Context, key string, offset int64, buf []byte) error {
	if err := b.answer(ctx, key, "GetRange"); err != nil {
		return err
	}
	return b.Bucket.GetRange(ctx, key, offset, buf)
}

func (b silentBucket) Put(ctx context.Context, key string, body []byte) (storage.Info, error) {
	if err := b.answer(ctx, key, "Put"); err != nil {
		return storage.Info{}, err
	}
	return b.Bucket.Put(ctx, key, body)
}

func (b silentBucket) PutIfAbsent(ctx context.Context, key string, body []byte) (storage.Info, error) {
	if err := b.answer(ctx, key, "PutIfAbsent"); err != nil {
		return storage.Info{}, err
	}
	info, err := b.Bucket.PutIfAbsent(ctx, key, body)
	if err == nil && b.s.call == "silent Get" { // its caller has to look what is there
		err = &thalweg.Error{Op: "put if absent", Kind: thalweg.Unavailable, Subject: key}
	}
	return info, err
}

func (b silentBucket) Head(ctx context.Context, key string) (storage.Info, error) {
	if err := b.answer(ctx, key, "Head"); err != nil {
		return storage.Info{}, err
	}
	return b.Bucket.Head(ctx, key)
}

func (b silentBucket) List(ctx context.Context, prefix, after string) iter.Seq2[storage.Info, error] {
	if err := b.answer(ctx, prefix, "List"); err != nil {
		return func(yield func(storage.Info, error) bool) { yield(storage.Info{}, err) }
	}
	return b.Bucket.List(ctx, prefix, after)
}

func (b silentBucket) Delete(ctx context.Context, key string) error {
	if err := b.answer(ctx, key, "Delete"); err != nil {
		return err
	}
	return b.Bucket.Delete(ctx, key)
}

// endless is a topic whose events never end.
type endless struct {
	s     *silence
	event string
}

func (e endless) Topic(ctx context.Context) (connectors.Topic, error) {
	return connectors.Topic{ID: strings.Repeat("a", 32), Partitions: 64}, e.s.answer(ctx, "Topic")
}

func (e endless) Bounds(ctx context.Context, _ int) (first, next int64, err error) {
	return 0, 1 << 40, e.s.answer(ctx, "Bounds")
}

func (e endless) Fetch(ctx context.Context, _ int, offset int64, _ time.Duration, _ int, dst *connectors.Records) error {
	dst.Reset()
	dst.Next = offset
	if err := e.s.answer(ctx, "Fetch"); err != nil {
		return err
	}
	for _, value := range []string{e.event, "no event"} {
		dst.Values = append(dst.Values, value...)
		dst.Ends = append(dst.Ends, len(dst.Values))
		dst.Offsets = append(dst.Offsets, dst.Next)
		dst.Timestamps = append(dst.Timestamps, 0)
		dst.Next++
	}
	dst.End = 1 << 40
	return nil
}

func (e endless) Commit(ctx context.Context, _ int, _ int64) error { return e.s.answer(ctx, "Commit") }
func (e endless) Deliver(ctx context.Context, _ connectors.Group, _ iter.Seq2[connectors.Message, error]) error {
	return e.s.answer(ctx, "Deliver")
}
func (endless) Close() error { return nil }

// silentConnections are those of a good stream and of one that meets the silence.
type silentConnections struct {
	silentOpener
	schemas *registry.Client
}

func (c silentConnections) Store(string) (storage.Opener, error)     { return c.silentOpener, nil }
func (c silentConnections) Known() pipeline.Connections              { return nil }
func (c silentConnections) Schemas(string) (*registry.Client, error) { return c.schemas, nil }

func (c silentConnections) topic(name string) endless {
	e := endless{s: c.s, event: `{"date": "2026-01-01T00:00:00Z", "distance": 100, "origin": "a1"}`}
	if strings.HasPrefix(name, "good") {
		e.s = &silence{}
	}
	if c.s.call == "Schema" && name == "silent" {
		e.event = "\x00\x00\x00\x00\x07 of schema 7"
	}
	return e
}

func (c silentConnections) Source(_ string, _ pipeline.Choice, what connectors.Reading) (connectors.Source, error) {
	return c.topic(what.Topic), nil
}

func (silentConnections) Key(string) (table.Key, error) { return table.Key{}, nil }

func (silentConnections) Appender(string, string, string, int) (connectors.Appender, error) {
	return nil, nil
}

func (c silentConnections) Outbox(_, topic, _ string, _ int) (connectors.Outbox, error) {
	return c.topic(topic), nil
}

// mute is the address of a server that accepts and never answers, and tells s.
func mute(t *testing.T, s *silence) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.once.Do(func() { close(s.met) })
			serving.Go(func() {
				_, _ = io.Copy(io.Discard, conn)
				conn.Close()
			})
		}
	})
	t.Cleanup(func() { l.Close(); serving.Wait() })
	return l.Addr().String()
}

// Whatever call gets no answer, the worker polls, its other stream goes on, its
// status says that this one waits, and it ends in time when it is told to.
func TestACallWithoutAnAnswerStopsNothingButItsOwnStream(t *testing.T) {
	for _, call := range []string{
		"silent Bucket", "silent probe PutIfAbsent", "silent probe Get", "silent probe Delete",
		"silent List", "silent Head", "silent Get", "silent GetRange", "silent PutIfAbsent", "silent Put", "silent Delete",
		"thalweg Head", "thalweg GetRange",
		"Topic", "Bounds", "Fetch", "Commit", "Deliver", "Schema",
	} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			s := &silence{call: call, met: make(chan struct{})}
			at := silentConnections{silentOpener: silentOpener{memory.NewOpener("thalweg", "good", "silent"), s}}
			client, err := registry.New(registry.Config{URL: "http://" + mute(t, s)})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(client.Close)
			at.schemas = client
			state, err := at.Opener.Bucket(t.Context(), "thalweg")
			if err != nil {
				t.Fatal(err)
			}
			lease := func(name string, partition int) *apiv1.Lease {
				spec := strings.NewReplacer("flight-delays", name, "topic: flights", "topic: "+name, "lake/scored", name+"/rows").Replace(artifacttest.Flights)
				spec = strings.Replace(spec, "source: events\n", "source: events\n    batching: {count: 2, period: 1ms}\n    dead_letter: {kafka: {topic: "+name+".dead}}\n", 1)
				spec = strings.Replace(spec, "/rows/\"}, format: {type: parquet}", "/rows/\"}, format: {type: parquet}, rolling: {period: 20ms}, compaction: {min_files: 2, retention: 1ms}", 1)
				if call == "Schema" && name == "silent" {
					spec = strings.Replace(spec, "{type: json}", "{type: avro, schema_registry: default}", 1)
				}
				parts, err := artifacttest.TrainFlights(t, spec, 1).Encode(nil)
				if err != nil {
					t.Fatal(err)
				}
				ref, err := checkpoint.Save(t.Context(), state, "checkpoints/"+name+"/", parts)
				if err != nil {
					t.Fatal(err)
				}
				return &apiv1.Lease{TaskId: fmt.Sprint(name, "/", partition), Pipeline: name, Spec: spec, Generation: 1, Index: uint32(partition), Token: 1,
					Models: []*apiv1.ModelVersion{{Version: 1, Checkpoint: ref.String(), RegisteredAtUnixMs: 1}}}
			}
			// As many streams as cores meet the silence.
			leases := []*apiv1.Lease{lease("good", 0)}
			for partition := range runtime.GOMAXPROCS(0) {
				leases = append(leases, lease("silent", partition))
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // for the call to be made
			defer cancel()
			go func() {
				select {
				case <-s.met:
					time.AfterFunc(25*time.Second, cancel) // longer than any wait but that for all of a registry's attempts
				case <-ctx.Done():
				}
			}()
			var told time.Time
			seen := int64(-1) // of the good stream when the call was made
			c := &scripted{poll: func(_ int, req *apiv1.PollRequest) (*apiv1.PollResponse, error) {
				select {
				case <-s.met:
				default:
					return &apiv1.PollResponse{Leases: leases, LeasesHash: "h"}, nil
				}
				for _, p := range req.Streams {
					switch {
					case p.Pipeline == "silent" && p.State == "":
						t.Errorf("a stream without a state: %v", p)
					case p.Pipeline != "good":
					case seen < 0:
						seen = p.Committed
					case p.Committed > seen+100 && told.IsZero():
						told = time.Now()
						cancel()
					}
				}
				return &apiv1.PollResponse{Leases: leases, LeasesHash: "h"}, nil
			}}
			w, err := New(ctx, c, at, slog.New(slog.DiscardHandler), Config{SpecCatalog: catalog.All(), ID: "w", Dir: t.TempDir(),
				PollWait: time.Millisecond, DrainTimeout: 50 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Run(ctx); err != nil {
				t.Fatal(err)
			}
			if told.IsZero() {
				select {
				case <-s.met:
					t.Fatalf("the good stream stands at %d", seen)
				default:
					t.Fatal("the call was never made")
				}
			}
			if took := time.Since(told); took > 5*time.Second {
				t.Errorf("the worker took %v to end", took)
			}
		})
	}
}
