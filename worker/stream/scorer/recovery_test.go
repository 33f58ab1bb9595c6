package scorer

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors/kafka"
	"github.com/thalweg/thalweg/storage"
	bucketmem "github.com/thalweg/thalweg/storage/memory"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

func TestARestartGoesOnWhereTheLogEnds(t *testing.T) {
	w := newWorld(t, 2)
	w.promote(1)
	total := 0
	for round := range 4 {
		a := w.start()
		b := w.start(func(c *Config) { c.Partition = 1 })
		w.produceGood(total, 300)
		total += 300
		a.waitCommitted(int64(total / 2))
		b.waitCommitted(int64(total / 2))
		if err := errors.Join(a.stop(), b.stop()); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
	if v := w.judge(); v.Scored != int64(total) {
		t.Errorf("%d scored of %d", v.Scored, total)
	}
}

func TestWhatIsScoredIsCommittedWhenTheContextEnds(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	s := w.start(func(c *Config) { c.Rolling.Period = time.Hour; c.Rolling.Count = 1 << 20 })
	w.produceGood(0, 321)
	s.wait("321 scored", func(s Status) bool { return s.Scored == 321 })
	if got := s.Status().Committed; got > 0 {
		t.Fatalf("committed %d already", got)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if v := w.judge(); v.Scored != 321 {
		t.Errorf("%d rows", v.Scored)
	}
}

// TestAnUnfinishedClaimIsCarriedOutToTheSameBytes kills a scorer between its
// claim and its done record at each stage, and lets a successor with other
// bounds and another champion finish.
func TestAnUnfinishedClaimIsCarriedOutToTheSameBytes(t *testing.T) {
	reference := map[string]string{}
	for _, stage := range []string{"nothing", "claim", "data", "dead"} {
		t.Run("killed after "+stage, func(t *testing.T) {
			w := newWorld(t, 1)
			w.versions = map[int]engine.Candidate{}
			w.promote(1)
			var events []string
			for i := range 200 {
				e := goodEvent(i)
				if i%10 == 3 {
					e = `{"date":` + e
				}
				events = append(events, e)
			}
			w.produce(events...)

			// The first owner's store fails from the given write on, for good.
			whole := w.sink
			until := map[string]string{"nothing": "never", "claim": "data/", "data": "_dead/", "dead": ".done."}[stage]
			w.sink = &broken{Bucket: whole, part: until}
			first := w.start(func(c *Config) {
				c.Rolling = Limits{Count: 200, Period: time.Hour}
				c.DrainTimeout = time.Millisecond
			})
			if stage == "nothing" {
				first.waitCommitted(200)
			} else {
				first.wait("the broken store", func(s Status) bool { return s.Scored == 200 && strings.Contains(s.Message, "tries") })
			}
			if err := first.stop(); err != nil {
				t.Fatal(err)
			}
			w.sink = whole
			if stage != "nothing" {
				if v := w.judge(); v.PendingSlots != 1 {
					t.Fatalf("%d claims pending", v.PendingSlots)
				}
			}
			intent := w.keys(".intent.")
			if len(intent) != 1 {
				t.Fatalf("intents %q", intent)
			}
			pinned := w.objects()[intent[0]]

			w.promote(2, 1)
			second := w.start(func(c *Config) {
				c.Generation = 5
				c.Batching = Limits{Count: 7, Period: time.Millisecond}
				c.Rolling = Limits{Count: 30, Period: 10 * time.Millisecond}
			})
			w.produce(goodEvent(200))
			second.waitCommitted(201)
			if err := second.stop(); err != nil {
				t.Fatal(err)
			}
			w.judge()
			if w.objects()[intent[0]] != pinned {
				t.Error("the intent changed")
			}
			rows, letters := w.read(0)
			if len(rows) != 181 || len(letters) != 20 || rows[0].version != 1 || rows[200].version != 2 {
				t.Errorf("%d rows, %d dead letters, versions %d and %d", len(rows), len(letters), rows[0].version, rows[200].version)
			}
			if rows[0].cells["_spec_generation"] != "2" || rows[200].cells["_spec_generation"] != "5" {
				t.Error("generations are not those of the intents")
			}
			// All that differs between the runs is the intent's time, in one column.
			for _, offset := range slices.Sorted(maps.Keys(rows)) {
				cells := rows[offset].cells
				delete(cells, "_scored_at")
				line := strings.Join(slices.Sorted(maps.Values(cells)), " ")
				if stage == "nothing" {
					reference[cells["_offset"]] = line
				} else if reference[cells["_offset"]] != line {
					t.Fatalf("offset %d: %s, without the kill %s", offset, line, reference[cells["_offset"]])
				}
			}
		})
	}
}

// TestCarriedOutTwiceAClaimHasTheSameBytes has two owners execute one intent,
// each in batches of its own, and compares every byte.
func TestCarriedOutTwiceAClaimHasTheSameBytes(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	var events []string
	for i := range 3000 {
		e := goodEvent(i)
		switch i % 17 {
		case 5:
			e = "broken"
		case 6:
			e = `{"date":"2001-03-01 10:00:00","distance":null}`
		}
		events = append(events, e)
	}
	w.produce(events...)
	whole := w.sink.(*bucketmem.Bucket)
	w.sink = &broken{Bucket: whole, part: ".done."}
	one := w.start(func(c *Config) { c.Rolling = Limits{Count: 3000, Period: time.Hour}; c.DrainTimeout = time.Millisecond })
	one.wait("the broken store", func(s Status) bool { return strings.Contains(s.Message, "tries") })
	one.stop()
	first := w.objects()

	// The rows are taken away, so that the second owner writes them again.
	w.sink = whole
	for _, key := range append(w.keys("data/"), w.keys("_dead/")...) {
		if err := whole.Delete(context.Background(), key); err != nil {
			t.Fatal(err)
		}
	}
	two := w.start(func(c *Config) { c.Batching = Limits{Count: 13, Period: time.Millisecond} })
	two.waitCommitted(3000)
	two.stop()
	w.judge()
	for key, body := range w.objects() {
		if strings.Contains(key, "_log/") {
			continue
		}
		if first[key] != body {
			t.Errorf("%s: %d bytes, the first time %d", key, len(body), len(first[key]))
		}
		delete(first, key)
	}
	for key := range first {
		if !strings.Contains(key, "_log/") {
			t.Errorf("%s was not written the second time", key)
		}
	}
}

// broken is a store that refuses every write to a key with part in it.
type broken struct {
	storage.Bucket
	part   string
	mended atomic.Bool
}

func (b *broken) PutIfAbsent(ctx context.Context, key string, body []byte) (storage.Info, error) {
	if !b.mended.Load() && strings.Contains(key, b.part) {
		return storage.Info{}, &thalweg.Error{Op: "put", Kind: thalweg.Unavailable, Subject: key}
	}
	return b.Bucket.PutIfAbsent(ctx, key, body)
}

func TestTwoOwnersDoNoHarm(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	quick := func(c *Config) { c.Rolling = Limits{Count: 40, Period: 3 * time.Millisecond} }
	a, b := w.start(quick), w.start(quick)
	for i := range 20 {
		w.produceGood(100*i, 100)
	}
	a.waitCommitted(2000)
	b.waitCommitted(2000)
	if err := errors.Join(a.stop(), b.stop()); err != nil {
		t.Fatal(err)
	}
	if v := w.judge(); v.Scored != 2000 {
		t.Errorf("%d rows", v.Scored)
	}
}

func TestAnotherBuildsFileOfTheSameRowsIsAccepted(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	w.produceGood(0, 100)
	whole := w.sink
	w.sink = &broken{Bucket: whole, part: ".done."}
	one := w.start(func(c *Config) { c.Compression = "none"; c.DrainTimeout = time.Millisecond })
	one.wait("the broken store", func(s Status) bool { return strings.Contains(s.Message, "tries") })
	one.stop()
	w.sink = whole
	key := w.keys("data/")[0]
	before := w.objects()[key]
	two := w.start(func(c *Config) { c.Compression = "zstd" })
	two.waitCommitted(100)
	two.stop()
	w.judge()
	if w.objects()[key] != before {
		t.Error("the file was overwritten")
	}

	if err := engine.SameRows([]byte(before), []byte("PAR1")); err == nil {
		t.Error("four bytes pass for the file")
	}
	w.produceGood(100, 50)
	three := w.start()
	three.waitCommitted(150)
	three.stop()
	if err := engine.SameRows([]byte(before), []byte(w.objects()[w.keys("data/")[1]])); err == nil {
		t.Error("other rows pass for the same")
	}
}

// TestScoredAtNeverFallsAtATakeover: the successor's host may be behind.
func TestScoredAtNeverFallsAtATakeover(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	for round := range 2 {
		source, err := kafka.New(w.kafka())
		if err != nil {
			t.Fatal(err)
		}
		s, err := New(source, w.sink, w.registry, slogDiscard(), w.config)
		if err != nil {
			t.Fatal(err)
		}
		s.clock = func() time.Time { return time.Now().Add(time.Duration(1-round) * time.Hour) }
		ctx, cancel := context.WithCancel(t.Context())
		r := &active{Scorer: s, t: t, cancel: cancel, ended: make(chan error, 1)}
		go func() { r.ended <- s.Run(ctx) }()
		w.produceGood(round*100, 100)
		r.waitCommitted(int64(round+1) * 100)
		if err := errors.Join(r.stop(), source.Close()); err != nil {
			t.Fatal(err)
		}
		log, err := s.openLog()
		if err != nil {
			t.Fatal(err)
		}
		last := int64(0)
		for e, err := range log.Read(t.Context(), 0) {
			if err != nil {
				t.Fatal(err)
			}
			if in := e.Intent; in.ScoredAtUS < last {
				t.Errorf("slot %d was scored %v before the one before it", in.Seq, time.Duration(last-in.ScoredAtUS)*time.Microsecond)
			}
			last = e.Intent.ScoredAtUS
		}
	}
}
