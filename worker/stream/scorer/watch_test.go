package scorer

import (
	"errors"
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
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
