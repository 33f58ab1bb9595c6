package raftnode

import (
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"github.com/thalweg/thalweg"
)

// guardedStore ends the node on the first write or fsync that fails. Raft itself
// only steps down, and would acknowledge again when elected again; but after a
// failed fsync nobody knows what the file holds.
type guardedStore struct {
	*raftboltdb.BoltStore
	fail func(error)
}

var (
	_ raft.LogStore    = (*guardedStore)(nil)
	_ raft.StableStore = (*guardedStore)(nil)
)

// StoreLog writes one entry.
func (g *guardedStore) StoreLog(l *raft.Log) error {
	return g.check("store entry", g.BoltStore.StoreLog(l))
}

// StoreLogs writes entries.
func (g *guardedStore) StoreLogs(l []*raft.Log) error {
	return g.check("store entries", g.BoltStore.StoreLogs(l))
}

// DeleteRange truncates the log.
func (g *guardedStore) DeleteRange(first, last uint64) error {
	return g.check("truncate", g.BoltStore.DeleteRange(first, last))
}

// Set writes a value of the election's.
func (g *guardedStore) Set(key, value []byte) error {
	return g.check("store vote", g.BoltStore.Set(key, value))
}

// SetUint64 writes a number of the election's.
func (g *guardedStore) SetUint64(key []byte, value uint64) error {
	return g.check("store term", g.BoltStore.SetUint64(key, value))
}

func (g *guardedStore) check(op string, err error) error {
	if err == nil {
		return nil
	}
	err = &thalweg.Error{Op: op, Kind: thalweg.Corrupt, Subject: "raft log",
		Hint: "the node stops; check the disk before starting it again", Err: err}
	g.fail(err)
	return err
}
