package lineage

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/commitlog/commitlogtest"
	"github.com/thalweg/thalweg/worker/stream/deadletter"
	"github.com/thalweg/thalweg/worker/stream/scorer"
)

// TestAKeyIsFoundAsOfATime holds Latest against a look at all rows: before and after a
// compaction and a replay of dead letters.
func TestAKeyIsFoundAsOfATime(t *testing.T) {
	const hour = 3600_000_000
	w := newWorld(t, true)
	began, from := int64(1_700_000_000_000_000), int64(0)
	for i := range int64(3) {
		w.produce(40)
		w.stream(func(c *scorer.Config) {
			c.Range = &scorer.Range{From: from, To: w.topic.end(), TopicID: topicID, ScoredAtUS: began + i*hour}
		})
		from = w.topic.end()
	}
	found := 0
	compare := func(seed uint64) {
		t.Helper()
		random := rand.New(rand.NewPCG(seed, 1))
		var rows []*Document
		for _, offset := range w.topic.all.Offsets {
			if doc := w.trace(offset, false); doc.Outcome == Scored {
				rows = append(rows, doc)
			}
		}
		for range 60 {
			of := rows[random.IntN(len(rows))]
			cell := of.Row[random.IntN(6)]
			if cell.Value == nil {
				continue
			}
			a := AsOf{Key{cell.Name, *cell.Value}, began + random.Int64N(4*hour) - hour/2}
			var want *Document
			for _, doc := range rows { // in the order of offsets
				if us := doc.Slot.Intent.ScoredAtUS; us <= a.AtUS && (want == nil || us >= want.Slot.Intent.ScoredAtUS) && has(doc.Row, cell) {
					want = doc
				}
			}
			got, err := Latest(t.Context(), w.sources().Sink, w.query(0), 1, a, func(int64, int64) {})
			switch {
			case want == nil && thalweg.Is(err, thalweg.NotFound):
			case want == nil || err != nil || got.Offset != want.Event.Offset || got.TopicID != topicID:
				t.Fatalf("seed %d: %s: %v, %v, want %+v", seed, a, got, err, want)
			default:
				found++
			}
		}
	}
	compare(1)
	cfg := commitlog.Config{Prefix: "scored/", Pipeline: "flight-delays", Topic: topicName}
	commitlogtest.Compact(t, w.lake, cfg, 1, 3)
	compare(2)
	if sum, err := deadletter.Replay(t.Context(), w.lake, w.registry, slog.New(slog.DiscardHandler), deadletter.ReplayConfig{Pipeline: "flight-delays", Generation: 3, Topic: topicName,
		Partitions: 1, Prefix: "scored/", Model: w.versions[2]}, nil); err != nil || sum.Scored == 0 {
		t.Fatalf("replay: %+v, %v", sum, err)
	}
	compare(3)
	if found < 50 {
		t.Errorf("%d keys were found", found)
	}
	for key, want := range map[string]string{
		"orogin=A1": "did you mean origin?", "distance=far": "the column is int64: a whole number", "date=soon": "a time such as", "origin=A9": "no row of", "origin": "COLUMN=VALUE",
	} {
		k, err := ParseKey(key)
		if err == nil {
			_, err = Latest(t.Context(), w.sources().Sink, w.query(0), 1, AsOf{k, began + 9*hour}, func(int64, int64) {})
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", key, err, want)
		}
	}
}

func has(row []Cell, cell Cell) bool {
	for _, c := range row {
		if c.Name == cell.Name {
			return fmt.Sprint(c) == fmt.Sprint(cell)
		}
	}
	return false
}
