package commitlog

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"iter"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/integration/fault"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/memory"
)

// A failing seed is run again with: go test ./worker/stream/commitlog -run Owners -seed N
var seedFlag = flag.Uint64("seed", 0, "run only this seed of the races (0: all)")

const (
	raceSeeds = 80
	raceEnd   = 190 // owners go on until the log has reached this offset
)

// turnstile lets one bucket operation of several owners run at a time, in an
// order that follows from a seed: an owner is let through for a while, the
// others stall at any point of their work. It may also crash the owner before
// or after the operation. So a seed is a history, and can be run again.
type turnstile struct {
	random *rand.Rand
	at     []chan bool // owner's operation may run (true) or the owner crashes (false)
	moved  chan event  // an owner arrived at its next operation or left
}

type event struct {
	owner int
	left  bool
}

// run starts the owners and schedules them until all have left.
func (s *turnstile) run(owners ...func()) {
	waiting := make([]bool, len(owners))
	s.at, s.moved = make([]chan bool, len(owners)), make(chan event)
	for i, owner := range owners {
		s.at[i] = make(chan bool)
		go func() {
			owner()
			s.moved <- event{i, true}
		}()
	}
	running, favourite := len(owners), 0
	for busy := len(owners); running > 0; busy = 1 {
		for range busy { // until every owner waits or has left
			e := <-s.moved
			if waiting[e.owner] = !e.left; e.left {
				running--
			}
		}
		if running == 0 {
			return
		}
		for !waiting[favourite] || s.random.IntN(12) == 0 {
			favourite = s.random.IntN(len(owners))
			if waiting[favourite] && s.random.IntN(2) == 0 {
				break
			}
		}
		waiting[favourite] = false
		s.at[favourite] <- s.random.IntN(40) != 0
	}
}

// pass waits for the owner's turn and reports whether it lives on.
func (s *turnstile) pass(owner int) bool {
	s.moved <- event{owner, false}
	return <-s.at[owner]
}

// gated is one owner's view of the shared bucket.
type gated struct {
	storage.Bucket
	turnstile *turnstile
	owner     int
}

// errCrash ends the process that an owner stands for.
var errCrash = errors.New("the owner crashed")

func (g *gated) enter(key string) error {
	if g.turnstile.pass(g.owner) {
		return nil
	}
	return storage.Failure("operate", thalweg.Canceled, key, errCrash)
}

func (g *gated) Get(ctx context.Context, key string) ([]byte, storage.Info, error) {
	if err := g.enter(key); err != nil {
		return nil, storage.Info{}, err
	}
	return g.Bucket.Get(ctx, key)
}

func (g *gated) GetRange(ctx context.Context, key string, offset int64, buf []byte) error {
	if err := g.enter(key); err != nil {
		return err
	}
	return g.Bucket.GetRange(ctx, key, offset, buf)
}

// PutIfAbsent takes effect in half of its crashes.
func (g *gated) PutIfAbsent(ctx context.Context, key string, body []byte) (storage.Info, error) {
	if err := g.enter(key); err != nil {
		if len(key)%2 == 0 {
			g.Bucket.PutIfAbsent(ctx, key, body)
		}
		return storage.Info{}, err
	}
	return g.Bucket.PutIfAbsent(ctx, key, body)
}

func (g *gated) Head(ctx context.Context, key string) (storage.Info, error) {
	if err := g.enter(key); err != nil {
		return storage.Info{}, err
	}
	return g.Bucket.Head(ctx, key)
}

func (g *gated) List(ctx context.Context, prefix, after string) iter.Seq2[storage.Info, error] {
	if err := g.enter(prefix); err != nil {
		return func(yield func(storage.Info, error) bool) { yield(storage.Info{}, err) }
	}
	return g.Bucket.List(ctx, prefix, after)
}

// owner works on the log as a scorer does, beginning anew after every error,
// and notes the IDs of the slots that it was told it holds.
type owner struct {
	bucket  storage.Bucket
	random  *rand.Rand
	claimed map[uint64]string
}

func (o *owner) work(t *testing.T) {
	for life := 0; ; life++ {
		if life > 10_000 {
			t.Error("an owner makes no progress")
			return
		}
		reached, err := o.life(t.Context())
		if reached {
			return
		}
		switch thalweg.KindOf(err) {
		case thalweg.Canceled, thalweg.Unavailable, thalweg.Conflict: // crash; store; a restless log
		default:
			t.Errorf("an owner met %v", err)
			return
		}
	}
}

// life is one process: it opens the log and appends until an error.
func (o *owner) life(ctx context.Context) (reached bool, err error) {
	l, err := New(o.bucket, testConfig)
	if err != nil {
		return false, err
	}
	if _, err := l.Open(ctx); err != nil {
		return false, err
	}
	for {
		s := l.State()
		if s.Pending == nil && s.NextOffset >= raceEnd {
			return true, nil
		}
		if s.Pending == nil {
			in := next(s, 1+o.random.Int64N(15))
			in.ID = fmt.Sprintf("%016x%016x", o.random.Uint64(), o.random.Uint64()) // the seed's, as keys hold it
			in.ModelVersion = 1 + thalweg.ModelVersion(o.random.Uint64N(5))
			won, winner, err := l.Claim(ctx, in)
			if err != nil {
				return false, err
			}
			if won != (winner == in) {
				return false, fmt.Errorf("claim of %s says %t and shows %s", in.ID, won, winner.ID)
			}
			if won {
				o.claimed[in.Seq] = in.ID
			}
		}
		if err := carryOut(ctx, l); err != nil {
			return false, err
		}
	}
}

func TestOwnersThatOverlapNeverShareASlotNorRepeatARow(t *testing.T) {
	seeds := make([]uint64, raceSeeds)
	for i := range seeds {
		seeds[i] = uint64(i) + 1
	}
	if *seedFlag != 0 {
		seeds = []uint64{*seedFlag}
	}
	for _, seed := range seeds {
		store := memory.New()
		plan := fault.Chaos(seed, 0.03)
		plan.Rules = append(plan.Rules,
			fault.Rule{Fault: fault.Truncated, Ops: fault.GetRange | fault.List, Rate: 0.03},
			fault.Rule{Fault: fault.BitFlip, Rate: 0.03, Times: 1})
		faulty := fault.NewBucket(store, plan)
		gate := &turnstile{random: rand.New(rand.NewPCG(seed, 1))}
		owners := make([]*owner, 2+seed%2)
		var work []func()
		for i := range owners {
			o := &owner{bucket: &gated{faulty, gate, i}, random: rand.New(rand.NewPCG(seed, uint64(i)+2)), claimed: map[uint64]string{}}
			owners[i] = o
			work = append(work, func() { o.work(t) })
		}
		gate.run(work...)
		faulty.Settle(t.Context())
		if err := judge(t.Context(), store, owners); err != nil || t.Failed() {
			t.Fatalf("%v; faults %v; run again with: go test ./worker/stream/commitlog -run Owners -seed %d", err, faulty.Injected(), seed)
		}
	}
}

// judge checks the store by the promises to readers, with no help of the log's
// own code but for decoding.
func judge(ctx context.Context, b storage.Bucket, owners []*owner) error {
	y := testConfig.layout()
	offset, previous, named := int64(100), "", map[string]bool{}
	for seq := uint64(0); ; seq++ {
		record, _, err := b.Get(ctx, y.IntentKey(seq))
		if thalweg.Is(err, thalweg.NotFound) {
			break
		}
		in, err := DecodeIntent(record)
		if err != nil {
			return err
		}
		for i, o := range owners {
			if id, ok := o.claimed[seq]; ok && id != in.ID {
				return fmt.Errorf("owner %d was told that it holds slot %d with %s, which %s holds", i, seq, id, in.ID)
			}
		}
		if in.From != offset || in.Previous != previous {
			return fmt.Errorf("slot %d goes from %d, after %q, want %d, after %q", seq, in.From, in.Previous, offset, previous)
		}
		doneRecord, _, err := b.Get(ctx, y.DoneKey(seq))
		if err != nil {
			return err
		}
		d, err := DecodeDone(doneRecord)
		if err != nil {
			return err
		}
		if d.Intent != in.ID || d.IntentSHA256 != storage.SHA256(record) {
			return fmt.Errorf("slot %d is finished for another intent", seq)
		}
		for _, o := range d.Objects {
			body, _, err := b.Get(ctx, o.Key)
			if err != nil || storage.SHA256(body) != o.SHA256 || int64(bytes.Count(body, []byte("\n"))) != o.Rows {
				return fmt.Errorf("slot %d names %+v, which holds %q, %w", seq, o, body, err)
			}
			named[o.Key] = true
		}
		offset, previous = in.To, storage.SHA256(doneRecord)
	}
	if offset < raceEnd {
		return fmt.Errorf("the log ends at %d", offset)
	}
	return globOnce(ctx, b, y, offset, named)
}

// globOnce checks that a plain glob sees each row exactly once, and nothing
// that no record names.
func globOnce(ctx context.Context, b storage.Bucket, y Layout, end int64, named map[string]bool) error {
	seen := map[int64]int{}
	for _, dir := range []string{y.DataDir(), y.DeadDir()} {
		for info, err := range b.List(ctx, dir, "") {
			if err != nil {
				return err
			}
			if !named[info.Key] {
				return fmt.Errorf("no record names %s", info.Key)
			}
			body, _, err := b.Get(ctx, info.Key)
			if err != nil {
				return err
			}
			for line := range strings.Lines(string(body)) {
				offset, err := strconv.ParseInt(strings.Fields(line)[0], 10, 64)
				if err != nil {
					return err
				}
				seen[offset]++
			}
		}
	}
	for offset := int64(100); offset < end; offset++ {
		want := 1
		if offset%13 == 0 || offset%7 != 0 && offset%11 == 0 {
			want = 0 // never existed; dropped
		}
		if seen[offset] != want {
			return fmt.Errorf("offset %d is there %d times, want %d", offset, seen[offset], want)
		}
	}
	return nil
}
