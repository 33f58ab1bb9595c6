package commitlog

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/integration/fault"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/memory"
)

// mustPut stores body whatever was there.
func mustPut(t *testing.T, b storage.Bucket, key, body string) {
	t.Helper()
	if _, err := b.Put(t.Context(), key, []byte(body)); err != nil {
		t.Fatal(err)
	}
}

func mustGet(t *testing.T, b storage.Bucket, key string) string {
	t.Helper()
	body, _, err := b.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// open returns the error of opening the test log in b.
func openErr(t *testing.T, b storage.Bucket) error {
	t.Helper()
	l, err := New(b, testConfig)
	if err != nil {
		t.Fatal(err)
	}
	_, err = l.Open(t.Context())
	return err
}

// readErr returns the number of entries read and the error that ended it.
func readErr(t *testing.T, b storage.Bucket) (entries int, err error) {
	t.Helper()
	l, err := New(b, testConfig)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range l.Read(t.Context(), 0) {
		if err != nil {
			return entries, err
		}
		entries++
	}
	return entries, nil
}

func TestLostRecordsAreFoundBeforeAnythingIsScoredTwice(t *testing.T) {
	const slots = 9
	remove := func(y Layout, keys ...string) func(*testing.T, storage.Bucket) {
		return func(t *testing.T, b storage.Bucket) {
			for _, key := range keys {
				if err := b.Delete(t.Context(), key); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	l, _ := New(memory.New(), testConfig)
	y := l.Layout()
	var tail, head []string
	for seq := uint64(5); seq < slots; seq++ {
		tail = append(tail, y.IntentKey(seq), y.DoneKey(seq))
	}
	for seq := uint64(0); seq < slots; seq++ {
		head = append(head, y.IntentKey(seq), y.DoneKey(seq))
	}
	for _, c := range []struct {
		name   string
		damage func(*testing.T, storage.Bucket)
		open   bool // Open notices
		read   bool // Read notices
	}{
		{"the first intent", remove(y, y.IntentKey(0)), true, true},
		{"an intent where the search looks", remove(y, y.IntentKey(3)), true, true},
		{"an intent where the search does not look", remove(y, y.IntentKey(2)), false, true},
		{"an early done record", remove(y, y.DoneKey(2)), false, true},
		{"the last done record but one", remove(y, y.DoneKey(slots-2)), true, true},
		{"the last intent", remove(y, y.IntentKey(slots-1)), true, false},
		{"the log's tail", remove(y, tail...), true, false},
		{"the whole log", remove(y, head...), true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := memory.New()
			appendSlots(t, openLog(t, b), slots)
			c.damage(t, b)
			if err := openErr(t, b); thalweg.Is(err, thalweg.Corrupt) != c.open {
				t.Errorf("Open: %v", err)
			}
			if n, err := readErr(t, b); thalweg.Is(err, thalweg.Corrupt) != c.read {
				t.Errorf("Read: %v after %d entries", err, n)
			}
		})
	}
}

func TestDeadLettersBeyondTheLogAreFoundToo(t *testing.T) {
	b := memory.New()
	l := openLog(t, b)
	mustPut(t, b, l.Layout().DeadKey(Intent{ID: NewID(), From: 0, To: 5}), "x")
	if err := openErr(t, b); !thalweg.Is(err, thalweg.Corrupt) {
		t.Errorf("Open: %v", err)
	}
}

func TestDamagedRecordsAreNamed(t *testing.T) {
	const slots = 4
	b := memory.New()
	appendSlots(t, openLog(t, b), slots)
	l, _ := New(b, testConfig)
	y := l.Layout()
	for _, key := range []string{y.IntentKey(slots - 1), y.DoneKey(slots - 1)} {
		whole := mustGet(t, b, key)
		for name, damaged := range map[string]string{
			"empty":         "",
			"cut short":     whole[:len(whole)/2],
			"one bit":       strings.Replace(whole, `"seq":3`, `"seq":2`, 1),
			"another slot":  mustGet(t, b, strings.Replace(key, "000003", "000002", 1)),
			"other content": "<html>",
			"far too large": strings.Repeat(" ", MaxRecordBytes) + whole,
		} {
			mustPut(t, b, key, damaged)
			if err := openErr(t, b); !thalweg.Is(err, thalweg.Corrupt) || !strings.Contains(err.Error(), key) {
				t.Errorf("%s, %s: Open: %v", key, name, err)
			}
			if n, err := readErr(t, b); !thalweg.Is(err, thalweg.Corrupt) || !strings.Contains(err.Error(), key) || n != slots-1 {
				t.Errorf("%s, %s: Read: %v after %d entries", key, name, err, n)
			}
		}
		mustPut(t, b, key, whole)
	}
}

// A record that is whole in itself but not the one that was written breaks the
// chain.
func TestAForgedRecordBreaksTheChain(t *testing.T) {
	const slots = 3
	for _, seq := range []uint64{0, 1, 2} {
		b := memory.New()
		appendSlots(t, openLog(t, b), slots)
		l, _ := New(b, testConfig)
		key := l.Layout().IntentKey(seq)
		in, err := DecodeIntent([]byte(mustGet(t, b, key)))
		if err != nil {
			t.Fatal(err)
		}
		in.ModelVersion++
		forged, err := in.Encode()
		if err != nil {
			t.Fatal(err)
		}
		mustPut(t, b, key, string(forged))
		if n, err := readErr(t, b); !thalweg.Is(err, thalweg.Corrupt) || n != int(seq) {
			t.Errorf("a forged intent %d: Read: %v after %d entries", seq, err, n)
		}
	}
}

func TestAnotherPipelinesLogIsRefused(t *testing.T) {
	b := memory.New()
	appendSlots(t, openLog(t, b), 1)
	config := testConfig
	config.Pipeline = "other"
	l, err := New(b, config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Open(t.Context()); !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), "must not share a sink") {
		t.Errorf("Open: %v", err)
	}
}

func TestADirectoryMarkerDoesNotDisturb(t *testing.T) {
	b := markerBucket{memory.New()}
	appendSlots(t, openLog(t, b), 2)
	if n, err := readErr(t, b); n != 2 || err != nil {
		t.Errorf("Read: %d entries, %v", n, err)
	}
	mustPut(t, b, "scored/p/_log/events/00003/notes.txt", "x")
	if _, err := readErr(t, b); !thalweg.Is(err, thalweg.Corrupt) || !strings.Contains(err.Error(), "notes.txt") {
		t.Errorf("Read over a foreign object: %v", err)
	}
}

// markerBucket lists the empty object "<prefix>/" that some tools create.
type markerBucket struct{ storage.Bucket }

func (m markerBucket) List(ctx context.Context, prefix, after string) iter.Seq2[storage.Info, error] {
	return func(yield func(storage.Info, error) bool) {
		if strings.HasSuffix(prefix, "/") && prefix > after && !yield(storage.Info{Key: prefix}, nil) {
			return
		}
		m.Bucket.List(ctx, prefix, after)(yield)
	}
}

func TestFlippedBitsOnTheWayAreHealed(t *testing.T) {
	b := memory.New()
	appendSlots(t, openLog(t, b), 20)
	for seed := range uint64(20) {
		faulty := fault.NewBucket(b, fault.Plan{Seed: seed, Rules: []fault.Rule{{Fault: fault.BitFlip, Rate: 0.5, Times: storage.Rereads}}})
		if err := openErr(t, faulty); err != nil {
			t.Errorf("Open, seed %d: %v", seed, err)
		}
		if n, err := readErr(t, faulty); n != 20 || err != nil {
			t.Errorf("Read, seed %d: %d entries, %v", seed, n, err)
		}
	}
}

func TestEachDoubtAboutAClaimIsResolved(t *testing.T) {
	for _, f := range []fault.Fault{fault.LostReply, fault.LostRequest, fault.Late, fault.Reply412, fault.Reply409, fault.Reply500, fault.Reply503} {
		for times := range 4 {
			b := memory.New()
			faulty := fault.NewBucket(b, fault.Plan{Seed: uint64(times), Rules: []fault.Rule{{Fault: f, Ops: fault.PutIfAbsent, Rate: 1, Times: times + 1}}})
			l := openLog(t, faulty)
			in := next(l.State(), 10)
			won, winner, err := l.Claim(t.Context(), in)
			if !won || winner != in || err != nil {
				t.Fatalf("%s: Claim: %t, %+v, %v", f, won, winner, err)
			}
			if err := carryOut(t.Context(), l); err != nil {
				t.Fatalf("%s: %v", f, err)
			}
			faulty.Settle(t.Context())
			if n, err := readErr(t, b); n != 1 || err != nil {
				t.Errorf("%s: Read: %d entries, %v", f, n, err)
			}
		}
	}
}

func TestAClaimWithoutAnyAnswerMayBeRepeated(t *testing.T) {
	b := memory.New()
	for _, f := range []fault.Fault{fault.LostReply, fault.LostRequest} {
		config := testConfig
		config.Topic = strings.ReplaceAll(f.String(), " ", "-")
		faulty := fault.NewBucket(b, fault.Plan{Rules: []fault.Rule{
			{Fault: f, Ops: fault.PutIfAbsent, Rate: 1, Times: 6},
			{Fault: fault.LostRequest, Ops: fault.Head, Rate: 1, Skip: 1, Times: 6},
		}})
		l, err := New(faulty, config)
		if err != nil {
			t.Fatal(err)
		}
		s, err := l.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		in := next(s, 10)
		in.Topic = config.Topic
		if _, _, err := l.Claim(t.Context(), in); !thalweg.Is(err, thalweg.Unavailable) || !strings.Contains(err.Error(), "outcome is unknown") {
			t.Fatalf("%s: Claim: %v", f, err)
		}
		if won, winner, err := l.Claim(t.Context(), in); !won || winner != in || err != nil {
			t.Errorf("%s: Claim again: %t, %+v, %v", f, won, winner, err)
		}
	}
}

func TestAnEndedContextLeavesTheLogUsable(t *testing.T) {
	b := memory.New()
	l := openLog(t, b)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	in := next(l.State(), 10)
	if _, _, err := l.Claim(ctx, in); !thalweg.Is(err, thalweg.Canceled) {
		t.Errorf("Claim: %v", err)
	}
	if _, err := l.Open(ctx); !thalweg.Is(err, thalweg.Canceled) {
		t.Errorf("Open: %v", err)
	}
	if _, _, err := l.Claim(t.Context(), in); !thalweg.Is(err, thalweg.Invalid) {
		t.Errorf("Claim after a failed Open: %v", err)
	}
	if _, err := l.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	appendSlots(t, l, 1)
}

// counting counts the operations that find the end.
type counting struct {
	storage.Bucket
	heads, lists, listed int
}

func (c *counting) Head(ctx context.Context, key string) (storage.Info, error) {
	c.heads++
	return c.Bucket.Head(ctx, key)
}

func (c *counting) List(ctx context.Context, prefix, after string) iter.Seq2[storage.Info, error] {
	c.lists++
	return func(yield func(storage.Info, error) bool) {
		for info, err := range c.Bucket.List(ctx, prefix, after) {
			c.listed++
			if !yield(info, err) {
				return
			}
		}
	}
}

func TestTheEndIsFoundWithoutListingTheLog(t *testing.T) {
	b := memory.New()
	l := openLog(t, b)
	for slots, n := 0, 0; slots <= 1100; slots, n = slots+n, slots+1 {
		appendSlots(t, l, n)
		c := &counting{Bucket: b}
		opened := openLog(t, c)
		if opened.State() != l.State() {
			t.Fatalf("with %d slots the state is %+v, want %+v", slots+n, opened.State(), l.State())
		}
		bits := len(fmt.Sprintf("%b", slots+n))
		if c.heads > 2*bits+8 || c.lists != 3 || c.listed != 0 {
			t.Errorf("with %d slots Open made %d heads and %d listings of %d objects", slots+n, c.heads, c.lists, c.listed)
		}
	}
}
