// Package average carries what the replicas of a training run contribute between
// workers, over HTTP. Workers pull: each serves what its replicas contributed to
// the current and to the previous exchange of a run; see DESIGN.md.
package average

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/broadcast"
)

// maxParked bounds the sessions that are kept after Leave for peers that are behind.
const maxParked = 4

// Server serves a worker's contributions to its peers. It is an http.Handler,
// to be mounted at the root of the worker's exchange port.
type Server struct {
	mux *http.ServeMux

	mu struct {
		sync.Mutex
		sessions map[thalweg.RunID]*Session
		parked   []thalweg.RunID // those that were left, oldest first
	}
	joins broadcast.Notifier // of runs
}

// NewServer returns a server without sessions.
func NewServer() *Server {
	s := &Server{mux: http.NewServeMux()}
	s.mu.sessions = make(map[thalweg.RunID]*Session)
	for what, find := range map[string]func(*exchange, request) []entry{
		contributionsPath: (*exchange).contributed, reducedPath: (*exchange).reduced, snapshotPath: nil,
	} {
		s.mux.HandleFunc("GET /exchange/{run}/{sequence}/"+what, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, what, find) })
	}
	return s
}

// ServeHTTP answers a peer.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Holder is the worker that computes a replica, and where its Server listens.
// The zero Holder is nobody: the replica waits for a lease.
type Holder struct {
	Worker  thalweg.WorkerID
	Address string // host:port
}

// Assignment is who computes the replicas of a run, by replica.
type Assignment []Holder

// Group is the changing assignment of one run's replicas to workers, as the
// coordinator's leases say. Its methods may be called concurrently.
type Group interface {
	// Assignment returns the newest assignment known, which the caller must not
	// change, and a channel that is closed when there is a newer one.
	Assignment() (Assignment, <-chan struct{})
}

// Run identifies what a session exchanges.
type Run struct {
	ID          thalweg.RunID
	Worker      thalweg.WorkerID // this one, as Holder names it
	Fingerprint string           // of the train.Job: equal on all workers of the run
}

// agreement is what peers must agree on: the run's job, and how bodies are written.
func (r Run) agreement() string { return magic + " " + r.Fingerprint }

// Config tunes a session. It has no influence on what is exchanged.
type Config struct {
	// PollWait is how long a request waits at the peer for what is not there yet.
	// Default 10 s.
	PollWait time.Duration
	// Stall is how long a peer may send nothing, PollWait aside, before it is
	// asked anew. Default 10 s.
	Stall time.Duration
	// FinishWait bounds how long Finish waits for peers. Default 15 s.
	FinishWait time.Duration
	// SegmentElements is the length from which a vector is reduced in segments, each
	// by one worker. Default 65536: below it the second request costs more than the bytes.
	SegmentElements int
	// Broken is told of a peer each time that a connection to it is refused or breaks, from
	// any goroutine; it must not block. Nil: nobody is.
	Broken func(Holder)
	// TLS is that toward peers; nil: without.
	TLS    *tls.Config
	Logger *slog.Logger // of peers that fail; default none
}

func (c Config) withDefaults() Config {
	c.PollWait = cmp.Or(c.PollWait, 10*time.Second)
	c.Stall = cmp.Or(c.Stall, 10*time.Second)
	c.FinishWait = cmp.Or(c.FinishWait, 15*time.Second)
	c.SegmentElements = cmp.Or(c.SegmentElements, 1<<16)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	return c
}

// Validate reports the first field out of range.
func (c Config) Validate() error {
	switch {
	case c.PollWait < 0 || c.PollWait > maxPollWait:
		return invalid("poll_wait is %v, not in 0 to %v", c.PollWait, maxPollWait)
	case c.Stall < 0 || c.FinishWait < 0:
		return invalid("stall is %v, finish_wait %v", c.Stall, c.FinishWait)
	case c.SegmentElements < 0:
		return invalid("segment_elements is %d", c.SegmentElements)
	}
	return nil
}

// Join opens this worker's session of a run. A run that was left and is joined
// again, with the same fingerprint, goes on from what is still known of it. It
// fails with Exists while the run is joined already.
func (s *Server) Join(run Run, group Group, config Config) (*Session, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	if run.ID == "" || run.Worker == "" {
		return nil, invalid("a session needs a run and a worker")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	session := newSession(s, run, group, config.withDefaults())
	if old := s.mu.sessions[run.ID]; old != nil {
		i := slices.Index(s.mu.parked, run.ID)
		if i < 0 {
			return nil, &thalweg.Error{Op: opExchange, Kind: thalweg.Exists, Subject: fmt.Sprintf("run %s", run.ID),
				Err: fmt.Errorf("it is joined already")}
		}
		s.mu.parked = slices.Delete(s.mu.parked, i, i+1)
		if old.run.Fingerprint == run.Fingerprint {
			session.inherit(old)
		}
	}
	s.mu.sessions[run.ID] = session
	s.joins.Notify()
	return session, nil
}

// park keeps a session that was left, and forgets the oldest where there are more
// than maxParked.
func (s *Server) park(session *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.sessions[session.run.ID] != session || slices.Contains(s.mu.parked, session.run.ID) {
		return
	}
	s.mu.parked = append(s.mu.parked, session.run.ID)
	if len(s.mu.parked) > maxParked {
		delete(s.mu.sessions, s.mu.parked[0])
		s.mu.parked = slices.Delete(s.mu.parked, 0, 1)
	}
}

// session returns the session of a run, waiting for it to be joined until ctx
// ends; nil then.
func (s *Server) session(ctx context.Context, run thalweg.RunID) *Session {
	for {
		s.mu.Lock()
		session, joined := s.mu.sessions[run], s.joins.Changed()
		s.mu.Unlock()
		if session != nil {
			return session
		}
		select {
		case <-joined:
		case <-ctx.Done():
			return nil
		}
	}
}

// opExchange is the operation that errors of this package name.
const opExchange = "exchange parameters"

func invalid(format string, args ...any) error {
	return &thalweg.Error{Op: opExchange, Kind: thalweg.Invalid, Err: fmt.Errorf(format, args...)}
}
