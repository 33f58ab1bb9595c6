package scorer

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/thalweg/thalweg/pipeline/artifact/artifacttest"
)

// A stream whose events all die says so, with the reason, and no more once one
// became a row.
func TestAStreamWhoseEventsAllDieSaysSo(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	s := w.start()
	w.produce(`{"schema":{},"payload":{"distance":1}}`, `{"schema":{},"payload":{"distance":2}}`)
	status := s.waitCommitted(2)
	if !strings.Contains(status.Message, "none of the last 2 events became a row") || !strings.Contains(status.Message, "Kafka Connect") {
		t.Errorf("message %q", status.Message)
	}
	w.produce(goodEvent(1), "poison")
	if status = s.waitCommitted(4); strings.Contains(status.Message, "none of") {
		t.Errorf("a stream with a row: message %q", status.Message)
	}
	w.produce(poison(0, rateMinimum, func(int) bool { return true })...)
	if status = s.waitCommitted(4 + rateMinimum); !strings.Contains(status.Message, "none of the last ") {
		t.Errorf("message %q", status.Message)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	w.judge()
}

// A column that only the split could use is written where it fits, null and
// counted where not: its event becomes a row all the same.
func TestAColumnThatNothingReadsLosesNoEvent(t *testing.T) {
	w := newWorld(t, 1)
	unread := strings.Replace(artifacttest.Flights, "    - {name: hour,     type: category, expression: \"hour(date)\"}\n", "", 1)
	unread = strings.Replace(unread, "name: date,        type: timestamp, nullable: false", "name: date, type: timestamp", 1)
	w.registerArtifact(1, artifacttest.TrainFlights(t, unread, 1))
	w.promote(1)
	s := w.start()
	const n = 300
	var events []string
	for i := range n {
		date := `"2001-03-04T05:06:07Z"`
		if i%3 > 0 {
			date = []string{`1.5`, `"some day"`}[i%3-1]
		}
		events = append(events, fmt.Sprintf(`{"date":%s,"distance":%d,"origin":"x"}`, date, i))
	}
	w.produce(events...)
	status := s.waitCommitted(n)
	if status.Rows != n || status.DeadLetters != 0 || !strings.Contains(status.Message, "200 values did not fit column date") {
		t.Errorf("%d rows, %d dead letters, message %q", status.Rows, status.DeadLetters, status.Message)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	w.judge()
}

// Events that fail a data test are dead letters that name it, or are told of by the status.
func TestEventsThatFailDataTestsAreSeen(t *testing.T) {
	w := newWorld(t, 1)
	w.registerArtifact(1, artifacttest.TrainFlights(t, strings.Replace(artifacttest.Flights, "spec:\n", `spec:
  tests:
    - {column: distance, not_null: true}
    - {column: origin, regex: "^[A-C]$", severity: warn}
`, 1), 1))
	w.promote(1)
	var counting sync.Mutex
	failed := make(map[string]int64)
	s := w.start(func(c *Config) {
		c.TestFailed = func(test, severity string, events int64) {
			counting.Lock()
			defer counting.Unlock()
			failed[test+" of "+severity] += events
		}
	})
	const n = 300
	var events []string
	for i := range n {
		distance := fmt.Sprint(i)
		if i%100 == 7 {
			distance = "null"
		}
		events = append(events, fmt.Sprintf(`{"date":"2001-03-04T05:06:07Z","distance":%s,"origin":%q}`, distance, "abcd"[i%4:i%4+1]))
	}
	w.produce(events...)
	status := s.waitCommitted(n)
	if status.Rows != n-3 || status.DeadLetters != 3 || !strings.Contains(status.Message, "75 events failed test 2 regex origin, which warns") {
		t.Errorf("%d rows, %d dead letters, message %q", status.Rows, status.DeadLetters, status.Message)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if want := map[string]int64{"1 not_null distance of error": 3, "2 regex origin of warn": 75}; !maps.Equal(failed, want) {
		t.Errorf("failed are %v, want %v", failed, want)
	}
	w.judge()
}
