package sketch

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/monitor"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/memory"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

var log = commitlog.Config{Prefix: "scored/", Topic: "flights", Partition: 3}

var hour = &monitor.Config{Window: time.Hour, OneIn: 1}

// counted is what a slot has: a dead letter, whose reason names it, so that one that is counted
// twice or never shows.
func counted(slot uint64) *monitor.Sketch {
	out := new(monitor.Sketch)
	hour.Die(out, 1, int64(slot/50)*time.Hour.Microseconds(), fmt.Sprint("slot ", slot%50))
	return out
}

func text(t interface{ Fatal(...any) }, s *monitor.Sketch) string {
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func all() func(_, _ *monitor.Sketch) bool { return func(_, _ *monitor.Sketch) bool { return false } }

// brittle is a bucket whose answers get lost.
type brittle struct {
	storage.Bucket
	fails func() bool
}

func (b *brittle) PutIfAbsent(ctx context.Context, key string, body []byte) (storage.Info, error) {
	info, err := b.Bucket.PutIfAbsent(ctx, key, body)
	if b.fails() {
		return storage.Info{}, &thalweg.Error{Op: "put", Kind: thalweg.Unavailable}
	}
	return info, err
}

// Each slot is counted once, whatever owners come, die and come back late, and however files
// are extended.
func TestEachSlotIsCountedOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		bucket := memory.New()
		flaky := &brittle{bucket, func() bool { return rapid.IntRange(0, 9).Draw(t, "lost") == 0 }}
		owners := []*Store{NewStore(flaky, log), NewStore(bucket, log), NewStore(bucket, log)}
		ctx, want := context.Background(), new(monitor.Sketch)
		owner := 0
		const most = 8
		for _, s := range owners {
			s.most = most
		}
		slots := rapid.IntRange(1, 4*most).Draw(t, "slots")
		for slot := range uint64(slots) {
			if rapid.IntRange(0, 9).Draw(t, "changes") == 0 {
				owner = rapid.IntRange(0, 2).Draw(t, "owner")
			}
			for range rapid.IntRange(1, 2).Draw(t, "times") {
				if err := owners[owner].Add(ctx, slot, counted(slot)); err != nil && !thalweg.IsTransient(err) {
					t.Fatal(err)
				} else if err != nil {
					if err := owners[(owner+1)%3].Add(ctx, slot, counted(slot)); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := want.Merge(counted(slot)); err != nil {
				t.Fatal(err)
			}
			// Somebody who had the slot before wakes up, having looked around long ago.
			if late := (owner + 1) % 3; slot > 0 && rapid.IntRange(0, 19).Draw(t, "late") == 0 {
				old := uint64(rapid.IntRange(0, int(slot)-1).Draw(t, "of"))
				if err := owners[late].Add(ctx, old, counted(old)); err != nil && !thalweg.IsTransient(err) {
					t.Fatal(err)
				}
			}
		}
		got, err := Read(ctx, bucket, log, all)
		if err != nil {
			t.Fatal(err)
		}
		if text(t, got) != text(t, want) {
			t.Fatalf("counted %s, want %s", text(t, got), text(t, want))
		}
		files := 0
		for _, err := range bucket.List(ctx, Dir(log), "") {
			if files++; err != nil {
				t.Fatal(err)
			}
		}
		if files > 2+slots/most+len(owners) {
			t.Fatalf("%d files of %d slots", files, slots)
		}
	})
}

// An owner that writes the file of a slot after all others have gone on does not have it counted
// twice.
func TestALateFileIsNotCounted(t *testing.T) {
	t.Parallel()
	ctx, bucket := t.Context(), memory.New()
	s := NewStore(bucket, log)
	var kept [][]byte
	for slot := range uint64(6) {
		if err := s.Add(ctx, slot, counted(slot)); err != nil {
			t.Fatal(err)
		}
		body, _, err := bucket.Get(ctx, key(Dir(log), slot))
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, body)
	}
	for slot, body := range kept[:5] {
		if _, err := bucket.PutIfAbsent(ctx, key(Dir(log), uint64(slot)), body); err != nil {
			t.Fatal(err)
		}
	}
	want := new(monitor.Sketch)
	for slot := range uint64(6) {
		if err := want.Merge(counted(slot)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Read(ctx, bucket, log, all)
	if err != nil || text(t, got) != text(t, want) {
		t.Fatalf("%v: counted %s", err, text(t, got))
	}
	// A new owner goes on from the newest.
	if err := NewStore(bucket, log).Add(ctx, 6, counted(6)); err != nil {
		t.Fatal(err)
	}
	if err := want.Merge(counted(6)); err != nil {
		t.Fatal(err)
	}
	if got, err := Read(ctx, bucket, log, all); err != nil || text(t, got) != text(t, want) {
		t.Fatalf("%v: counted %s", err, text(t, got))
	}
}

// A damaged file is named, and the stream goes on.
func TestADamagedFileDoesNotStopTheOwner(t *testing.T) {
	t.Parallel()
	ctx, bucket := t.Context(), memory.New()
	if _, err := bucket.Put(ctx, key(Dir(log), 0), []byte(`{"format":"thalweg.monitor/v1"`)); err != nil {
		t.Fatal(err)
	}
	if err := NewStore(bucket, log).Add(ctx, 1, counted(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(ctx, bucket, log, all); !thalweg.Is(err, thalweg.Corrupt) {
		t.Error(err)
	}
	got, err := Read(ctx, bucket, log, func() func(_, _ *monitor.Sketch) bool { return func(_, _ *monitor.Sketch) bool { return true } })
	if err != nil || got.Empty() {
		t.Error(err)
	}
}
