package commitlog

import (
	"slices"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage/memory"
)

func TestGapsAccountForExactlyTheOffsetsThatAreNoEvents(t *testing.T) {
	l := openLog(t, memory.New())
	if _, _, err := l.Claim(t.Context(), next(l.State(), 10)); err != nil {
		t.Fatal(err)
	}
	in := *l.State().Pending
	object, err := l.Publish(t.Context(), Scored, "", 7, []byte("rows"), nil)
	if err != nil {
		t.Fatal(err)
	}
	at := func(gaps ...Gap) []Gap {
		for i := range gaps {
			gaps[i][0] += in.From
			gaps[i][1] += in.From
		}
		return gaps
	}
	for name, gaps := range map[string][]Gap{
		"too few":          at(Gap{0, 2}),
		"too many":         at(Gap{0, 4}),
		"before the range": at(Gap{-1, 2}),
		"after the range":  at(Gap{8, 11}),
		"out of order":     at(Gap{5, 6}, Gap{0, 2}),
		"touching":         at(Gap{0, 2}, Gap{2, 3}),
		"empty":            at(Gap{0, 3}, Gap{5, 5}),
		"more than fit":    make([]Gap, MaxGaps+1),
	} {
		if _, err := l.Complete(Done{Objects: []Object{object}, Gaps: gaps}); !thalweg.Is(err, thalweg.Invalid) {
			t.Errorf("%s: %v, want %q", name, err, thalweg.Invalid)
		}
	}
	want := at(Gap{0, 2}, Gap{9, 10})
	d, err := l.Complete(Done{Objects: []Object{object}, Gaps: want})
	if err != nil {
		t.Fatal(err)
	}
	if won, recorded, err := l.Finish(t.Context(), d); !won || err != nil || !slices.Equal(recorded.Gaps, want) {
		t.Errorf("%t, %+v, %v", won, recorded, err)
	}
	for entry, err := range l.Read(t.Context(), 0) {
		if err != nil || !slices.Equal(entry.Done.Gaps, want) {
			t.Errorf("read back: %v, %v", entry.Done.Gaps, err)
		}
	}
}
