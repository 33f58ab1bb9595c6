package scorer

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/connectors/kafka"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker/stream/fsck"
)

// claimed is a world with 50 events in a finished slot, and 50 in a claim whose
// owner gets no further than to a write to a key with part in it. Every tenth of
// the latter, from 53 on, cannot be scored.
type claimed struct {
	*world
	owner  *active
	store  *broken // the owner's
	whole  storage.Bucket
	change func(*Config) // of each scorer
}

func newClaimed(t *testing.T, part string) *claimed {
	return newClaimedWith(t, part, func(*world, *Config) {})
}

func newClaimedWith(t *testing.T, part string, with func(*world, *Config)) *claimed {
	w := newWorld(t, 1)
	w.promote(1)
	change := func(cfg *Config) { with(w, cfg) }
	s := w.start(change)
	w.produceGood(0, 50)
	s.waitCommitted(50)
	s.stop()
	c := &claimed{world: w, whole: w.sink, store: &broken{Bucket: w.sink, part: part}, change: change}
	var events []string
	for i := 50; i < 100; i++ {
		e := goodEvent(i)
		if i%10 == 3 {
			e = `{"date":` + e
		}
		events = append(events, e)
	}
	w.produce(events...)
	w.sink = c.store
	c.owner = w.start(change, func(cfg *Config) {
		cfg.Rolling, cfg.DrainTimeout = Limits{Count: 50, Period: time.Hour}, time.Millisecond
		if cfg.Outbox != nil && part == "deliver" {
			cfg.Outbox = shutOutbox{cfg.Outbox}
		}
	})
	c.owner.wait("the broken store", func(s Status) bool { return s.Scored == 100 && strings.Contains(s.Message, "tries") })
	w.sink = c.whole
	return c
}

// die ends the owner of the claim.
func (c *claimed) die() *claimed {
	c.t.Helper()
	if err := c.owner.stop(); err != nil {
		c.t.Fatal(err)
	}
	if v := c.judge(); v.PendingSlots != 1 {
		c.t.Fatalf("%d claims pending", v.PendingSlots)
	}
	return c
}

// goOn scores five more events with an authorization, to the given end.
func (c *claimed) goOn(authorized SkipAuthorization, end int64) Status {
	c.t.Helper()
	s := c.startAllowed(authorized, c.change)
	c.produceGood(int(end)-5, 5)
	status := s.waitCommitted(end)
	if err := s.stop(); err != nil {
		c.t.Fatal(err)
	}
	return status
}

// wake lets the first owner go on. It follows the log, or it has stopped because
// it came between the successor's objects and its done record.
func (c *claimed) wake() {
	c.t.Helper()
	c.store.mended.Store(true)
	c.owner.wait("the owner to give in", func(s Status) bool { return s.Committed >= 100 || s.State == thalweg.StreamStopped && s.Lost != nil })
}

// mustHave judges the sink, and what there is of the offsets from 50 on.
func (c *claimed) mustHave(missing int64, scored, dead []int64) *fsck.Verdict {
	c.t.Helper()
	v := c.judge()
	if v.Missing != missing {
		c.t.Errorf("%d given up, want %d:\n%s", v.Missing, missing, v)
	}
	rows, letters := c.read(0)
	maps.DeleteFunc(rows, func(at int64, _ scoredRow) bool { return at < 50 })
	if got := slices.Sorted(maps.Keys(rows)); !slices.Equal(got, scored) {
		c.t.Errorf("scored %v, want %v", got, scored)
	}
	if got := slices.Sorted(maps.Keys(letters)); !slices.Equal(got, dead) {
		c.t.Errorf("dead %v, want %v", got, dead)
	}
	return v
}

// offsets returns the scored and the dead ones of claimed's events from one
// offset to another, with five more events.
func offsets(from, to int64) (scored, dead []int64) {
	for at := from; at < to; at++ {
		if at < 100 && at%10 == 3 {
			dead = append(dead, at)
		} else {
			scored = append(scored, at)
		}
	}
	return scored, dead
}

func TestAClaimThatTheTopicHasLostInPartIsCarriedOutByAnAuthorization(t *testing.T) {
	for part, missing := range map[string]int64{
		"data/":  30, // nothing was published
		"_dead/": 3,  // the rows of what is lost are there, its dead letters are not
		".done.": 0,
	} {
		t.Run("killed before "+part, func(t *testing.T) {
			c := newClaimed(t, part).die()
			c.deleteRecords(80)
			authorization := SkipAuthorization{From: 50, To: 80, TopicID: c.topicID()}
			s := c.start()
			if missing := s.mustLose(); missing.From != 50 || missing.To != 80 {
				t.Errorf("%+v", missing)
			}
			if status := s.Status(); *status.Lost != authorization || !strings.Contains(status.Message, "resume flight-delays --partition 0 --skip 50-80") {
				t.Errorf("%+v", status)
			}
			if status := c.goOn(authorization, 105); status.Missing != missing {
				t.Errorf("%+v", status)
			}
			scored, dead := offsets(80, 105)
			lostScored, lostDead := offsets(50, 80)
			switch part {
			case "_dead/":
				scored = append(lostScored, scored...)
			case ".done.":
				scored, dead = append(lostScored, scored...), append(lostDead, dead...)
			}
			c.mustHave(missing, scored, dead)
		})
	}
}

func TestAClaimThatTheTopicHasLostInPartKeepsTheFilesOfItsDays(t *testing.T) {
	c := newClaimedWith(t, "date_date=2001-03-20", func(_ *world, c *Config) { c.PartitionBy = "date" }).die()
	c.deleteRecords(80) // every day is that of two events of the claim or one, some of lost ones only
	c.goOn(SkipAuthorization{From: 50, To: 80, TopicID: c.topicID()}, 105)
	rows, _ := c.read(0)
	v := c.judge()
	if int64(len(rows)) != v.Scored || v.Scored+v.Dead+v.Missing != 105 || v.Missing < 5 || v.Missing >= 30 {
		t.Errorf("%d rows:\n%s", len(rows), v)
	}
}

func TestAClaimThatTheTopicHasLostAsAWholeIsGivenUpByAnAuthorization(t *testing.T) {
	for name, kept := range map[string]int64{"to its end": 100, "and more": 102} {
		t.Run(name, func(t *testing.T) {
			c := newClaimed(t, "data/").die()
			c.produceGood(100, 5)
			c.deleteRecords(kept)
			c.goOn(SkipAuthorization{From: 50, To: kept, TopicID: c.topicID()}, 110)
			scored, dead := offsets(kept, 110)
			c.mustHave(kept-50, scored, dead)
		})
	}
	t.Run("and more, by two processes", func(t *testing.T) {
		c := newClaimed(t, "data/").die()
		c.produceGood(100, 5)
		c.deleteRecords(102)
		authorization := SkipAuthorization{From: 50, To: 102, TopicID: c.topicID()}
		c.sink = &broken{Bucket: c.whole, part: "000000000002.intent"}
		s := c.startAllowed(authorization, func(c *Config) { c.DrainTimeout = time.Millisecond })
		s.wait("the broken store", func(s Status) bool { return s.Committed == 100 && strings.Contains(s.Message, "tries") })
		s.stop()
		c.sink = c.whole
		c.goOn(authorization, 110)
		scored, dead := offsets(102, 110)
		c.mustHave(52, scored, dead)
	})
}

func TestAClaimOfATopicThatWasMadeAnewIsGivenUpByTheAuthorizationThatAcceptsTheNewOne(t *testing.T) {
	c := newClaimed(t, "_dead/").die() // the rows are there, of the dead letters nobody knows
	was, is := c.remake()
	s := c.start()
	s.mustLose()
	authorization := *s.Status().Lost
	if authorization != (SkipAuthorization{From: 50, To: 100, TopicID: was, Accept: is}) {
		t.Errorf("%v", authorization)
	}
	authorization.To = 103 // the operator knows of three more
	s = c.startAllowed(authorization)
	c.produceGood(0, 5)
	s.wait("the new topic", func(s Status) bool { return s.TopicID == is && s.Committed == 5 })
	s.stop()
	v := c.judge()
	if v.Missing != 5+3 || v.Scored != 50+45+5 || v.Dead != 0 {
		t.Errorf("%s", v)
	}
}

func TestAClaimThatTheTopicHasLostIsGivenUpAtOnceWhereTheSpecSaysSo(t *testing.T) {
	for _, policy := range []string{Earliest, Latest} {
		for kept, missing := range map[int64]map[string]int64{80: {Earliest: 30, Latest: 30}, 102: {Earliest: 52, Latest: 55}} {
			t.Run(fmt.Sprintf("%s, %d", policy, kept), func(t *testing.T) {
				c := newClaimed(t, "data/").die()
				c.produceGood(100, 5)
				c.deleteRecords(kept)
				s := c.start(func(c *Config) { c.OnLost = policy })
				s.waitCommitted(105)
				c.produceGood(105, 5)
				s.waitCommitted(110)
				s.stop()
				if v := c.judge(); v.Missing != missing[policy] {
					t.Errorf("%s", v)
				}
			})
		}
	}
}

func TestAnAuthorizationAboutAnythingButTheClaimDoesNothing(t *testing.T) {
	c := newClaimed(t, "_dead/").die()
	c.deleteRecords(80)
	id := c.topicID()
	before := c.objects()
	for _, authorization := range []SkipAuthorization{{}, {From: 50, To: 79, TopicID: id}, {From: 50, To: 100, TopicID: id}, {From: 80, To: 100, TopicID: id}, {From: 0, To: 80, TopicID: id},
		{From: 50, To: 80}, {From: 50, To: 80, TopicID: id, Accept: id}} {
		s := c.startAllowed(authorization)
		if missing := s.mustLose(); missing.From != 50 || missing.To != 80 {
			t.Fatalf("with the authorization %v: %+v", authorization, missing)
		}
	}
	if !maps.Equal(before, c.objects()) {
		t.Error("something was written")
	}
}

// TestAnOwnerThatWakesUpWhileItsClaimIsGivenUp lets the first owner of a claim go
// on before or after a successor has given up what is lost.
func TestAnOwnerThatWakesUpWhileItsClaimIsGivenUp(t *testing.T) {
	whole, wholeDead := offsets(50, 105)
	rest, restDead := offsets(80, 105)
	t.Run("and finishes it before", func(t *testing.T) {
		c := newClaimed(t, "data/")
		c.deleteRecords(80)
		s := c.start()
		s.mustLose()
		c.store.mended.Store(true)
		c.owner.waitCommitted(100)
		c.goOn(SkipAuthorization{From: 50, To: 80, TopicID: c.topicID()}, 105)
		c.mustHave(0, whole, wholeDead)
	})
	t.Run("and finds it finished", func(t *testing.T) {
		c := newClaimed(t, "data/")
		c.deleteRecords(80)
		c.goOn(SkipAuthorization{From: 50, To: 80, TopicID: c.topicID()}, 105)
		c.wake()
		c.mustHave(30, rest, restDead)
	})
	t.Run("and has published its rows", func(t *testing.T) {
		c := newClaimed(t, "_dead/")
		c.deleteRecords(80)
		c.goOn(SkipAuthorization{From: 50, To: 80, TopicID: c.topicID()}, 105)
		c.wake()
		lost, _ := offsets(50, 80)
		c.mustHave(3, append(lost, rest...), restDead)
	})
	t.Run("and writes all of it late", func(t *testing.T) {
		c := newClaimed(t, "data/")
		c.produceGood(100, 5)
		c.deleteRecords(100)
		c.goOn(SkipAuthorization{From: 50, To: 100, TopicID: c.topicID()}, 110)
		c.wake()
		glob, _ := offsets(50, 110) // a plain glob sees it, a reader of the log does not
		v := c.mustHave(50, glob, nil)
		if live, _ := c.readLive(0); v.Late != 1 || v.LateRows != 45 || len(live) != 60 || !strings.Contains(v.String(), "1 late files have 45 rows") {
			t.Errorf("%d live rows:\n%s", len(live), v)
		}
	})
}

// letterTopic makes a topic of dead letters.
func (w *world) letterTopic() kafka.Config {
	w.t.Helper()
	cfg := w.kafka()
	cfg.Topic, cfg.Group, cfg.IsolationLevel = "flights.dlq", "", kafka.ReadCommitted
	p, err := kafka.NewProducer(cfg, kafka.ProducerConfig{})
	if err == nil {
		err = errors.Join(p.CreateTopic(w.t.Context(), 1), p.Close())
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return cfg
}

// deliveredOffsets returns the offsets of the events that a topic of dead letters
// has, as readers of committed records see it.
func deliveredOffsets(t *testing.T, letters kafka.Config) (offsets []int64) {
	t.Helper()
	source, err := kafka.New(letters)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	records := connectors.Records{Want: connectors.Keys}
	_, end, err := source.Bounds(t.Context(), 0)
	for next := int64(0); err == nil && next < end; next = records.Next {
		err = source.Fetch(t.Context(), 0, next, 0, 1<<20, &records)
		for i := range records.Offsets {
			var at int64
			if _, err := fmt.Sscanf(string(records.Key(i)), topic+"/0/%d", &at); err != nil {
				t.Fatal(err)
			}
			offsets = append(offsets, at)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return offsets
}

// shutOutbox delivers nothing.
type shutOutbox struct{ connectors.Outbox }

func (shutOutbox) Deliver(context.Context, connectors.Group, iter.Seq2[connectors.Message, error]) error {
	return &thalweg.Error{Op: "deliver", Kind: thalweg.Unavailable}
}

// TestDeadLettersOfAClaimThatIsGivenUpAreInTheirTopicOnce: the first owner has
// delivered them all, or it wakes up to do so.
func TestDeadLettersOfAClaimThatIsGivenUpAreInTheirTopicOnce(t *testing.T) {
	for name, test := range map[string]struct {
		part    string // the owner gets no further
		kept    int64
		wakes   bool
		letters []int64
	}{
		"delivered before":                      {".done.", 100, false, []int64{53, 63, 73, 83, 93}},
		"published before":                      {"deliver", 100, false, []int64{53, 63, 73, 83, 93}},
		"not published":                         {"_dead/", 80, false, []int64{83, 93}},
		"not published, and the owner wakes up": {"_dead/", 80, true, []int64{83, 93}},
		"all given up, and the owner wakes up":  {"_dead/", 100, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var letters kafka.Config
			c := newClaimedWith(t, test.part, func(w *world, cfg *Config) {
				if letters.Topic == "" {
					letters = w.letterTopic()
				}
				outbox, err := kafka.NewOutbox(letters, kafka.OutboxConfig{Name: "thalweg-test"})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { outbox.Close() })
				cfg.Outbox = outbox
			})
			if !test.wakes {
				c.die()
			}
			c.produceGood(100, 5)
			c.deleteRecords(test.kept)
			c.goOn(SkipAuthorization{From: 50, To: test.kept, TopicID: c.topicID()}, 110)
			if test.wakes {
				c.wake()
			}
			c.judge()
			if got := deliveredOffsets(t, letters); !slices.Equal(got, test.letters) {
				t.Errorf("delivered %v, want %v", got, test.letters)
			}
		})
	}
}
