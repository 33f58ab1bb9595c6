package raftnode

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/raft"

	"github.com/thalweg/thalweg"
)

// StepDown hands leadership to another member, if this one has it and there is
// another; it takes a few milliseconds.
func (n *Node) StepDown() {
	if n.raft.State() == raft.Leader && len(n.Members()) > 1 {
		if err := n.wait(n.raft.LeadershipTransfer()); err != nil {
			n.log.Debug("leadership was not handed on", "error", err)
		}
	}
}

// Leadership delivers true when this node becomes the leader and false when it
// no longer is. It keeps only the newest change, so true after true means that
// leadership was lost in between.
func (n *Node) Leadership() <-chan bool { return n.raft.LeaderCh() }

// IsLeader reports whether this node counts itself as the leader.
func (n *Node) IsLeader() bool { return n.raft.State() == raft.Leader }

// Leader returns the ID of the leader as far as this node knows, empty if it
// knows none.
func (n *Node) Leader() string {
	_, id := n.raft.LeaderWithID()
	return string(id)
}

// observe announces changes of the leader until ctx ends.
func (n *Node) observe(ctx context.Context) {
	// Raft drops what the channel cannot take; then one is in it that was not looked at yet.
	changes := make(chan raft.Observation, 1)
	observer := raft.NewObserver(changes, false, func(o *raft.Observation) bool {
		_, ok := o.Data.(raft.LeaderObservation)
		return ok
	})
	n.raft.RegisterObserver(observer)
	defer n.raft.DeregisterObserver(observer)
	for {
		n.leaders.Notify() // the first: what came before raft was told of the observer
		select {
		case <-changes:
		case <-ctx.Done():
			return
		}
	}
}

// WaitLeader waits until a leader is known and returns its ID, empty if ctx
// ended first.
func (n *Node) WaitLeader(ctx context.Context) string {
	for {
		changed := n.leaders.Changed()
		if id := n.Leader(); id != "" {
			return id
		}
		select {
		case <-ctx.Done():
			return ""
		case <-changed:
		}
	}
}

// Under returns a context that ends with ctx, and once this node knows that the leader
// leads no longer. The caller must end it.
func (n *Node) Under(ctx context.Context, leader string) (context.Context, context.CancelFunc) {
	ctx, end := context.WithCancel(ctx)
	go func() {
		defer end()
		for {
			changed := n.leaders.Changed()
			if n.Leader() != leader {
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-changed:
			}
		}
	}()
	return ctx, end
}

// Stats returns what raft tells of itself, by name.
func (n *Node) Stats() map[string]string { return n.raft.Stats() }

// Age returns how old what this member knows may be: the time since it last heard from a
// leader, 0 where it leads itself; false if it has heard from none.
func (n *Node) Age() (time.Duration, bool) {
	if n.IsLeader() {
		return 0, true
	}
	at := n.raft.LastContact()
	return time.Since(at), !at.IsZero()
}

// Term returns the current term.
func (n *Node) Term() uint64 { return n.raft.CurrentTerm() }

// AppliedIndex returns the index of the last entry applied here.
func (n *Node) AppliedIndex() uint64 { return n.raft.AppliedIndex() }

// Apply commits an entry and returns the machine's answer. It works on the
// leader only. An Unavailable error leaves the outcome unknown: the entry may be
// committed yet, so the caller must be able to repeat it. An Exhausted one says
// that the disk is nearly full, and nothing was done.
func (n *Node) Apply(entry []byte) (any, error) {
	if err := n.Writable(); err != nil {
		return nil, err
	}
	future := n.raft.Apply(entry, applyTimeout)
	if err := n.waitCommit(future); err != nil {
		return nil, unavailable("commit", err)
	}
	if err, failed := future.Response().(error); failed {
		return nil, err
	}
	return future.Response(), nil
}

// Read returns once the machine holds everything that was acknowledged before
// the call, by this leader or an earlier one; what is then read from it is
// linearizable. It works on the leader only.
func (n *Node) Read() error {
	if term := n.raft.CurrentTerm(); n.readable.Load() != term {
		if err := n.waitCommit(n.raft.Barrier(applyTimeout)); err != nil {
			return unavailable("read", err)
		}
		n.readable.Store(term)
	}
	if err := n.wait(n.raft.VerifyLeader()); err != nil {
		return unavailable("read", err)
	}
	return nil
}

// Snapshot takes a snapshot now and truncates the log behind it. Raft does so by
// itself when enough entries came in; nothing new is no error.
func (n *Node) Snapshot() error {
	if err := n.wait(n.raft.Snapshot()); err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) {
		return unavailable("snapshot", err)
	}
	return nil
}

// unavailable tells what raft's refusals mean to a caller: this node cannot do
// it now, and of an entry nobody knows whether it will be committed.
func unavailable(op string, err error) error {
	hint := "try again"
	switch {
	case errors.Is(err, raft.ErrNotLeader):
		hint = "another node leads"
	case errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrRaftShutdown):
		hint = "the outcome is unknown; repeat with the same request id"
	case errors.Is(err, errNoMajority):
		hint = "the outcome is unknown; `thalweg status` shows the coordinators: a majority has to have space on its disks"
	case errors.Is(err, raft.ErrLeadershipTransferInProgress):
		hint = "another node is about to lead"
	}
	return &thalweg.Error{Op: op, Kind: thalweg.Unavailable, Subject: "raft log", Hint: hint, Err: err}
}
