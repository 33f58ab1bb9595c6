package scorer

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/artifact/artifacttest"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/deadletter"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// lenient is artifacttest.Flights without the step that removes events.
var lenient = strings.Replace(artifacttest.Flights, "distance < 100000", "distance < 1000000000", 1)

func (w *world) replay(version int, where string) (deadletter.ReplaySummary, error) {
	w.t.Helper()
	return deadletter.Replay(context.Background(), w.sink, w.registry, slogDiscard(), deadletter.ReplayConfig{Pipeline: "flight-delays", Generation: 2, Topic: topic, Partitions: 2,
		Prefix: w.config.Prefix, Model: w.versions[version], Where: where, Schema: w.config.Schema, MaxEventBytes: w.config.MaxEventBytes}, nil)
}

// replayed returns the rows that replays have left, by offset.
func (w *world) replayed(partition int) map[int64]scoredRow {
	w.t.Helper()
	rows := make(map[int64]scoredRow)
	layout := commitlog.Layout{Prefix: w.config.Prefix, Topic: topic, Partition: partition, Replay: true}
	for _, key := range w.keys(layout.DataDir()) {
		body, _, err := w.sink.Get(context.Background(), key)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, row := range decodeRows(w.t, body) {
			if _, twice := rows[row.offset]; twice {
				w.t.Errorf("offset %d was replayed twice", row.offset)
			}
			rows[row.offset] = row
		}
	}
	return rows
}

// mixed returns n events: of ten, one is far (a step of the pipeline removes it),
// one is no JSON, and one is beyond the bound of an event.
func mixed(n int) []string {
	events := make([]string, n)
	for i := range events {
		switch i % 10 {
		case 3:
			events[i] = strings.Replace(goodEvent(i), `"distance":`, `"distance":10000`, 1)
		case 5:
			events[i] = fmt.Sprintf("no event %d", i)
		case 7:
			events[i] = `{"origin":"` + strings.Repeat("x", 5000) + `"}`
		default:
			events[i] = goodEvent(i)
		}
	}
	return events
}

// TestAReplayScoresDeadLettersAsTheStreamWouldHave: with the same bits, each
// once, marked, whatever else replays.
func TestAReplayScoresDeadLettersAsTheStreamWouldHave(t *testing.T) {
	const n = 200
	w := newWorld(t, 1)
	w.config.MaxEventBytes = 4096
	w.promote(1)
	better := w.registerArtifact(2, trainedBy(t, lenient))
	s := w.start()
	w.produce(mixed(n)...)
	s.waitCommitted(n)
	live, letters := w.read(0)
	if len(live) != n*7/10 || len(letters) != n*3/10 {
		t.Fatalf("%d rows and %d dead letters", len(live), len(letters))
	}

	if _, err := w.replay(2, "stage =="); !thalweg.Is(err, thalweg.Invalid) {
		t.Errorf("half an expression: %v", err)
	}
	if _, err := w.replay(2, "offset + 1"); !thalweg.Is(err, thalweg.Invalid) {
		t.Errorf("a number: %v", err)
	}
	if _, err := w.replay(2, "ofset > 1"); !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), "offset") {
		t.Errorf("a misspelt field: %v", err)
	}
	got, err := w.replay(2, "stage == '2 filter' && offset < 100")
	if want := (deadletter.ReplaySummary{Selected: 10, Scored: 10, Slots: 1}); err != nil || got != want {
		t.Fatalf("%+v, %v, want %+v", got, err, want)
	}
	if got, err = w.replay(2, "stage == '2 filter'"); err != nil || got != (deadletter.ReplaySummary{Selected: 20, Scored: 10, Already: 10, Slots: 1}) {
		t.Fatalf("%+v, %v", got, err)
	}
	// The first version fails again; what it cannot score stays a dead letter.
	if got, err = w.replay(1, ""); err != nil || got != (deadletter.ReplaySummary{Selected: 60, Dead: 20, Truncated: 20, Already: 20, Slots: 1}) {
		t.Fatalf("%+v, %v", got, err)
	}
	if got, err = w.replay(2, ""); err != nil || got != (deadletter.ReplaySummary{Selected: 60, Dead: 20, Truncated: 20, Already: 20, Slots: 1}) {
		t.Fatalf("%+v, %v", got, err)
	}
	// The stream goes on meanwhile.
	w.produce(mixed(10)...)
	s.waitCommitted(n + 10)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if got, err = w.replay(2, "offset >= 200 && stage == '2 filter'"); err != nil || got.Scored != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	v := w.judge()
	if v.Replayed != 21 || v.RowsByModel["flight-delays 2"] != 21 {
		t.Errorf("fsck: %+v", v)
	}

	// The stream itself, with version 2 from the beginning, elsewhere.
	rows := w.replayed(0)
	again := newWorld(t, 1)
	again.config.MaxEventBytes = 4096
	again.registerArtifact(2, trainedBy(t, lenient))
	again.promote(2)
	other := again.start()
	again.produce(mixed(n)...)
	again.produce(mixed(10)...)
	other.waitCommitted(n + 10)
	wanted, _ := again.read(0)
	for _, offset := range slices.Sorted(maps.Keys(rows)) {
		row, want := rows[offset].cells, wanted[offset].cells
		if len(row["_replay"]) != 32 || want["_replay"] != "(null)" || row["_model_version"] != "2" {
			t.Errorf("offset %d: _replay %q by version %s; %q of the stream's own", offset, row["_replay"], row["_model_version"], want["_replay"])
		}
		for name := range want {
			if name != "_scored_at" && name != "_replay" && row[name] != want[name] {
				t.Errorf("offset %d: %s is %s, the stream would have had %s", offset, name, row[name], want[name])
			}
		}
	}
	if len(rows) != 21 || better.Version != 2 {
		t.Errorf("%d replayed rows", len(rows))
	}
}

// TestTwoWhoReplayAtOnceLandEachRowOnce: both are done, and what one did the
// other finds done or helps with.
func TestTwoWhoReplayAtOnceLandEachRowOnce(t *testing.T) {
	const n = 300
	w := newWorld(t, 2)
	w.promote(1)
	w.registerArtifact(2, trainedBy(t, lenient))
	for p := range 2 {
		s := w.start(func(c *Config) { c.Partition = p; c.Rolling.Count = 40 })
		if p == 0 {
			w.produce(mixed(n)...)
		}
		s.waitCommitted(n / 2)
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
	}
	var people sync.WaitGroup
	sums := make([]deadletter.ReplaySummary, 4)
	errs := make([]error, len(sums))
	for i := range sums {
		people.Go(func() { sums[i], errs[i] = w.replay(2, "stage == '2 filter'") })
	}
	people.Wait()
	scored, recovered := int64(0), int64(0)
	for i, s := range sums {
		if errs[i] != nil {
			t.Errorf("%v", errs[i])
		}
		if s.Selected != n/10 || s.Scored+s.Already != n/10 {
			t.Errorf("%+v", s)
		}
		scored += s.Scored
		recovered += s.Recovered
	}
	if len(w.replayed(0))+len(w.replayed(1)) != n/10 || scored != n/10 {
		t.Errorf("%d and %d rows, %d scored by %+v", len(w.replayed(0)), len(w.replayed(1)), scored, sums)
	}
	if v := w.judge(); v.Replayed != n/10 {
		t.Errorf("fsck: %+v", v)
	}
}

// TestADeadLetterKeepsWhatItsColumnsComeFrom: key and headers of its record, so
// that a replay sees the same event; a version that reads more of a record than
// was kept does not guess.
func TestADeadLetterKeepsWhatItsColumnsComeFrom(t *testing.T) {
	w := newWorld(t, 1)
	w.registerArtifact(1, trainedBy(t, enveloped))
	w.registerArtifact(2, trainedBy(t, strings.Replace(enveloped, "distance < 100000", "distance < 1000000000", 1)))
	w.promote(1)
	s := w.start()
	for i := range 6 {
		r := around(t, "{}", i)
		for j := range r.Headers {
			if r.Headers[j].Key == "distance" && i%2 == 1 {
				r.Headers[j].Value = []byte("500000")
			}
		}
		w.produceRecords(r)
	}
	s.waitCommitted(6)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	got, err := w.replay(2, "")
	if err != nil || got != (deadletter.ReplaySummary{Selected: 3, Scored: 3, Slots: 1}) {
		t.Fatalf("%+v, %v", got, err)
	}
	for offset, row := range w.replayed(0) {
		if row.cells["distance"] != "500000" || row.cells["origin"] == "(null)" {
			t.Errorf("offset %d: %v", offset, row.cells)
		}
	}
	w.judge()

	bare := newWorld(t, 1)
	bare.promote(1)
	bare.registerArtifact(2, trainedBy(t, enveloped))
	s = bare.start()
	bare.produce("no event")
	s.waitCommitted(1)
	if got, err := bare.replay(2, ""); err != nil || got != (deadletter.ReplaySummary{Selected: 1, Truncated: 1}) {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestAReplayOfManyDaysTakesSlotAfterSlot: an object for each day, and no more
// of them than a slot can name.
func TestAReplayOfManyDaysTakesSlotAfterSlot(t *testing.T) {
	const n = 2*engine.MaxDays + 50
	w := newWorld(t, 1)
	w.config.PartitionBy = "date"
	w.promote(1)
	w.registerArtifact(2, trainedBy(t, lenient))
	s := w.start()
	events := make([]string, n)
	for i := range events { // a day each
		events[i] = fmt.Sprintf(`{"date":"%d-%02d-%02d 05:00:00","distance":200000,"origin":"a1"}`, 2001+i/336, 1+i/28%12, 1+i%28)
	}
	w.produce(events...)
	s.waitCommitted(n)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	got, err := deadletter.Replay(context.Background(), w.sink, w.registry, slogDiscard(), deadletter.ReplayConfig{Pipeline: "flight-delays", Generation: 2, Topic: topic, Partitions: 1,
		Prefix: w.config.Prefix, Model: w.versions[2], PartitionBy: "date"}, nil)
	if want := (deadletter.ReplaySummary{Selected: n, Scored: n, Slots: 3}); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	if rows := w.replayed(0); len(rows) != n {
		t.Errorf("%d rows", len(rows))
	}
	if v := w.judge(); v.Replayed != n {
		t.Errorf("fsck: %+v", v)
	}
}
