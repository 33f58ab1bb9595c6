// Package raftnode runs one member of the coordinator's Raft cluster. All
// knowledge of hashicorp/raft is here: the durable log and snapshots on disk,
// the transport, elections, and what its errors mean. The state machine that it
// replicates is handed in as a Machine.
package raftnode

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/broadcast"
	"github.com/thalweg/thalweg/coordinator/auth/pki"
	"github.com/thalweg/thalweg/disk"
)

// Bounds of what is kept, and of waits.
const (
	// cachedEntries of the log stay in memory for followers that are a bit behind.
	cachedEntries = 512
	// snapshotEvery is how often it is looked whether a snapshot is due, and
	// snapshotAfter the number of new entries that makes it so.
	snapshotEvery = 30 * time.Second
	snapshotAfter = 4096
	// applyTimeout bounds the wait for a place in the leader's queue.
	applyTimeout = 5 * time.Second
)

// Machine is what the log drives. Its methods are called one at a time.
type Machine interface {
	// Apply carries out a committed entry and returns its answer. An error stops
	// the node: the entry cannot be understood, and going on would make this
	// machine differ from the others.
	Apply(index uint64, entry []byte) (answer any, err error)
	// Snapshot returns the whole machine as bytes, equal on all nodes.
	Snapshot() ([]byte, error)
	// Restore replaces the machine by a snapshot.
	Restore(snapshot []byte) error
}

// Peer is one member of the cluster.
type Peer struct {
	ID      string // never changes
	Address string // host:port of its raft transport; may change over a restart
	API     string // host:port of its RPC, as Members tells it; the same
}

// Config describes one node.
type Config struct {
	// ID is this node's.
	ID string
	// Peers are all members, this one included, the same list on every node, for a
	// cluster whose members do not change. When a node has no state yet it starts the
	// cluster from this list; afterwards the IDs must stay the same.
	Peers []Peer
	// Self is this node, where members change and there are no Peers: it belongs to
	// the cluster that its log says. Without one, it is Empty until Found is called
	// here, or by one to whose Founding it consented, or until the leader adds it.
	Self Peer
	// Dir holds the log and the snapshots. It belongs to one process at a time.
	Dir string
	// FreeBytes returns the space that is left where a directory is, default that of
	// its file system. Below MinFreeBytes the node only reads.
	FreeBytes func(dir string) (int64, error)
	// Credentials are those of a coordinator; nil: members do not know each other, so
	// the listener has to be on loopback.
	Credentials *pki.Credentials
	Timing
}

// Timing is how patient a node is, and how much of the log it keeps.
type Timing struct {
	// ElectionTimeout is how long a follower waits for its leader at least before it
	// asks for an election, and then for votes, default 500 ms: up to three times as
	// long goes by before a leader that stands still or cannot be reached is missed.
	// One whose process is gone is missed at once. A leader goes on for as long without
	// hearing from a majority.
	ElectionTimeout time.Duration
	// CommitTimeout is how long a command waits for a majority that answers the leader
	// and takes no entries, default 8 s: below what a client waits for one node.
	CommitTimeout time.Duration
	// TrailingLogs is the number of entries kept behind a snapshot for followers
	// that are a bit behind, default 2048.
	TrailingLogs uint64
}

// Validate reports the first thing that is wrong with c.
func (c Config) Validate() error {
	invalid := func(subject, hint string) error {
		return &thalweg.Error{Op: "configure raft", Kind: thalweg.Invalid, Subject: subject, Hint: hint}
	}
	seen := make(map[string]bool)
	peers := c.Peers
	if len(peers) == 0 {
		peers = []Peer{c.Self}
	}
	for _, p := range peers {
		if p.ID == "" || p.Address == "" || seen[p.ID] {
			return invalid(fmt.Sprintf("peer %q at %q", p.ID, p.Address), "each peer needs an ID of its own and an address")
		}
		seen[p.ID] = true
	}
	switch {
	case !seen[c.ID]:
		return invalid(fmt.Sprintf("node %q", c.ID), "the peers must name this node too")
	case c.Dir == "":
		return invalid("directory", "the log needs a place")
	}
	return nil
}

// Node is a running member. Its methods may be called concurrently.
type Node struct {
	cfg   Config
	log   *slog.Logger
	raft  *raft.Raft
	book  *addressBook
	fsm   *fsm
	store *store
	wire  *stream
	trans *raft.NetworkTransport
	// founding is what the node has consented to, founded that it came to be, and
	// admitted that the leader has taken it for a member.
	founding atomic.Pointer[Founding]
	founded  atomic.Bool
	admitted atomic.Bool
	guarding context.CancelFunc
	guards   sync.WaitGroup
	// leaders announces that another leads, or nobody, as far as this node knows.
	leaders broadcast.Notifier
	// stopping makes raft's messages details: peers of a cluster that stops are
	// gone, which is no failure.
	stopping atomic.Bool
	// ended is closed once the node must not go on, because of failure, or closes.
	ended   chan struct{}
	endOnce sync.Once
	failure error
	// readable is the newest term in which this node, as leader, has applied all
	// that was committed before.
	readable atomic.Uint64
}

// Open starts a member on the listener, which it takes over, and the directory.
// cfg has to be valid. The caller must Run the node.
func Open(log *slog.Logger, listener net.Listener, machine Machine, cfg Config) (*Node, error) {
	if cfg.FreeBytes == nil {
		cfg.FreeBytes = disk.Free
	}
	cfg.ElectionTimeout = cmp.Or(cfg.ElectionTimeout, 500*time.Millisecond)
	n := &Node{cfg: cfg, log: log, book: newAddressBook(cfg), ended: make(chan struct{})}
	n.fsm = &fsm{machine: machine, fail: n.fail}
	n.wire = newStream(listener, cfg.Credentials)
	if err := n.open(); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

func (n *Node) open() error {
	if err := os.MkdirAll(n.cfg.Dir, 0o700); err != nil {
		return n.refuse(n.cfg.Dir, err)
	}
	logger := newLogger(n.log, &n.stopping)
	if err := n.readFounding(); err != nil {
		return err
	}
	n.trans = newTransport(n.wire, n.book, logger)
	transport := &guarded{NetworkTransport: n.trans, takesPart: n.takesPart, calls: make(chan raft.RPC)}
	ctx, cancel := context.WithCancel(context.Background())
	n.guarding = cancel
	n.guards.Go(func() { n.guard(ctx, transport) })
	conf := raft.DefaultConfig()
	conf.LocalID = raft.ServerID(n.cfg.ID)
	conf.Logger = logger
	conf.BatchApplyCh = true
	conf.NoLegacyTelemetry = true
	conf.ElectionTimeout, conf.HeartbeatTimeout, conf.LeaderLeaseTimeout = n.cfg.ElectionTimeout, n.cfg.ElectionTimeout, n.cfg.ElectionTimeout
	conf.SnapshotInterval, conf.SnapshotThreshold = snapshotEvery, snapshotAfter
	conf.TrailingLogs = cmp.Or(n.cfg.TrailingLogs, 2048)

	snapshots, err := n.openFiles(conf, logger)
	if err != nil {
		return err
	}
	cache, err := raft.NewLogCache(cachedEntries, &spaced{store: n.store, writable: n.Writable})
	if err != nil {
		return n.refuse(n.cfg.Dir, err)
	}
	if err := n.carryOut(func() (err error) {
		n.raft, err = raft.NewRaft(conf, n.fsm, cache, n.store, snapshots, transport)
		return err
	}); err != nil {
		return n.refuse(n.cfg.Dir, err)
	}
	n.book.raft.Store(n.raft)
	n.guards.Go(func() { n.observe(ctx) })
	n.guards.Go(func() { n.missLeader(ctx, transport.calls) })
	if n.fixed() {
		return n.checkMembers()
	}
	return nil
}

// fixed reports whether the members never change.
func (n *Node) fixed() bool { return len(n.cfg.Peers) > 0 }

// checkMembers refuses a peer list whose IDs are not those of the cluster that
// the directory belongs to. Addresses may differ: peers are found by ID.
func (n *Node) checkMembers() error {
	future := n.raft.GetConfiguration()
	if err := n.wait(future); err != nil {
		return n.refuse(n.cfg.Dir, err)
	}
	ids := func(servers []raft.Server) (ids []string) {
		for _, s := range servers {
			ids = append(ids, string(s.ID))
		}
		slices.Sort(ids)
		return ids
	}
	have, want := ids(future.Configuration().Servers), ids(configuration(n.cfg.Peers).Servers)
	if !slices.Equal(have, want) {
		return &thalweg.Error{Op: "open raft log", Kind: thalweg.Invalid, Subject: fmt.Sprintf("peers %v", want),
			Hint: "the members of a cluster cannot be changed by its configuration",
			Err:  fmt.Errorf("%s belongs to a cluster of %v", n.cfg.Dir, have)}
	}
	return nil
}

// Run keeps the member running until ctx ends or its disk or log fails, then
// hands leadership on and closes everything. An error means that the node must
// not go on: its log may not hold what it acknowledged, or holds what this
// build does not understand.
func (n *Node) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
		n.stopping.Store(true)
		n.StepDown()
	case <-n.ended:
	}
	n.close()
	return n.failure
}

// fail notes the first error after which the node must not go on.
func (n *Node) fail(err error) {
	n.endOnce.Do(func() {
		n.failure = err
		close(n.ended)
	})
}

var errNoMajority = errors.New("no majority of the coordinators took it yet")

// wait waits for raft's answer; raft gives none to what is under way when it ends.
func (n *Node) wait(answer raft.Future) error { return n.waitFor(answer, 0) }

// waitCommit waits for what a majority has to take.
func (n *Node) waitCommit(answer raft.Future) error {
	return n.waitFor(answer, cmp.Or(n.cfg.CommitTimeout, 8*time.Second))
}

// waitFor waits for raft's answer, at most so long; 0: without an end.
func (n *Node) waitFor(answer raft.Future, bound time.Duration) error {
	done := make(chan error, 1)
	go func() { done <- answer.Error() }()
	var over <-chan time.Time
	if bound > 0 {
		timer := time.NewTimer(bound)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case err := <-done:
		return err
	case <-over:
		return errNoMajority
	case <-n.ended:
		return raft.ErrRaftShutdown
	}
}

// close ends raft first, then what it stands on.
func (n *Node) close() {
	if n.raft != nil {
		if err := n.raft.Shutdown().Error(); err != nil {
			n.log.Warn("raft did not shut down", "error", err)
		}
	}
	n.fail(nil)
	if n.guarding != nil {
		n.guarding()
		n.guards.Wait()
	}
	if n.trans != nil {
		n.trans.CloseStreams()
		_ = n.trans.Close() // it never fails
	}
	_ = n.wire.Close() // the transport may have closed the listener already
	if n.store != nil {
		if err := n.store.Close(); err != nil {
			n.log.Warn("the raft log did not close", "error", err)
		}
	}
}
