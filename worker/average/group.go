package average

import "github.com/thalweg/thalweg"

// Holder is the worker that computes a replica, and where its Server listens.
// The zero Holder is nobody: the replica waits for a lease.
type Holder struct {
	Worker  thalweg.WorkerID
	Address string // host:port
}

// Assignment tells who computes which replica of a run: element r is the
// holder of replica r.
type Assignment []Holder

// Group is the changing assignment of one run's replicas to workers, as the
// coordinator's leases say. Its methods may be called concurrently.
type Group interface {
	// Assignment returns the newest assignment known, which the caller must not
	// change, and a channel that is closed when there is a newer one.
	Assignment() (Assignment, <-chan struct{})
}
