package replay

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/commitlog/commitlogtest"
	"github.com/thalweg/thalweg/worker/stream/compact"
)

func TestRowsThatACompactionMovedAreCompared(t *testing.T) {
	w := newWorld(t)
	w.produce(0, 1000)
	w.stream()
	whole, progress := w.replay(1, "whole/", "earliest", "latest")
	part, _ := w.replay(1, "part/", "0:250,1:333", "0:400,1:470")
	scored := w.objects("scored/data/")
	for p := range partitions {
		cfg := commitlog.Config{Prefix: "scored/", Pipeline: "flight-delays", Topic: topic, Partition: p}
		log, err := commitlog.New(w.lake, cfg)
		check(t, err)
		state, err := log.Open(t.Context())
		check(t, err)
		commitlogtest.Compact(t, w.lake, cfg, 1, 3)
		commitlogtest.Compact(t, w.lake, cfg, 3, state.NextSeq)
		cfg.Prefix = "whole/"
		commitlogtest.Compact(t, w.lake, cfg, 0, 3)
	}
	w.produce(1000, 50)
	w.stream() // slots after the compactions
	w.judge("scored/")
	w.judge("whole/")
	r, err := Diff(t.Context(), whole, w.live(), w.into("whole/"), 10, func(int64) {})
	check(t, err)
	if !r.Same() || r.Both != progress.Scored || r.DeadBoth != progress.Dead {
		t.Errorf("the whole: %+v, want %+v", r, progress)
	}
	if r, err = Diff(t.Context(), part, w.live(), w.into("part/"), 10, func(int64) {}); err != nil || !r.Same() || r.Both+r.DeadBoth != part.Events() {
		t.Errorf("a part of it: %+v, %v", r, err)
	}
	for key, body := range scored { // back by late requests of who had another part of the claims
		if _, err := w.lake.PutIfAbsent(t.Context(), key, append([]byte(body), 'x')); err != nil && !thalweg.Is(err, thalweg.Exists) {
			t.Fatal(err)
		}
	}
	if r, err = Diff(t.Context(), whole, w.live(), w.into("whole/"), 10, func(int64) {}); err != nil || !r.Same() || r.Both != progress.Scored {
		t.Errorf("with files back: %+v, %v", r, err)
	}
	// Rows that are nowhere are not passed over.
	objects := w.objects(fmt.Sprintf("scored/data/%s/00001/", topic))
	for key := range objects {
		check(t, w.lake.Delete(t.Context(), key))
	}
	if _, err := Diff(t.Context(), part, w.live(), w.into("part/"), 10, func(int64) {}); !thalweg.Is(err, thalweg.NotFound) && !thalweg.Is(err, thalweg.Lost) {
		t.Errorf("without its rows: %v", err)
	}
}

func TestARowThatIsInAMergedFileAndInItsOwnCountsOnce(t *testing.T) {
	w := newWorld(t)
	w.days = "date"
	w.produce(0, 600)
	w.stream()
	scored := w.objects("scored/data/")
	first := func(p int) string { return fmt.Sprintf("scored/data/%s/%05d/000000000000-", topic, p) }
	w.produce(600, 600)
	w.streamUntil(compact.Config{MinFiles: 4, Retention: time.Millisecond}, func(p int) bool {
		for _, err := range w.lake.List(t.Context(), first(p), "") {
			check(t, err)
			return false
		}
		return true
	})
	for p := range partitions { // one of several files of the slot is there again
		for _, key := range slices.Sorted(maps.Keys(scored)) {
			if strings.HasPrefix(key, first(p)) {
				_, err := w.lake.Put(t.Context(), key, []byte(scored[key]))
				check(t, err)
				break
			}
		}
	}
	m, p := w.replay(1, "again/", "earliest", "latest")
	r, err := Diff(t.Context(), m, w.live(), w.into("again/"), 10, func(int64) {})
	check(t, err)
	if !r.Same() || r.Both != p.Scored || r.DeadBoth != p.Dead {
		t.Errorf("got %+v", r)
	}
}

func TestALiveStreamMayMergeItsFiles(t *testing.T) {
	w := newWorld(t)
	w.produce(0, 3000)
	w.streamUntil(compact.Config{MinFiles: 4, Retention: time.Millisecond}, func(p int) bool {
		// Rows of the first slot are in another object by now.
		return len(w.objects(fmt.Sprintf("scored/data/%s/%05d/000000000000-", topic, p))) == 0
	})
	w.judge("scored/")
	m, p := w.replay(1, "again/", "committed", "committed")
	r, err := Diff(t.Context(), m, w.live(), w.into("again/"), 10, func(int64) {})
	check(t, err)
	if !r.Same() || r.Both != p.Scored || r.Both+r.DeadBoth != 3000 {
		t.Errorf("got %+v", r)
	}
	for key := range w.objects("again/_log/") {
		if body := w.objects("again/_log/")[key]; strings.Contains(body, `"action":"compact"`) {
			t.Errorf("the replay merges files: %s", key)
		}
	}
}
