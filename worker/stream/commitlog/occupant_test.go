package commitlog

import (
	"context"
	"iter"
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/memory"
)

// A prefix is a pipeline's if nothing of another pipeline or of a replay is there,
// and no sink around it.
func TestASinkMustBeFree(t *testing.T) {
	b := memory.New()
	appendSlots(t, openLog(t, b), 2)
	layout := openLog(t, b).Layout()
	owner := openLog(t, b).config.Pipeline
	for key := range map[string]bool{"replays/one/" + ReplayMark: true, "other/data/x.parquet": true} {
		if _, err := b.Put(t.Context(), key, []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		prefix   string
		pipeline thalweg.PipelineName
		want     string // "": it is free
	}{
		{layout.Prefix, owner, ""},
		{layout.Prefix, "another", "pipeline " + string(owner) + " has put its rows there: " + layout.IntentKey(0)},
		{layout.Prefix + "below/", owner, "it lies in another sink: " + layout.Prefix + "_log/"},
		{layout.Prefix + "_log/flights/", owner, "it lies in another sink: " + layout.Prefix + "_log/"},
		{"replays/one/", owner, "the rows of a replay are there"},
		{"replays/one/data/x/", owner, "it lies in another sink: replays/one/" + ReplayMark},
		{"replays/", owner, ""},
		{"other/", owner, ""},
		{strings.TrimSuffix(layout.Prefix, "/") + "-2/", "another", ""},
	} {
		err := CheckSink(t.Context(), b, c.prefix, c.pipeline)
		if (err == nil) != (c.want == "") || err != nil && (!thalweg.Is(err, thalweg.Conflict) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s of %s: %v, want %q", c.prefix, c.pipeline, err, c.want)
		}
	}
}

// granted is a bucket of which only a prefix may be listed.
type granted struct {
	storage.Bucket
	prefix string
	kind   thalweg.Kind // of the refusal
}

func (b granted) List(ctx context.Context, prefix, after string) iter.Seq2[storage.Info, error] {
	if !strings.HasPrefix(prefix, b.prefix) {
		return func(yield func(storage.Info, error) bool) {
			yield(storage.Info{}, &thalweg.Error{Op: "list objects", Kind: b.kind, Subject: prefix})
		}
	}
	return b.Bucket.List(ctx, prefix, after)
}

// Keys for a sink alone are enough, but a store that does not answer is asked again.
func TestASinkNeedsNoKeysForWhatIsAroundIt(t *testing.T) {
	b := memory.New()
	appendSlots(t, openLog(t, b), 1)
	for kind, free := range map[thalweg.Kind]bool{thalweg.Other: true, thalweg.Unavailable: false} {
		if err := CheckSink(t.Context(), granted{b, testConfig.Prefix, kind}, testConfig.Prefix, testConfig.Pipeline); (err == nil) != free {
			t.Errorf("%v: %v", kind, err)
		}
	}
	if err := CheckSink(t.Context(), granted{b, testConfig.Prefix, thalweg.Other}, testConfig.Prefix, "another"); !thalweg.Is(err, thalweg.Conflict) {
		t.Errorf("the sink of another: %v", err)
	}
}
