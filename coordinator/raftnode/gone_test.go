package raftnode

import (
	"testing"
	"time"
)

// TestALeaderThatIsGoneIsMissedAtOnce: followers that would wait for an hour stand for
// election once the leader's process has ended, time and again.
func TestALeaderThatIsGoneIsMissedAtOnce(t *testing.T) {
	t.Parallel()
	g := newGroup(t, "a", "b", "c", "d", "e")
	for _, entry := range []string{"one", "two"} {
		g.commit(entry)
		for _, m := range g.members {
			patient := m.raft.ReloadableConfig()
			patient.HeartbeatTimeout, patient.ElectionTimeout = time.Hour, time.Hour
			if err := m.raft.ReloadConfig(patient); err != nil {
				t.Fatal(err)
			}
		}
		g.commit("patient") // the leader's heartbeats are as they were
		g.stop(g.leader().cfg.ID)
	}
	g.commit("three")
}

// TestOnlyALeaderThatIsGoneIsMissedAtOnce: where another member is gone, or connections end
// although the leader is there, nobody stands for election.
func TestOnlyALeaderThatIsGoneIsMissedAtOnce(t *testing.T) {
	t.Parallel()
	g := newSteadyGroup(t, 2*time.Second, "a", "b", "c")
	g.commit("one")
	leader := g.leader()
	term := leader.Term()
	for _, m := range g.members {
		for c := range m.wire.open.Range {
			c.(*conn).Conn.Close()
		}
	}
	g.commit("two")
	for id := range g.members {
		if id != leader.cfg.ID {
			g.stop(id)
			break
		}
	}
	g.commit("three")
	if now := g.leader(); now != leader || now.Term() != term {
		t.Errorf("%s leads in term %d; want %s in term %d", now.cfg.ID, now.Term(), leader.cfg.ID, term)
	}
}
