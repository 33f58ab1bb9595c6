// Package commitlogtest does to commit logs what others than their writers do,
// for tests of those who read them.
package commitlogtest

import (
	"bytes"
	"io"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/dataset"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

// Compact moves the scored rows of slots [a, b) of a log, which no compaction
// has moved, to one object, and deletes those that they were in, as a compactor
// does after its retention.
func Compact(t testing.TB, bucket storage.Bucket, cfg commitlog.Config, a, b uint64) {
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
	generation, claimed := thalweg.Generation(0), int64(1_700_000_000_000_001)
	for seq := a; seq < b; seq++ {
		e, err := log.Entry(t.Context(), seq)
		check(t, err)
		if seq == a {
			offsets[0] = e.Intent.From
		}
		offsets[1], generation, claimed = e.Intent.To, e.Intent.SpecGeneration, max(claimed, e.Intent.ScoredAtUS) // as logs' times never go back
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
			check(t, r.Close())
			inputs, gone, rows = append(inputs, seq), append(gone, o.Key), rows+o.Rows
		}
	}
	check(t, w.Close())
	in := commitlog.Intent{Seq: state.NextSeq, ID: commitlog.NewID(), Pipeline: cfg.Pipeline, Topic: cfg.Topic, Partition: cfg.Partition, From: state.NextOffset,
		To: state.NextOffset, Action: commitlog.Compact, Slots: [2]uint64{a, b}, TopicID: state.TopicID, LeaderEpoch: state.LeaderEpoch, RowsTopic: state.RowsTopic, SpecGeneration: generation,
		ScoredAtUS: claimed, Previous: state.Previous}
	if won, _, err := log.Claim(t.Context(), in); err != nil || !won {
		t.Fatalf("claim a compaction: %t, %v", won, err)
	}
	o, err := log.Publish(t.Context(), commitlog.Scored, "", rows, out.Bytes(), nil)
	check(t, err)
	done, err := log.Complete(commitlog.Done{Objects: []commitlog.Object{o}, Inputs: inputs, Offsets: offsets})
	check(t, err)
	_, _, err = log.Finish(t.Context(), done)
	check(t, err)
	for _, key := range gone {
		check(t, bucket.Delete(t.Context(), key))
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
