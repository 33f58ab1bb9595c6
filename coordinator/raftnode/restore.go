package raftnode

import (
	"bytes"
	"errors"
	"time"

	"github.com/hashicorp/raft"
)

// restoreTimeout bounds the wait for the members.
const restoreTimeout = 30 * time.Second

// Restore replaces the machine of all members by a snapshot, as if it had been
// taken at the index; entries that follow stand behind that. It works on the
// leader only. An error leaves the outcome unknown.
func (n *Node) Restore(snapshot []byte, index uint64) error {
	if err := n.Writable(); err != nil {
		return err
	}
	if n.raft.State() != raft.Leader {
		return unavailable("restore", raft.ErrNotLeader)
	}
	done := make(chan error, 1)
	go func() {
		done <- n.raft.Restore(&raft.SnapshotMeta{Version: raft.SnapshotVersionMax, Index: index, Term: n.raft.CurrentTerm(),
			Size: int64(len(snapshot))}, bytes.NewReader(snapshot), restoreTimeout)
	}()
	limit := time.NewTimer(restoreTimeout)
	defer limit.Stop()
	select {
	case err := <-done:
		if err != nil {
			return unavailable("restore", err)
		}
		return nil
	case <-limit.C:
		return unavailable("restore", errNoMajority)
	case <-n.ended:
		return errors.Join(n.failure, unavailable("restore", raft.ErrRaftShutdown))
	}
}
