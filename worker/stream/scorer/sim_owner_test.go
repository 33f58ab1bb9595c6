package scorer

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/integration/fault"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/compact"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// simOwner is one process that believes to own the partition.
type simOwner struct {
	sim    *sim
	id     int
	runner *runner
	bucket *fault.Bucket
	source *fault.Source
	todo   []func() func() event // started, not carried out
	done   []func() event        // carried out, not answered
	dead   bool
	asleep int // for so many turns
	skew   int64
}

// spawn adds an owner.
func (s *sim) spawn() *simOwner {
	o := &simOwner{sim: s, id: len(s.owners), skew: s.rng.Int64N(2_000_000) - 1_000_000}
	s.tally["owners"]++
	var below storage.Bucket = s.bucket
	if s.wrong != nil && s.wrong.store != nil {
		below = s.wrong.store(o)
	}
	o.bucket = fault.NewBucket(below, s.faults())
	var client storage.Bucket = o.bucket
	if s.wrong != nil && s.wrong.client != nil {
		client = s.wrong.client(o)
	}
	o.source = fault.NewSource(simSource{s}, s.topicFaults())
	generation := thalweg.Generation(1 + len(s.owners)/3)
	scorer, err := New(o.source, client, nil, slog.New(slog.DiscardHandler), Config{
		Pipeline: "p", Generation: generation, Topic: "t", Prefix: "x/",
		Batching:   Limits{Count: 1 + s.rng.IntN(5), Bytes: 100, Period: time.Duration(s.rng.IntN(3)) * time.Millisecond},
		Rolling:    Limits{Count: 1 + s.rng.IntN(12), Bytes: 1000, Period: time.Duration(1+s.rng.IntN(20)) * time.Millisecond},
		MinBackoff: time.Millisecond, MaxBackoff: 5 * time.Millisecond,
		Outbox:     &simOutbox{owner: o, unasked: s.wrong != nil && s.wrong.unasked},
		Rows:       s.rowsConfig(o, generation),
		Compaction: s.compaction(),
	})
	if err != nil {
		panic(err)
	}
	scorer.clock = func() time.Time { return time.UnixMicro(s.now.Wall + o.skew) }
	log, err := commitlog.New(client, commitlog.Config{Prefix: "x/", Pipeline: "p", Topic: "t", Attempts: 1})
	if err != nil {
		panic(err)
	}
	r := newRunner(scorer, log)
	r.machine.Rand = rand.New(rand.NewPCG(s.rng.Uint64(), 2))
	r.newID, r.outbox.Messages = s.newID, simMessages
	r.ctx = context.Background()
	r.spawn = func(work func(context.Context) func() event) {
		o.todo = append(o.todo, func() func() event { return work(r.ctx) })
	}
	r.prepare = func(_ context.Context, m engine.Model) (engine.Engine, error) {
		if s.damaged[m.Version] || s.damaged[m.Rollout.Candidate] {
			return nil, &thalweg.Error{Op: "load model", Kind: thalweg.Corrupt}
		}
		return &simEngine{sim: s, model: m, lines: make(map[*engine.Rows][]int64)}, nil
	}
	r.files.NewMerger = func(int64) compact.Merger {
		if s.wrong != nil && s.wrong.merge != nil {
			m := *s.wrong.merge
			return &m
		}
		return &simMerger{}
	}
	o.runner = r
	s.owners = append(s.owners, o)
	o.step(asked{skip: s.authorized})
	o.step(modelsOffered{s.candidates})
	return o
}

func (s *sim) newID() string { return fmt.Sprintf("%016x%016x", s.rng.Uint64(), s.rng.Uint64()) }

func (o *simOwner) step(ev event) {
	now := o.sim.now
	now.Wall += o.skew
	o.runner.stepAt(now, ev)
	if o.runner.stopped {
		o.dead = true
		if err := o.runner.err; err != nil && !o.stoppedByALoss() && !o.stoppedAsStale() && o.sim.stopped == nil {
			o.sim.stopped = fmt.Errorf("owner %d stopped: %w", o.id, err)
		}
	}
}

// turn lets the owner do one thing.
func (o *simOwner) turn() {
	rng := o.sim.rng
	switch {
	case o.dead:
	case o.asleep > 0:
		o.asleep--
	case len(o.done) > 0 && rng.IntN(2) == 0:
		i := rng.IntN(len(o.done))
		apply := o.done[i]
		o.done = append(o.done[:i], o.done[i+1:]...)
		if ev := apply(); ev != nil {
			if w := o.sim.wrong; w != nil && w.bend != nil {
				ev = w.bend(o, ev)
			}
			o.step(ev)
		}
	case len(o.todo) > 0:
		i := rng.IntN(len(o.todo))
		work := o.todo[i]
		o.todo = append(o.todo[:i], o.todo[i+1:]...)
		o.done = append(o.done, work())
	default:
		o.step(ticked{})
	}
}
