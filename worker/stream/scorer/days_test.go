package scorer

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

func partitionedBy(column string) func(*Config) {
	return func(c *Config) { c.PartitionBy, c.Rolling = column, Limits{Count: 1 << 20, Period: time.Hour} }
}

func TestRowsOfEachDayHaveAFileOfTheirOwn(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	s := w.start(partitionedBy("date"))
	events := []string{
		`{"date":"0000-01-01 00:00:00","distance":1}`, `{"date":"0500-01-01 00:00:00","distance":1}`, `{"date":"1969-12-31 23:59:59.999999","distance":1}`,
		`{"date":"9999-12-31 23:59:59","distance":1}`, `no json`,
	}
	for i := range 300 {
		events = append(events, goodEvent(i)) // of 28 days, one after the other
	}
	w.produce(events...)
	s.wait("all scored", func(s Status) bool { return s.Scored == int64(len(events)) })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	w.judge() // holds each row's day against its directory
	rows, letters := w.read(0)
	if len(rows) != 304 || len(letters) != 1 {
		t.Errorf("%d rows, %d dead letters", len(rows), len(letters))
	}
	days := map[string]bool{}
	for _, key := range w.keys("data/") {
		parts := strings.Split(key, "/")
		if days[parts[5]] {
			t.Errorf("two files for %s", parts[5])
		}
		days[parts[5]] = true
	}
	if len(days) != 32 || !days["date_date=0000-01-01"] || !days["date_date=0500-01-01"] || !days["date_date=1969-12-31"] || !days["date_date=9999-12-31"] || !days["date_date=2001-03-28"] {
		t.Errorf("%d days: %v", len(days), slices.Sorted(maps.Keys(days)))
	}
}

func TestASpanEndsBeforeItHasTooManyDays(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	s := w.start(partitionedBy("date"), func(c *Config) { c.Batching = Limits{Count: 1000, Period: 20 * time.Millisecond} })
	var events []string
	begin := time.Date(1990, 1, 1, 12, 0, 0, 0, time.UTC)
	const n = 1000
	for i := range n {
		if i%50 == 49 {
			events = append(events, "broken")
			continue
		}
		events = append(events, fmt.Sprintf(`{"date":%q,"distance":%d,"origin":"x"}`, begin.AddDate(0, 0, i).Format(time.DateTime), i))
	}
	w.produce(events...)
	s.waitCommitted(n - 130) // all but what fits the span that is open
	s.wait("all scored", func(s Status) bool { return s.Scored == n })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	w.judge()
	rows, letters := w.read(0)
	if len(rows) != 980 || len(letters) != 20 {
		t.Errorf("%d rows, %d dead letters", len(rows), len(letters))
	}
	if done := len(w.keys(".done.")); done != 8 {
		t.Errorf("%d slots for 980 days, at most %d in each, want 8", done, engine.MaxDays)
	}
}

func TestASlotsRowsByTheTimeOfScoringAreOneFile(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	s := w.start(partitionedBy("_scored_at"))
	w.produceGood(0, 100)
	s.wait("all scored", func(s Status) bool { return s.Scored == 100 })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	w.judge()
	if keys := w.keys("data/"); len(keys) != 1 || !strings.Contains(keys[0], "/scored_at_date=20") {
		t.Errorf("files %q", keys)
	}
}

func TestRowsWithoutTheColumnHaveNoDay(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	s := w.start(partitionedBy("when")) // a column that the version, which is older than the spec, has not
	w.produceGood(0, 100)
	s.wait("all scored", func(s Status) bool { return s.Scored == 100 })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	w.judge()
	if keys := w.keys("data/"); len(keys) != 1 || !strings.Contains(keys[0], "/when_date="+commitlog.Unknown+"/") {
		t.Errorf("files %q", keys)
	}
}

// A claim is carried out as it was made: otherwise its rows would be there
// twice, under two names.
func TestAClaimKeepsItsPartitioningWhateverTheSpecInForce(t *testing.T) {
	for _, by := range [][2]string{{"date", ""}, {"", "date"}, {"date", "_scored_at"}} {
		w := newWorld(t, 1)
		w.promote(1)
		w.produceGood(0, 100)
		whole := w.sink
		w.sink = &broken{Bucket: whole, part: ".done."}
		first := w.start(partitionedBy(by[0]), func(c *Config) { c.Rolling.Count, c.DrainTimeout = 100, time.Millisecond })
		first.wait("the broken store", func(s Status) bool { return s.Scored == 100 && strings.Contains(s.Message, "tries") })
		if err := first.stop(); err != nil {
			t.Fatal(err)
		}
		w.sink = whole
		before := w.keys("data/")
		second := w.start(partitionedBy(by[1]), func(c *Config) { c.Generation = 3 })
		second.waitCommitted(100)
		if err := second.stop(); err != nil {
			t.Fatal(err)
		}
		w.judge()
		if after := w.keys("data/"); len(before) == 0 || !slices.Equal(before, after) {
			t.Errorf("from %q to %q: files %q, before %q", by[0], by[1], after, before)
		}
	}
}

func TestBothSpellingsOfThePartitionColumnAreOne(t *testing.T) {
	for _, column := range []string{"date", "_scored_at", "a_b"} {
		if a, b := pipeline.PartitionColumn(column), commitlog.PartitionColumn(column); a != b {
			t.Errorf("%s is %s in the spec, %s in the log", column, a, b)
		}
	}
}
