package cluster

import (
	"fmt"
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/memory"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/scorer"
)

// TestResultsListEachRowOnce: files that a compaction replaced are there, and
// are not listed.
func TestResultsListEachRowOnce(t *testing.T) {
	b := memory.New()
	log, err := commitlog.New(b, commitlog.Config{Prefix: "scored/", Pipeline: "p", Topic: "events"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	slot := func(change func(*commitlog.Intent), finish func(commitlog.Object) (commitlog.Done, error)) {
		t.Helper()
		s := log.State()
		from := max(0, s.NextOffset)
		in := commitlog.Intent{Seq: s.NextSeq, ID: commitlog.NewID(), Pipeline: "p", Topic: "events", From: from, To: from + 10, Model: "m", ModelVersion: 3,
			Checkpoint: thalweg.CheckpointRef{Key: "checkpoints/m", SHA256: strings.Repeat("a", 64)}, SpecGeneration: 1, ScoredAtUS: 1, Previous: s.Previous}
		change(&in)
		if _, _, err := log.Claim(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		o, err := log.Publish(t.Context(), commitlog.Scored, "", 10, []byte("rows"), nil)
		if err != nil {
			t.Fatal(err)
		}
		d, err := finish(o)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := log.Finish(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	for range 4 {
		slot(func(*commitlog.Intent) {}, func(o commitlog.Object) (commitlog.Done, error) {
			return log.Complete(commitlog.Done{Objects: []commitlog.Object{o}})
		})
	}
	slot(func(in *commitlog.Intent) {
		in.Action, in.Slots, in.To = commitlog.Compact, [2]uint64{1, 3}, in.From
		in.Model, in.ModelVersion, in.Checkpoint = "", 0, thalweg.CheckpointRef{}
	}, func(o commitlog.Object) (commitlog.Done, error) {
		return log.Complete(commitlog.Done{Objects: []commitlog.Object{o}, Inputs: []uint64{1, 2}, Offsets: [2]int64{10, 30}})
	})
	sink := &Stream{Config: scorer.Config{Pipeline: "p", Prefix: "scored/", Topic: "events"}, Live: storage.Place{Bucket: b, Name: "lake", Prefix: "scored/"}}
	files, err := sink.Files(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range files {
		got = append(got, fmt.Sprintf("[%d, %d) %s", f.From, f.To, f.ScoredBy()))
	}
	if want := "[0, 10) 3; [10, 30) merged; [30, 40) 3"; strings.Join(got, "; ") != want {
		t.Errorf("listed are %s, want %s", strings.Join(got, "; "), want)
	}
}
