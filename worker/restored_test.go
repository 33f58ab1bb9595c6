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
			at := spoilt{silentConnections{silentOpener: silentOpener{memory.NewOpener("thalweg", "good"), &silence{}}}, new(atomic.Bool), new(atomic.Bool)}
			at.damage.Store(damaged)
			state, err := at.Opener.Bucket(t.Context(), "thalweg")
			if err != nil {
				t.Fatal(err)
			}
			spec := strings.NewReplacer("flight-delays", "good", "lake/scored", "good/rows").Replace(artifacttest.Flights)
			spec = strings.Replace(spec, "/rows/\"}, format: {type: parquet}", "/rows/\"}, format: {type: parquet}, table: {format: none}, rolling: {count: 4}", 1)
			parts, err := artifacttest.TrainFlights(t, spec, 1).Encode(nil)
			if err != nil {
				t.Fatal(err)
			}
			ref, err := checkpoint.Save(t.Context(), state, "checkpoints/", parts)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			lease := &apiv1.Lease{TaskId: "good/0", Pipeline: "good", Spec: spec, Generation: 1, Token: 1,
				Models: []*apiv1.ModelVersion{{Version: 1, Checkpoint: ref.String(), RegisteredAtUnixMs: 1}}}
			restored := false
			var seen *apiv1.StreamPartition
			c := &scripted{poll: func(_ int, req *apiv1.PollRequest) (*apiv1.PollResponse, error) {
				for _, p := range req.Streams {
					seen = p
					switch {
					case lease.Generation == 1 && p.Committed > 40:
						at.now.Store(true)
						lease.Generation = 2 // whoever takes over reads the end of the log
					case at.now.Load() && p.State == thalweg.StreamStopped && p.Message != "":
						if !strings.Contains(p.Message, ".done.json") || !strings.Contains(p.Message, "at once by `thalweg stream resume good`") {
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
			w, err := New(ctx, c, at, slog.New(slog.DiscardHandler), Config{SpecCatalog: catalog.All(), ID: "w", Dir: t.TempDir(),
				PollWait: time.Millisecond, DrainTimeout: 50 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Run(ctx); err != nil {
				t.Fatal(err)
			}
			if ctx.Err() == context.DeadlineExceeded {
				t.Errorf("spoilt %v: %v", at.now.Load(), seen)
			}
		})
	}
}
