//go:build integration

package integration

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/thalweg/thalweg/integration/process"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

// chaosFeatures are what a run's spec asks for besides, each in a share of the
// runs.
type chaosFeatures struct {
	letters string // topic that dead letters go to as well, "" for none
	merge   bool   // small files are merged
}

func (r *chaosRun) drawFeatures(t *testing.T) {
	t.Helper()
	if r.rng.IntN(3) == 0 {
		r.features.letters = r.topic + ".dlq"
		r.kafka.CreateTopic(t, r.features.letters, 2, nil)
		r.tell("dead letters go to a topic")
	}
	if r.rng.IntN(3) == 0 {
		r.features.merge = true
		r.tell("files are merged")
	}
}

// in returns a spec with the features.
func (f chaosFeatures) in(t *testing.T, spec string) string {
	t.Helper()
	insert := func(before, text string) {
		if !strings.Contains(spec, before) {
			t.Fatalf("the demo's spec has no %q", before)
		}
		spec = strings.Replace(spec, before, text+before, 1)
	}
	if f.letters != "" {
		insert("    sink: {", fmt.Sprintf("    dead_letter: {kafka: {topic: %s}}\n", f.letters))
	}
	if f.merge {
		insert("rolling: {", "compaction: {min_files: 3, retention: 1s}, ")
	}
	return spec
}

// wantLetters fails the test unless each dead letter is in the topic once, for a
// reader of committed records that shares no code with ours.
func (r *chaosRun) wantLetters(t *testing.T, f *feed) {
	t.Helper()
	if r.features.letters == "" {
		return
	}
	sent, poison := f.flights()
	reader := newFranz(t, r.kafka, r.features.letters, kgo.ConsumeTopics(r.features.letters), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	seen := make(map[string]bool)
	read := func(within time.Duration) {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		reader.PollFetches(ctx).EachRecord(func(m *kgo.Record) {
			var at place
			if _, err := fmt.Sscanf(string(m.Key), r.topic+"/%d/%d", &at.partition, &at.offset); err != nil || !sent[at].poison || string(m.Value) != string(sent[at].value) {
				t.Errorf("letter %s: %q is none of what was sent: %q", m.Key, m.Value, sent[at].value)
			}
			if seen[string(m.Key)] {
				t.Errorf("letter %s is in the topic twice", m.Key)
			}
			seen[string(m.Key)] = true
		})
	}
	process.Until(t, "the dead letters in their topic", func(context.Context) error {
		read(time.Second)
		if len(seen) < poison {
			return fmt.Errorf("%d of %d", len(seen), poison)
		}
		return nil
	})
	read(300 * time.Millisecond) // what should not be there
}

// visible is the lake for readers that list files: where files are merged, those
// who cannot bear a row twice have to go by the log.
func (r *chaosRun) visible(t *testing.T) storage.Bucket {
	t.Helper()
	if !r.features.merge {
		return r.lake
	}
	live := make(map[string]bool)
	for p := range chaosPartitions {
		log, err := commitlog.New(r.lake, commitlog.Config{Prefix: r.prefix, Pipeline: flightPipeline, Topic: r.topic, Partition: p})
		if err != nil {
			t.Fatal(err)
		}
		for e, err := range commitlog.Live(log.ReadBack(t.Context())) {
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range e.Done.Objects {
				live[o.Key] = true
			}
		}
	}
	return liveBucket{r.lake, live}
}

// liveBucket lists only live files among the rows.
type liveBucket struct {
	storage.Bucket
	live map[string]bool
}

func (b liveBucket) List(ctx context.Context, prefix, after string) iter.Seq2[storage.Info, error] {
	return func(yield func(storage.Info, error) bool) {
		for info, err := range b.Bucket.List(ctx, prefix, after) {
			if err == nil && strings.Contains(info.Key, "/data/") && !b.live[info.Key] {
				continue
			}
			if !yield(info, err) {
				return
			}
		}
	}
}
