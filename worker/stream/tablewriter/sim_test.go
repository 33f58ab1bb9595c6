package tablewriter

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/integration/effort"
	"github.com/thalweg/thalweg/integration/fault"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/memory"
	"github.com/thalweg/thalweg/storage/table/delta"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/machine"
)

var (
	seeds = flag.Uint64("seeds", 0, "how many seeds the model test plays; 0: a sample, or 100 with EFFORT=full")
	from  = flag.Uint64("seed", 1, "the first of them")
)

// sim plays one seed: authors write logs, several writers keep one table, die,
// sleep through what others do and wake up, while the store fails. Then every
// version of the table is judged.
type sim struct {
	t       *testing.T
	rng     *rand.Rand
	store   storage.Bucket // as it is
	faulty  *fault.Bucket  // as writers see it
	authors []*author
	writers []*simWriter
	now     machine.Instant
	calm    bool
	wrong   wrong
}

// wrong makes a writer that must be found out.
type wrong struct {
	name    string
	bucket  func(storage.Bucket) storage.Bucket
	effect  func(s *sim, w *simWriter, e effect) effect
	event   func(s *sim, w *simWriter, before *delta.Snapshot, ev event) event
	machine func(m *tableMachine)
}

// simWriter is a writer whose effects take place when the seed says so.
type simWriter struct {
	*runner
	effect effect // wanted, and not carried out yet
	seen   map[string]int64
}

func newSim(t *testing.T, seed uint64, w wrong) *sim {
	s := &sim{t: t, rng: rand.New(rand.NewPCG(seed, 11)), store: memory.New(), wrong: w, now: machine.Instant{Mono: time.Hour, Wall: 1_750_000_000_000_000}}
	s.faulty = fault.NewBucket(s.store, fault.Chaos(seed, 0.03))
	for i, source := range []Source{{Topic: "a", Partition: 0}, {Topic: "a", Partition: 1}, {Topic: "a", Partition: 1, Replay: true}} {
		a := newAuthor(t, s.store, source, seed*3+uint64(i))
		a.body = func(part int, from, to int64) ([]byte, int64) {
			return fmt.Appendf(nil, "%d rows from %d", to-from, from), to - from
		}
		s.authors = append(s.authors, a)
	}
	for range 3 {
		s.writers = append(s.writers, s.newWriter())
	}
	return s
}

// newWriter is a process that has just begun.
func (s *sim) newWriter() *simWriter {
	bucket := storage.Bucket(s.faulty)
	if s.wrong.bucket != nil {
		bucket = s.wrong.bucket(bucket)
	}
	cfg := Config{Pipeline: "p", Prefix: prefix, CheckpointEvery: 3}.withDefaults()
	w := &Writer{cfg: cfg, bucket: bucket, table: delta.New(bucket, prefix)}
	w.mu.finished = map[Source]uint64{}
	w.mu.changed = make(chan struct{})
	id := func() string { return fmt.Sprintf("%016x%016x", s.rng.Uint64(), s.rng.Uint64()) }
	r := &runner{Writer: w, readers: map[Source]*commitlog.Follower{}, machine: newMachine(cfg, s.rng, id)}
	r.describe = func(ctx context.Context, o commitlog.Object) (*file, error) {
		if _, err := s.store.Head(ctx, o.Key); err != nil {
			return nil, err
		}
		return &file{schema: delta.Schema{{Name: "n", Type: delta.Long, Nullable: true}}, stats: fmt.Sprintf(`{"numRecords":%d}`, o.Rows)}, nil
	}
	if s.wrong.machine != nil {
		s.wrong.machine(r.machine)
	}
	sw := &simWriter{runner: r, seen: map[string]int64{}}
	for _, a := range s.authors {
		s.tell(sw, sourceAdded{a.source})
	}
	return sw
}

// tell feeds a writer's machine.
func (s *sim) tell(w *simWriter, events ...event) {
	if e := w.machine.step(s.now, events...); e != nil {
		w.effect = e
	}
}

// act carries out what a writer wants.
func (s *sim) act(w *simWriter) {
	e := w.effect
	w.effect = nil
	if s.wrong.effect != nil {
		e = s.wrong.effect(s, w, e)
	}
	var before *delta.Snapshot
	if w.machine.snapshot != nil {
		before = w.machine.snapshot.Clone()
	}
	ev := w.carryOut(context.Background(), e)
	if s.wrong.event != nil {
		ev = s.wrong.event(s, w, before, ev)
	}
	s.tell(w, ev)
}

// tick passes time.
func (s *sim) tick() {
	s.now.Mono += time.Duration(s.rng.Int64N(int64(20 * time.Second)))
	s.now.Wall += 1_000_000
	for _, w := range s.writers {
		s.tell(w)
	}
}

// write lets an author finish a slot, compact, or delete what was compacted.
func (s *sim) write() {
	a := s.authors[s.rng.IntN(len(s.authors))]
	live := slices.Collect(func(yield func(uint64) bool) {
		for seq := range a.live {
			if !yield(seq) {
				return
			}
		}
	})
	slices.Sort(live)
	switch {
	case len(live) > 2 && !a.source.Replay && s.rng.IntN(4) == 0:
		at := s.rng.IntN(len(live) - 1)
		a.compact(live[at : at+2]...)
	case len(a.removals) > 0 && s.rng.IntN(6) == 0:
		s.settle() // the grace period is longer than any writer lags
		a.sweep()
	default:
		a.slot(int64(s.rng.IntN(4)))
	}
	if s.rng.IntN(3) > 0 {
		s.tell(s.writers[s.rng.IntN(len(s.writers))], slotFinished{a.source, a.slots()})
	}
}

// settle lets one writer come so far that nothing that is deleted is in the
// table: most seeds never do.
func (s *sim) settle() {
	if s.rng.IntN(2) == 0 {
		return
	}
	w := s.writers[0]
	for range 50 {
		if w.effect != nil {
			s.act(w)
		} else {
			s.tick()
		}
	}
}

// play plays the seed and returns what is wrong with the table.
func (s *sim) play() error {
	for range 120 {
		switch n := s.rng.IntN(20); {
		case n < 5:
			s.write()
		case n == 5:
			s.tick()
		case n == 6 && s.rng.IntN(3) == 0: // a process dies, another begins
			s.writers[s.rng.IntN(len(s.writers))] = s.newWriter()
		default:
			if w := s.writers[s.rng.IntN(len(s.writers))]; w.effect != nil {
				s.act(w)
			}
		}
	}
	s.faulty.Settle(context.Background())
	if err := s.judge(false); err != nil {
		return err
	}
	// The store works from now on: what is finished gets into the table.
	s.calm = true
	s.writers = nil
	inner := s.faulty
	s.faulty = fault.NewBucket(s.store, fault.Plan{})
	_ = inner
	for range 2 {
		s.writers = append(s.writers, s.newWriter())
	}
	for range 600 {
		for _, w := range s.writers {
			if w.effect != nil {
				s.act(w)
			}
		}
		if s.rng.IntN(4) == 0 {
			s.tick()
		}
	}
	return s.judge(true)
}

// judge reads every version of the table by itself and holds its files against
// the logs: those that were live after the slots that its txns name. whole: all
// slots must be in it.
func (s *sim) judge(whole bool) error {
	ctx := context.Background()
	table := delta.New(s.store, prefix)
	files := map[string]bool{}
	txns := map[string]int64{}
	version := int64(0)
	for ; ; version++ {
		c, err := table.Read(ctx, version)
		if thalweg.Is(err, thalweg.NotFound) {
			break
		}
		if err != nil {
			return err
		}
		for _, a := range c.Actions {
			switch {
			case a.Remove != nil:
				delete(files, a.Remove.Path)
			case a.Txn != nil:
				if last, ok := txns[a.Txn.AppID]; ok && a.Txn.Version <= last {
					return fmt.Errorf("version %d: %s goes from slot %d to %d", version, a.Txn.AppID, last, a.Txn.Version)
				}
				txns[a.Txn.AppID] = a.Txn.Version
			}
		}
		for _, a := range c.Actions {
			if a.Add != nil {
				files[a.Add.Path] = true
			}
		}
		if err := s.hold(version, files, txns); err != nil {
			return err
		}
	}
	// What readers that begin at a checkpoint see is the same.
	snapshot, err := table.Load(ctx)
	if err != nil {
		return err
	}
	loaded := map[string]bool{}
	for a, err := range table.Files(ctx, snapshot) {
		if err != nil {
			return err
		}
		loaded[a.Path] = true
	}
	if err := s.hold(snapshot.Version, loaded, snapshot.Txns); err != nil {
		return fmt.Errorf("from checkpoint %d: %w", snapshot.Checkpoint, err)
	}
	if !whole {
		return nil
	}
	for _, a := range s.authors {
		if v, ok := snapshot.Txns[a.source.AppID()]; a.slots() > 0 && (!ok || v != int64(a.slots())-1) && s.anyRows() {
			return fmt.Errorf("%s: slots up to %d are in the table, %d are finished", a.source, v, a.slots())
		}
	}
	return nil
}

// anyRows reports whether there is a slot with rows: without, there is no table.
func (s *sim) anyRows() bool {
	for _, a := range s.authors {
		for _, d := range a.entries {
			if d.Scored > 0 {
				return true
			}
		}
	}
	return false
}

// hold compares files with what the logs say is live.
func (s *sim) hold(version int64, files map[string]bool, txns map[string]int64) error {
	left := len(files)
	for _, a := range s.authors {
		v, ok := txns[a.source.AppID()]
		if !ok {
			v = -1
		}
		if v >= int64(a.slots()) {
			return fmt.Errorf("version %d: %s slot %d is not finished", version, a.source, v)
		}
		want := a.liveAfter(uint64(v + 1))
		for _, path := range want {
			if !files[path] {
				return fmt.Errorf("version %d: %s, live after slot %d, is not in the table", version, path, v)
			}
		}
		left -= len(want)
	}
	if left != 0 {
		return fmt.Errorf("version %d: %d files too many: %v", version, left, slices.Sorted(func(yield func(string) bool) {
			for f := range files {
				if !yield(f) {
					return
				}
			}
		}))
	}
	return nil
}

func TestModel(t *testing.T) {
	for seed := *from; seed < *from+cmp.Or(*seeds, effort.Seeds(20, 100)); seed++ {
		if err := newSim(t, seed, wrong{}).play(); err != nil {
			t.Fatalf("seed %d (go test ./worker/stream/tablewriter -run TestModel -seed %d -seeds 1): %v", seed, seed, err)
		}
	}
}

// overwriting is a store that does not mind whether a version exists.
type overwriting struct{ storage.Bucket }

func (o overwriting) PutIfAbsent(ctx context.Context, key string, body []byte) (storage.Info, error) {
	if strings.HasSuffix(key, ".json") {
		return o.Bucket.Put(ctx, key, body)
	}
	return o.Bucket.PutIfAbsent(ctx, key, body)
}

// wrongs are writers that the model test must find out.
var wrongs = []wrong{
	{name: "without looking at the txns of others", event: func(s *sim, w *simWriter, before *delta.Snapshot, ev event) event {
		var after *delta.Snapshot
		switch ev := ev.(type) {
		case caughtUp:
			after = ev.snapshot
		case committed:
			if !ev.won && ev.winner != nil {
				ev.winner.Actions = slices.DeleteFunc(slices.Clone(ev.winner.Actions), func(a delta.Action) bool { return a.Txn != nil })
			}
		}
		if after != nil && before != nil {
			after.Txns = before.Txns
		}
		return ev
	}},
	{name: "overwriting a version that another wrote", bucket: func(b storage.Bucket) storage.Bucket { return overwriting{b} }},
	{name: "taking a version without an answer for its own", event: func(s *sim, w *simWriter, _ *delta.Snapshot, ev event) event {
		if c, ok := ev.(committed); ok && c.err != nil {
			return committed{won: true}
		}
		return ev
	}},
	{name: "adding a merged file and removing the old ones later", effect: func(s *sim, w *simWriter, e effect) effect {
		if c, ok := e.(commit); ok {
			c.commit.Actions = slices.DeleteFunc(slices.Clone(c.commit.Actions), func(a delta.Action) bool { return a.Remove != nil })
			return c
		}
		return e
	}},
	{name: "checkpoints without txns", effect: func(s *sim, w *simWriter, e effect) effect {
		if c, ok := e.(checkpoint); ok {
			c.snapshot = c.snapshot.Clone()
			clear(c.snapshot.Txns)
			return c
		}
		return e
	}},
	{name: "checkpoints that forget removals", effect: func(s *sim, w *simWriter, e effect) effect {
		if c, ok := e.(checkpoint); ok {
			c.snapshot = c.snapshot.Clone()
			for path, change := range c.snapshot.Recent {
				if change.Remove != nil {
					delete(c.snapshot.Recent, path)
				}
			}
			return c
		}
		return e
	}},
	{name: "believing reports of slots instead of reading them", event: func(s *sim, w *simWriter, _ *delta.Snapshot, ev event) event {
		if r, ok := ev.(slotsRead); ok && r.end && r.err == nil {
			for _, a := range s.authors {
				if a.source == r.source && len(r.slots) == 0 {
					r.slots, r.end = append(r.slots, slot{seq: w.machine.find(r.source).next}), false
				}
			}
			return r
		}
		return ev
	}},
	{name: "a txn in a version of its own", effect: func(s *sim, w *simWriter, e effect) effect {
		if c, ok := e.(commit); ok {
			c.commit.Actions = slices.DeleteFunc(slices.Clone(c.commit.Actions), func(a delta.Action) bool { return a.Txn != nil })
			return c
		}
		return e
	}},
}

func TestModelFindsWrongWriters(t *testing.T) {
	for _, w := range wrongs {
		t.Run(w.name, func(t *testing.T) {
			for seed := uint64(1); seed <= 300; seed++ {
				if err := newSim(t, seed, w).play(); err != nil {
					t.Logf("seed %d: %v", seed, err)
					return
				}
			}
			t.Error("nothing is wrong in 300 seeds")
		})
	}
}
