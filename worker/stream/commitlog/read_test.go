package commitlog

import (
	"context"
	"iter"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/memory"
)

func TestAFollowerGoesOnWhereItWas(t *testing.T) {
	b := memory.New()
	writer := openLog(t, b)
	follower, _ := New(b, testConfig)
	seq, offset := uint64(0), int64(100)
	read := func() {
		for entry, err := range follower.Read(t.Context(), seq) {
			if err != nil {
				t.Fatal(err)
			}
			if entry.Intent.Seq != seq || entry.Intent.From != offset || entry.Done.Intent != entry.Intent.ID {
				t.Fatalf("slot %d at offset %d: %+v", seq, offset, entry)
			}
			seq, offset = seq+1, entry.Intent.To
		}
	}
	for range 5 {
		read()
		if s := writer.State(); seq != s.NextSeq || s.NextOffset >= 0 && offset != s.NextOffset {
			t.Fatalf("the follower is at slot %d, offset %d, the log at %+v", seq, offset, s)
		}
		if _, _, err := writer.Claim(t.Context(), next(writer.State(), 10)); err != nil {
			t.Fatal(err)
		}
		read() // an unfinished slot is not read
		if err := carryOut(t.Context(), writer); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReadingBeyondTheEndYieldsNothing(t *testing.T) {
	b := memory.New()
	l := openLog(t, b)
	for _, slots := range []int{0, 3} {
		appendSlots(t, l, slots)
		for _, from := range []uint64{3, 4, 50, MaxSeq} {
			for entry, err := range l.Read(t.Context(), from) {
				t.Errorf("from slot %d of %d: %+v, %v", from, slots, entry, err)
			}
		}
	}
}

func TestReadStopsWhereItsReaderDoes(t *testing.T) {
	b := memory.New()
	l := openLog(t, b)
	appendSlots(t, l, 4)
	n := 0
	for range l.Read(t.Context(), 1) {
		if n++; n == 2 {
			break
		}
	}
	if n != 2 {
		t.Errorf("read %d entries", n)
	}
}

// racing runs a step of another owner just before an object is read, as if it
// had appended while the log was being listed.
type racing struct {
	storage.Bucket
	before map[string]func()
}

func (r *racing) step(key string) {
	if f := r.before[key]; f != nil {
		delete(r.before, key)
		f()
	}
}

func (r *racing) Head(ctx context.Context, key string) (storage.Info, error) {
	r.step(key)
	return r.Bucket.Head(ctx, key)
}

func (r *racing) List(ctx context.Context, prefix, after string) iter.Seq2[storage.Info, error] {
	r.step(prefix)
	return r.Bucket.List(ctx, prefix, after)
}

func TestAnAppendDuringAReadIsNotTakenForDamage(t *testing.T) {
	b := memory.New()
	writer := openLog(t, b)
	appendSlots(t, writer, 2)
	if _, _, err := writer.Claim(t.Context(), next(writer.State(), 10)); err != nil {
		t.Fatal(err)
	}
	y := writer.Layout()
	grow := func() {
		if err := carryOut(t.Context(), writer); err != nil {
			t.Fatal(err)
		}
		appendSlots(t, writer, 2)
	}
	for _, at := range []string{y.DoneKey(2), y.IntentKey(3)} { // when the done record is asked for; after it was missed
		r := &racing{Bucket: b, before: map[string]func(){at: func() {
			if writer.State().Pending != nil {
				grow()
			}
		}}}
		n, err := readErr(t, r)
		if err != nil || n < 2 {
			t.Errorf("appended before %s: %d entries, %v", at, n, err)
		}
	}
}

func TestAnAppendDuringOpenIsNotTakenForDamage(t *testing.T) {
	y := testConfig.layout()
	for _, dir := range []string{y.LogDir(), y.DataDir(), y.DeadDir()} {
		b := memory.New()
		writer := openLog(t, b)
		appendSlots(t, writer, 3)
		r := &racing{Bucket: b, before: map[string]func(){dir: func() { appendSlots(t, writer, 3) }}}
		l, _ := New(r, testConfig)
		s, err := l.Open(t.Context())
		if err != nil || s != writer.State() {
			t.Errorf("appended before the listing of %s: %+v, %v", dir, s, err)
		}
	}
}

func TestOpenGivesUpOnALogThatNeverRests(t *testing.T) {
	b := memory.New()
	writer := openLog(t, b)
	restless := &racing{Bucket: b, before: map[string]func(){}}
	var grow func()
	grow = func() {
		appendSlots(t, writer, 1)
		restless.before[writer.Layout().LogDir()] = grow
	}
	grow()
	l, _ := New(restless, testConfig)
	if _, err := l.Open(t.Context()); !thalweg.Is(err, thalweg.Conflict) {
		t.Errorf("Open: %v", err)
	}
}
