package budget

import (
	"context"
	"math"
	"runtime"
	"runtime/debug"
	"testing"

	"golang.org/x/sync/errgroup"
)

// fetch has a share make one fetch to which so many of the bytes that it may ask
// for come, and that are scored at once. It returns how many it asked for.
func fetch(t *testing.T, s *Share, most int, waiting int64) (asked int) {
	t.Helper()
	asked, err := s.Reserve(t.Context(), most)
	if err != nil {
		t.Fatal(err)
	}
	s.Fetched(min(int64(asked), waiting), 0, 0)
	return asked
}

// TestABusyPartitionAsksForWhatIdleOnesDoNotNeed: what a fetch may ask for is
// shared by need, not by heads.
func TestABusyPartitionAsksForWhatIdleOnesDoNotNeed(t *testing.T) {
	const most = 4 << 20
	m := NewMemory(DefaultMemory, 2)
	busy := m.Share()
	var idle []*Share
	for range 100 {
		idle = append(idle, m.Share())
	}
	round := func(trickle int64) (asked int) {
		for _, s := range idle {
			if got := fetch(t, s, most, trickle); got > minFetchBytes {
				t.Errorf("a partition of which %d bytes come asks for %d", trickle, got)
			}
		}
		return fetch(t, busy, most, 1<<40)
	}
	for range 4 {
		round(0)
	}
	if asked := round(0); asked < 3<<20 {
		t.Errorf("beside 100 idle partitions it asks for %d bytes", asked)
	}
	if asked := round(10_000); asked < 3<<20 {
		t.Errorf("beside 100 partitions with little it asks for %d bytes", asked)
	}
}

// TestPartitionsThatAllNeedMuchAskForEqualParts, and one that becomes quiet
// leaves its part to the others.
func TestPartitionsThatAllNeedMuchAskForEqualParts(t *testing.T) {
	const most, n = 4 << 20, 16
	m := NewMemory(DefaultMemory, 2)
	var all []*Share
	for range n {
		all = append(all, m.Share())
	}
	var asked [n]int
	round := func(busy int) {
		for i, s := range all {
			waiting := int64(0)
			if i < busy {
				waiting = 1 << 40
			}
			asked[i] = fetch(t, s, most, waiting)
		}
	}
	for range 8 {
		round(n)
	}
	for i, got := range asked {
		if want := DefaultMemory / 8 * heldEighths / fetchShare / n; got != want {
			t.Errorf("partition %d asks for %d bytes, its part is %d", i, got, want)
		}
	}
	for range 8 {
		round(2)
	}
	for i, got := range asked {
		if want := most; i < 2 && got != want || i >= 2 && got != minFetchBytes {
			t.Errorf("partition %d asks for %d bytes beside %d quiet ones", i, got, n-2)
		}
	}
}

// Training has a limit of its own, and beside streams its garbage waits for less than the
// heap to double.
func TestTrainingBesideStreamsHasItsGarbageCollectedSooner(t *testing.T) {
	const training = 4 * DefaultMemory
	growth := func() int {
		now := debug.SetGCPercent(100)
		debug.SetGCPercent(now)
		return now
	}
	usual := growth()
	t.Cleanup(func() { debug.SetGCPercent(usual); debug.SetMemoryLimit(math.MaxInt64) })
	m := NewMemory(DefaultMemory, 2)
	m.SetSoftLimit(DefaultMemory, training)
	for _, step := range []struct {
		do    func() func()
		limit int64
	}{
		{func() func() { return func() {} }, DefaultMemory},
		{m.Lift, training},
		{func() func() { return m.Share().Close }, DefaultMemory},
	} {
		undo := step.do()
		if got := debug.SetMemoryLimit(-1); got != step.limit || growth() != usual {
			t.Errorf("the limit is %d, the heap grows by %d %%", got, growth())
		}
		undo()
	}
	share, trained, also := m.Share(), m.Lift(), m.Lift()
	trained()
	if got := debug.SetMemoryLimit(-1); got != training || growth() != besideStreams {
		t.Errorf("beside a stream the limit is %d, the heap grows by %d %%", got, growth())
	}
	share.Close()
	if growth() != usual {
		t.Errorf("after the stream the heap grows by %d %%", growth())
	}
	share = m.Share()
	also()
	if got := debug.SetMemoryLimit(-1); got != DefaultMemory || growth() != usual {
		t.Errorf("after training the limit is %d, the heap grows by %d %%", got, growth())
	}
	share.Close()
	debug.SetGCPercent(besideStreams / 2) // an operator's own
	share, trained = m.Share(), m.Lift()
	if growth() != besideStreams/2 {
		t.Errorf("the heap grows by %d %%", growth())
	}
	trained()
	share.Close()
	if growth() != besideStreams/2 {
		t.Errorf("the heap grows by %d %%", growth())
	}
}

// TestTrainingThatHoldsMoreThanItsLimitIsNotCollectedAllTheTime: the limit rises above what
// is live, until training ends.
func TestTrainingThatHoldsMoreThanItsLimitIsNotCollectedAllTheTime(t *testing.T) {
	t.Cleanup(func() { debug.SetMemoryLimit(math.MaxInt64) })
	const live = 8 << 20
	held := make([]byte, live)
	runtime.GC()
	m := NewMemory(DefaultMemory, 2)
	m.SetSoftLimit(1, 2)
	m.Relieve()
	if got := debug.SetMemoryLimit(-1); got != 1 {
		t.Errorf("without training the limit is %d", got)
	}
	restore := m.Lift()
	m.Relieve()
	if got := debug.SetMemoryLimit(-1); got < live {
		t.Errorf("with %d bytes live the limit is %d", live, got)
	}
	runtime.KeepAlive(held)
	restore()
	restore = m.Lift()
	defer restore()
	if got := debug.SetMemoryLimit(-1); got != 2 {
		t.Errorf("the next run begins with a limit of %d", got)
	}
}

// TestWhatIsNotUsedAnyMoreIsGivenBackOnce, and not while training runs.
func TestWhatIsNotUsedAnyMoreIsGivenBackOnce(t *testing.T) {
	m := NewMemory(DefaultMemory, 2)
	s := m.Share()
	trained := m.Lift()
	s.Settle(Holding{Span: 1, Open: 100 << 20})
	if m.GiveBack() {
		t.Error("given back while it is used")
	}
	s.Settle(Holding{})
	if m.GiveBack() {
		t.Error("given back while training runs")
	}
	trained()
	for range 100 { // what idle ones reserve is no memory
		if _, err := m.Share().Reserve(t.Context(), 4<<20); err != nil {
			t.Fatal(err)
		}
	}
	if !m.GiveBack() {
		t.Error("not given back")
	}
	if m.GiveBack() {
		t.Error("given back again, though nothing was used since")
	}
}

// TestWorkThatTakesMoreThanThereIsRunsAlone: everything gets its turn, and what
// runs at a time never takes more than its part.
func TestWorkThatTakesMoreThanThereIsRunsAlone(t *testing.T) {
	const limit = 16 << 20
	m := NewMemory(limit, 8)
	var all errgroup.Group
	for i := range int64(64) {
		s := m.Share()
		for _, turn := range []func(context.Context, int64, func() error) error{s.Score, s.Encode} {
			all.Go(func() error {
				return turn(t.Context(), i*i*1<<10, func() error {
					if used, _ := m.Used(); used > limit/workShare {
						t.Errorf("%d bytes are worked with, at most %d may be", used, limit/workShare)
					}
					return nil
				})
			})
		}
	}
	if err := all.Wait(); err != nil {
		t.Error(err)
	}
}
