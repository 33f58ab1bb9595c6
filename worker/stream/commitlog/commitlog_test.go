package commitlog

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/memory"
)

var testConfig = Config{Prefix: "scored/p/", Pipeline: "p", Topic: "events", Partition: 3, Backoff: time.Microsecond}

// openLog opens the test log in b.
func openLog(t *testing.T, b storage.Bucket) *Log {
	t.Helper()
	l, err := New(b, testConfig)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Open(t.Context()); err != nil {
		t.Fatalf("Open: %v", err)
	}
	return l
}

// next returns an intent for the next n offsets, from offset 100 on.
func next(s State, n int64) Intent {
	from := s.NextOffset
	if from < 0 {
		from = 100
	}
	return Intent{
		Seq: s.NextSeq, ID: NewID(), Pipeline: "p", Topic: "events", Partition: 3, From: from, To: from + n,
		Model: "m", ModelVersion: 2, Checkpoint: thalweg.CheckpointRef{Key: "checkpoints/m", SHA256: strings.Repeat("ab", 32)},
		SpecGeneration: 1, ScoredAtUS: 1_700_000_000_000_000, Previous: s.Previous,
	}
}

// rows makes the objects of an intent as a scorer does, from nothing but the
// intent: each seventh offset is dead, each eleventh was dropped, offsets that
// 13 divides never existed.
func rows(in Intent) (scored, dead []byte, nScored, nDead, dropped int64) {
	for offset := in.From; offset < in.To; offset++ {
		switch {
		case offset%13 == 0:
		case offset%7 == 0:
			dead = fmt.Appendf(dead, "%d\n", offset)
			nDead++
		case offset%11 == 0:
			dropped++
		default:
			scored = fmt.Appendf(scored, "%d v%d\n", offset, in.ModelVersion)
			nScored++
		}
	}
	return scored, dead, nScored, nDead, dropped
}

// carryOut publishes the pending intent's objects and finishes it.
func carryOut(ctx context.Context, l *Log) error {
	scored, dead, nScored, nDead, dropped := rows(*l.State().Pending)
	var objects []Object
	for _, o := range []struct {
		kind ObjectKind
		rows int64
		body []byte
	}{{Scored, nScored, scored}, {Dead, nDead, dead}} {
		if o.rows == 0 {
			continue
		}
		object, err := l.Publish(ctx, o.kind, "", o.rows, o.body, nil)
		if err != nil {
			return err
		}
		objects = append(objects, object)
	}
	d, err := l.Complete(Done{Objects: objects, Dropped: dropped})
	if err != nil {
		return err
	}
	_, _, err = l.Finish(ctx, d)
	return err
}

// appendSlots claims and carries out n slots of ten offsets.
func appendSlots(t *testing.T, l *Log, n int) {
	t.Helper()
	for range n {
		if won, winner, err := l.Claim(t.Context(), next(l.State(), 10)); err != nil || !won {
			t.Fatalf("Claim: %t, %+v, %v", won, winner, err)
		}
		if err := carryOut(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAnEmptyLogLetsItsFirstOwnerChooseTheOffset(t *testing.T) {
	l := openLog(t, memory.New())
	s := l.State()
	if s.NextSeq != 0 || s.NextOffset != -1 || s.Previous != "" || s.Pending != nil {
		t.Errorf("an empty log's state is %+v", s)
	}
	in := next(s, 5)
	in.From, in.To = 70, 75
	if won, _, err := l.Claim(t.Context(), in); err != nil || !won {
		t.Errorf("the first claim at an offset of its own: %t, %v", won, err)
	}
	if s := l.State(); s.NextSeq == 0 && s.Pending == nil {
		t.Error("a log with a claim is not empty")
	}
}

func TestSlotsFollowEachOther(t *testing.T) {
	b := memory.New()
	l := openLog(t, b)
	appendSlots(t, l, 5)
	want := l.State()
	if want.NextSeq != 5 || want.NextOffset != 150 || want.Pending != nil || want.Total.Events() == 0 {
		t.Errorf("after five slots of ten the state is %+v", want)
	}
	if got := openLog(t, b).State(); got != want {
		t.Errorf("opened again the state is %+v, want %+v", got, want)
	}
	for _, key := range []string{
		"scored/p/_log/events/00003/000000000000.intent.json",
		"scored/p/_log/events/00003/000000000004.done.json",
	} {
		if _, err := b.Head(t.Context(), key); err != nil {
			t.Error(err)
		}
	}
}

func TestAClaimMustFollowTheLog(t *testing.T) {
	l := openLog(t, memory.New())
	unopened, _ := New(memory.New(), testConfig)
	if _, _, err := unopened.Claim(t.Context(), next(State{NextOffset: -1}, 1)); !thalweg.Is(err, thalweg.Invalid) {
		t.Errorf("Claim before Open: %v", err)
	}
	appendSlots(t, l, 2)
	for name, change := range map[string]func(*Intent){
		"a gap in offsets":     func(in *Intent) { in.From++ },
		"overlapping offsets":  func(in *Intent) { in.From-- },
		"a skipped slot":       func(in *Intent) { in.Seq++ },
		"a taken slot":         func(in *Intent) { in.Seq-- },
		"another's hash":       func(in *Intent) { in.Previous = strings.Repeat("0", 64) },
		"no offsets":           func(in *Intent) { in.To = in.From },
		"another topic":        func(in *Intent) { in.Topic = "other" },
		"another partition":    func(in *Intent) { in.Partition++ },
		"another pipeline":     func(in *Intent) { in.Pipeline = "q" },
		"no model":             func(in *Intent) { in.Model = "" },
		"no model version":     func(in *Intent) { in.ModelVersion = 0 },
		"no checkpoint":        func(in *Intent) { in.Checkpoint.Key = "" },
		"no generation":        func(in *Intent) { in.SpecGeneration = 0 },
		"no time":              func(in *Intent) { in.ScoredAtUS = 0 },
		"an ID of other form":  func(in *Intent) { in.ID = "me" },
		"a name that is bytes": func(in *Intent) { in.Model = "\xff" },
	} {
		in := next(l.State(), 10)
		change(&in)
		if _, _, err := l.Claim(t.Context(), in); !thalweg.Is(err, thalweg.Invalid) {
			t.Errorf("%s: %v, want %q", name, err, thalweg.Invalid)
		}
	}
	appendSlots(t, l, 1)
}

func TestWhoeverLosesASlotReadsTheWinner(t *testing.T) {
	b := memory.New()
	one, two := openLog(t, b), openLog(t, b)
	first := next(one.State(), 10)
	if won, winner, err := one.Claim(t.Context(), first); !won || winner != first || err != nil {
		t.Fatalf("the first claim: %t, %+v, %v", won, winner, err)
	}
	won, winner, err := two.Claim(t.Context(), next(two.State(), 4))
	if won || winner != first || err != nil {
		t.Fatalf("the second claim: %t, %+v, %v, want the first's", won, winner, err)
	}
	if p := two.State().Pending; p == nil || *p != first {
		t.Errorf("the loser's pending intent is %+v", p)
	}
	if _, _, err := two.Claim(t.Context(), next(two.State(), 4)); !thalweg.Is(err, thalweg.Conflict) {
		t.Errorf("a claim while a slot is pending: %v", err)
	}
	// The loser carries the winner's intent out, the winner comes late.
	if err := carryOut(t.Context(), two); err != nil {
		t.Fatal(err)
	}
	appendSlots(t, two, 1)
	if err := carryOut(t.Context(), one); err != nil {
		t.Fatalf("the late owner: %v", err)
	}
	won, _, err = one.Claim(t.Context(), next(one.State(), 1))
	if won || err != nil {
		t.Errorf("the late owner claimed a taken slot: %t, %v", won, err)
	}
}

func TestAnIntentWithoutDoneIsPending(t *testing.T) {
	b := memory.New()
	l := openLog(t, b)
	for slot := range 3 {
		in := next(l.State(), 10)
		if _, _, err := l.Claim(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		successor := openLog(t, b)
		if s := successor.State(); s.Pending == nil || *s.Pending != in || s.NextSeq != uint64(slot) || s.NextSeq != in.Seq {
			t.Fatalf("slot %d: a successor sees %+v", slot, s)
		}
		if err := carryOut(t.Context(), successor); err != nil {
			t.Fatal(err)
		}
		l = successor
	}
}

func TestFinishNeedsThePendingIntentsOwnObjects(t *testing.T) {
	b := memory.New()
	l := openLog(t, b)
	if _, err := l.Publish(t.Context(), Scored, "", 1, []byte("x"), nil); !thalweg.Is(err, thalweg.Invalid) {
		t.Errorf("Publish without a claim: %v", err)
	}
	if _, err := l.Complete(Done{}); !thalweg.Is(err, thalweg.Invalid) {
		t.Errorf("Done without a claim: %v", err)
	}
	if _, _, err := l.Finish(t.Context(), Done{}); !thalweg.Is(err, thalweg.Invalid) {
		t.Errorf("Finish without a claim: %v", err)
	}
	if _, _, err := l.Claim(t.Context(), next(l.State(), 10)); err != nil {
		t.Fatal(err)
	}
	object, err := l.Publish(t.Context(), Scored, "", 4, []byte("rows"), nil)
	if err != nil {
		t.Fatal(err)
	}
	good, err := l.Complete(Done{Objects: []Object{object}, Dropped: 1})
	if err != nil || good.Scored != 4 || good.Dropped != 1 || good.Total != (Counts{Scored: 4, Dropped: 1}) {
		t.Fatalf("Done: %+v, %v", good, err)
	}
	for name, change := range map[string]func(*Done){
		"another slot":           func(d *Done) { d.Seq++ },
		"another intent":         func(d *Done) { d.Intent = NewID() },
		"another intent's hash":  func(d *Done) { d.IntentSHA256 = strings.Repeat("0", 64) },
		"a sum that is wrong":    func(d *Done) { d.Scored++ },
		"a total that is wrong":  func(d *Done) { d.Total.Scored += 10 },
		"more events than range": func(d *Done) { d.Dropped, d.Total.Dropped = 7, 7 },
		"a foreign object":       func(d *Done) { d.Objects[0].Key = "scored/p/data/events/00003/x.parquet" },
		"an object of no rows":   func(d *Done) { d.Objects[0].Rows, d.Scored = 0, 0 },
		"an unknown kind":        func(d *Done) { d.Objects[0].Kind = "other" },
		"a second object": func(d *Done) {
			d.Objects[0].Key = strings.Replace(l.Layout().DataKey(*l.State().Pending, ""), "-00.", "-01.", 1)
		},
		"an object twice": func(d *Done) { d.Objects = append(d.Objects, d.Objects[0]) },
	} {
		bad := good
		bad.Objects = []Object{object}
		change(&bad)
		if _, _, err := l.Finish(t.Context(), bad); !thalweg.Is(err, thalweg.Invalid) {
			t.Errorf("%s: %v, want %q", name, err, thalweg.Invalid)
		}
	}
	if won, recorded, err := l.Finish(t.Context(), good); !won || recorded.Scored != 4 || err != nil {
		t.Errorf("Finish: %t, %+v, %v", won, recorded, err)
	}
}

func TestPublishedObjectsAreNeverOverwritten(t *testing.T) {
	b := memory.New()
	l := openLog(t, b)
	if _, _, err := l.Claim(t.Context(), next(l.State(), 10)); err != nil {
		t.Fatal(err)
	}
	first, err := l.Publish(t.Context(), Scored, "", 2, []byte("by the old build"), nil)
	if err != nil {
		t.Fatal(err)
	}
	again, err := l.Publish(t.Context(), Scored, "", 2, []byte("by the old build"), nil)
	if err != nil || again != first {
		t.Errorf("the same bytes again: %+v, %v, want %+v", again, err, first)
	}
	if _, err := l.Publish(t.Context(), Scored, "", 2, []byte("by the new build"), nil); !thalweg.Is(err, thalweg.Conflict) {
		t.Errorf("other bytes: %v", err)
	}
	refuse := func([]byte) error { return fmt.Errorf("row 1 differs") }
	if _, err := l.Publish(t.Context(), Scored, "", 2, []byte("by the new build"), refuse); !thalweg.Is(err, thalweg.Conflict) || !strings.Contains(err.Error(), "row 1 differs") {
		t.Errorf("other bytes, refused: %v", err)
	}
	var shown string
	accepted, err := l.Publish(t.Context(), Scored, "", 2, []byte("by the new build"), func(existing []byte) error {
		shown = string(existing)
		return nil
	})
	if err != nil || accepted != first || shown != "by the old build" {
		t.Errorf("other bytes, accepted after %q: %+v, %v, want %+v", shown, accepted, err, first)
	}
	for _, c := range []struct {
		kind ObjectKind
		day  string
		rows int64
		body string
	}{{Scored, "2026-01-31", 1, "x"}, {Dead, "2026-01-31", 1, "x"}, {Scored, "", 0, "x"}, {Scored, "", 1, ""}, {"other", "", 1, "x"}} {
		if _, err := l.Publish(t.Context(), c.kind, c.day, c.rows, []byte(c.body), nil); !thalweg.Is(err, thalweg.Invalid) {
			t.Errorf("Publish(%q, %q, %d rows, %q): %v", c.kind, c.day, c.rows, c.body, err)
		}
	}
}

func TestADifferentDoneRecordOfAnotherExecutorCounts(t *testing.T) {
	b := memory.New()
	one := openLog(t, b)
	if _, _, err := one.Claim(t.Context(), next(one.State(), 10)); err != nil {
		t.Fatal(err)
	}
	two := openLog(t, b)
	d1, err := one.Complete(Done{Dropped: 3})
	if err != nil {
		t.Fatal(err)
	}
	d2, err := two.Complete(Done{Dropped: 4})
	if err != nil {
		t.Fatal(err)
	}
	if won, _, err := one.Finish(t.Context(), d1); !won || err != nil {
		t.Fatal(err)
	}
	won, recorded, err := two.Finish(t.Context(), d2)
	if won || recorded.Dropped != 3 || err != nil {
		t.Errorf("the second executor: %t, %+v, %v, want the first's record", won, recorded, err)
	}
	if one.State() != two.State() {
		t.Errorf("the executors go on from %+v and %+v", one.State(), two.State())
	}
	appendSlots(t, two, 1)
}

func TestConfigIsChecked(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no pipeline":                func(c *Config) { c.Pipeline = "" },
		"no topic":                   func(c *Config) { c.Topic = "" },
		"a topic that is a path":     func(c *Config) { c.Topic = "a/b" },
		"a topic of dots":            func(c *Config) { c.Topic = ".." },
		"a negative partition":       func(c *Config) { c.Partition = -1 },
		"a partition too large":      func(c *Config) { c.Partition = MaxPartition + 1 },
		"a prefix without its slash": func(c *Config) { c.Prefix = "scored" },
		"a prefix that climbs":       func(c *Config) { c.Prefix = "../" },
		"a prefix too long":          func(c *Config) { c.Prefix = strings.Repeat("d/", 480) },
		"negative attempts":          func(c *Config) { c.Attempts = -1 },
		"negative backoff":           func(c *Config) { c.Backoff = -1 },
	} {
		c := testConfig
		change(&c)
		if _, err := New(memory.New(), c); !thalweg.Is(err, thalweg.Invalid) {
			t.Errorf("%s: %v, want %q", name, err, thalweg.Invalid)
		}
	}
	c := testConfig
	c.Prefix = ""
	if _, err := New(memory.New(), c); err != nil {
		t.Errorf("a log at the bucket's root: %v", err)
	}
}
