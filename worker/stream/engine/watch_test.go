package engine

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/artifact/artifacttest"
	"github.com/thalweg/thalweg/pipeline/drift"
	"github.com/thalweg/thalweg/pipeline/monitor"
	"github.com/thalweg/thalweg/pipeline/summary"
)

// watched is a version with a reference.
func watched(t testing.TB) *artifact.Artifact {
	document := strings.Replace(artifacttest.Flights, "  scoring:", "  evaluation: {slices: [{columns: [origin]}]}\n  scoring:", 1)
	a := artifacttest.TrainFlights(t, document, 1)
	numbers, texts := summary.NewNumbers(), summary.NewTexts()
	for i := range 100 {
		numbers.AddNumber(float64(i))
		texts.AddText(fmt.Sprint("A", i%4), 1)
	}
	a.Monitoring = &monitor.Reference{Rows: 100, Score: drift.New(numbers), Slices: []monitor.SliceReference{{Name: "origin=A1", Score: drift.New(numbers)}}, Features: []monitor.FeatureReference{
		{Name: "distance", Values: drift.New(numbers)}, {Name: "origin", Values: drift.New(texts)}, {Name: "hour", Values: drift.New(texts)}}}
	return a
}

// What is counted does not depend on batches, on spans, and on who scores which partition.
func TestCountsDoNotDependOnHowEventsAreCut(t *testing.T) {
	a := watched(t)
	rapid.Check(t, func(t *rapid.T) {
		const partitions = 2
		n := rapid.IntRange(1, 400).Draw(t, "events")
		cfg := &monitor.Config{Window: 24 * time.Hour, OneIn: rapid.SampledFrom([]int64{1, 3, 16}).Draw(t, "one in")}
		if rapid.Bool().Draw(t, "by event time") {
			cfg.EventTime = "date"
		}
		event := func(partition, i int) []byte {
			switch {
			case i%11 == partition:
				return fmt.Appendf(nil, `{"date":"2001-03-0%d 10:00:00","distance":"far","origin":"a1"}`, 1+i%3)
			case i%7 == 0:
				return fmt.Appendf(nil, `{"date":"2001-03-0%d 10:00:00","distance":200000,"origin":"a1"}`, 1+i%3)
			case i%5 == 0:
				return fmt.Appendf(nil, `{"date":"2001-03-0%d 11:00:00","origin":"unheard of"}`, 1+i%3)
			}
			return []byte(flight(i))
		}
		// count scores a partition in spans of batches, whose sizes come from cut.
		count := func(partition int, cut func(left int) int, into *monitor.Sketch) {
			opened, err := New(Model{Name: "m", Version: 1}, a, Config{Compression: "zstd", MaxEventBytes: 1 << 20})
			if err != nil {
				t.Fatal(err)
			}
			e := opened.(*artifactEngine)
			for from := 0; from < n; {
				span := min(n, from+cut(n-from))
				r := &Rows{Topic: "flights", Partition: partition, Model: e.model, Engine: e, To: int64(from), Watch: cfg}
				for from < span {
					to := min(span, from+cut(span-from))
					var records connectors.Records
					for i := from; i < to; i++ {
						records.Append(int64(i), int64(i)*time.Hour.Microseconds(), nil, event(partition, i))
					}
					if err := e.Score(t.Context(), BatchOf(&records, int64(from), int64(to)), r); err != nil {
						t.Fatal(err)
					}
					from = to
				}
				r.count()
				r.Release()
				counts, flaw := r.Counts()
				if flaw != nil {
					t.Fatal(flaw)
				}
				if err := into.Merge(counts); err != nil {
					t.Fatal(err)
				}
			}
		}
		var whole, parts monitor.Sketch
		for partition := range partitions {
			count(partition, func(left int) int { return left }, &whole)
			count(partition, func(left int) int { return rapid.IntRange(1, left).Draw(t, "cut") }, &parts)
		}
		x, err := json.Marshal(&whole)
		if err != nil {
			t.Fatal(err)
		}
		y, err := json.Marshal(&parts)
		if err != nil {
			t.Fatal(err)
		}
		if string(x) != string(y) {
			t.Fatalf("in one go %s\nin parts %s", x, y)
		}
		var again monitor.Sketch
		if err := json.Unmarshal(x, &again); err != nil {
			t.Fatal(err)
		}
		var rows, dead, sliced int64
		for _, w := range again.Windows() {
			if rows += w.Rows; w.Rows > 0 && (w.Score.Rows() != w.Rows || w.Features["origin"].Counts.Rows() != w.Rows) {
				t.Fatalf("%d rows, and %+v", w.Rows, w)
			}
			for _, k := range w.Dead {
				dead += k
			}
			sliced += w.Slices["origin=A1"].Rows()
		}
		var chosen, ones int64
		for partition := range partitions {
			for i := range n {
				if i%11 != partition && i%7 != 0 && cfg.Chosen(int64(i)) {
					chosen++
					if i%5 != 0 && i%7 == 1 {
						ones++
					}
				}
			}
		}
		if dead+chosen == 0 != again.Empty() || rows != chosen || sliced != ones {
			t.Fatalf("%d rows, not %d, %d of origin A1, not %d, and %d dead letters", rows, chosen, sliced, ones, dead)
		}
	})
}
