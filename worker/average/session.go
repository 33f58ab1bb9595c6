package average

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

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
	}
	changes broadcast.Notifier // of what mu guards
	packers sync.Pool          // of *packer
}

// exchange is what this worker has for others of one exchange.
type exchange struct {
	contributions map[int]contribution
	segments      []segment
	added         []int // the replicas whose integers are in sum
	sum           []int64
}

// of returns what replicas contributed, of integers the sum in the place of the first
// vector; nil if one has not. Which replicas are asked for seldom changes: the sum is made once.
func (e *exchange) of(replicas []int) (all []entry) {
	for _, replica := range replicas {
		c, ok := e.contributions[replica]
		if !ok {
			return nil
		}
		all = append(all, entry{replica, c})
	}
	if len(all) < 2 || all[0].vector.Int64 == nil {
		return all
	}
	if !slices.Equal(e.added, replicas) {
		sum := slices.Clone(all[0].vector.Int64)
		for _, c := range all[1:] {
			if len(c.vector.Int64) != len(sum) {
				return all // which is said where they are collected
			}
			for i, x := range c.vector.Int64 {
				sum[i] += x
			}
		}
		e.added, e.sum = replicas, sum
	}
	for i := range all {
		all[i].vector = kernel.Vector{}
	}
	all[0].vector.Int64 = e.sum
	return all
}

// contribution is what a replica gave. Its memory is never written again.
type contribution struct {
	weight float64
	vector kernel.Vector
	note   []byte
}

// stretch is elements [from, to) of the vectors.
type stretch struct{ from, to int }

// segment is a stretch of the reduced vector.
type segment struct {
	stretch
	values kernel.Vector
}

func newSession(server *Server, run Run, group Group, config Config) *Session {
	s := &Session{server: server, run: run, group: group, config: config,
		log: config.Logger.With("run", string(run.ID), "worker", string(run.Worker))}
	s.client = &http.Client{Transport: &http.Transport{
		// The vectors do not shrink, and a peer is asked by one goroutine at a time.
		DisableCompression: true, MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute,
		TLSClientConfig: config.TLS, TLSHandshakeTimeout: config.Stall, WriteBufferSize: 4 << 10, ReadBufferSize: 4 << 10,
	}}
	s.mu.exchanges = make(map[uint64]*exchange)
	s.packers.New = func() any { return new(packer) }
	return s
}

// inherit takes over what a session of the same run knew.
func (s *Session) inherit(old *Session) {
	old.mu.Lock()
	defer old.mu.Unlock()
	s.mu.sequence, s.mu.snapshot, s.mu.exchanges = old.mu.sequence, old.mu.snapshot, old.mu.exchanges
	old.mu.exchanges = make(map[uint64]*exchange)
}

// add puts something into an exchange, unless that is forgotten.
func (s *Session) add(sequence uint64, put func(*exchange)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sequence+1 < s.mu.sequence {
		return
	}
	e := s.mu.exchanges[sequence]
	if e == nil {
		e = &exchange{contributions: make(map[int]contribution)}
		s.mu.exchanges[sequence] = e
	}
	put(e)
	s.changes.Notify()
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
	s.add(sequence, func(e *exchange) {
		e.contributions[replica] = contribution{weight: weight, vector: vector, note: note}
	})
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

// Finish waits until every other worker of the assignment has collected the
// last exchange, for at most Config.FinishWait. A peer that is slower still finds
// the session parked.
func (s *Session) Finish(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, s.config.FinishWait)
	defer cancel()
	for {
		err := s.awaitPeers(ctx)
		if err == nil {
			return
		}
		if !errors.Is(err, errReassigned) {
			s.log.Warn("a peer did not collect the last exchange in time", "error", err)
			return // training is over all the same
		}
	}
}

// awaitPeers waits until the other workers are as far as this one. It fails with
// errReassigned when others are to be waited for.
func (s *Session) awaitPeers(ctx context.Context) error {
	s.mu.Lock()
	next := s.mu.sequence
	s.mu.Unlock()
	ctx, assignment, stop := s.watch(ctx)
	defer stop()
	waiting, waitCtx := errgroup.WithContext(ctx)
	asked := map[Holder]bool{{}: true}
	for _, h := range assignment {
		if next == 0 || h.Worker == s.run.Worker || asked[h] {
			continue
		}
		asked[h] = true
		waiting.Go(func() error {
			return s.retry(waitCtx, func() error {
				response, err := s.get(waitCtx, http.MethodHead, h, next-1, snapshotPath)
				if err == nil {
					response.Body.Close()
				}
				return err
			})
		})
	}
	err := waiting.Wait()
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return err
}

// watch returns the assignment, and a context that errReassigned ends when there
// is a newer one.
func (s *Session) watch(ctx context.Context) (_ context.Context, assignment Assignment, stop func()) {
	assignment, changed := s.group.Assignment()
	ctx, cancel := context.WithCancelCause(ctx)
	var watcher sync.WaitGroup
	watcher.Go(func() {
		select {
		case <-changed:
			cancel(errReassigned)
		case <-ctx.Done():
		}
	})
	return ctx, assignment, func() {
		cancel(nil)
		watcher.Wait()
	}
}

// Leave ends the session. What it holds is still served, until it is joined
// again or other runs have taken its place.
func (s *Session) Leave() {
	s.server.park(s)
	s.client.CloseIdleConnections()
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
