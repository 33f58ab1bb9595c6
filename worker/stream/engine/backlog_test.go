package engine

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/worker/stream/budget"
)

// TestBatchesKeepKeysAndHeadersWithTheirValues cuts what fetches of all sizes
// gave into batches of all sizes.
func TestBatchesKeepKeysAndHeadersWithTheirValues(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 0))
		b := Backlog{Want: connectors.Keys | connectors.Headers, Share: budget.Unlimited()}
		next, total := int64(0), 0
		for range 1 + rng.IntN(6) {
			r := b.Buffer()
			r.Reset()
			for range rng.IntN(5) {
				next += 1 + rng.Int64N(2)
				value := fmt.Appendf(nil, "%d%s", next, strings.Repeat(" ", rng.IntN(2)*smallPart))
				if rng.IntN(8) == 0 {
					value = nil
				}
				key := fmt.Appendf(nil, "k%d", next)
				if next%3 == 0 {
					key = nil
				}
				r.AppendHeader("at", fmt.Append(nil, next))
				r.Append(next, next*10, key, value)
				total++
			}
			next++
			r.Next = next
			b.Add(r)
		}
		from, seen := int64(0), 0
		for b.records() > 0 {
			got := b.Take(Cut{From: from, Count: 1 + rng.IntN(7), Bytes: 1 << 30, Gaps: 1 << 20, UpTo: -1, End: next})
			for i, at := range got.Offsets() {
				value := strings.TrimSpace(string(got.Value(i)))
				null := got.Records.Null != nil && got.Records.Null[got.first+i]
				header, _ := got.Records.Header(got.first+i, "at")
				key := got.Records.Key(got.first + i)
				if !null && value != fmt.Sprint(at) || null && value != "" || string(header) != fmt.Sprint(at) ||
					(key == nil) != (at%3 == 0) || key != nil && string(key) != fmt.Sprintf("k%d", at) || got.Timestamps()[i] != at*10 {
					t.Fatalf("seed %d: offset %d has value %.10q, key %q, header %q, time %d", seed, at, value, key, header, got.Timestamps()[i])
				}
			}
			seen, from = seen+got.Len(), got.To
			b.Drop(got.Len())
		}
		if seen != total || from != next && total > 0 {
			t.Fatalf("seed %d: %d records of %d, up to %d of %d", seed, seen, total, from, next)
		}
	}
}

func (b *Backlog) records() int {
	n := 0
	for _, p := range b.parts {
		n += p.records.Len() - p.first
	}
	return n
}

// TestRecordsAreNotPutBehindThoseThatAreBeingRead: a batch is scored beside the
// loop, which goes on to add what fetches give.
func TestRecordsAreNotPutBehindThoseThatAreBeingRead(t *testing.T) {
	b := Backlog{Want: connectors.Keys, Share: budget.Unlimited()}
	at := int64(0)
	fetch := func() {
		r := b.Buffer()
		r.Reset()
		r.Append(at, at, []byte("key"), []byte("value"))
		at++
		r.Next = at
		b.Add(r)
	}
	fetch()
	fetch()
	out := b.Take(Cut{Count: 1, Bytes: 1, Gaps: 1, UpTo: -1, End: at})
	read := make(chan string)
	// Decoders load whole words, which may reach behind the last event.
	go func() {
		read <- string(out.Records.Key(0)) + " " + string(out.Records.Values[:cap(out.Records.Values)])
	}()
	fetch() // under the race detector, a write to what is read fails the test
	fetch()
	if got := <-read; !strings.HasPrefix(got, "key value") {
		t.Errorf("read %q", got)
	}
	if len(b.parts) != 2 {
		t.Errorf("%d parts, want those being read and those that came meanwhile", len(b.parts))
	}
	b.GiveBack()
	fetch()
	if len(b.parts) != 2 || b.records() != 5 {
		t.Errorf("%d parts of %d records", len(b.parts), b.records())
	}
}

// TestABacklogToWhichNothingComesHoldsNextToNothing, whatever it held before.
func TestABacklogToWhichNothingComesHoldsNextToNothing(t *testing.T) {
	share := budget.NewMemory(0, 2).Share()
	b := Backlog{Share: share}
	fetch := func(records int) {
		most, err := share.Reserve(t.Context(), 4<<20)
		if err != nil {
			t.Fatal(err)
		}
		r := b.Buffer()
		r.Reset()
		for range records {
			r.Append(r.Next, 0, nil, make([]byte, most/4))
			r.Next++
		}
		size := int64(r.SizeBytes())
		b.Add(r)
		share.Fetched(size, b.SizeBytes(), 0)
	}
	for range 10 {
		fetch(4)
		fetch(4)
		n := b.Take(Cut{Count: 100, Bytes: 1 << 30, Gaps: 100, UpTo: -1}).Len()
		b.GiveBack()
		b.Drop(n)
	}
	if b.SizeBytes() < 1<<20 {
		t.Fatalf("%d bytes are held while there is much to do", b.SizeBytes())
	}
	for range 10 {
		fetch(0)
	}
	if b.SizeBytes() > 128<<10 {
		t.Errorf("%d bytes are held", b.SizeBytes())
	}
}
