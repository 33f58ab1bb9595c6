package scorer

import (
	"errors"
	"strings"
	"testing"
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
