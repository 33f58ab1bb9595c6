package fault_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/integration/fault"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/memory"
	"github.com/thalweg/thalweg/storage/storagetest"
)

func TestWithoutRulesItIsTheInnerBucket(t *testing.T) {
	storagetest.Run(t, func(*testing.T) storage.Bucket { return fault.NewBucket(memory.New(), fault.Plan{}) })
}

// always returns a plan in which every call that can have the fault has it.
func always(f fault.Fault) fault.Plan {
	return fault.Plan{Seed: 7, Rules: []fault.Rule{{Fault: f, Rate: 1}}}
}

func TestWritesHaveTheEffectThatTheirFaultSays(t *testing.T) {
	for _, c := range []struct {
		fault   fault.Fault
		kind    thalweg.Kind
		present bool
	}{
		{fault.LostRequest, thalweg.Unavailable, false},
		{fault.LostReply, thalweg.Unavailable, true},
		{fault.Reply412, thalweg.Exists, true},
		{fault.Reply409, thalweg.Unavailable, false},
		{fault.Reply503, thalweg.Unavailable, false},
	} {
		inner := memory.New()
		_, err := fault.NewBucket(inner, always(c.fault)).PutIfAbsent(t.Context(), "k", []byte("x"))
		if !thalweg.Is(err, c.kind) || !strings.Contains(err.Error(), "seed 7") {
			t.Errorf("%s: %v, want %q and the seed", c.fault, err, c.kind)
		}
		if _, err := inner.Head(t.Context(), "k"); (err == nil) != c.present {
			t.Errorf("%s: after it Head says %v", c.fault, err)
		}
	}
}

func TestALateWriteTakesEffectSomeOperationsLater(t *testing.T) {
	inner := memory.New()
	b := fault.NewBucket(inner, fault.Plan{Rules: []fault.Rule{{Fault: fault.Late, Ops: fault.PutIfAbsent, Rate: 1}}})
	body := []byte("late")
	if _, err := b.PutIfAbsent(t.Context(), "k", body); !thalweg.Is(err, thalweg.Unavailable) {
		t.Fatal(err)
	}
	clear(body)
	if _, err := inner.Head(t.Context(), "k"); !thalweg.Is(err, thalweg.NotFound) {
		t.Fatalf("it took effect at once: %v", err)
	}
	operations := 0
	for ; operations < 10; operations++ {
		if _, err := b.Head(t.Context(), "k"); err == nil {
			break
		}
	}
	if got, _, _ := inner.Get(t.Context(), "k"); string(got) != "late" {
		t.Errorf("after %d operations the object holds %q", operations, got)
	}
	if _, err := b.PutIfAbsent(t.Context(), "k2", body); err == nil {
		t.Fatal("no fault")
	}
	b.Settle(t.Context())
	if _, err := inner.Head(t.Context(), "k2"); err != nil {
		t.Errorf("after Settle: %v", err)
	}
}

func TestReadsAreDamagedSilently(t *testing.T) {
	inner := memory.New()
	original := strings.Repeat("body ", 20)
	if _, err := inner.Put(t.Context(), "k", []byte(original)); err != nil {
		t.Fatal(err)
	}
	flipped := fault.NewBucket(inner, always(fault.BitFlip))
	got, _, err := flipped.Get(t.Context(), "k")
	if err != nil || differingBits(got, []byte(original)) != 1 {
		t.Errorf("Get with a flipped bit: %q, %v", got, err)
	}
	buf := make([]byte, 10)
	if err := flipped.GetRange(t.Context(), "k", 5, buf); err != nil || differingBits(buf, []byte(original[5:15])) != 1 {
		t.Errorf("GetRange with a flipped bit: %q, %v", buf, err)
	}
	cut := fault.NewBucket(inner, always(fault.Truncated))
	got, info, err := cut.Get(t.Context(), "k")
	if err != nil || len(got) >= len(original) || !strings.HasPrefix(original, string(got)) || info.SizeBytes != int64(len(original)) {
		t.Errorf("a truncated Get: %d bytes, %+v, %v", len(got), info, err)
	}
	if err := cut.GetRange(t.Context(), "k", 0, buf); !thalweg.Is(err, thalweg.Unavailable) {
		t.Errorf("a truncated GetRange: %v", err)
	}
	if got, _, _ := inner.Get(t.Context(), "k"); string(got) != original {
		t.Error("the stored object was damaged")
	}
}

func TestASlowStoreAnswersAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, began := fault.NewBucket(memory.New(), always(fault.Slow)), time.Now()
		if _, err := b.PutIfAbsent(t.Context(), "k", []byte("x")); err != nil {
			t.Fatal(err)
		}
		body, _, err := b.Get(t.Context(), "k")
		if err != nil || string(body) != "x" || time.Since(began) == 0 {
			t.Errorf("%q, %v after %v", body, err, time.Since(began))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		began = time.Now()
		if _, err := b.Head(ctx, "k"); !thalweg.Is(err, thalweg.Canceled) || time.Since(began) > 0 {
			t.Errorf("who does not wait gets %v after %v", err, time.Since(began))
		}
	})
}

func TestAListingBreaksOff(t *testing.T) {
	inner := memory.New()
	for i := range 20 {
		inner.Put(t.Context(), fmt.Sprintf("k%02d", i), nil)
	}
	for _, f := range []fault.Fault{fault.Truncated, fault.Reply503, fault.LostRequest} {
		var listed, failed int
		for _, err := range fault.NewBucket(inner, always(f)).List(t.Context(), "k", "") {
			if err != nil {
				failed++
			} else {
				listed++
			}
		}
		if failed != 1 || listed >= 20 {
			t.Errorf("%s: %d objects and %d errors", f, listed, failed)
		}
	}
}

func TestRulesChooseCalls(t *testing.T) {
	b := fault.NewBucket(memory.New(), fault.Plan{Rules: []fault.Rule{{
		Fault: fault.Reply503, Ops: fault.Put, Rate: 1, Skip: 1, Times: 2,
		Match: func(key string) bool { return strings.HasPrefix(key, "a/") },
	}}})
	for _, c := range []struct{ key, want string }{{"a/1", "ok fail fail ok"}, {"a/2", "ok fail fail ok"}, {"b/1", "ok ok ok ok"}} {
		var got []string
		for range 4 {
			if _, err := b.Put(t.Context(), c.key, nil); err != nil {
				got = append(got, "fail")
			} else {
				got = append(got, "ok")
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v, want %s", c.key, got, c.want)
		}
	}
	if n := b.Injected()[fault.Reply503]; n != 4 {
		t.Errorf("%d faults are counted, want 4", n)
	}
}

func TestOneSeedMeansOnePlanWhateverTheOrderOfCalls(t *testing.T) {
	run := func(seed uint64, reverse bool) map[string]string {
		b := fault.NewBucket(memory.New(), fault.Chaos(seed, 0.1))
		keys := []string{"a", "b", "c", "d", "e", "f"}
		if reverse {
			slices.Reverse(keys)
		}
		outcome := map[string]string{}
		for _, key := range keys {
			for range 20 {
				_, err := b.Put(t.Context(), key, nil)
				outcome[key] += fmt.Sprint(thalweg.KindOf(err), " ")
			}
		}
		return outcome
	}
	one, two, other := fmt.Sprint(run(3, false)), fmt.Sprint(run(3, true)), fmt.Sprint(run(4, false))
	if one != two {
		t.Errorf("seed 3 gave %s and then %s", one, two)
	}
	if one == other {
		t.Error("seeds 3 and 4 gave the same faults")
	}
	if !strings.Contains(fmt.Sprint(fault.Chaos(3, 0.1)), "seed 3") {
		t.Error("a plan does not print its seed")
	}
}

func TestChaosHitsAtItsRate(t *testing.T) {
	const calls, rate = 20_000, 0.05
	b := fault.NewBucket(memory.New(), fault.Chaos(1, rate))
	for i := range calls {
		b.PutIfAbsent(t.Context(), fmt.Sprint(i), nil)
	}
	for f, n := range b.Injected() {
		if share := float64(n) / calls; share < rate*0.6 || share > rate*1.2 { // later rules see what earlier ones left
			t.Errorf("%s hit %.3f of the calls, want about %g", f, share, rate)
		}
	}
	if len(b.Injected()) != 7 {
		t.Errorf("injected %v, want seven faults", b.Injected())
	}
}

func TestAnEndedContextIsCanceledWhateverThePlan(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := fault.NewBucket(memory.New(), fault.Plan{}).Put(ctx, "k", nil)
	if !thalweg.Is(err, thalweg.Canceled) {
		t.Error(err)
	}
}

func differingBits(a, b []byte) int {
	n := 0
	for i := range min(len(a), len(b)) {
		for x := a[i] ^ b[i]; x != 0; x &= x - 1 {
			n++
		}
	}
	return n + 8*max(len(a)-len(b), len(b)-len(a))
}
