package average

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/broadcast"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// Session is one worker's part in the exchanges of one run. It implements
// train.Exchange, where its methods are described.
type Session struct {
	server *Server
	run    Run
	group  Group
	config Config
	client *http.Client
	log    *slog.Logger

	mu struct {
		sync.Mutex
		// sequence is the number of the next exchange to collect. Only it and the
		// one before are in exchanges.
		sequence  uint64
		exchanges map[uint64]*exchange
		snapshot  func() ([]byte, error) // of the state before sequence; nil at first
		served    map[thalweg.WorkerID]uint64
	}
	changes broadcast.Notifier // of what mu guards
}

// exchange is what this worker has for others of one exchange.
type exchange struct {
	contributions map[int]contribution
	segments      []segment
}

// contribution is what a replica gave. Its memory is never written again.
type contribution struct {
	weight float64
	vector kernel.Vector
	note   []byte
}

// segment is elements [from, from+values.Len()) of the reduced vector, and the
// sum of the weights.
type segment struct {
	from   int
	values kernel.Vector
	total  float64
}

func newSession(server *Server, run Run, group Group, config Config) *Session {
	s := &Session{server: server, run: run, group: group, config: config,
		log: config.Logger.With("run", string(run.ID), "worker", string(run.Worker))}
	s.client = &http.Client{Transport: &http.Transport{
		// The vectors do not shrink, and a peer is asked by one goroutine at a time.
		DisableCompression: true, MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute,
		WriteBufferSize: 4 << 10, ReadBufferSize: chunkBytes,
	}}
	s.mu.exchanges = make(map[uint64]*exchange)
	s.mu.served = make(map[thalweg.WorkerID]uint64)
	return s
}

// inherit takes over what a session of the same run knew.
func (s *Session) inherit(old *Session) {
	old.mu.Lock()
	defer old.mu.Unlock()
	s.mu.sequence, s.mu.snapshot, s.mu.exchanges = old.mu.sequence, old.mu.snapshot, old.mu.exchanges
	old.mu.exchanges = make(map[uint64]*exchange)
}

// exchangeLocked returns the exchange of a number, or nil if it is forgotten.
func (s *Session) exchangeLocked(sequence uint64) *exchange {
	if sequence+1 < s.mu.sequence {
		return nil
	}
	e := s.mu.exchanges[sequence]
	if e == nil {
		e = &exchange{contributions: make(map[int]contribution)}
		s.mu.exchanges[sequence] = e
	}
	return e
}

// Held returns the replicas assigned to this worker.
func (s *Session) Held() (replicas []int, changed <-chan struct{}) {
	assignment, changed := s.group.Assignment()
	for replica, holder := range assignment {
		if holder.Worker == s.run.Worker {
			replicas = append(replicas, replica)
		}
	}
	return replicas, changed
}

// Offer makes a contribution available to peers.
func (s *Session) Offer(sequence uint64, replica int, weight float64, vector kernel.Vector, note []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.exchangeLocked(sequence); e != nil {
		e.contributions[replica] = contribution{weight: weight, vector: vector, note: note}
		s.changes.Notify()
	}
}

// Advance forgets what no peer at sequence or one before it needs.
func (s *Session) Advance(sequence uint64, snapshot func() ([]byte, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sequence < s.mu.sequence {
		return // what was inherited is further
	}
	s.mu.sequence, s.mu.snapshot = sequence, snapshot
	for number := range s.mu.exchanges {
		if number+1 < sequence {
			delete(s.mu.exchanges, number)
		}
	}
	s.changes.Notify()
}

// finishPoll is how often Finish asks a peer for its position: a peer that took
// what it needed from another does not report it.
const finishPoll = 500 * time.Millisecond

// Finish waits until every other worker of the assignment has collected the
// last exchange, for at most Config.FinishWait. A peer that is slower still finds
// the session parked.
func (s *Session) Finish(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.config.FinishWait)
	defer cancel()
	ticker := time.NewTicker(finishPoll)
	defer ticker.Stop()
	for {
		assignment, reassigned := s.group.Assignment()
		behind, changed := s.behind(assignment)
		for _, peer := range behind {
			s.collected(peer.Worker, s.position(ctx, peer))
		}
		if behind, _ := s.behind(assignment); len(behind) == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-reassigned:
		case <-ticker.C:
		case <-ctx.Done():
			s.log.Warn("a peer did not collect the last exchange in time", "peers", len(behind))
			return nil // training is over all the same
		}
	}
}

// behind returns the other workers of an assignment that are not known to have
// collected every exchange that this one has, and a channel that is closed at the
// next change.
func (s *Session) behind(assignment Assignment) (peers []Holder, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range assignment {
		if h.Worker != "" && h.Worker != s.run.Worker && s.mu.served[h.Worker] < s.mu.sequence && !slices.Contains(peers, h) {
			peers = append(peers, h)
		}
	}
	return peers, s.changes.Changed()
}

// Leave ends the session. What it holds is still served, until it is joined
// again or other runs have taken its place.
func (s *Session) Leave() {
	s.server.park(s)
	s.client.CloseIdleConnections()
}

// collected notes that a peer has what it needs of all exchanges below next.
func (s *Session) collected(worker thalweg.WorkerID, next uint64) {
	if worker == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if next > s.mu.served[worker] {
		s.mu.served[worker] = next
		s.changes.Notify()
	}
}

// await waits until found reports true or ctx ends. found is called with the
// session locked.
func (s *Session) await(ctx context.Context, found func() bool) {
	for {
		s.mu.Lock()
		done := found()
		changed := s.changes.Changed()
		s.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}
