package raftnode

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/thalweg/thalweg"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// list is a machine that keeps the entries applied to it.
type list struct {
	mu      sync.Mutex
	Entries []string
	refuse  string // an entry that it does not understand
}

func (l *list) Apply(index uint64, entry []byte) (any, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if string(entry) == l.refuse {
		return nil, errors.New("not understood")
	}
	// A leader that lost its office cannot say whether an entry counts, so that it is
	// sent again.
	if n := len(l.Entries); n == 0 || l.Entries[n-1] != string(entry) {
		l.Entries = append(l.Entries, string(entry))
	}
	return fmt.Sprintf("%s at %d", entry, index), nil
}

func (l *list) Snapshot() ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return json.Marshal(l.Entries)
}

func (l *list) Restore(snapshot []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return json.Unmarshal(snapshot, &l.Entries)
}

func (l *list) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.Entries)
}

// entries returns those applied so far.
func (l *list) entries() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.Entries)
}

// member is one node of a test cluster and its run.
type member struct {
	*Node
	machine *list
	stop    context.CancelFunc
	done    chan error
}

// group is a cluster in one process.
type group struct {
	t        *testing.T
	dir      string
	members  map[string]*member
	peers    []Peer
	election time.Duration
	log      *slog.Logger // nil: none
	full     sync.Map     // IDs of nodes whose disk is nearly full
}

func newGroup(t *testing.T, ids ...string) *group {
	return newSteadyGroup(t, 200*time.Millisecond, ids...)
}

// newSteadyGroup starts a group whose followers wait longer for their leader.
func newSteadyGroup(t *testing.T, election time.Duration, ids ...string) *group {
	return newGroupWithLog(t, election, nil, ids...)
}

func newGroupWithLog(t *testing.T, election time.Duration, log *slog.Logger, ids ...string) *group {
	g := &group{t: t, dir: t.TempDir(), election: election, log: log, members: make(map[string]*member)}
	listeners := make(map[string]net.Listener)
	for _, id := range ids {
		listeners[id] = listen(t)
		g.peers = append(g.peers, Peer{ID: id, Address: listeners[id].Addr().String()})
	}
	for _, id := range ids {
		g.start(id, listeners[id], &list{})
	}
	t.Cleanup(func() {
		for id := range g.members {
			g.stop(id)
		}
	})
	return g
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (g *group) config(id string) Config {
	free := func(string) (int64, error) {
		if _, full := g.full.Load(id); full {
			return MinFreeBytes - 1, nil
		}
		return MinFreeBytes, nil
	}
	return Config{ID: id, Peers: g.peers, Dir: filepath.Join(g.dir, id), FreeBytes: free, Timing: Timing{ElectionTimeout: g.election, TrailingLogs: 1}}
}

func (g *group) start(id string, l net.Listener, machine *list) {
	g.t.Helper()
	node, err := Open(cmp.Or(g.log, slog.New(slog.DiscardHandler)), l, machine, g.config(id))
	if err != nil {
		g.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &member{Node: node, machine: machine, stop: cancel, done: make(chan error, 1)}
	go func() { m.done <- node.Run(ctx) }()
	g.members[id] = m
}

func (g *group) stop(id string) {
	g.t.Helper()
	m := g.members[id]
	delete(g.members, id)
	m.stop()
	if err := <-m.done; err != nil {
		g.t.Errorf("node %s: %v", id, err)
	}
}

// leader waits until one of the running nodes can answer reads.
func (g *group) leader() *member {
	g.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		for _, m := range g.members {
			if m.IsLeader() && m.Read() == nil {
				return m
			}
		}
		ctx, cancel := context.WithTimeout(g.t.Context(), 20*time.Millisecond)
		<-ctx.Done()
		cancel()
	}
	g.t.Fatal("no leader")
	return nil
}

// commit applies entries through whoever leads.
func (g *group) commit(entries ...string) {
	g.t.Helper()
	for _, e := range entries {
		for {
			if _, err := g.leader().Apply([]byte(e)); err == nil {
				break
			} else if !thalweg.Is(err, thalweg.Unavailable) {
				g.t.Fatal(err)
			}
		}
	}
}

// await waits until every node has n entries.
func (g *group) await(n int) {
	g.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for id, m := range g.members {
		for m.machine.len() < n {
			if time.Now().After(deadline) {
				g.t.Fatalf("node %s has %d of %d entries", id, m.machine.len(), n)
			}
			ctx, cancel := context.WithTimeout(g.t.Context(), 5*time.Millisecond)
			<-ctx.Done()
			cancel()
		}
	}
}

func TestEntriesReachAllNodesAndSurviveALeader(t *testing.T) {
	t.Parallel()
	g := newGroup(t, "a", "b", "c")
	g.commit("one", "two")
	g.await(2)
	first := g.leader()
	for id, m := range g.members {
		if m == first {
			g.stop(id)
			break
		}
	}
	g.commit("three")
	g.await(3)
}

func TestLeaderAnswersWithTheMachinesAnswer(t *testing.T) {
	t.Parallel()
	g := newGroup(t, "a")
	answer, err := g.leader().Apply([]byte("x"))
	if s, ok := answer.(string); err != nil || !ok || s[:5] != "x at " {
		t.Errorf("answer %v, %v", answer, err)
	}
}

func TestFollowerRefuses(t *testing.T) {
	t.Parallel()
	g := newGroup(t, "a", "b", "c")
	leader := g.leader()
	for _, m := range g.members {
		if m == leader {
			continue
		}
		if _, err := m.Apply([]byte("x")); !thalweg.Is(err, thalweg.Unavailable) {
			t.Errorf("apply on a follower: %v", err)
		}
		if err := m.Read(); !thalweg.Is(err, thalweg.Unavailable) {
			t.Errorf("read on a follower: %v", err)
		}
		if id := m.WaitLeader(t.Context()); id != leader.cfg.ID {
			t.Errorf("the follower takes %q for the leader, not %q", id, leader.cfg.ID)
		}
	}
}

func TestStateIsKeptOverARestartOfAllUnderOtherAddresses(t *testing.T) {
	t.Parallel()
	g := newGroup(t, "a", "b", "c")
	g.commit("one", "two", "three")
	g.await(3)
	if err := g.leader().Snapshot(); err != nil {
		t.Fatal(err)
	}
	g.commit("four")
	g.await(4)
	for _, id := range []string{"a", "b", "c"} {
		g.stop(id)
	}
	listeners := make(map[string]net.Listener)
	g.peers = nil
	for _, id := range []string{"a", "b", "c"} {
		listeners[id] = listen(t)
		g.peers = append(g.peers, Peer{ID: id, Address: listeners[id].Addr().String()})
	}
	for _, p := range g.peers {
		g.start(p.ID, listeners[p.ID], &list{})
	}
	g.commit("five")
	g.await(5)
	if got := g.leader().machine.entries(); fmt.Sprint(got) != "[one two three four five]" {
		t.Errorf("entries %v", got)
	}
}

func TestNodeFarBehindGetsASnapshot(t *testing.T) {
	t.Parallel()
	g := newGroup(t, "a", "b", "c")
	g.commit("one")
	g.await(1)
	behind := "a"
	if g.leader() == g.members["a"] {
		behind = "b"
	}
	g.stop(behind)
	g.commit("two", "three", "four", "five", "six")
	if err := g.leader().Snapshot(); err != nil {
		t.Fatal(err)
	}
	g.commit("seven")
	var address string
	for _, p := range g.peers {
		if p.ID == behind {
			address = p.Address
		}
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	g.start(behind, l, &list{})
	g.await(7)
}

func TestEntryThatIsNotUnderstoodStopsTheNode(t *testing.T) {
	t.Parallel()
	g := newGroup(t, "a")
	m := g.leader()
	m.machine.mu.Lock()
	m.machine.refuse = "bad"
	m.machine.mu.Unlock()
	if _, err := m.Apply([]byte("bad")); err == nil {
		t.Error("the entry was acknowledged")
	}
	err := <-m.done
	if err == nil {
		t.Error("the node went on")
	}
	m.done <- nil // for the clean-up
	if n := m.machine.len(); n != 0 {
		t.Errorf("%d entries were applied", n)
	}
}

func TestFailedWriteStopsTheNode(t *testing.T) {
	t.Parallel()
	g := newGroup(t, "a")
	m := g.leader()
	// A closed file fails writes as a broken disk does.
	if err := m.store.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Apply([]byte("x")); err == nil {
		t.Error("the entry was acknowledged")
	}
	if err := <-m.done; !thalweg.Is(err, thalweg.Corrupt) {
		t.Errorf("the node ended with %v", err)
	}
	m.done <- nil // for the clean-up
}

func TestDirectoryOfAnotherClusterIsRefused(t *testing.T) {
	t.Parallel()
	g := newGroup(t, "a")
	g.commit("one")
	g.stop("a")
	l := listen(t)
	cfg := g.config("a")
	cfg.Peers = []Peer{{ID: "a", Address: l.Addr().String()}, {ID: "b", Address: "127.0.0.1:1"}, {ID: "c", Address: "127.0.0.1:2"}}
	if _, err := Open(slog.New(slog.DiscardHandler), l, &list{}, cfg); !thalweg.Is(err, thalweg.Invalid) {
		t.Errorf("opened with other members: %v", err)
	}
}

func TestDirectoryInUseIsRefused(t *testing.T) {
	t.Parallel()
	g := newGroup(t, "a")
	g.leader()
	if _, err := Open(slog.New(slog.DiscardHandler), listen(t), &list{}, g.config("a")); err == nil {
		t.Error("two nodes on one directory")
	}
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	peers := []Peer{{ID: "a", Address: "127.0.0.1:1"}}
	for name, cfg := range map[string]Config{
		"no directory":    {ID: "a", Peers: peers},
		"not among peers": {ID: "b", Peers: peers, Dir: os.TempDir()},
		"twice":           {ID: "a", Peers: append(peers, peers...), Dir: os.TempDir()},
	} {
		if err := cfg.Validate(); !thalweg.Is(err, thalweg.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := (Config{ID: "a", Peers: peers, Dir: os.TempDir()}).Validate(); err != nil {
		t.Error(err)
	}
}
