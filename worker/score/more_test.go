package score

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/connectors/kafka"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/fault"
	bucketmem "github.com/thalweg/thalweg/storage/memory"
)

func TestANewChampionTakesOverUnderLoad(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	s := w.start(func(c *Config) { c.Rolling.Period = time.Hour; c.Rolling.Count = 1 << 20 })
	w.produceGood(0, 500)
	s.wait("500 scored", func(s Status) bool { return s.Scored == 500 })
	w.promote(2, 1)
	s.waitCommitted(500)  // the change closes the file
	w.produceGood(0, 500) // the same events again
	s.wait("version 2", func(s Status) bool { return s.Model.Version == 2 && s.Scored == 1000 })
	w.promote(1) // rolled back
	s.waitCommitted(1000)
	w.produceGood(0, 10)
	s.wait("version 1", func(s Status) bool { return s.Model.Version == 1 && s.Scored == 1010 })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	v := w.judge()
	if v.RowsByModel["flight-delays 1"] != 510 || v.RowsByModel["flight-delays 2"] != 500 {
		t.Errorf("rows by model: %v", v.RowsByModel)
	}
	rows, _ := w.read(0)
	for offset, row := range rows {
		if second := offset >= 500 && offset < 1000; second != (row.version == 2) {
			t.Fatalf("offset %d was scored by version %d", offset, row.version)
		}
	}
	first, second, third := rows[3].cells["probability"], rows[503].cells["probability"], rows[1003].cells["probability"]
	if first == second || first != third {
		t.Errorf("one event has the probability %s by version 1, %s by version 2, %s by version 1 again", first, second, third)
	}
}

func TestADamagedChampionIsRefusedAndTheOneBeforeServes(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	bad := w.register(2)
	for info, err := range w.state.List(context.Background(), "checkpoints/2", "") {
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(info.Key, "safetensors") {
			body, _, err := w.state.Get(context.Background(), info.Key)
			if err != nil {
				t.Fatal(err)
			}
			body[len(body)-1] ^= 1
			if _, err := w.state.Put(context.Background(), info.Key, body); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.promote(2, 1)
	s := w.start()
	w.produceGood(0, 50)
	status := s.waitCommitted(50)
	if status.Model.Version != 1 || len(status.Refusals) != 1 || status.Refusals[0].Model != bad.Model || !strings.Contains(status.Refusals[0].Reason, "safetensors") {
		t.Errorf("%+v", status)
	}
	if !strings.Contains(status.Message, "refused") {
		t.Errorf("message %q", status.Message)
	}
	w.promote(3, 2, 1)
	w.produceGood(50, 50)
	s.wait("version 3", func(s Status) bool { return s.Model.Version == 3 && s.Committed == 100 })
	w.judge()
}

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

func TestAPausedStreamCommitsAndRests(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	s := w.start(func(c *Config) { c.Rolling.Period = time.Hour; c.Rolling.Count = 1 << 20 })
	w.produceGood(0, 50)
	s.wait("50 scored", func(s Status) bool { return s.Scored == 50 })
	s.Pause(true)
	s.wait("rest", func(s Status) bool { return s.State == Paused && s.Committed == 50 })
	w.produceGood(50, 50)
	if got := s.Status().Scored; got != 50 {
		t.Errorf("scored up to %d while paused", got)
	}
	s.Pause(false)
	s.wait("100 scored", func(s Status) bool { return s.State == Running && s.Scored == 100 })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	w.judge()
}

// TestAnUnfinishedClaimIsCarriedOutToTheSameBytes kills a scorer between its
// claim and its done record at each stage, and lets a successor with other
// bounds and another champion finish.
func TestAnUnfinishedClaimIsCarriedOutToTheSameBytes(t *testing.T) {
	reference := map[string]string{}
	for _, stage := range []string{"nothing", "claim", "data", "dead"} {
		t.Run("killed after "+stage, func(t *testing.T) {
			w := newWorld(t, 1)
			w.versions = map[int]Candidate{}
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

func TestAStoreThatFailsLosesNothing(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	whole := w.sink
	faults := fault.New(whole, fault.Plan{Seed: 7, Rules: []fault.Rule{
		{Fault: fault.Reply503, Rate: 0.3}, {Fault: fault.LostReply, Rate: 0.1}, {Fault: fault.Reply412, Rate: 0.1}}})
	w.sink = faults
	s := w.start(func(c *Config) { c.Rolling = Limits{Count: 100, Period: 5 * time.Millisecond} })
	for i := range 10 {
		w.produceGood(100*i, 100)
	}
	s.waitCommitted(1000)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	w.sink = whole
	if v := w.judge(); v.Scored != 1000 {
		t.Errorf("%d rows; faults %v", v.Scored, faults.Injected())
	}
}

func TestBacklogAndRowsAreBoundedWhileTheStoreIsAway(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	whole := w.sink
	store := &broken{Bucket: whole, part: "_log/"}
	w.sink = store
	s := w.start(func(c *Config) {
		c.Rolling = Limits{Count: 200, Period: time.Millisecond}
		c.FetchBytes, c.BacklogBytes = 4096, 8192
	})
	w.produceGood(0, 5000)
	status := s.wait("the bounds", func(s Status) bool { return s.Scored >= 200 && strings.Contains(s.Message, "tries") })
	if status.Scored > 400 {
		t.Errorf("scored %d events ahead of the store, bounds are 200 being committed and 200 open", status.Scored)
	}
	store.mended.Store(true)
	s.waitCommitted(5000)
	s.stop()
	w.sink = whole
	w.judge()
}

func TestLostOffsetsStopTheStreamByName(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	s := w.start()
	w.produceGood(0, 50)
	s.waitCommitted(50)
	s.stop()
	source := &forgetful{}
	scorer, err := New(source, w.sink, w.registry, slogDiscard(), w.config)
	if err != nil {
		t.Fatal(err)
	}
	err = scorer.Run(t.Context())
	var missing *connectors.MissingRange
	if !thalweg.Is(err, thalweg.Lost) || !errors.As(err, &missing) || missing.From != 50 || missing.To != 70 {
		t.Errorf("%v, want offsets 50 to 70 lost", err)
	}
	if status := scorer.Status(); status.State != Stopped || !strings.Contains(status.Message, "[50, 70)") {
		t.Errorf("%+v", status)
	}
	w.judge()
}

// forgetful is a topic that has lost the offsets before 70.
type forgetful struct{}

func (forgetful) Partitions(context.Context) (int, error)           { return 1, nil }
func (forgetful) Bounds(context.Context, int) (int64, int64, error) { return 70, 80, nil }
func (forgetful) Commit(context.Context, int, int64) error          { return nil }
func (forgetful) Close() error                                      { return nil }
func (forgetful) Fetch(_ context.Context, partition int, offset int64, _ time.Duration, _ int, _ *connectors.Records) error {
	return &thalweg.Error{Op: "fetch", Kind: thalweg.Lost, Err: &connectors.MissingRange{Topic: topic, Partition: partition, From: offset, To: 70}}
}

func TestAStreamWaitsForItsTopicAndItsModel(t *testing.T) {
	w := newWorld(t, 1)
	cfg := w.kafka()
	cfg.Topic = "later"
	source, err := kafka.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	config := w.config
	config.Topic = "later"
	scorer, err := New(source, w.sink, w.registry, slogDiscard(), config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s := &active{Scorer: scorer, t: t, cancel: cancel, ended: make(chan error, 1)}
	go func() { s.ended <- scorer.Run(ctx) }()
	s.wait("word of the topic", func(s Status) bool { return s.State == Waiting && strings.Contains(s.Message, "topic") })
	producer, err := kafka.NewProducer(cfg, kafka.ProducerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	if err := producer.CreateTopic(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	s.wait("word of the model", func(s Status) bool { return s.State == Waiting && strings.Contains(s.Message, "no model") })
	w.promote(1)
	status := s.wait("running", func(s Status) bool { return s.State == Running })
	if status.Model.Version != 1 {
		t.Errorf("%+v", status)
	}
	s.wait("the partitions", func(s Status) bool { return s.Partitions == 3 || s.Partitions == 0 })
	if err := s.stop(); err != nil {
		t.Error(err)
	}
}

func TestStartOffsetIsForAStreamWithoutALog(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	w.produceGood(0, 30)
	latest := func(c *Config) { c.StartOffset = Latest }
	s := w.start(latest)
	s.wait("the start", func(s Status) bool { return s.Scored == 30 })
	w.produceGood(30, 10)
	s.waitCommitted(40)
	s.stop()
	w.produceGood(40, 10)
	s = w.start(latest)
	s.waitCommitted(50)
	s.stop()
	if v := w.judge(); v.Scored != 20 || v.Partitions[0].From != 30 {
		t.Errorf("%d rows from %d", v.Scored, v.Partitions[0].From)
	}
}

func TestGroupOffsetsAreWrittenForDashboards(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	s := w.start()
	w.produceGood(0, 25)
	s.waitCommitted(25)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
}

func TestMergedPiecesHoldTheSameRows(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	s := w.start(func(c *Config) {
		c.Batching = Limits{Count: 1, Period: time.Millisecond}
		c.Rolling.Period = time.Hour
		c.Rolling.Count = 1 << 20
	})
	w.produceGood(0, 700)
	s.wait("700 scored", func(s Status) bool { return s.Scored == 700 })
	s.stop()
	w.judge()
	rows, _ := w.read(0)
	for i := range int64(700) {
		if want := "A" + string(rune('0'+i%7)); rows[i].cells["origin"] != want {
			t.Fatalf("offset %d has origin %s, want %s", i, rows[i].cells["origin"], want)
		}
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

	for name, spoil := range map[string]func([]byte) []byte{
		"another file": func([]byte) []byte { return []byte("PAR1") },
		"fewer rows":   func(b []byte) []byte { return b },
	} {
		body := []byte(before)
		if err := sameRows(body, spoil(bytes.Clone(body))); (err == nil) != (name == "fewer rows") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLatencyQuantilesAreWithinATenth(t *testing.T) {
	var l latency
	for us := int64(0); us < 100_000; us++ {
		l.observe(us, []int64{0})
	}
	for _, q := range []float64{0.01, 0.5, 0.99, 1} {
		got, want := float64(l.quantile(q).Microseconds()), q*100_000
		if got < 0.97*want || got > 1.13*want {
			t.Errorf("quantile %v is %v µs, want about %v", q, got, want)
		}
	}
	bounds, counts, n, seconds := l.histogram()
	if n != 100_000 || seconds < 4999 || seconds > 5001 {
		t.Errorf("%d events in %f s", n, seconds)
	}
	for i, bound := range bounds {
		if want := min(uint64(bound.Microseconds()), 100_000); float64(counts[i]) < 0.8*float64(want) || counts[i] > want+1 {
			t.Errorf("%d events within %v, want about %d", counts[i], bound, want)
		}
	}
	for us := int64(1); us < 1<<41; us += us/3 + 1 {
		if b := bucketOf(us); b < buckets-1 && (boundOf(b) < us || b > 0 && boundOf(b-1) >= us) {
			t.Fatalf("%d µs is in bucket %d, which ends at %d after %d", us, b, boundOf(b), boundOf(b-1))
		}
	}
}
