package worker

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline/artifact/artifacttest"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/checkpoint"
	"github.com/thalweg/thalweg/storage/memory"
)

// spoilt are connections to a store whose done records can be lost or damaged for a
// while.
type spoilt struct {
	silentConnections
	damage, now *atomic.Bool // now: they are
}

func newSpoilt() spoilt {
	return spoilt{silentConnections{silentOpener: silentOpener{memory.NewOpener("thalweg", "good"), &silence{}}}, new(atomic.Bool), new(atomic.Bool)}
}

// lease is that of the stream of a pipeline, which writes to good/rows.
func (s spoilt) lease(t *testing.T, pipeline string) *apiv1.Lease {
	t.Helper()
	state, err := s.Opener.Bucket(t.Context(), "thalweg")
	if err != nil {
		t.Fatal(err)
	}
	spec := strings.NewReplacer("flight-delays", pipeline, "lake/scored", "good/rows").Replace(artifacttest.Flights)
	spec = strings.Replace(spec, "/rows/\"}, format: {type: parquet}", "/rows/\"}, format: {type: parquet}, table: {format: none}, rolling: {count: 4}", 1)
	parts, err := artifacttest.TrainFlights(t, spec, 1).Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := checkpoint.Save(t.Context(), state, "checkpoints/", parts)
	if err != nil {
		t.Fatal(err)
	}
	return &apiv1.Lease{TaskId: pipeline + "/0", Pipeline: pipeline, Spec: spec, Generation: 1, Token: 1,
		Models: []*apiv1.ModelVersion{{Version: 1, Checkpoint: ref.String(), RegisteredAtUnixMs: 1}}}
}

// run runs a worker until ctx ends.
func (s spoilt) run(ctx context.Context, t *testing.T, c *scripted) {
	t.Helper()
	w, err := New(ctx, c, s, slog.New(slog.DiscardHandler), Config{SpecCatalog: catalog.All(), ID: "w", Dir: t.TempDir(),
		PollWait: time.Millisecond, DrainTimeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Run(ctx); err != nil {
		t.Fatal(err)
	}
}

func (s spoilt) Store(string) (storage.Opener, error) { return s, nil }

func (s spoilt) Bucket(ctx context.Context, name string) (storage.Bucket, error) {
	b, err := s.Opener.Bucket(ctx, name)
	return spoiltBucket{b, s}, err
}

func (s spoilt) CreateBucket(ctx context.Context, name string) error {
	return s.Opener.CreateBucket(ctx, name)
}

type spoiltBucket struct {
	storage.Bucket
	s spoilt
}

func (b spoiltBucket) lost(key string) error {
	if b.s.now.Load() && !b.s.damage.Load() && strings.HasSuffix(key, ".done.json") {
		return &thalweg.Error{Op: "head object", Kind: thalweg.NotFound, Subject: key}
	}
	return nil
}

func (b spoiltBucket) Head(ctx context.Context, key string) (storage.Info, error) {
	if err := b.lost(key); err != nil {
		return storage.Info{}, err
	}
	return b.Bucket.Head(ctx, key)
}

func (b spoiltBucket) GetRange(ctx context.Context, key string, offset int64, buf []byte) error {
	if err := b.lost(key); err != nil {
		return err
	}
	err := b.Bucket.GetRange(ctx, key, offset, buf)
	if b.s.now.Load() && strings.HasSuffix(key, ".done.json") {
		copy(buf, bytes.ToUpper(buf))
	}
	return err
}

// A stream that stopped because a record of its log is missing or damaged says how it
// goes on, and goes on by itself once the record is restored.
func TestAStreamGoesOnOnceARecordOfItsLogIsRestored(t *testing.T) {
	for _, damaged := range []bool{false, true} {
		t.Run(fmt.Sprint("damaged ", damaged), func(t *testing.T) {
			at := newSpoilt()
			at.damage.Store(damaged)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			lease := at.lease(t, "good")
			restored := false
			var seen *apiv1.StreamPartition
			c := &scripted{poll: func(_ int, req *apiv1.PollRequest) (*apiv1.PollResponse, error) {
				for _, p := range req.Streams {
					seen = p
					switch {
					case lease.Generation == 1 && p.Committed > 40:
						at.now.Store(true)
						lease.Generation = 2 // whoever takes over reads the end of the log
					// Before that, the table may tell that it waits for the record.
					case at.now.Load() && p.State == thalweg.StreamStopped && strings.Contains(p.Message, "at once by `thalweg stream resume good`"):
						if !strings.Contains(p.Message, ".done.json") {
							t.Errorf("message %q", p.Message)
						}
						restored = true
						at.now.Store(false)
					case restored && p.State == thalweg.StreamRunning && p.Committed > 80:
						cancel()
					}
				}
				return &apiv1.PollResponse{Leases: []*apiv1.Lease{proto.CloneOf(lease)}, LeasesHash: fmt.Sprint(lease.Generation)}, nil
			}}
			at.run(ctx, t, c)
			if ctx.Err() == context.DeadlineExceeded {
				t.Errorf("spoilt %v: %v", at.now.Load(), seen)
			}
		})
	}
}

// A stream whose sink has the rows of another pipeline writes nothing and says whose.
func TestAStreamWritesNothingWhereAnotherPipelineHasItsRows(t *testing.T) {
	at := newSpoilt()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	lease := at.lease(t, "good")
	message := ""
	at.run(ctx, t, &scripted{poll: func(_ int, req *apiv1.PollRequest) (*apiv1.PollResponse, error) {
		for _, p := range req.Streams {
			switch {
			case p.Pipeline == "good" && lease.Pipeline == "good" && p.Committed > 40:
				lease = at.lease(t, "second")
			case p.Pipeline == "second" && p.Message != opening:
				message = p.Message
				cancel()
			}
		}
		return &apiv1.PollResponse{Leases: []*apiv1.Lease{proto.CloneOf(lease)}, LeasesHash: lease.Pipeline}, nil
	}})
	if !strings.Contains(message, "pipeline good has put its rows there: rows/_log/flights/00000/") {
		t.Errorf("message %q", message)
	}
}
