package scorer

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
)

// The end is the newest that is known of the topic that the log is at, and where
// there is none, it is said why.
func TestTheEndOfARestingPartitionIsTheOneLookedAt(t *testing.T) {
	for name, tc := range map[string]struct {
		fetching bool
		seen     watched
		end      int64
		why      string
	}{
		"fetches tell":          {fetching: true, seen: watched{topicID: "a", end: 9}, end: 7},
		"nothing was looked at": {seen: watched{end: -1}, end: 7},
		"it grew":               {seen: watched{topicID: "a", end: 9}, end: 9},
		"an older look":         {seen: watched{topicID: "a", end: 5}, end: 7},
		"another topic":         {seen: watched{topicID: "b", end: 9}, end: -1, why: "another topic"},
		"nobody answers":        {seen: watched{end: -1, err: errors.New("no broker")}, end: -1, why: "not known: no broker"},
		"but a fetch goes on":   {fetching: true, seen: watched{end: -1, err: errors.New("no broker")}, end: 7},
	} {
		m := newPartition(Config{}, newJitter())
		m.source.end, m.source.topicID = 7, "a"
		if tc.fetching {
			m.Begin(opFetch)
		}
		end, why := (&runner{machine: m, watched: tc.seen}).end()
		if end != tc.end || (why == "") != (tc.why == "") || !strings.Contains(why, tc.why) {
			t.Errorf("%s: %d %q", name, end, why)
		}
	}
}

// TestTheOldestEventIsTheFirstThatIsNotScored: it is known where it was fetched, where the
// topic was looked at, and else by the event before it.
func TestTheOldestEventIsTheFirstThatIsNotScored(t *testing.T) {
	for name, tc := range map[string]struct {
		committed, end int64
		backlog        []int64 // timestamps
		watched        watched
		newest         int64
		want           int64
	}{
		"nothing is known":         {committed: -1, end: 7, want: unknownTime},
		"the end is not known":     {committed: 5, end: -1, want: unknownTime},
		"all is scored":            {committed: 7, end: 7, newest: 40, want: 0},
		"it is fetched":            {committed: 5, end: 7, backlog: []int64{50, 60}, newest: 40, watched: watched{from: 5, at: 45}, want: 50},
		"it bears no time":         {committed: 5, end: 7, backlog: []int64{-1000, 60}, newest: 40, want: unknownTime},
		"it was looked at":         {committed: 5, end: 7, watched: watched{from: 5, at: 45}, newest: 40, want: 45},
		"something older was":      {committed: 5, end: 7, watched: watched{from: 4, at: 35}, newest: 40, want: 40},
		"only markers are left":    {committed: 5, end: 6, watched: watched{from: 5, none: true}, newest: 40, want: 0},
		"nobody has looked at any": {committed: 5, end: 7, want: unknownTime},
	} {
		m := newPartition(Config{}, newJitter())
		m.slots.committed = tc.committed
		r := &runner{machine: m, watched: tc.watched, newest: tc.newest}
		if len(tc.backlog) > 0 {
			var records connectors.Records
			for i, at := range tc.backlog {
				records.Append(tc.committed+int64(i), at, nil, []byte("{}"))
			}
			r.backlog.Add(&records)
		}
		if got := r.oldest(tc.end); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}
}

// TestAPausedStreamSaysSinceWhenItIsBehind: nothing is fetched of it, so the topic is
// looked at.
func TestAPausedStreamSaysSinceWhenItIsBehind(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	w.produce(goodEvent(0))
	s := w.start()
	s.wait("the first event", func(st Status) bool { return st.Committed == 1 && st.Oldest == 0 })
	s.Pause(true)
	s.wait("its rest", func(st Status) bool { return st.State == thalweg.StreamPaused })
	before := time.Now().Truncate(time.Millisecond)
	w.produce(goodEvent(1))
	after := time.Now()
	w.produce(goodEvent(2))
	s.wait("the time of the second event", func(st Status) bool {
		at := time.UnixMicro(st.Oldest)
		return !at.Before(before) && !at.After(after)
	})
	s.Pause(false)
	s.wait("all events", func(st Status) bool { return st.Committed == 3 && st.Oldest == 0 })
}

// TestAMessageTellsACauseOnce: a topic that is not there keeps the stream from
// beginning and its end from being known.
func TestAMessageTellsACauseOnce(t *testing.T) {
	m := newPartition(Config{}, newJitter())
	m.slots.opened = true
	cause := &thalweg.Error{Op: "read topic", Kind: thalweg.NotFound, Subject: "flights", Hint: "create the topic"}
	m.Begin(opStart)
	m.complete(opStart, cause)
	_, unknown := (&runner{machine: m, watched: watched{end: -1, err: cause}}).end()
	got := m.message("fetching waits for memory", unknown)
	if strings.Count(got, cause.Error()) != 1 || !strings.Contains(got, "waiting for the topic") || !strings.HasSuffix(got, "; fetching waits for memory") {
		t.Error(got)
	}
	if got := newPartition(Config{}, newJitter()).message("", unknown); !strings.Contains(got, unknown) {
		t.Error(got)
	}
}
