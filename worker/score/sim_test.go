package score

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/commitlog"
	"github.com/thalweg/thalweg/storage/fault"
	bucketmem "github.com/thalweg/thalweg/storage/memory"
)

// sim is a world without goroutines or clock: a topic, a store that fails, and
// owners of the one partition, each the real machine with the real shell but
// for three seams. What is done when, who dies, who stalls and who believes to
// be the owner is drawn from a seed, so a failure is run again by its number.
type sim struct {
	rng    *rand.Rand
	seed   uint64
	wrong  wrongness
	bucket *bucketmem.Bucket
	owners []*simOwner // dead ones too: their last requests may still arrive
	now    instant

	events     []simEvent // by offset
	group      int64      // offset as the dashboards see it
	candidates []Candidate
	damaged    map[thalweg.ModelVersion]bool
	calm       bool // no more faults
	stopped    error
}

// simEvent is what the topic holds at an offset.
type simEvent uint8

const (
	simGood   simEvent = iota
	simPoison          // becomes a dead letter
	simGap             // a control record
)

// wrongness names a scorer that is wrong in one way, which the judge must see.
type wrongness string

const (
	right             wrongness = ""
	resumeFromGroup   wrongness = "resumes from the group's offset"
	anotherCut        wrongness = "carries a claim out with another cut"
	anotherModel      wrongness = "carries a claim out with another model"
	trustsIntent      wrongness = "takes a claim for finished"
	existsIsLost      wrongness = "takes a slot that it holds for lost" // not wrong: see the test
	checksThenWrites  wrongness = "has a store that checks and then writes"
	deletesOnDoubt    wrongness = "deletes its rows when a commit's answer is lost"
	goesOnAfterLosing wrongness = "goes on at the next slot with the range that it lost"
)

// simOwner is one process that believes to own the partition.
type simOwner struct {
	sim    *sim
	id     int
	runner *runner
	bucket *fault.Bucket
	todo   []func() func() event // started, not carried out
	done   []func() event        // carried out, not answered
	dead   bool
	asleep int // for so many turns
	skew   int64
}

func newSim(seed uint64, wrong wrongness) *sim {
	s := &sim{rng: rand.New(rand.NewPCG(seed, 1)), seed: seed, wrong: wrong, bucket: bucketmem.New(), damaged: make(map[thalweg.ModelVersion]bool)}
	s.now = instant{mono: time.Second, wall: 1_000_000}
	s.candidates = []Candidate{simCandidate(1, 1_000_000)}
	return s
}

func simCandidate(version int, at int64) Candidate {
	return Candidate{Model: Model{Name: "m", Version: thalweg.ModelVersion(version),
		Checkpoint: thalweg.CheckpointRef{Key: fmt.Sprintf("checkpoints/%d", version), SHA256: strings.Repeat("c", 64)}}, RegisteredAtUS: at}
}

// spawn adds an owner.
func (s *sim) spawn() *simOwner {
	o := &simOwner{sim: s, id: len(s.owners), skew: s.rng.Int64N(2_000_000) - 1_000_000}
	plan := fault.Plan{}
	if !s.calm {
		plan = fault.Plan{Seed: s.rng.Uint64(), Rules: simFaults}
	}
	var bucket storage.Bucket = s.bucket
	if s.wrong == checksThenWrites {
		bucket = &checkThenWrite{Bucket: s.bucket, sim: s}
	}
	o.bucket = fault.New(bucket, plan)
	scorer, err := New(simSource{s}, o.bucket, nil, slog.New(slog.DiscardHandler), Config{
		Pipeline: "p", Generation: thalweg.Generation(1 + len(s.owners)), Topic: "t", Prefix: "x/",
		Batching:   Limits{Count: 1 + s.rng.IntN(5), Bytes: 100, Period: time.Duration(s.rng.IntN(3)) * time.Millisecond},
		Rolling:    Limits{Count: 1 + s.rng.IntN(12), Bytes: 1000, Period: time.Duration(1+s.rng.IntN(20)) * time.Millisecond},
		MinBackoff: time.Millisecond, MaxBackoff: 5 * time.Millisecond,
	})
	if err != nil {
		panic(err)
	}
	log, err := commitlog.New(o.bucket, commitlog.Config{Prefix: "x/", Pipeline: "p", Topic: "t", Attempts: 1})
	if err != nil {
		panic(err)
	}
	r := newRunner(scorer, log)
	r.machine.rng = rand.New(rand.NewPCG(s.rng.Uint64(), 2))
	r.newID = func() string { return fmt.Sprintf("%016x%016x", s.rng.Uint64(), s.rng.Uint64()) }
	r.ctx = context.Background()
	r.spawn = func(work func(context.Context) func() event) {
		o.todo = append(o.todo, func() func() event { return work(r.ctx) })
	}
	r.prepare = func(_ context.Context, m Model) (engine, error) {
		if s.damaged[m.Version] {
			return nil, &thalweg.Error{Op: "load model", Kind: thalweg.Corrupt}
		}
		return &simEngine{sim: s, version: m.Version, lines: make(map[*rows][]int64)}, nil
	}
	o.runner = r
	s.owners = append(s.owners, o)
	o.step(modelsOffered{s.candidates})
	return o
}

// simFaults are hit often enough that most runs meet several.
var simFaults = []fault.Rule{
	{Fault: fault.LostRequest, Rate: 0.03},
	{Fault: fault.LostReply, Rate: 0.05},
	{Fault: fault.Late, Ops: fault.PutIfAbsent, Rate: 0.05},
	{Fault: fault.Reply412, Rate: 0.05},
	{Fault: fault.Reply409, Rate: 0.03},
	{Fault: fault.Reply500, Rate: 0.03},
}

func (o *simOwner) step(ev event) {
	now := o.sim.now
	now.wall += o.skew
	o.runner.stepAt(now, ev)
	if o.runner.stopped {
		o.dead = true
		if err := o.runner.err; err != nil && o.sim.stopped == nil {
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
			o.step(o.bend(ev))
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

// bend makes wrong scorers wrong.
func (o *simOwner) bend(ev event) event {
	m := o.runner.machine
	switch o.sim.wrong {
	case resumeFromGroup:
		if ev, ok := ev.(logOpened); ok && ev.err == nil && ev.pending == nil && ev.next >= 0 && o.sim.group > 0 {
			ev.next = o.sim.group
			return ev
		}
	case anotherCut:
		if ev, ok := ev.(logOpened); ok && ev.pending != nil && ev.pending.To-ev.pending.From > 1 {
			shorter := *ev.pending
			shorter.To--
			ev.pending = &shorter
			return ev
		}
	case anotherModel:
		if ev, ok := ev.(logOpened); ok && ev.pending != nil {
			other := *ev.pending
			other.ModelVersion = o.sim.candidates[0].Version
			ev.pending = &other
			return ev
		}
	case trustsIntent:
		if ev, ok := ev.(logOpened); ok && ev.pending != nil {
			ev.next, ev.pending = ev.pending.To, nil
			return ev
		}
	case existsIsLost:
		if ev, ok := ev.(slotClaimed); ok && ev.err == nil && o.sim.rng.IntN(10) == 0 {
			// As if the 412 to our own retried request had been believed.
			return slotClaimed{won: false}
		}
	case deletesOnDoubt:
		if ev, ok := ev.(slotFinished); ok && ev.err != nil {
			for info := range o.sim.bucket.List(context.Background(), "x/data/", "") {
				if p := o.runner.logbook.State().Pending; p != nil && strings.Contains(info.Key, p.ID) {
					o.sim.bucket.Delete(context.Background(), info.Key)
				}
			}
		}
	case goesOnAfterLosing:
		if ev, ok := ev.(slotClaimed); ok && ev.err == nil && !ev.won && m.closing != nil {
			// Claims the slot after the winner's for the same range.
			s := o.runner.spans[m.closing.id]
			again := *s.intent
			again.Seq++
			again.ID = o.runner.newID()
			if d := doneOf(o.sim.bucket, s.intent.Seq); d != "" {
				again.Previous = d
				if record, err := again.Encode(); err == nil {
					o.sim.bucket.PutIfAbsent(context.Background(), o.runner.logbook.Layout().IntentKey(again.Seq), record)
				}
			}
		}
	}
	return ev
}

// doneOf returns the sha256 of a slot's done record, "" if it has none.
func doneOf(b storage.Bucket, seq uint64) string {
	body, _, err := b.Get(context.Background(), commitlog.Layout{Prefix: "x/", Topic: "t"}.DoneKey(seq))
	if err != nil {
		return ""
	}
	return storage.SHA256(body)
}

// live returns the owners that are not dead.
func (s *sim) live() []*simOwner {
	var live []*simOwner
	for _, o := range s.owners {
		if !o.dead {
			live = append(live, o)
		}
	}
	return live
}

// run plays steps turns of trouble, then lets one owner finish in peace.
func (s *sim) run(steps int) {
	s.produce(3)
	s.spawn()
	for range steps {
		s.disturb()
		if live := s.live(); len(live) > 0 && s.stopped == nil {
			live[s.rng.IntN(len(live))].turn()
		}
	}
	s.settle()
}

// disturb does to the world what worlds do.
func (s *sim) disturb() {
	live := s.live()
	switch n := s.rng.IntN(100); {
	case n < 40:
		d := time.Duration(s.rng.Int64N(int64(time.Millisecond)))
		s.now.mono += d
		s.now.wall += d.Microseconds()
	case n < 50:
		s.produce(1 + s.rng.IntN(6))
	case n < 52 && len(live) > 0: // killed; a request of its may be on the way
		o := live[s.rng.IntN(len(live))]
		o.dead = true
	case n < 55 && len(live) > 0: // stalled, to wake up as a zombie
		live[s.rng.IntN(len(live))].asleep = s.rng.IntN(60)
	case n < 57 && len(s.owners) > 0: // a late request arrives
		s.owners[s.rng.IntN(len(s.owners))].bucket.Settle(context.Background())
	case n < 58 && len(live) < 3:
		s.spawn()
	case n < 59 && len(live) > 0:
		live[s.rng.IntN(len(live))].step(pauseAsked{s.rng.IntN(3) == 0})
	case n < 60 && len(live) > 0:
		live[s.rng.IntN(len(live))].step(drainAsked{})
	case n < 61 && len(s.candidates) < 6:
		next := simCandidate(len(s.candidates)+1, s.now.wall+s.rng.Int64N(100_000))
		s.candidates = append([]Candidate{next}, s.candidates...)
		s.damaged[next.Version] = s.rng.IntN(4) == 0
		for _, o := range live {
			o.step(modelsOffered{s.candidates})
		}
	}
	if len(live) == 0 {
		s.spawn()
	}
}

// settle ends the trouble: everybody dies, late requests arrive, and a new
// owner on a store that works scores what is left.
func (s *sim) settle() {
	s.calm = true
	for _, o := range s.owners {
		o.dead = true
	}
	for _, o := range s.owners {
		o.bucket.Settle(context.Background())
	}
	if s.stopped != nil {
		return
	}
	s.produce(2)
	o := s.spawn()
	for turns := 0; o.runner.machine.committed < s.lastEvent(); turns++ {
		if turns > 20_000 || o.dead {
			s.stopped = errors.Join(s.stopped, fmt.Errorf("the last owner does not finish: %s, committed %d of %d", o.runner.machine.message(), o.runner.machine.committed, s.lastEvent()))
			return
		}
		s.now.mono += 100 * time.Microsecond
		s.now.wall += 100
		o.turn()
	}
}

// lastEvent returns the offset after the last record that is an event: what
// lies behind it is committed with the next event.
func (s *sim) lastEvent() int64 {
	for i := len(s.events) - 1; i >= 0; i-- {
		if s.events[i] != simGap {
			return int64(i) + 1
		}
	}
	return 0
}

func (s *sim) produce(n int) {
	for range n {
		kind := simGood
		switch s.rng.IntN(12) {
		case 0:
			kind = simPoison
		case 1:
			kind = simGap
		}
		s.events = append(s.events, kind)
	}
}

// simSource reads the sim's topic.
type simSource struct{ s *sim }

func (c simSource) Partitions(context.Context) (int, error) { return 1, nil }
func (c simSource) Close() error                            { return nil }
func (c simSource) Bounds(context.Context, int) (first, next int64, err error) {
	if !c.s.calm && c.s.rng.IntN(10) == 0 {
		return 0, 0, &thalweg.Error{Op: "bounds", Kind: thalweg.Unavailable}
	}
	return 0, int64(len(c.s.events)), nil
}

func (c simSource) Commit(_ context.Context, _ int, next int64) error {
	if c.s.rng.IntN(4) == 0 {
		return &thalweg.Error{Op: "commit offset", Kind: thalweg.Unavailable}
	}
	c.s.group = next
	return nil
}

func (c simSource) Fetch(ctx context.Context, _ int, offset int64, _ time.Duration, _ int, dst *connectors.Records) error {
	dst.Reset()
	dst.Next = offset
	if ctx.Err() != nil {
		return &thalweg.Error{Op: "fetch", Kind: thalweg.Canceled, Err: ctx.Err()}
	}
	if !c.s.calm && c.s.rng.IntN(20) == 0 {
		return &thalweg.Error{Op: "fetch", Kind: thalweg.Unavailable}
	}
	for range 1 + c.s.rng.IntN(9) {
		if dst.Next >= int64(len(c.s.events)) {
			break
		}
		if kind := c.s.events[dst.Next]; kind != simGap {
			dst.Values = fmt.Appendf(dst.Values, "%d", kind)
			dst.Ends = append(dst.Ends, len(dst.Values))
			dst.Offsets = append(dst.Offsets, dst.Next)
			dst.Timestamps = append(dst.Timestamps, 1)
		}
		dst.Next++
	}
	dst.End = int64(len(c.s.events))
	return nil
}

// simEngine scores an event to a line with its offset and the version.
type simEngine struct {
	sim     *sim
	version thalweg.ModelVersion
	lines   map[*rows][]int64
}

func (e *simEngine) score(_ context.Context, b *batch, dst *rows) error {
	if !e.sim.calm && e.sim.rng.IntN(50) == 0 {
		return errors.New("scoring fails now and then")
	}
	var letters bytes.Buffer
	var lost []casualty
	var good []int64
	for i, at := range b.offsets {
		if string(b.value(i)) == "1" {
			fmt.Fprintf(&letters, "dead %d %d %d\n", at, e.version, dst.generation)
			lost = append(lost, casualty{offset: at})
		} else {
			good = append(good, at)
		}
	}
	if err := dst.add(b, nil, letters.Bytes(), lost); err != nil {
		return err
	}
	e.lines[dst] = append(e.lines[dst], good...)
	dst.scored += int64(len(good))
	return nil
}

func (e *simEngine) encode(in commitlog.Intent, r *rows) ([]byte, error) {
	var out bytes.Buffer
	for _, at := range e.lines[r] {
		fmt.Fprintf(&out, "row %d %d %d %d\n", at, e.version, in.SpecGeneration, in.ScoredAtUS)
	}
	return out.Bytes(), nil
}

// checkThenWrite is a store whose conditional create is not atomic.
type checkThenWrite struct {
	*bucketmem.Bucket
	sim *sim
}

func (c *checkThenWrite) PutIfAbsent(ctx context.Context, key string, body []byte) (storage.Info, error) {
	if _, err := c.Bucket.Head(ctx, key); err == nil {
		return c.Bucket.PutIfAbsent(ctx, key, body)
	}
	// The check is through; another owner's turn comes before the write.
	for _, o := range c.sim.live() {
		if len(o.todo) > 0 && o.asleep == 0 && c.sim.rng.IntN(4) == 0 {
			work := o.todo[0]
			o.todo = o.todo[1:]
			o.done = append(o.done, work())
			break
		}
	}
	return c.Bucket.Put(ctx, key, body)
}

var _ io.Closer = simSource{}
