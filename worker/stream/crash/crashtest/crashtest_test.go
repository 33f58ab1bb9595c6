package crashtest_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/memory"
	"github.com/thalweg/thalweg/storage/storagetest"
	"github.com/thalweg/thalweg/worker/stream/crash"
	"github.com/thalweg/thalweg/worker/stream/crash/crashtest"
)

const (
	claim  = "scored/_log/t/00000/000000000000.intent.json"
	finish = "scored/_log/t/00000/000000000000.done.json"
)

func TestAGateWithoutAPlanIsTheStoreItself(t *testing.T) {
	storagetest.Run(t, func(*testing.T) storage.Bucket {
		return crashtest.NewGate(crashtest.NewScript(), crashtest.Process{}).Bucket(memory.New())
	})
}

// TestEachActionDoesAtItsMomentWhatItSays tries each on the creation of a
// claim: whether the object is there, what the caller is told, and what becomes
// of the process's next step.
func TestEachActionDoesAtItsMomentWhatItSays(t *testing.T) {
	for _, c := range []struct {
		plan    string
		kind    thalweg.Kind // of the answer; -1: none, it went well
		there   bool         // at once
		late    bool         // some time later
		next    thalweg.Kind // of the next step's answer
		exits   int
		stalled time.Duration
	}{
		{"claim:before:1:exit", thalweg.Canceled, false, false, thalweg.Canceled, 1, 0},
		{"claim:unanswered:1:exit", thalweg.Canceled, true, true, thalweg.Canceled, 1, 0},
		{"claim:after:1:exit", well, true, true, thalweg.Canceled, 1, 0},
		{"claim:before:1:stall", well, true, true, well, 0, time.Second},
		{"claim:unanswered:1:stall", well, true, true, well, 0, time.Second},
		{"claim:after:1:stall", well, true, true, well, 0, time.Second},
		{"claim:before:1:drop", thalweg.Unavailable, false, true, well, 0, 0},
		{"claim:unanswered:1:drop", thalweg.Unavailable, true, true, well, 0, 0},
		{"claim:after:1:drop", well, true, true, thalweg.Unavailable, 0, 0},
		{"claim:before:1:fail", thalweg.Unavailable, false, false, well, 0, 0},
		{"claim:unanswered:1:fail", thalweg.Exists, true, true, well, 0, 0},
		{"claim:after:1:fail", well, true, true, thalweg.Unavailable, 0, 0},
		{"claim:before:2:exit", well, true, true, well, 0, 0}, // not its turn
	} {
		t.Run(c.plan, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				plans, err := crashtest.Parse(c.plan)
				if err != nil || plans[0].String() != c.plan {
					t.Fatalf("%v reads back as %v (%v)", c.plan, plans, err)
				}
				inner, exits := memory.New(), 0
				script := crashtest.NewScript(plans...)
				b := crashtest.NewGate(script, crashtest.Process{Exit: func() { exits++ }, Stall: func() { time.Sleep(time.Second) }}).Bucket(inner)
				began := time.Now()
				there := func() bool { _, err := inner.Head(context.Background(), claim); return err == nil }
				_, err = b.PutIfAbsent(t.Context(), claim, []byte("x"))
				if got := kindOf(err); got != c.kind {
					t.Errorf("the answer is %v", err)
				}
				if there() != c.there {
					t.Errorf("the object is there: %v", !c.there)
				}
				_, err = b.PutIfAbsent(t.Context(), finish, nil)
				if got := kindOf(err); got != c.next {
					t.Errorf("the next answer is %v", err)
				}
				if d := time.Since(began); exits != c.exits || d != c.stalled {
					t.Errorf("%d exits, stalled for %v", exits, d)
				}
				time.Sleep(time.Minute)
				if there() != c.late {
					t.Errorf("later the object is there: %v", !c.late)
				}
				if due := plans[0].Nth == 1; (script.Fired(plans[0]) == 1) != due {
					t.Errorf("the plan was carried out %d times", script.Fired(plans[0]))
				}
			})
		})
	}
}

// well is the kind of no error.
const well = thalweg.Kind(255)

func kindOf(err error) thalweg.Kind {
	if err == nil {
		return well
	}
	return thalweg.KindOf(err)
}

// TestWhileAProcessIsStalledNothingOfItMoves lets another goroutine of the same
// process try.
func TestWhileAProcessIsStalledNothingOfItMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plans, _ := crashtest.Parse("claim:unanswered:1:stall")
		inner := memory.New()
		b := crashtest.NewGate(crashtest.NewScript(plans...), crashtest.Process{Stall: func() { time.Sleep(3 * time.Second) }}).Bucket(inner)
		go b.PutIfAbsent(context.Background(), claim, nil)
		time.Sleep(time.Second)
		go b.PutIfAbsent(context.Background(), finish, nil)
		time.Sleep(time.Second)
		if _, err := inner.Head(t.Context(), finish); err == nil {
			t.Error("a stalled process has written")
		}
		time.Sleep(2 * time.Second)
		if _, err := inner.Head(t.Context(), finish); err != nil {
			t.Error("a process that went on has not", err)
		}
	})
}

func TestAnUnknownCallIsNoted(t *testing.T) {
	script := crashtest.NewScript()
	b := crashtest.NewGate(script, crashtest.Process{}).Bucket(memory.New())
	b.Put(t.Context(), "elsewhere/x", nil)
	b.PutIfAbsent(t.Context(), claim, nil)
	if got := script.Unknown(); !slices.Equal(got, []string{"put elsewhere/x"}) {
		t.Errorf("unknown are %q", got)
	}
	if got := script.Hits()[crashtest.Claim]; got != 1 {
		t.Errorf("%d claims", got)
	}
}

func TestPlansThatAreNoneAreRefusedByName(t *testing.T) {
	for _, text := range []string{"", "claim", "claim:before:1", "claim:before:x:exit", "claim:before:-1:exit", "claim:sometime:1:exit",
		"nowhere:before:1:exit", "claim:before:1:explode", "claim:before:1:exit,"} {
		last := text[strings.LastIndexByte(text, ',')+1:]
		if plans, err := crashtest.Parse(text); !thalweg.Is(err, thalweg.Invalid) || last != "" && !strings.Contains(err.Error(), last) {
			t.Errorf("%q: %v, %v", text, plans, err)
		}
	}
}

func TestEachPointIsNamedOnce(t *testing.T) {
	seen := map[crash.Point]bool{}
	for _, s := range crashtest.Points() {
		if seen[s.Point] || s.What == "" {
			t.Errorf("%s appears twice, or says nothing of itself", s.Point)
		}
		seen[s.Point] = true
	}
}
