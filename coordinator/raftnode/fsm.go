package raftnode

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/raft"

	"github.com/thalweg/thalweg"
)

// maxSnapshotBytes bounds what Restore reads into memory: far above what the
// state's own bounds add up to in practice.
const maxSnapshotBytes = 1 << 30

// errStopped is the answer of a machine that met an entry it does not
// understand.
var errStopped = errors.New("an earlier entry of the log could not be applied")

// fsm delegates to the Machine. After an error it applies nothing more and takes
// no snapshot, since either would acknowledge what was not done.
type fsm struct {
	machine Machine
	fail    func(error)
	stopped bool
}

var _ raft.FSM = (*fsm)(nil)

// Apply hands an entry to the machine.
func (f *fsm) Apply(l *raft.Log) any {
	if f.stopped {
		return errStopped
	}
	answer, err := f.machine.Apply(l.Index, l.Data)
	if err != nil {
		f.stopped = true
		err = fmt.Errorf("log index %d: %w", l.Index, err)
		f.fail(err)
		return err
	}
	return answer
}

// Snapshot takes the machine's bytes; they are written later.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	if f.stopped {
		return nil, errStopped
	}
	data, err := f.machine.Snapshot()
	if err != nil {
		return nil, err
	}
	return snapshot(data), nil
}

// Restore replaces the machine by a snapshot. One that the machine does not take
// stops the node, since raft would only try again.
func (f *fsm) Restore(from io.ReadCloser) error {
	defer from.Close()
	data, err := io.ReadAll(io.LimitReader(from, maxSnapshotBytes+1))
	switch {
	case err != nil:
		return err
	case len(data) > maxSnapshotBytes:
		err = &thalweg.Error{Op: "restore snapshot", Kind: thalweg.Exhausted, Subject: fmt.Sprintf("over %d bytes", maxSnapshotBytes)}
	default:
		err = f.machine.Restore(data)
	}
	if err != nil {
		f.fail(err)
	}
	return err
}

// snapshot is a machine's bytes on their way to the disk.
type snapshot []byte

// Persist writes the bytes.
func (s snapshot) Persist(sink raft.SnapshotSink) error {
	if _, err := io.Copy(sink, bytes.NewReader(s)); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

// Release does nothing: the bytes are the garbage collector's.
func (s snapshot) Release() {}
