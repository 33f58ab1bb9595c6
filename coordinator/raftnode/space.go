package raftnode

import (
	"errors"
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/thalweg/thalweg"
)

// MinFreeBytes is how much space a member leaves free where its log is. Below it,
// it takes no commands: a write that fails would end it, and what is left is for
// votes, elections and a snapshot.
const MinFreeBytes = 64 << 20

// errLowSpace is the refusal of a member whose disk is nearly full.
var errLowSpace = errors.New("the disk of the log is nearly full")

// FreeBytes returns the space that is left where the log is.
func (n *Node) FreeBytes() (int64, error) { return n.cfg.FreeBytes(n.cfg.Dir) }

// Writable returns why this member takes no commands, nil if it does. It takes
// them again as soon as there is space.
func (n *Node) Writable() error {
	free, err := n.FreeBytes()
	if err != nil || free >= MinFreeBytes { // a file system that cannot tell is no full one
		return nil
	}
	return &thalweg.Error{Op: "commit", Kind: thalweg.Exhausted, Subject: "coordinator " + n.cfg.ID,
		Hint: fmt.Sprintf("free space in the file system of %s: %d MiB are left, below %d MiB it only reads", n.cfg.Dir, free>>20, MinFreeBytes>>20),
		Err:  errLowSpace}
}

// spaced refuses what would grow a log on a disk that is nearly full, so that no
// write fails: raft's leader then steps down, and a follower refuses the entries
// and is sent them again.
type spaced struct {
	*store
	writable func() error
	// cut is set while entries that another leader had sent are gone and those in
	// their place are not there yet: raft counts on both, or on none.
	cut bool
}

// StoreLog writes one entry.
func (s *spaced) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs writes entries, unless they are commands and there is no space. What
// an election writes is small and there must be a leader to read from.
func (s *spaced) StoreLogs(logs []*raft.Log) error {
	for _, l := range logs {
		if l.Type != raft.LogCommand || s.cut {
			continue
		}
		if err := s.writable(); err != nil {
			return err
		}
		break
	}
	s.cut = false
	return s.store.StoreLogs(logs)
}

// DeleteRange removes entries at the beginning or the end of the log.
func (s *spaced) DeleteRange(first, last uint64) error {
	h, err := s.head()
	if err != nil {
		return err
	}
	if last >= h.Last {
		if first > h.First { // else it may be all that a snapshot covers, and has to go
			if err := s.writable(); err != nil {
				return err
			}
		}
		s.cut = true
	}
	return s.store.DeleteRange(first, last)
}
