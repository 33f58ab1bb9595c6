package coordinator

import (
	"sync"

	"github.com/thalweg/thalweg/broadcast"
	"github.com/thalweg/thalweg/coordinator/raftnode"
	"github.com/thalweg/thalweg/coordinator/state"
)

// replica is this node's copy of the replicated state: the log writes it, and
// requests read it in between.
type replica struct {
	changes *broadcast.Notifier
	mu      struct {
		sync.RWMutex
		state *state.State
	}
}

var _ raftnode.Machine = (*replica)(nil)

func newReplica(changes *broadcast.Notifier) *replica {
	r := &replica{changes: changes}
	r.mu.state = state.New()
	return r
}

// view calls look with the state. What look keeps must be its own copy.
func (r *replica) view(look func(*state.State)) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	look(r.mu.state)
}

// Apply carries out a log entry.
func (r *replica) Apply(index uint64, entry []byte) (any, error) {
	r.mu.Lock()
	answer, err := r.mu.state.Apply(index, entry)
	r.mu.Unlock()
	r.changes.Notify()
	return answer, err
}

// Snapshot returns the state as bytes.
func (r *replica) Snapshot() ([]byte, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.mu.state.Encode()
}

// Restore replaces the state by a snapshot.
func (r *replica) Restore(snapshot []byte) error {
	s, err := state.Decode(snapshot)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.mu.state = s
	r.mu.Unlock()
	r.changes.Notify()
	return nil
}
