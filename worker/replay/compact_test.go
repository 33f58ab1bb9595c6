package replay

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/commitlog"
	"github.com/thalweg/thalweg/storage/dataset"
	"github.com/thalweg/thalweg/worker/score"
)

// compact moves the scored rows of slots [a, b) of a log to one object, and
// deletes those that they were in, as a compactor does.
func compact(t testing.TB, bucket storage.Bucket, cfg commitlog.Config, a, b uint64) {
	t.Helper()
	log, err := commitlog.New(bucket, cfg)
	check(t, err)
	state, err := log.Open(t.Context())
	check(t, err)
	var out bytes.Buffer
	var w *dataset.Writer
	var inputs []uint64
	var gone []string
	var offsets [2]int64
	rows := int64(0)
	generation := thalweg.Generation(0)
	for seq := a; seq < b; seq++ {
		e, err := log.Entry(t.Context(), seq)
		check(t, err)
		if seq == a {
			offsets[0] = e.Intent.From
		}
		offsets[1], generation = e.Intent.To, e.Intent.SpecGeneration
		for _, o := range e.Done.Objects {
			if o.Kind != commitlog.Scored {
				continue
			}
			body, _, err := bucket.Get(t.Context(), o.Key)
			check(t, err)
			r, err := dataset.OpenBytes(o.Key, body, nil, dataset.ReaderConfig{})
			check(t, err)
			for {
				rec, err := r.Next()
				if err == io.EOF {
					break
				}
				check(t, err)
				if w == nil {
					w, err = dataset.NewWriter(&out, rec.Schema(), dataset.WriterConfig{})
					check(t, err)
				}
				check(t, w.Write(rec))
				rec.Release()
			}
			r.Close()
			inputs, gone, rows = append(inputs, seq), append(gone, o.Key), rows+o.Rows
		}
	}
	check(t, w.Close())
	in := commitlog.Intent{Seq: state.NextSeq, ID: commitlog.NewID(), Pipeline: cfg.Pipeline, Topic: cfg.Topic, Partition: cfg.Partition, From: state.NextOffset,
		To: state.NextOffset, Action: commitlog.Compact, Slots: [2]uint64{a, b}, TopicID: state.TopicID, SpecGeneration: generation,
		ScoredAtUS: 1_700_000_000_000_001, Previous: state.Previous}
	if won, _, err := log.Claim(t.Context(), in); err != nil || !won {
		t.Fatalf("claim a compaction: %t, %v", won, err)
	}
	o, err := log.Publish(t.Context(), commitlog.Scored, 0, rows, out.Bytes(), nil)
	check(t, err)
	done, err := log.Compacted([]commitlog.Object{o}, inputs, offsets, nil)
	check(t, err)
	_, _, err = log.Finish(t.Context(), done)
	check(t, err)
	for _, key := range gone {
		check(t, bucket.Delete(t.Context(), key))
	}
}

func TestRowsThatACompactionMovedAreCompared(t *testing.T) {
	w := newWorld(t)
	w.produce(0, 1000)
	w.stream()
	whole, progress := w.replay(1, "whole/", "earliest", "latest")
	part, _ := w.replay(1, "part/", "0:250,1:333", "0:400,1:470")
	for p := range partitions {
		cfg := commitlog.Config{Prefix: "scored/", Pipeline: "flight-delays", Topic: topic, Partition: p}
		log, err := commitlog.New(w.lake, cfg)
		check(t, err)
		state, err := log.Open(t.Context())
		check(t, err)
		compact(t, w.lake, cfg, 1, 3)
		compact(t, w.lake, cfg, 3, state.NextSeq)
		cfg.Prefix = "whole/"
		compact(t, w.lake, cfg, 0, 3)
	}
	w.produce(1000, 50)
	w.stream() // slots after the compactions
	w.judge("scored/")
	w.judge("whole/")
	r, err := Diff(t.Context(), whole, w.live(), w.into("whole/"), DiffConfig{}, nil)
	check(t, err)
	if !r.Same() || r.Both != progress.Scored || r.DeadBoth != progress.Dead {
		t.Errorf("the whole: %+v, want %+v", r, progress)
	}
	if r, err = Diff(t.Context(), part, w.live(), w.into("part/"), DiffConfig{}, nil); err != nil || !r.Same() || r.Both+r.DeadBoth != part.Events() {
		t.Errorf("a part of it: %+v, %v", r, err)
	}
	// Rows that are nowhere are not passed over.
	objects := w.objects(fmt.Sprintf("scored/data/%s/00001/", topic))
	for key := range objects {
		check(t, w.lake.Delete(t.Context(), key))
	}
	if _, err := Diff(t.Context(), part, w.live(), w.into("part/"), DiffConfig{}, nil); !thalweg.Is(err, thalweg.NotFound) && !thalweg.Is(err, thalweg.Lost) {
		t.Errorf("without its rows: %v", err)
	}
}

func TestALiveStreamMayMergeItsFiles(t *testing.T) {
	w := newWorld(t)
	w.produce(0, 3000)
	w.streamUntil(score.Compaction{MinFiles: 4, Retention: time.Millisecond}, func(p int) bool {
		// Rows of the first slot are in another object by now.
		return len(w.objects(fmt.Sprintf("scored/data/%s/%05d/000000000000-", topic, p))) == 0
	})
	w.judge("scored/")
	m, p := w.replay(1, "again/", "committed", "committed")
	r, err := Diff(t.Context(), m, w.live(), w.into("again/"), DiffConfig{}, nil)
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
