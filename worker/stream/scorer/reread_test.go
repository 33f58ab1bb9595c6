package scorer

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/connectors/kafka"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/worker/stream/deadletter"
)

// compacted is a topic that lacks some records, as compaction leaves it.
type compacted struct {
	connectors.Source
	taken []int64
}

func (c compacted) Fetch(ctx context.Context, partition int, offset int64, maxWait time.Duration, maxBytes int, dst *connectors.Records) error {
	err := c.Source.Fetch(ctx, partition, offset, maxWait, maxBytes, dst)
	if err != nil {
		return err
	}
	kept := connectors.Records{Want: dst.Want, TopicID: dst.TopicID, Next: dst.Next, End: dst.End}
	for i, at := range dst.Offsets {
		if !slices.Contains(c.taken, at) {
			kept.AppendRecords(dst, i, i+1)
		}
	}
	*dst = kept
	return nil
}

// withheld is a world whose stream has left dead letters of mixed events without their
// events, of which version 2 can score those that a step removed.
func withheld(t *testing.T, n int) (w *world, s *active) {
	t.Helper()
	w = newWorld(t, 1)
	key, err := table.NewKey([]byte("the secret of the test"))
	if err != nil {
		t.Fatal(err)
	}
	w.registry.Keys = func(string) (table.Key, error) { return key, nil }
	strict := trainedBy(t, hashedFlights)
	w.config.MaxEventBytes, w.config.Schema = 4096, strict.Spec.Spec.Schema
	w.registerArtifact(1, strict)
	w.registerArtifact(2, trainedBy(t, strings.Replace(hashedFlights, "distance < 100000", "distance < 1000000000", 1)))
	w.promote(1)
	s = w.start()
	w.produce(mixed(n)...)
	s.waitCommitted(int64(n))
	for at, l := range w.readLetters(0) {
		if !l.Withheld || l.Raw != nil {
			t.Fatalf("offset %d: %+v", at, l)
		}
	}
	return w, s
}

// reread replays withheld letters by version 2, of a topic without some records.
func (w *world) reread(where string, taken ...int64) (sum deadletter.ReplaySummary, lost []deadletter.Loss, err error) {
	w.t.Helper()
	sum, err = deadletter.Replay(context.Background(), w.sink, w.registry, slogDiscard(), deadletter.ReplayConfig{Pipeline: "flight-delays", Generation: 2, Topic: topic, Partitions: 1,
		Prefix: w.config.Prefix, Model: w.versions[2], Where: where, Schema: w.config.Schema, MaxEventBytes: w.config.MaxEventBytes,
		Source: func() (connectors.Source, error) {
			s, err := kafka.New(w.kafka())
			return compacted{s, taken}, err
		},
		Lost: func(l deadletter.Loss) { lost = append(lost, l) }}, nil)
	return sum, lost, err
}

// Dead letters without their events are scored by what the topic has at their offsets:
// each once, with the bits of the stream, and what the topic has lost is named.
func TestWithheldDeadLettersAreScoredFromTheTopic(t *testing.T) {
	const filtered = "stage == '2 filter'"
	w, s := withheld(t, 100)
	if sum, err := w.replay(2, ""); err != nil || sum != (deadletter.ReplaySummary{Selected: 30, Truncated: 30}) {
		t.Fatalf("without the topic: %+v, %v", sum, err)
	}
	sum, lost, err := w.reread("offset < 20")
	if err != nil || lost != nil || sum != (deadletter.ReplaySummary{Selected: 6, Scored: 2, Dead: 4, Slots: 1}) {
		t.Fatalf("%+v, %v, %v", sum, lost, err)
	}
	w.deleteRecords(50)
	sum, lost, err = w.reread(filtered, 63, 73)
	if err != nil || sum != (deadletter.ReplaySummary{Selected: 10, Scored: 3, Already: 2, Retention: 3, Compaction: 2, Slots: 1}) {
		t.Fatalf("%+v, %v", sum, err)
	}
	if want := []deadletter.Loss{{From: 23, To: 44, Events: 3, Why: deadletter.Retention}, {From: 63, To: 74, Events: 2, Why: deadletter.Compaction}}; !slices.Equal(lost, want) {
		t.Errorf("lost are %+v, want %+v", lost, want)
	}
	// Nothing is final about what a reader did not see.
	if sum, _, err = w.reread(filtered); err != nil || sum != (deadletter.ReplaySummary{Selected: 10, Scored: 2, Already: 5, Retention: 3, Slots: 1}) {
		t.Errorf("%+v, %v", sum, err)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if v := w.judge(); v.Replayed != 7 {
		t.Errorf("fsck: %+v", v)
	}
	rows := w.replayed(0)
	again := newWorld(t, 1)
	again.config, again.registry.Keys = w.config, w.registry.Keys
	again.registerArtifact(2, trainedBy(t, strings.Replace(hashedFlights, "distance < 100000", "distance < 1000000000", 1)))
	again.promote(2)
	other := again.start()
	again.produce(mixed(100)...)
	other.waitCommitted(100)
	wanted, _ := again.read(0)
	for offset, row := range rows {
		for name, want := range wanted[offset].cells {
			if name != "_scored_at" && name != "_replay" && row.cells[name] != want {
				t.Errorf("offset %d: %s is %s, the stream would have had %s", offset, name, row.cells[name], want)
			}
		}
	}
	for _, key := range w.keys("") {
		body, _, err := w.sink.Get(t.Context(), key)
		if err != nil || bytes.Contains(body, []byte("no event")) || bytes.Contains(body, []byte("bm8gZXZlbn")) {
			t.Errorf("%s has an event that is withheld (%v)", key, err)
		}
	}
}

// A replay dies once it has claimed events, or published rows of them, and the topic
// loses them: who comes next finishes the slot, and no event is in two rows.
func TestAClaimOfEventsThatTheTopicLosesSinceIsFinished(t *testing.T) {
	for part, want := range map[string]deadletter.ReplaySummary{
		"/data/":     {Selected: 10, Already: 5, Retention: 5, Recovered: 5, Slots: 1}, // what was left of the claim
		".done.json": {Selected: 10, Already: 10, Recovered: 10, Slots: 1},
	} {
		w, s := withheld(t, 100)
		whole := w.sink
		w.sink = &broken{Bucket: whole, part: part}
		if _, _, err := w.reread("stage == '2 filter'"); !thalweg.Is(err, thalweg.Unavailable) {
			t.Fatalf("%s: %v", part, err)
		}
		w.sink = whole
		w.deleteRecords(50)
		sum, lost, err := w.reread("stage == '2 filter'")
		if err != nil || sum != want {
			t.Errorf("%s: %+v, %v, want %+v", part, sum, err, want)
		}
		if want.Retention > 0 && (len(lost) != 1 || lost[0].From != 3 || lost[0].To != 44) {
			t.Errorf("%s: lost are %+v", part, lost)
		}
		if rows := w.replayed(0); int64(len(rows)) != want.Recovered {
			t.Errorf("%s: %d rows", part, len(rows))
		}
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
		w.judge()
	}
}

// The offsets of a topic that was made anew are those of other events.
func TestATopicMadeAnewIsNotReadForDeadLettersOfTheFormer(t *testing.T) {
	w, s := withheld(t, 20)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	w.remake()
	w.produce(mixed(50)...)
	_, _, err := w.reread("")
	gone := new(connectors.MissingRange)
	if !thalweg.Is(err, thalweg.Lost) || !errors.As(err, &gone) || gone.Was == gone.Is || !strings.Contains(err.Error(), "made anew") || !strings.Contains(err.Error(), "--where") {
		t.Errorf("%v", err)
	}
	if rows := w.replayed(0); len(rows) > 0 {
		t.Errorf("%d rows of other events", len(rows))
	}
}

// A replay dies once it has claimed events, or published rows of them, and the topic is
// made anew: the claim is finished without a row of other events, and later dead letters of
// the partition can be replayed.
func TestAClaimOfATopicThatWasMadeAnewSinceIsFinished(t *testing.T) {
	for part, published := range map[string]int{"/data/": 0, ".done.json": 2} {
		w, s := withheld(t, 20)
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
		whole := w.sink
		w.sink = &broken{Bucket: whole, part: part}
		if _, _, err := w.reread("stage == '2 filter'"); !thalweg.Is(err, thalweg.Unavailable) {
			t.Fatalf("%s: %v", part, err)
		}
		w.sink = whole
		w.remake()
		w.produce(mixed(50)...)
		// What is not claimed is refused as ever, once the claim is out of the way.
		if sum, _, err := w.reread(""); !thalweg.Is(err, thalweg.Lost) || !strings.Contains(err.Error(), "made anew") || sum.Slots != 1 || sum.Recovered != int64(published) {
			t.Errorf("%s: %+v, %v", part, sum, err)
		}
		if sum, lost, err := w.reread("offset >= 20"); err != nil || lost != nil || sum != (deadletter.ReplaySummary{}) {
			t.Errorf("%s: %+v, %v, %v", part, sum, lost, err)
		}
		if rows := w.replayed(0); len(rows) != published {
			t.Errorf("%s: %d rows, %d were published", part, len(rows), published)
		}
		if v := w.judge(); v.Replayed != int64(published) {
			t.Errorf("%s: fsck: %+v", part, v)
		}
	}
}
