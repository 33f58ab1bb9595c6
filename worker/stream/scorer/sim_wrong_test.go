package scorer

import (
	"context"
	"errors"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/storage"
	bucketmem "github.com/thalweg/thalweg/storage/memory"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

// wrong is a scorer that is wrong in one way, which the judge must see.
type wrong struct {
	name string
	// bend changes an answer before the machine learns it; it may do more.
	bend func(o *simOwner, ev event) event
	// store is what an owner's requests reach instead of the sim's store.
	store func(o *simOwner) storage.Bucket
	// client lies between an owner's log and its store with its faults.
	client func(o *simOwner) storage.Bucket
	// unasked delivers dead letters without asking whether they were.
	unasked bool
	// merge says how files are merged; each merge begins with a copy.
	merge *simMerger
	// unpinned takes no notice of as what rows were sent, and unfenced has several
	// send at once.
	unpinned, unfenced bool
	// byName has the topic read by its name, whichever topic has it.
	byName bool
}

// wrongs is the table of them. A way to get the protocol wrong that the judge
// is to know is one line here.
var wrongs = []wrong{
	{name: "resumes from the group's offset", bend: resumeFromGroup},
	{name: "carries a claim out with another cut", bend: anotherCut},
	{name: "carries a claim out with another model", bend: anotherModel},
	{name: "takes a claim for finished", bend: trustsIntent},
	{name: "takes a 412 for a loss without comparing ids", client: newBelieves412},
	{name: "has a store that checks and then writes", store: newCheckThenWrite},
	{name: "deletes its rows when a commit's answer is lost", bend: deletesOnDoubt},
	{name: "goes on at the next slot with the range that it lost", bend: goesOnAfterLosing},
	{name: "delivers dead letters without asking whether they were", unasked: true},
	{name: "takes dead letters for delivered when the topic is away", bend: goesOnUndelivered},
	{name: "scores rows that were sent with its own version", unpinned: true},
	{name: "sends rows although another has taken over", unfenced: true},
	{name: "takes rows for sent when their topic is away", bend: goesOnUnsent},
	{name: "deletes the files that it merged before the record is there", bend: deletesInputsEarly},
	{name: "deletes the files of a compaction that was only claimed", bend: sweepsClaims},
	{name: "deletes replaced files at once", bend: sweepsAtOnce},
	{name: "merges files that were merged before", bend: mergesAgain},
	{name: "finishes a compaction with a file more than it was claimed for", bend: mergesMore},
	{name: "forgets the last file of a merge", merge: &simMerger{forgets: true}},
	{name: "writes a row of a merge twice", merge: &simMerger{repeats: true}},
	{name: "reads whatever topic has the name", byName: true},
	{name: "goes on with a topic made anew without an authorization", bend: acceptsAnew},
	{name: "gives up more than was said", bend: skipsMore},
	{name: "gives up the same offsets twice", bend: skipsTwice},
	{name: "takes any authorization for the one about a claim", bend: takesAnyAuthorization},
	{name: "gives up what others have published of a claim", bend: leavesOut},
	{name: "writes the rest of a claim beside what is there of it", client: newBesides},
	{name: "does not take the name of dead letters that are given up", client: newUnreserved},
}

// lossIn returns what a fetch found missing, nil if it found nothing missing.
func lossIn(ev event) *connectors.MissingRange {
	missing := new(connectors.MissingRange)
	if ev, ok := ev.(recordsFetched); ok && errors.As(ev.err, &missing) {
		return missing
	}
	return nil
}

func acceptsAnew(o *simOwner, ev event) event {
	if missing := lossIn(ev); missing != nil && missing.Was != missing.Is {
		o.runner.machine.loss.authorized = SkipAuthorization{From: o.runner.machine.source.position, To: 1 << 40, TopicID: missing.Was, Accept: missing.Is}
	}
	return ev
}

// skipsMore gives up a record that is there, along with those that are not.
func skipsMore(o *simOwner, ev event) event {
	m := o.runner.machine
	if missing := lossIn(ev); missing != nil && missing.Was == missing.Is && missing.First < missing.Next && m.loss.authorized.To == missing.First {
		missing.First++
		missing.To++
		m.loss.authorized.To++
	}
	return ev
}

// skipsTwice claims another slot for what it has just given up.
func skipsTwice(o *simOwner, ev event) event {
	m := o.runner.machine
	if ev, ok := ev.(slotFinished); ok && ev.err == nil && m.slots.closing != nil && m.slots.closing.skip {
		if in := m.slots.closing.intent; in != nil {
			o.sim.claimAgain(*in, o.sim.doneOf(in.Seq))
		}
	}
	return ev
}

// loses is not wrong: a scorer that holds a slot and is told that it lost it
// reads the log, finds a claim that is not finished, and finishes it.
var loses = wrong{name: "takes a slot that it holds for lost", bend: func(o *simOwner, ev event) event {
	if ev, ok := ev.(slotClaimed); ok && ev.err == nil && o.sim.rng.IntN(10) == 0 {
		return slotClaimed{won: false}
	}
	return ev
}}

func resumeFromGroup(o *simOwner, ev event) event {
	if ev, ok := ev.(logOpened); ok && ev.err == nil && ev.Pending == nil && ev.NextOffset >= 0 && o.sim.group > 0 {
		ev.NextOffset = o.sim.group
		return ev
	}
	return ev
}

func anotherCut(_ *simOwner, ev event) event {
	if ev, ok := ev.(logOpened); ok && ev.Pending != nil && ev.Pending.To-ev.Pending.From > 1 {
		shorter := *ev.Pending
		shorter.To--
		ev.Pending = &shorter
		return ev
	}
	return ev
}

func anotherModel(o *simOwner, ev event) event {
	if ev, ok := ev.(logOpened); ok && ev.Pending != nil {
		other := *ev.Pending
		other.ModelVersion, other.Rollout = o.sim.candidates[0].Version, o.sim.candidates[0].Rollout
		ev.Pending = &other
		return ev
	}
	return ev
}

func trustsIntent(_ *simOwner, ev event) event {
	if ev, ok := ev.(logOpened); ok && ev.Pending != nil {
		ev.NextOffset, ev.Pending = ev.Pending.To, nil
		return ev
	}
	return ev
}

func goesOnUndelivered(_ *simOwner, ev event) event {
	if _, ok := ev.(deadLettersDelivered); ok {
		return deadLettersDelivered{}
	}
	return ev
}

func goesOnUnsent(_ *simOwner, ev event) event {
	if ev, ok := ev.(rowsSent); ok {
		ev.err = nil
		return ev
	}
	return ev
}

func deletesOnDoubt(o *simOwner, ev event) event {
	if ev, ok := ev.(slotFinished); ok && ev.err != nil {
		for info := range o.sim.bucket.List(context.Background(), "x/data/", "") {
			if p := o.runner.logbook.State().Pending; p != nil && strings.Contains(info.Key, p.ID) {
				o.sim.bucket.Delete(context.Background(), info.Key)
			}
		}
	}
	return ev
}

// goesOnAfterLosing claims the slot after the winner's for the same range.
func goesOnAfterLosing(o *simOwner, ev event) event {
	m := o.runner.machine
	if ev, ok := ev.(slotClaimed); ok && ev.err == nil && !ev.won && m.slots.closing != nil && !m.merges.committing() {
		in := m.slots.closing.intent
		if d := o.sim.doneOf(in.Seq); d != "" {
			o.sim.claimAgain(*in, d)
		}
	}
	return ev
}

// claimAgain claims the slot after an intent's for the intent's range, as logs
// do in which the loser of a slot only moves on.
func (s *sim) claimAgain(in commitlog.Intent, previous string) {
	in.Seq++
	in.ID, in.Previous = s.newID(), previous
	if record, err := in.Encode(); err == nil {
		s.bucket.PutIfAbsent(context.Background(), commitlog.Layout{Prefix: "x/", Topic: "t"}.IntentKey(in.Seq), record)
	}
}

// doneOf returns the sha256 of a slot's done record, "" if it has none.
func (s *sim) doneOf(seq uint64) string {
	body, _, err := s.bucket.Get(context.Background(), commitlog.Layout{Prefix: "x/", Topic: "t"}.DoneKey(seq))
	if err != nil {
		return ""
	}
	return storage.SHA256(body)
}

// believes412 takes the answer that a claim's slot is taken for the truth about
// who took it: its own claim, whose first answer was lost, may be what is there.
type believes412 struct {
	storage.Bucket
	sim *sim
}

func newBelieves412(o *simOwner) storage.Bucket { return &believes412{o.bucket, o.sim} }

func (b *believes412) PutIfAbsent(ctx context.Context, key string, body []byte) (storage.Info, error) {
	info, err := b.Bucket.PutIfAbsent(ctx, key, body)
	if thalweg.KindOf(err) != thalweg.Exists || !strings.HasSuffix(key, ".intent.json") {
		return info, err
	}
	if in, bad := commitlog.DecodeIntent(body); bad == nil {
		// "Somebody else has slot n, so the range is mine in slot n+1": true, and
		// then no harm, unless the somebody is this very claim.
		if there, _, missing := b.sim.bucket.Get(ctx, key); missing == nil && string(there) == string(body) {
			b.sim.claimAgain(in, in.Previous)
		}
	}
	return info, err
}

// checkThenWrite is a store whose conditional create is not atomic.
type checkThenWrite struct {
	*bucketmem.Bucket
	owner *simOwner
}

func newCheckThenWrite(o *simOwner) storage.Bucket { return &checkThenWrite{o.sim.bucket, o} }

func (c *checkThenWrite) PutIfAbsent(ctx context.Context, key string, body []byte) (storage.Info, error) {
	if _, err := c.Bucket.Head(ctx, key); err == nil {
		return c.Bucket.PutIfAbsent(ctx, key, body)
	}
	c.owner.meanwhile() // the check is through
	return c.Bucket.Put(ctx, key, body)
}

// meanwhile gives the others some turns, in the middle of something that is not
// atomic.
func (o *simOwner) meanwhile() {
	s := o.sim
	if s.between {
		return
	}
	s.between = true
	defer func() { s.between = false }()
	for _, other := range s.live() {
		for n := s.rng.IntN(12); n > 0 && other != o; n-- {
			other.turn()
		}
	}
}
