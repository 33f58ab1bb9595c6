package average

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// errReassigned is the cause that ends a collection when the assignment changes.
var errReassigned = errors.New("the assignment changed")

// aheadError reports a peer that has forgotten the exchange asked for.
type aheadError struct{ peer Holder }

func (e *aheadError) Error() string { return fmt.Sprintf("worker %s is ahead", e.peer.Worker) }

// Collect gathers an exchange: see train.Exchange.
func (s *Session) Collect(ctx context.Context, sequence uint64, reduced kernel.Vector) (notes [][]byte, newer []byte, err error) {
	if newer, err := s.own(sequence); newer != nil || err != nil {
		return nil, newer, err
	}
	assignment, changed := s.group.Assignment()
	collecting, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watcher := make(chan struct{})
	defer func() { cancel(nil); <-watcher }()
	go func() {
		defer close(watcher)
		select {
		case <-changed:
			cancel(errReassigned)
		case <-collecting.Done():
		}
	}()

	c := &collection{session: s, sequence: sequence, reduced: reduced, assignment: assignment}
	notes, err = c.run(collecting)
	var ahead *aheadError
	if errors.As(err, &ahead) {
		newer, err = s.snapshot(collecting, ahead.peer, sequence)
		notes = nil
	}
	switch {
	case err == nil:
		return notes, newer, nil
	case ctx.Err() != nil:
		return nil, nil, &thalweg.Error{Op: opExchange, Kind: thalweg.Canceled, Subject: s.name(sequence), Err: context.Cause(ctx)}
	case errors.Is(context.Cause(collecting), errReassigned):
		return nil, nil, &thalweg.Error{Op: opExchange, Kind: thalweg.Conflict, Subject: s.name(sequence), Err: errReassigned}
	}
	return nil, nil, err
}

// own returns the snapshot of what this session inherited, if that is further.
func (s *Session) own(sequence uint64) ([]byte, error) {
	s.mu.Lock()
	next, snapshot := s.mu.sequence, s.mu.snapshot
	s.mu.Unlock()
	if next <= sequence || snapshot == nil {
		return nil, nil
	}
	return snapshot()
}

func (s *Session) name(sequence uint64) string {
	return fmt.Sprintf("run %s: exchange %d", s.run.ID, sequence)
}

// collection is one call of Collect under one assignment.
type collection struct {
	session    *Session
	sequence   uint64
	reduced    kernel.Vector
	assignment Assignment
}

// peer is another worker and the replicas to ask it for, ascending.
type peer struct {
	Holder
	replicas []int
}

// peers returns the other workers, by name; ok is false while a replica has no
// holder.
func (c *collection) peers() (peers []peer, ok bool) {
	for replica, holder := range c.assignment {
		if holder.Worker == "" {
			return nil, false
		}
		if holder.Worker == c.session.run.Worker {
			continue
		}
		i := slices.IndexFunc(peers, func(p peer) bool { return p.Worker == holder.Worker })
		if i < 0 {
			peers = append(peers, peer{Holder: holder, replicas: []int{replica}})
		} else {
			peers[i].replicas = append(peers[i].replicas, replica)
		}
	}
	slices.SortFunc(peers, func(a, b peer) int { return cmp.Compare(a.Worker, b.Worker) })
	return peers, true
}

// stretch is elements [from, to) of the vectors.
type stretch struct{ from, to int }

// stretches cuts the vectors into one stretch per worker, in the order of the
// workers' names, and tells which is this worker's. Peers that are asked under
// another assignment cut otherwise, and answer when they have seen this one.
func (c *collection) stretches(peers []peer) (mine stretch, theirs []stretch) {
	if len(peers) == 0 || c.reduced.Len() < c.session.config.SegmentElements {
		return stretch{0, c.reduced.Len()}, nil
	}
	workers := len(peers) + 1
	at := func(i int) int { return int(int64(c.reduced.Len()) * int64(i) / int64(workers)) }
	self, _ := slices.BinarySearchFunc(peers, c.session.run.Worker, func(p peer, w thalweg.WorkerID) int { return cmp.Compare(p.Worker, w) })
	for i := range peers {
		slot := i
		if i >= self {
			slot++
		}
		theirs = append(theirs, stretch{at(slot), at(slot + 1)})
	}
	return stretch{at(self), at(self + 1)}, theirs
}

// run reduces this worker's stretch and fetches the others.
func (c *collection) run(ctx context.Context) (notes [][]byte, err error) {
	peers, ok := c.peers()
	if !ok {
		<-ctx.Done() // the assignment must change first
		return nil, context.Cause(ctx)
	}
	mine, theirs := c.stretches(peers)
	var total float64
	if err = c.session.retry(ctx, func() error {
		notes, total, err = c.reduce(ctx, peers, mine)
		return err
	}); err != nil {
		return nil, err
	}
	if len(theirs) == 0 {
		return notes, nil
	}
	c.session.publish(c.sequence, segment{from: mine.from, values: c.reduced.Slice(mine.from, mine.to), total: total})
	group, ctx := errgroup.WithContext(ctx)
	for i, p := range peers {
		group.Go(func() error {
			return c.session.retry(ctx, func() error { return c.fetch(ctx, p, theirs[i]) })
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return notes, nil
}

// publish makes a reduced stretch available to peers.
func (s *Session) publish(sequence uint64, g segment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.exchangeLocked(sequence); e != nil {
		e.segments = append(e.segments, g)
		s.changes.Notify()
	}
}

// reduce sets stretch mine of c.reduced from the contributions of all replicas, this
// worker's and those asked from peers, and returns all notes and the sum of the
// weights. The sum of each element runs in replica order.
func (c *collection) reduce(ctx context.Context, peers []peer, mine stretch) (notes [][]byte, total float64, err error) {
	own, err := c.own()
	if err != nil {
		return nil, 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make([]*answer, len(peers))
	defer func() {
		for _, a := range answers {
			if a != nil {
				a.close()
			}
		}
	}()
	group, groupCtx := errgroup.WithContext(ctx)
	for i, p := range peers {
		group.Go(func() (err error) {
			// The answer's body outlives the group, so it belongs to ctx.
			answers[i], err = c.ask(ctx, groupCtx, p.Holder, p.replicas, mine)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, 0, err
	}

	// Who has each replica: an answer, or this session.
	sources := make([]*answer, len(c.assignment))
	all := make([]contribution, len(c.assignment))
	for i, p := range peers {
		for k, replica := range p.replicas {
			sources[replica] = answers[i]
			all[replica] = answers[i].body.entries[k].contribution
		}
	}
	for replica, own := range own {
		all[replica] = own
	}
	for _, a := range all {
		notes = append(notes, a.note)
		total += a.weight
	}
	if c.reduced.Float32 != nil && !(total > 0) {
		return nil, 0, &thalweg.Error{Op: opExchange, Kind: thalweg.Invalid, Subject: c.session.name(c.sequence), Err: fmt.Errorf("the weights add up to %v", total)}
	}
	chunk := min(elementOf(c.reduced).chunk(), mine.to-mine.from)
	decoded := c.reduced.Zeros(chunk)
	weighted := make([]float64, len(decoded.Float32))
	for at := mine.from; at < mine.to; at += chunk {
		end := min(at+chunk, mine.to)
		out := c.reduced.Slice(at, end)
		sum := weighted[:len(out.Float32)]
		clear(sum)
		clear(out.Float64)
		clear(out.Int64)
		for replica, source := range sources {
			part := decoded.Slice(0, end-at)
			if source == nil {
				part = all[replica].vector.Slice(at, end)
			} else {
				encoded, err := source.body.next(end - at)
				if err != nil {
					return nil, 0, source.failed(err)
				}
				decodeVector(part, encoded)
			}
			kernel.Accumulate(sum, part.Float32, all[replica].weight)
			for i, x := range part.Float64 {
				out.Float64[i] += x
			}
			for i, x := range part.Int64 {
				out.Int64[i] += x
			}
		}
		kernel.Narrow(out.Float32, sum, 1/total)
	}
	for _, a := range answers {
		if err := a.body.end(); err != nil {
			return nil, 0, a.failed(err)
		}
	}
	return notes, total, nil
}

// own returns what this worker's replicas contributed. It fails with Conflict
// if one has not: it was assigned after the caller last looked.
func (c *collection) own() (map[int]contribution, error) {
	c.session.mu.Lock()
	defer c.session.mu.Unlock()
	own := make(map[int]contribution)
	e := c.session.mu.exchanges[c.sequence]
	for replica, holder := range c.assignment {
		if holder.Worker != c.session.run.Worker {
			continue
		}
		subject := fmt.Sprintf("%s: replica %d", c.session.name(c.sequence), replica)
		if e == nil {
			return nil, &thalweg.Error{Op: opExchange, Kind: thalweg.Conflict, Subject: subject, Err: errReassigned}
		}
		a, ok := e.contributions[replica]
		if !ok {
			return nil, &thalweg.Error{Op: opExchange, Kind: thalweg.Conflict, Subject: subject, Err: errReassigned}
		}
		if have, want := elementOf(a.vector), elementOf(c.reduced); a.vector.Len() != c.reduced.Len() || have != want {
			return nil, &thalweg.Error{Op: opExchange, Subject: subject, Err: fmt.Errorf("it offered %d elements of type %d, not %d of %d",
				a.vector.Len(), have, c.reduced.Len(), want)}
		}
		own[replica] = a
	}
	return own, nil
}

// fetch sets stretch theirs of c.reduced from the peer that reduces it.
func (c *collection) fetch(ctx context.Context, p peer, theirs stretch) error {
	a, err := c.ask(ctx, ctx, p.Holder, nil, theirs)
	if err != nil {
		return err
	}
	defer a.close()
	chunk := elementOf(c.reduced).chunk()
	for at := theirs.from; at < theirs.to; at += chunk {
		end := min(at+chunk, theirs.to)
		part, err := a.body.next(end - at)
		if err != nil {
			return a.failed(err)
		}
		decodeVector(c.reduced.Slice(at, end), part)
	}
	if err := a.body.end(); err != nil {
		return a.failed(err)
	}
	return nil
}
