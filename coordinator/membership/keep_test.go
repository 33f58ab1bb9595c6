package membership

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/thalweg/thalweg/coordinator/raftnode"
)

func TestOnlyDeadMembersAreRemovedAndOnlyWhereEnoughStay(t *testing.T) {
	now := time.Now()
	voters := func(n, joining int) (m []raftnode.Member) {
		for i := range n + joining {
			m = append(m, raftnode.Member{Peer: raftnode.Peer{ID: fmt.Sprint("c", i+1)}, Voter: i < n})
		}
		return m
	}
	for _, c := range []struct {
		what            string
		voters, joining int
		silent          []string
		since           time.Duration
		applied         map[string]uint64
		promote, remove string
	}{
		{what: "all well", voters: 3},
		{what: "three must stay", voters: 3, silent: []string{"c3"}, since: 2 * time.Hour},
		{what: "a fourth is dead", voters: 4, silent: []string{"c4"}, since: time.Hour, remove: "c4"},
		{what: "not for long enough", voters: 4, silent: []string{"c4"}, since: time.Hour - time.Second},
		{what: "one at a time", voters: 5, silent: []string{"c2", "c4"}, since: time.Hour, remove: "c2"},
		{what: "half is no majority", voters: 4, silent: []string{"c2", "c4"}, since: time.Hour},
		{what: "a new one holds the log", voters: 3, joining: 1, promote: "c4"},
		{what: "a new one does not yet", voters: 3, joining: 1, applied: map[string]uint64{"c4": 99}},
		{what: "a new one is dead", voters: 3, joining: 1, silent: []string{"c4"}, since: time.Hour, remove: "c4"},
	} {
		applied, heard := map[string]uint64{}, map[string]time.Time{}
		for _, m := range voters(c.voters, c.joining) {
			heard[m.ID] = now.Add(-c.since)
			if !slices.Contains(c.silent, m.ID) {
				applied[m.ID], heard[m.ID] = 100, now
			}
			if index, ok := c.applied[m.ID]; ok {
				applied[m.ID] = index
			}
		}
		promote, remove := judge(voters(c.voters, c.joining), applied, heard, 100, time.Hour, now)
		id := func(m *raftnode.Member) string {
			if m == nil {
				return ""
			}
			return m.ID
		}
		if id(promote) != c.promote || id(remove) != c.remove {
			t.Errorf("%s: promote %q and remove %q, want %q and %q", c.what, id(promote), id(remove), c.promote, c.remove)
		}
	}
}
