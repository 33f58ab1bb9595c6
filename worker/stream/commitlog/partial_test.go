package commitlog

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage/memory"
)

// claimTen claims the next ten offsets.
func claimTen(t *testing.T, l *Log, change func(*Intent)) Intent {
	t.Helper()
	in := next(l.State(), 10)
	if change != nil {
		change(&in)
	}
	if won, _, err := l.Claim(t.Context(), in); !won || err != nil {
		t.Fatal(won, err)
	}
	return in
}

func TestWhatIsLostOfAClaimIsTheBeginningThatNoObjectHolds(t *testing.T) {
	b := memory.New()
	l := openLog(t, b)
	in := claimTen(t, l, nil) // [100, 110)
	object, err := l.Publish(t.Context(), Scored, "", 5, []byte("rows"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, d := range map[string]struct {
		lost [2]int64
		gaps []Gap
	}{
		"more is missing than is lost": {[2]int64{100, 104}, nil},
		"it begins later":              {[2]int64{101, 106}, nil},
		"it ends beyond the range":     {[2]int64{100, 111}, nil},
		"it is empty":                  {[2]int64{100, 100}, nil},
		"a gap within it":              {[2]int64{100, 105}, []Gap{{104, 105}}},
		"a gap beyond the range":       {[2]int64{100, 105}, []Gap{{109, 111}}},
		"more gaps than are missing":   {[2]int64{100, 101}, []Gap{{101, 107}}},
	} {
		if _, err := l.Complete(Done{Objects: []Object{object}, Lost: d.lost, Gaps: d.gaps}); !thalweg.Is(err, thalweg.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	d, err := l.Complete(Done{Objects: []Object{object}, Lost: [2]int64{100, 107}, Gaps: []Gap{{108, 109}}})
	if err != nil || d.Missing(in) != 4 || d.Total != (Counts{Scored: 5, Missing: 4}) {
		t.Fatalf("%+v, %v", d, err)
	}
	if record, err := d.Encode(); err != nil || !strings.Contains(string(record), `"gaps":[[108,109]],"lost":[100,107],"scored":5`) {
		t.Errorf("%s, %v", record, err)
	}
	if won, _, err := l.Finish(t.Context(), d); !won || err != nil {
		t.Fatal(won, err)
	}
	if s := l.State(); s.LostFrom != 110 || s.Total.Missing != 4 || openLog(t, b).State() != s {
		t.Errorf("%+v, opened again %+v", s, openLog(t, b).State())
	}
	for e, err := range l.Read(t.Context(), 0) {
		if err != nil || e.Done.Lost != [2]int64{100, 107} {
			t.Errorf("%+v, %v", e.Done, err)
		}
	}
}

func TestALogRemembersWhereALossBegins(t *testing.T) {
	b := memory.New()
	l := openLog(t, b)
	appendSlots(t, l, 2)
	claimTen(t, l, nil) // [120, 130)
	d, err := l.Complete(Done{Lost: [2]int64{120, 130}})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.Finish(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	lost := func(want int64) {
		t.Helper()
		if s := l.State(); s.LostFrom != want || openLog(t, b).State() != s {
			t.Errorf("from %d, want %d; opened again from %d", s.LostFrom, want, openLog(t, b).State().LostFrom)
		}
	}
	lost(120)
	if err := claimAndFinish(l, compactAs([2]uint64{0, 2}), merged(l, 100, 120, 0, 1)); err != nil {
		t.Fatal(err)
	}
	lost(120)
	if err := claimAndFinish(l, asSkip(140, 140, ""), empty(l)); err != nil {
		t.Fatal(err)
	}
	lost(140)
}

func TestOnlyASlotThatScoresTheTopicLosesEvents(t *testing.T) {
	l := openLog(t, memory.New())
	appendSlots(t, l, 2)
	if err := claimAndFinish(l, asSkip(130, 130, ""), func(in Intent) (Done, error) {
		return l.Complete(Done{Lost: [2]int64{in.From, in.To}})
	}); !thalweg.Is(err, thalweg.Invalid) {
		t.Errorf("a skip: %v", err)
	}
}

func TestObjectsOfAClaimAreFoundAndAdopted(t *testing.T) {
	for _, by := range []string{"", "date"} {
		b := memory.New()
		l := openLog(t, b)
		in := claimTen(t, l, func(in *Intent) { in.PartitionBy = by })
		keys, err := l.Found(t.Context())
		if err != nil || len(keys) > 0 {
			t.Errorf("%q, %v", keys, err)
		}
		y := l.Layout()
		want := []string{y.DataKey(in, "")}
		if by != "" {
			want = []string{y.DataKey(in, "2026-01-31"), y.DataKey(in, Unknown)}
		}
		for _, key := range want {
			mustPut(t, b, key, "rows of "+key)
		}
		mustPut(t, b, y.DeadKey(in), "letters")
		if keys, err = l.Found(t.Context()); err != nil || !slices.Equal(keys, want) {
			t.Errorf("found %q, %v", keys, err)
		}
		for _, key := range want {
			o, err := l.Adopt(t.Context(), Scored, key, func(existing []byte) (int64, error) {
				if string(existing) != "rows of "+key {
					t.Errorf("%s has %q", key, existing)
				}
				return 3, nil
			})
			if err != nil || o.Key != key || o.Rows != 3 || o.SizeBytes != int64(len("rows of "+key)) || o.Kind != Scored {
				t.Errorf("%+v, %v", o, err)
			}
		}
		if _, err := l.Adopt(t.Context(), Scored, want[0], func([]byte) (int64, error) { return 0, errors.New("others") }); !thalweg.Is(err, thalweg.Conflict) {
			t.Errorf("refused: %v", err)
		}
		if _, err := l.Adopt(t.Context(), Scored, y.DataDir()+"else.parquet", nil); !thalweg.Is(err, thalweg.Conflict) {
			t.Errorf("a name of no claim: %v", err)
		}
		if err := b.Delete(t.Context(), want[0]); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Adopt(t.Context(), Scored, want[0], nil); !thalweg.Is(err, thalweg.Unavailable) {
			t.Errorf("gone: %v", err)
		}
	}
}

func TestWhoeverReservesTheNameOfDeadLettersKeepsOthersFromPublishingThem(t *testing.T) {
	b := memory.New()
	l := openLog(t, b)
	in := claimTen(t, l, nil)
	for range 2 {
		if free, err := l.Reserve(t.Context()); !free || err != nil {
			t.Fatal(free, err)
		}
	}
	var there []byte
	_, err := l.Publish(t.Context(), Dead, "", 1, []byte("letter"), func(existing []byte) error { there = existing; return errors.New("cut short") })
	if !thalweg.Is(err, thalweg.Conflict) || there == nil || len(there) > 0 {
		t.Errorf("%q, %v", there, err)
	}
	if err := b.Delete(t.Context(), l.Layout().DeadKey(in)); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Publish(t.Context(), Dead, "", 1, []byte("letter"), nil); err != nil {
		t.Fatal(err)
	}
	if free, err := l.Reserve(t.Context()); free || err != nil {
		t.Errorf("%t, %v", free, err)
	}
}
