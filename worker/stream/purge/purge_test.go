package purge

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/memory"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

const slots = 3

// stream writes what a pipeline's streams leave of a partition below a prefix.
func stream(t *testing.T, b storage.Bucket, prefix string, pipeline thalweg.PipelineName, replay bool) {
	t.Helper()
	log, err := commitlog.New(b, commitlog.Config{Prefix: prefix, Pipeline: pipeline, Topic: "flights", Partition: 7, Replay: replay})
	check(t, err)
	for range slots {
		state, err := log.Open(t.Context())
		check(t, err)
		from := max(state.NextOffset, 0)
		in := commitlog.Intent{Seq: state.NextSeq, ID: commitlog.NewID(), Pipeline: pipeline, Topic: "flights", Partition: 7, From: from, To: from + 10, Model: "m", ModelVersion: 1,
			Checkpoint: thalweg.CheckpointRef{Key: "k/manifest.json", SHA256: strings.Repeat("0", 64)}, SpecGeneration: 1, ScoredAtUS: 1_700_000_000_000_000, Previous: state.Previous}
		if replay {
			in.Action, in.Slots, in.Where = commitlog.Replay, [2]uint64{0, 1}, "true"
		}
		if won, _, err := log.Claim(t.Context(), in); err != nil || !won {
			t.Fatalf("claim: %t, %v", won, err)
		}
		dead, err := log.Publish(t.Context(), commitlog.Dead, "", 1, []byte("{}\n"), nil)
		check(t, err)
		rows, err := log.Publish(t.Context(), commitlog.Scored, "", 9, []byte("PAR1"), nil)
		check(t, err)
		done, err := log.Complete(commitlog.Done{Objects: []commitlog.Object{dead, rows}})
		check(t, err)
		_, _, err = log.Finish(t.Context(), done)
		check(t, err)
	}
	_, err = b.Put(t.Context(), prefix+"_delta_log/00000000000000000000.json", []byte("{}"))
	check(t, err)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func keys(t *testing.T, b storage.Bucket) map[string]bool {
	t.Helper()
	all := make(map[string]bool)
	for info, err := range b.List(t.Context(), "", "") {
		check(t, err)
		all[info.Key] = true
	}
	return all
}

// dying is a bucket that takes so many deletions more.
type dying struct {
	storage.Bucket
	left atomic.Int64
}

func (d *dying) Delete(ctx context.Context, key string) error {
	if d.left.Add(-1) < 0 {
		return errors.New("killed")
	}
	return d.Bucket.Delete(ctx, key)
}

// Wherever a purge dies, the next one removes the rest, and never anything else:
// other pipelines beside and below it, data beside its own.
func TestAPurgeThatIsKilledAnywhereIsContinued(t *testing.T) {
	world := func() (b *memory.Bucket, others map[string]bool) {
		b = memory.New()
		for _, prefix := range []string{"s/a-1/", "s/a/data/", "s/", "t/"} {
			stream(t, b, prefix, "b", false)
		}
		for _, key := range []string{"s/a/data/train.parquet", "s/a/data/flights/00007/x.parquet", "s/a/_log/flights/x.json", "s/a/_dead/flights/00007/a.jsonl", "s/a/x"} {
			_, err := b.Put(t.Context(), key, []byte("mine"))
			check(t, err)
		}
		others = keys(t, b)
		for _, key := range []string{"s/a/data/flights/00007/x.parquet", "s/a/_dead/flights/00007/a.jsonl"} { // a log does not begin beside them
			check(t, b.Delete(t.Context(), key))
		}
		stream(t, b, "s/a/", "a", false)
		stream(t, b, "s/a/", "a", true)
		for _, key := range []string{"s/a/data/flights/00007/x.parquet", "s/a/_dead/flights/00007/a.jsonl"} {
			_, err := b.Put(t.Context(), key, []byte("mine"))
			check(t, err)
		}
		return b, others
	}
	const most = 2*4*slots + 1
	for deaths := range most {
		b, others := world()
		if n := len(keys(t, b)) - len(others); n != most {
			t.Fatalf("there are %d objects to remove", n)
		}
		mortal := &dying{Bucket: b}
		mortal.left.Store(int64(deaths))
		first, err := Sink(t.Context(), mortal, "s/a/", "a")
		if err == nil || first.Objects != int64(deaths) {
			t.Fatalf("killed after %d: %v, %v", deaths, first, err)
		}
		second, err := Sink(t.Context(), b, "s/a/", "a")
		if err != nil || first.Objects+second.Objects != most {
			t.Errorf("killed after %d: then %v, %v", deaths, second, err)
		}
		if now := keys(t, b); !maps.Equal(now, others) {
			t.Errorf("killed after %d: left are %v", deaths, slices.Sorted(maps.Keys(now)))
		}
	}
}

// Of a sink with a log of another pipeline, or with one that does not tell whose it
// is, nothing is removed.
func TestNothingIsRemovedWhereALogIsNotThePipelines(t *testing.T) {
	b := memory.New()
	stream(t, b, "s/", "a", false)
	stream(t, b, "s/", "b", true)
	before := keys(t, b)
	if _, err := Sink(t.Context(), b, "s/", "a"); !thalweg.Is(err, thalweg.Conflict) || !strings.Contains(err.Error(), "s/_log/flights/00007-replay/") || !strings.Contains(err.Error(), "pipeline b") {
		t.Errorf("another's log: %v", err)
	}
	check(t, b.Delete(t.Context(), "s/_log/flights/00007-replay/"+first))
	delete(before, "s/_log/flights/00007-replay/"+first)
	if _, err := Sink(t.Context(), b, "s/", "a"); !thalweg.Is(err, thalweg.Corrupt) || !strings.Contains(err.Error(), "does not tell whose") {
		t.Errorf("nobody's log: %v", err)
	}
	if now := keys(t, b); !maps.Equal(now, before) {
		t.Errorf("left are %d of %d", len(now), len(before))
	}
}
