package raftnode

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/thalweg/thalweg"
)

// foundingFile keeps a node's consent to a new cluster, in its directory.
const foundingFile = "founding.json"

// Founding is a node's consent to be one of the first members of a cluster that the
// founder starts. It outlives a restart, so that a node consents to one at a time. Of
// a node that joins a cluster later, it has the cluster only.
type Founding struct {
	// Cluster tells the cluster from all others: the founder made it up.
	Cluster string `json:"cluster"`
	Founder string `json:"founder,omitempty"`
	Members []Peer `json:"members,omitempty"`
}

// Founding returns what the node has consented to, or nil.
func (n *Node) Founding() *Founding { return n.founding.Load() }

// Cluster returns the cluster that the node belongs to or has consented to; empty: none.
func (n *Node) Cluster() string {
	if f := n.founding.Load(); f != nil {
		return f.Cluster
	}
	return ""
}

// Founded lets the calls of the first members in: the cluster to which this node has
// consented is founded, so that each of them belongs to it and to no other.
func (n *Node) Founded() { n.founded.Store(true) }

// Consent keeps a consent, in place of an earlier one.
func (n *Node) Consent(f Founding) error {
	data, err := json.Marshal(f)
	if err != nil {
		return err
	}
	path := filepath.Join(n.cfg.Dir, foundingFile)
	if err := writeSynced(path, data); err != nil {
		err = &thalweg.Error{Op: "keep consent", Subject: path, Err: err}
		n.fail(err)
		return err
	}
	n.founding.Store(&f)
	return nil
}

// readFounding reads what an earlier process of the node consented to.
func (n *Node) readFounding() error {
	path := filepath.Join(n.cfg.Dir, foundingFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	f := &Founding{}
	if err == nil {
		err = thalweg.DecodeStrict(data, f)
	}
	if err != nil {
		return &thalweg.Error{Op: "read consent", Kind: thalweg.Corrupt, Subject: path, Hint: n.remedy(), Err: err}
	}
	n.founding.Store(f)
	return nil
}

// writeSynced replaces a file so that, whatever happens, it is the old or the new one.
func writeSynced(path string, data []byte) error {
	building := path + ".new"
	f, err := os.OpenFile(building, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(building, path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// discard reads what a caller sends with its call, which the connection cannot be
// used without.
func discard(r io.Reader) { _, _ = io.Copy(io.Discard, r) }
