package raftnode

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/thalweg/thalweg"
)

// logFile is the log, with the term and the vote, in the node's directory. A new
// one is built under another name first, so that there is none or a whole one.
const (
	logFile = "log.db"
	newFile = "log.db.new"
)

// openFiles opens the log and the snapshots after it verified them, or creates
// them in a directory that has neither. A part without the other is refused: with
// what is left, the node would vote or acknowledge as if it had seen nothing.
func (n *Node) openFiles(conf *raft.Config, logger hclog.Logger) (*snapshots, error) {
	path := filepath.Join(n.cfg.Dir, logFile)
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(filepath.Join(n.cfg.Dir, snapshotsDir)); err == nil {
			return nil, n.refuse(path, corrupt(errors.New("it is missing, with the term and the vote, and its snapshots are there")))
		}
		err = n.create(path, conf)
	}
	if err != nil {
		return nil, n.refuse(path, err)
	}
	head, err := inspect(path)
	if err != nil {
		return nil, n.refuse(path, err)
	}
	n.store, err = openStore(path, n.remedy(), n.fail)
	if err != nil {
		return nil, n.refuse(path, err)
	}
	s, err := openSnapshots(n.cfg.Dir, n.store, logger)
	if err != nil {
		return nil, n.refuse(n.cfg.Dir, err)
	}
	// A crash while the leader's snapshot was installed leaves entries behind that
	// it covers.
	if head.Snapshot != nil && head.Snapshot.Index > head.Last {
		if err := n.store.DeleteRange(head.First, head.Last); err != nil {
			return nil, n.refuse(path, err)
		}
	}
	return s, nil
}

// create writes the log of a new member. Where the members are fixed, every node
// starts from the same list of peers, so it does not matter who is first.
func (n *Node) create(path string, conf *raft.Config) error {
	building := filepath.Join(n.cfg.Dir, newFile)
	if err := os.RemoveAll(building); err != nil {
		return err
	}
	s, err := openStore(building, n.remedy(), n.fail)
	if err != nil {
		return err
	}
	if n.fixed() {
		err = n.carryOut(func() error {
			return raft.BootstrapCluster(conf, s, s, raft.NewDiscardSnapshotStore(), n.trans, configuration(n.cfg.Peers))
		})
	}
	if err := errors.Join(err, s.Close()); err != nil {
		return err
	}
	if err := os.Rename(building, path); err != nil {
		return err
	}
	dir, err := os.Open(n.cfg.Dir)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// carryOut calls do on a goroutine of its own, which the store may end.
func (n *Node) carryOut(do func() error) error {
	done := make(chan error, 1)
	go func() {
		defer close(done)
		done <- do()
	}()
	err, answered := <-done
	if !answered {
		return raft.ErrRaftShutdown
	}
	return err
}

// refuse returns why the node does not start: the failure that it met first, if
// it knows of one, since raft's own errors do not say more than that it failed.
func (n *Node) refuse(subject string, err error) error {
	select {
	case <-n.ended:
		return n.failure
	default:
	}
	hint := ""
	if thalweg.Is(err, thalweg.Corrupt) {
		hint = n.remedy()
	}
	return &thalweg.Error{Op: "open raft log", Kind: thalweg.KindOf(err), Subject: subject, Hint: hint, Err: err}
}

// remedy says what to do about damage.
func (n *Node) remedy() string {
	if len(n.cfg.Peers) != 1 {
		return "while the other members run, move " + n.cfg.Dir + " away and start this node again: it gets the state from them"
	}
	return "this is the only member: put a copy of " + n.cfg.Dir + " back, or move it away to start an empty cluster"
}
