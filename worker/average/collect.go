package average

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// errReassigned is the cause that ends a collection when the assignment changes.
var errReassigned = errors.New("the assignment changed")

// Collect gathers an exchange: see train.Exchange.
func (s *Session) Collect(ctx context.Context, sequence uint64, reduced kernel.Vector, offered <-chan struct{}) (notes [][]byte, newer []byte, err error) {
	s.mu.Lock()
	next, snapshot := s.mu.sequence, s.mu.snapshot
	s.mu.Unlock()
	if next > sequence {
		newer, err = snapshot() // what was inherited is further
		return nil, newer, err
	}
	collecting, assignment, stop := s.watch(ctx)
	defer stop()
	c := &collection{session: s, sequence: sequence, reduced: reduced, offered: offered, assignment: assignment}
	notes, err = c.run(collecting)
	var ahead *aheadError
	if errors.As(err, &ahead) {
		notes = nil
		newer, err = s.snapshot(collecting, ahead.peer, sequence)
	}
	switch {
	case err == nil:
		return notes, newer, nil
	case ctx.Err() != nil:
		return nil, nil, c.failed(thalweg.Canceled, context.Cause(ctx))
	case errors.Is(context.Cause(collecting), errReassigned):
		return nil, nil, c.failed(thalweg.Conflict, errReassigned)
	}
	return nil, nil, err
}

// collection is one call of Collect under one assignment.
type collection struct {
	session    *Session
	sequence   uint64
	reduced    kernel.Vector
	offered    <-chan struct{}
	assignment Assignment
}

func (c *collection) failed(kind thalweg.Kind, err error) error {
	return &thalweg.Error{Op: opExchange, Kind: kind, Subject: fmt.Sprintf("run %s: exchange %d", c.session.run.ID, c.sequence), Err: err}
}

// share is a worker's part in an exchange: its replicas, ascending, and the
// stretch of the vectors that it reduces.
type share struct {
	Holder
	replicas []int
	stretch
}

// shares returns this worker's share and the others'; ok is false while a replica
// has no holder. From Config.SegmentElements on the vectors are cut into a stretch for
// each worker, in the order of their names; the sums of integers of two workers are as
// few bytes in one piece, and one request. Peers that are asked under another
// assignment cut otherwise, and answer when they have seen this one.
func (c *collection) shares() (own share, peers []share, ok bool) {
	self := c.session.run.Worker
	all := []share{{Holder: Holder{Worker: self}}}
	for replica, holder := range c.assignment {
		if holder.Worker == "" {
			return own, nil, false
		}
		i := slices.IndexFunc(all, func(s share) bool { return s.Worker == holder.Worker })
		if i < 0 {
			i, all = len(all), append(all, share{Holder: holder})
		}
		all[i].replicas = append(all[i].replicas, replica)
	}
	slices.SortFunc(all, func(a, b share) int { return cmp.Compare(a.Worker, b.Worker) })
	size := c.reduced.Len()
	for i := range all {
		all[i].stretch = stretch{0, size}
		if c.segmented(len(all)) {
			all[i].stretch = stretch{size * i / len(all), size * (i + 1) / len(all)}
		}
	}
	i := slices.IndexFunc(all, func(s share) bool { return s.Worker == self })
	own = all[i]
	return own, slices.Delete(all, i, i+1), true
}

// segmented reports whether each of so many workers reduces one stretch.
func (c *collection) segmented(workers int) bool {
	return c.reduced.Len() >= c.session.config.SegmentElements && (workers > 2 || workers == 2 && c.reduced.Int64 == nil)
}

// run reduces this worker's stretch and fetches the others.
func (c *collection) run(ctx context.Context) (notes [][]byte, err error) {
	own, peers, ok := c.shares()
	if !ok {
		<-ctx.Done() // the assignment must change first
		return nil, context.Cause(ctx)
	}
	if err := c.session.retry(ctx, func() error {
		notes, err = c.reduce(ctx, own, peers)
		return err
	}); err != nil {
		return nil, err
	}
	if !c.segmented(1 + len(peers)) {
		return notes, nil
	}
	c.session.add(c.sequence, func(e *exchange) {
		e.segments = append(e.segments, segment{own.stretch, c.reduced.Slice(own.from, own.to)})
	})
	fetching, ctx := errgroup.WithContext(ctx)
	for _, p := range peers {
		fetching.Go(func() error {
			return c.session.retry(ctx, func() error {
				a, err := c.ask(ctx, p.Holder, nil, p.stretch)
				if err != nil {
					return err
				}
				defer a.Close()
				return a.read(c.reduced.Slice(p.from, p.to))
			})
		})
	}
	return notes, fetching.Wait()
}

// reduce sets this worker's stretch of c.reduced from the contributions of all replicas,
// its own and those asked from peers, and returns all notes. The sum of each
// element runs in replica order.
func (c *collection) reduce(ctx context.Context, own share, peers []share) (notes [][]byte, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	answers := make([]*answer, len(peers))
	var asking sync.WaitGroup
	for i, p := range peers {
		asking.Go(func() {
			a, err := c.ask(ctx, p.Holder, p.replicas, own.stretch)
			if err != nil {
				cancel(err)
			}
			answers[i] = a
		})
	}
	all, err := c.own(ctx, own.replicas)
	if err != nil {
		cancel(err)
	}
	asking.Wait()
	sources := make([]*answer, len(c.assignment)) // by replica; nil: it is this worker's, or in the sum of another's
	for _, a := range answers {
		if a != nil {
			defer a.Close()
		}
	}
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	for i, a := range answers {
		for k, replica := range peers[i].replicas {
			if all[replica] = a.entries[k].contribution; k == 0 || c.reduced.Int64 == nil {
				sources[replica] = a
			}
		}
	}
	var total float64
	for _, a := range all {
		notes = append(notes, a.note)
		total += a.weight
	}
	if c.reduced.Float32 != nil && !(total > 0) {
		return nil, c.failed(thalweg.Invalid, fmt.Errorf("the weights add up to %v", total))
	}
	return notes, c.sum(own.stretch, sources, all, total)
}

// maxTogether is of how many replicas of others a chunk is held at once: 16 MiB.
const maxTogether = 64

// sum sets a stretch of c.reduced, chunk by chunk, from what the sources send and, where
// there is none, this worker's own contributions. A mean has chunks of all replicas at
// once or, of too many others, goes by sums, which give the same bits more slowly.
func (c *collection) sum(of stretch, sources []*answer, all []contribution, total float64) error {
	if c.reduced.Int64 != nil {
		return c.add(of, sources, all)
	}
	chunk := min(elementOf(c.reduced).chunk(), of.to-of.from)
	parts, weights, others := make([][]float32, len(sources)), make([]float64, len(sources)), 0
	for replica, source := range sources {
		weights[replica] = all[replica].weight
		if source != nil {
			others++
		}
	}
	together := c.reduced.Float32 != nil && others <= maxTogether
	decoded := make([]kernel.Vector, len(sources))
	var shared kernel.Vector
	var sums []float64
	if !together {
		shared = c.reduced.Zeros(chunk)
		sums = make([]float64, len(shared.Float32))
	}
	for replica, source := range sources {
		if decoded[replica] = shared; source != nil && together {
			decoded[replica] = c.reduced.Zeros(chunk)
		}
	}
	for at := of.from; at < of.to; at += chunk {
		end := min(at+chunk, of.to)
		out := c.reduced.Slice(at, end)
		clear(out.Float64)
		clear(sums)
		for replica, source := range sources {
			part := decoded[replica].Slice(0, end-at)
			if source == nil && all[replica].vector.Len() == 0 {
				continue
			} else if source == nil {
				part = all[replica].vector.Slice(at, end)
			} else if err := source.read(part); err != nil {
				return err
			}
			if parts[replica] = part.Float32; !together {
				kernel.Accumulate(sums[:len(part.Float32)], part.Float32, weights[replica])
			}
			for i, x := range part.Float64 {
				out.Float64[i] += x
			}
		}
		if together {
			kernel.Mean(out.Float32, parts, weights, 1/total)
		} else {
			kernel.Narrow(out.Float32, sums[:len(out.Float32)], 1/total)
		}
	}
	return nil
}

// add is sum of integers, in any order: what comes first is read to where the sum belongs.
func (c *collection) add(of stretch, sources []*answer, all []contribution) error {
	chunk := min(elementInt64.chunk(), of.to-of.from)
	var shared kernel.Vector
	for at := of.from; at < of.to; at += chunk {
		end := min(at+chunk, of.to)
		out, first := c.reduced.Slice(at, end), true
		for replica, source := range sources {
			part := out
			switch own := all[replica].vector; {
			case source == nil && own.Len() == 0:
				continue
			case source == nil:
				part = own.Slice(at, end)
			case !first:
				if shared.Int64 == nil {
					shared = c.reduced.Zeros(chunk)
				}
				part = shared.Slice(0, end-at)
			}
			if source != nil {
				if err := source.read(part); err != nil {
					return err
				}
			}
			if first {
				copy(out.Int64, part.Int64)
				first = false
				continue
			}
			for i, x := range part.Int64 {
				out.Int64[i] += x
			}
		}
	}
	return nil
}

// own returns what this worker's replicas contributed, once they have, in a list of all
// replicas. It fails with Conflict if one has not: it was assigned after the caller last looked.
func (c *collection) own(ctx context.Context, replicas []int) ([]contribution, error) {
	select {
	case <-c.offered:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	c.session.mu.Lock()
	defer c.session.mu.Unlock()
	all := make([]contribution, len(c.assignment))
	e := c.session.mu.exchanges[c.sequence]
	if e == nil {
		e = &exchange{}
	}
	for _, replica := range replicas {
		a, ok := e.contributions[replica]
		if !ok {
			return nil, c.failed(thalweg.Conflict, errReassigned)
		}
		if have, want := elementOf(a.vector), elementOf(c.reduced); a.vector.Len() != c.reduced.Len() || have != want {
			return nil, c.failed(thalweg.Other, fmt.Errorf("replica %d offered %d elements of type %d, not %d of %d",
				replica, a.vector.Len(), have, c.reduced.Len(), want))
		}
	}
	for _, a := range e.of(replicas) {
		all[a.replica] = a.contribution
	}
	return all, nil
}

// answer is a peer's body on its way.
type answer struct {
	peer Holder
	*bodyReader
	io.Closer
}

func (a *answer) read(v kernel.Vector) error {
	if err := a.bodyReader.read(v); err != nil {
		return peerError(a.peer, thalweg.Unavailable, err, "")
	}
	return nil
}

// ask requests a stretch of contributions (of replicas) or of the reduced vector
// (nil) from a peer.
func (c *collection) ask(ctx context.Context, p Holder, replicas []int, part stretch) (*answer, error) {
	path := fmt.Sprintf("%s?from=%d&to=%d", reducedPath, part.from, part.to)
	if replicas == nil {
		replicas = []int{reducedEntry}
	} else {
		list := strings.Trim(strings.ReplaceAll(fmt.Sprint(replicas), " ", ","), "[]")
		path = fmt.Sprintf("%s?from=%d&to=%d&replicas=%s", contributionsPath, part.from, part.to, list)
	}
	response, err := c.session.get(ctx, http.MethodGet, p, c.sequence, path)
	if err != nil {
		return nil, err
	}
	body, err := readBody(response.Body, c.sequence, elementOf(c.reduced), replicas, part)
	if err != nil {
		response.Body.Close()
		return nil, peerError(p, thalweg.Unavailable, err, "")
	}
	return &answer{peer: p, bodyReader: body, Closer: response.Body}, nil
}
