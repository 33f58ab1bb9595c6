package raftnode

import (
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

// lines is a log.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *lines) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), what)
}

const stands = "this node stands for election"

// TestALeaderThatIsGoneIsMissedAtOnce: followers that would wait for three seconds stand for
// election once the leader's process has ended. An election that nobody wins, as on a machine
// without time, is followed by one of raft's own.
func TestALeaderThatIsGoneIsMissedAtOnce(t *testing.T) {
	t.Parallel()
	log := new(lines)
	g := newGroupWithLog(t, 200*time.Millisecond, slog.New(slog.NewTextHandler(log, nil)), "a", "b", "c", "d", "e")
	g.commit("one")
	for _, m := range g.members {
		patient := m.raft.ReloadableConfig()
		patient.HeartbeatTimeout, patient.ElectionTimeout = 3*time.Second, 3*time.Second
		if err := m.raft.ReloadConfig(patient); err != nil {
			t.Fatal(err)
		}
	}
	g.commit("two")
	before := log.count(stands)
	dies := g.leader()
	dies.wire.Close() // as a kernel does at the end of a process: it hands nothing on
	g.stop(dies.cfg.ID)
	g.commit("three")
	if log.count(stands) == before {
		t.Error("nobody stood for election at once")
	}
}

// TestOnlyALeaderThatIsGoneIsMissedAtOnce: where another member is gone, or connections end
// although the leader is there, nobody stands for election.
func TestOnlyALeaderThatIsGoneIsMissedAtOnce(t *testing.T) {
	t.Parallel()
	log := new(lines)
	g := newGroupWithLog(t, time.Second, slog.New(slog.NewTextHandler(log, nil)), "a", "b", "c")
	g.commit("one")
	leader := g.leader()
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
	if n := log.count(stands); n > 0 {
		t.Errorf("%d stood for election", n)
	}
}
