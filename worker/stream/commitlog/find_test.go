package commitlog

import (
	"testing"

	"github.com/thalweg/thalweg/storage/memory"
)

func TestASlotIsFoundByAnOffsetOfItsTopic(t *testing.T) {
	b := memory.New()
	l := openLog(t, b)
	find := func(topic string, offset int64, want uint64, found bool) {
		t.Helper()
		if seq, ok, err := l.Find(t.Context(), topic, offset); err != nil || ok != found || ok && seq != want {
			t.Errorf("offset %d of topic %.4q is in slot %d, %t, %v; want %d, %t", offset, topic, seq, ok, err, want, found)
		}
	}
	find("", 100, 0, false)
	do := func(change func(*Intent), finish func(Intent) (Done, error)) {
		t.Helper()
		if err := claimAndFinish(l, change, finish); err != nil {
			t.Fatal(err)
		}
	}
	named := func(id string) func(*Intent) { return func(in *Intent) { in.TopicID = id } }
	appendSlots(t, l, 3) // slots 0 to 2: [100, 130) of a topic whose identity is not known
	find("", 100, 0, true)
	find("", 99, 0, true) // nothing holds it; what follows is found
	find("", 129, 2, true)
	find("", 130, 0, false)
	find(topicA, 115, 1, true)
	do(named(topicA), nil)                                       // slot 3: [130, 140)
	do(compactAs([2]uint64{0, 3}), merged(l, 100, 130, 0, 1, 2)) // slot 4, of no offsets
	do(asSkip(150, 150, topicA), empty(l))                       // slot 5: [140, 150) is missing
	do(named(topicA), nil)                                       // slot 6: [150, 160)
	find("", 125, 2, true)
	find(topicA, 139, 3, true)
	find(topicA, 145, 5, true)
	find(topicA, 150, 6, true)
	do(asSkip(175, 100, topicB), empty(l)) // slot 7: made anew
	do(named(topicB), nil)                 // slot 8: [100, 110)
	do(named(topicB), nil)                 // slot 9: [110, 120)
	find("", 105, 8, true)
	find(topicB, 115, 9, true)
	find(topicA, 105, 0, true)
	find(topicA, 155, 6, true)
	find(topicA, 160, 0, false)
	find(topicB, 120, 0, false)
	find("cccccccccccccccccccccccccccccccc", 105, 0, false)
}

func TestMovedRowsAreFoundWhereTheyAre(t *testing.T) {
	l := openLog(t, memory.New())
	appendSlots(t, l, 5)
	for i, change := range []func(*Intent){compactAs([2]uint64{0, 2}), compactAs([2]uint64{0, 3})} {
		inputs := [][]uint64{{0, 1}, {5, 2}}[i]
		if err := claimAndFinish(l, change, merged(l, 100, 120+int64(10*i), inputs...)); err != nil {
			t.Fatal(err)
		}
	}
	for seq := range uint64(3) {
		if e, ok, err := l.Moved(t.Context(), seq); err != nil || !ok || e.Intent.Seq != 6 {
			t.Errorf("rows of slot %d are in slot %d, %t, %v; want 6", seq, e.Intent.Seq, ok, err)
		}
	}
	if e, ok, err := l.Moved(t.Context(), 3); err != nil || ok {
		t.Errorf("rows of slot 3 are in slot %d, %t, %v; want nowhere else", e.Intent.Seq, ok, err)
	}
}

// TestASlotIsFoundWhereASkipWasTheFirstToNameTheTopic: a build that knows of
// identities took the log over, and the first that it met was a loss.
func TestASlotIsFoundWhereASkipWasTheFirstToNameTheTopic(t *testing.T) {
	l := openLog(t, memory.New())
	appendSlots(t, l, 3) // slots 0 to 2: [100, 130)
	for _, err := range []error{
		claimAndFinish(l, asSkip(140, 140, topicA), empty(l)), // slot 3
		claimAndFinish(l, func(in *Intent) { in.TopicID = topicA }, nil),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for offset, want := range map[int64]uint64{105: 0, 125: 2, 135: 3, 145: 4} {
		for _, topic := range []string{"", topicA} {
			if seq, ok, err := l.Find(t.Context(), topic, offset); err != nil || !ok || seq != want {
				t.Errorf("offset %d of topic %.4q is in slot %d, %t, %v; want %d", offset, topic, seq, ok, err, want)
			}
		}
	}
}
