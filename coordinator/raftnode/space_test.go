package raftnode

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/thalweg/thalweg"
)

// followers returns the members that do not lead.
func (g *group) followers() (ids []string) {
	leader := g.leader()
	for id, m := range g.members {
		if m != leader {
			ids = append(ids, id)
		}
	}
	return ids
}

func TestALeaderWithoutSpaceOnlyReadsUntilItHasSome(t *testing.T) {
	t.Parallel()
	g := newGroup(t, "a")
	g.commit("one")
	g.full.Store("a", true)
	_, err := g.leader().Apply([]byte("two"))
	if !thalweg.Is(err, thalweg.Exhausted) || !strings.Contains(fmt.Sprint(err), g.dir) {
		t.Errorf("apply without space: %v", err)
	}
	if err := g.leader().Restore([]byte("[]"), 1); !thalweg.Is(err, thalweg.Exhausted) {
		t.Errorf("restore without space: %v", err)
	}
	if got := g.leader().machine.entries(); fmt.Sprint(got) != "[one]" {
		t.Errorf("entries %v", got)
	}
	g.full.Delete("a")
	g.commit("two")
	g.await(2)
}

// A follower without space takes nothing, and catches up once it has some; the
// others go on. Together with one that is away, it keeps them from committing.
func TestAFollowerWithoutSpaceTakesNothingAndCatchesUp(t *testing.T) {
	t.Parallel()
	g := newGroup(t, "a", "b", "c")
	g.commit("one")
	g.await(1)
	follower := g.followers()[0]
	g.full.Store(follower, true)
	g.commit("two", "three")
	if n := g.members[follower].machine.len(); n != 1 {
		t.Errorf("the follower without space has %d entries", n)
	}
	g.full.Delete(follower)
	g.commit("four")
	g.await(4)
	for id, m := range g.members {
		if got := fmt.Sprint(m.machine.entries()); got != "[one two three four]" {
			t.Errorf("node %s has %v", id, got)
		}
	}
}

// An election writes too, and has to: without a leader nothing can be read.
func TestALeaderIsElectedWithoutSpace(t *testing.T) {
	t.Parallel()
	g := newGroup(t, "a", "b", "c")
	g.commit("one")
	g.await(1)
	for _, id := range []string{"a", "b", "c"} {
		g.full.Store(id, true)
	}
	g.stop(g.leader().cfg.ID)
	if got := g.leader().machine.entries(); fmt.Sprint(got) != "[one]" {
		t.Errorf("entries %v", got)
	}
	g.full.Clear()
	g.commit("two")
}

func TestACommitThatNoMajorityTakesIsAnsweredAsUnknown(t *testing.T) {
	t.Parallel()
	g := newGroup(t, "a", "b", "c")
	g.commit("one")
	g.await(1)
	leader := g.leader()
	for _, id := range g.followers() {
		g.full.Store(id, true)
	}
	leader.cfg.CommitTimeout = 200 * time.Millisecond
	_, err := leader.Apply([]byte("two"))
	if !thalweg.Is(err, thalweg.Unavailable) || !strings.Contains(fmt.Sprint(err), "unknown") {
		t.Errorf("without a majority: %v", err)
	}
	g.full.Clear()
	g.await(2) // it was on its way
}

func TestRestoreReplacesTheMachinesOfAllMembers(t *testing.T) {
	t.Parallel()
	g := newGroup(t, "a", "b", "c")
	g.commit("one")
	g.await(1)
	if err := g.leader().Restore([]byte(`["x","y"]`), 1<<33); err != nil {
		t.Fatal(err)
	}
	g.commit("z")
	g.await(3)
	for id, m := range g.members {
		if got := fmt.Sprint(m.machine.entries()); got != "[x y z]" || m.AppliedIndex() <= 1<<33 {
			t.Errorf("node %s has %v at %d", id, got, m.AppliedIndex())
		}
	}
	for _, id := range []string{"a", "b", "c"} {
		g.stop(id)
	}
	for _, p := range g.peers { // from disk
		l, err := net.Listen("tcp", p.Address)
		if err != nil {
			t.Fatal(err)
		}
		g.start(p.ID, l, &list{})
	}
	g.commit("w")
	g.await(4)
}

// Without a majority that takes it, a change of the members is answered too.
func TestAChangeOfMembersThatNoMajorityTakesIsAnsweredAsUnknown(t *testing.T) {
	t.Parallel()
	g := newGroup(t, "a", "b", "c")
	g.commit("one")
	g.await(1)
	leader := g.leader()
	for _, id := range g.followers() {
		g.full.Store(id, true)
	}
	leader.cfg.CommitTimeout = 200 * time.Millisecond
	if _, err := leader.Apply([]byte("two")); !thalweg.Is(err, thalweg.Unavailable) { // it stands before the change
		t.Errorf("commit: %v", err)
	}
	if err := leader.Put(Member{Peer: Peer{ID: "d", Address: "127.0.0.1:1"}}); !thalweg.Is(err, thalweg.Unavailable) {
		t.Errorf("put: %v", err)
	}
	g.full.Clear()
}

// Entries in the place of others that are gone are taken without space, wherever the
// others began.
func TestWhatReplacesTheWholeLogIsTakenWithoutSpace(t *testing.T) {
	s, err := openStore(filepath.Join(t.TempDir(), logFile), "", func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	full := false
	log := &spaced{store: s, writable: func() error {
		if full {
			return errLowSpace
		}
		return nil
	}}
	if err := log.StoreLogs([]*raft.Log{{Index: 10, Term: 2, Type: raft.LogCommand}, {Index: 11, Term: 2, Type: raft.LogCommand}}); err != nil {
		t.Fatal(err)
	}
	full = true
	if err := log.DeleteRange(10, 11); err != nil {
		t.Fatal(err)
	}
	if err := log.StoreLogs([]*raft.Log{{Index: 10, Term: 3, Type: raft.LogCommand}}); err != nil {
		t.Errorf("in the place of what is gone: %v", err)
	}
	if err := log.StoreLogs([]*raft.Log{{Index: 11, Term: 3, Type: raft.LogCommand}}); err == nil {
		t.Error("a further entry is taken without space")
	}
}
