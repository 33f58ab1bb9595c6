package alert

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
)

var begin = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

func lag(pipeline string) Condition {
	return Condition{Rule: StreamLag, Pipeline: thalweg.PipelineName(pipeline), Subject: "stream " + pipeline, Message: "is 9 s behind"}
}

// TestAnAlertFiresOnceItsConditionHasHeld for as long as its rule says, of the catalog or of
// the spec, and is resolved when it ends.
func TestAnAlertFiresOnceItsConditionHasHeld(t *testing.T) {
	t.Parallel()
	minute := int64(60_000)
	specs := map[thalweg.PipelineName]*Wanted{
		"patient": {Webhooks: []Webhook{{Name: "ops", Severity: Warning}, {Name: "pager", Severity: Error}}},
		"hasty":   {Webhooks: []Webhook{{Name: "ops"}, {Name: "pager", Severity: Error}}, Rules: []Change{{Rule: StreamLag, ForMS: &minute, Severity: Error}}},
		"quiet":   {Webhooks: []Webhook{{Name: "ops"}}, Rules: []Change{{Rule: StreamLag, Severity: None}}},
	}
	var w Watch
	var book Book
	index := uint64(0)
	all := []Condition{lag("patient"), lag("hasty"), lag("quiet"), {Rule: NoWorker, Subject: "cluster", Message: "no worker"}, {Rule: "unknown", Subject: "x"}}
	look := func(after time.Duration, conditions ...Condition) []string {
		t.Helper()
		u := w.Look(begin.Add(after), conditions, &book, func(name thalweg.PipelineName) *Wanted { return specs[name] }, []string{"cluster-ops"})
		index++
		if changed := book.Apply(&u, index, begin.Add(after).UnixMilli()); changed == u.Empty() {
			t.Errorf("after %v: %+v changes %v", after, u, changed)
		}
		if err := book.Check(); err != nil {
			t.Error(err)
		}
		var fires []string
		for _, r := range book.Firing {
			fires = append(fires, fmt.Sprint(r.ID, r.Severity, r.Sends))
		}
		return fires
	}
	expect := func(after time.Duration, got []string, want ...string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("after %v fire %q, want %q", after, got, want)
		}
	}
	expect(0, look(0, all...))
	if n := len(w.Pending()); n != 3 {
		t.Errorf("%d are pending", n)
	}
	expect(59, look(59*time.Second, all...))
	hasty, cluster := "stream_lag stream hastyerror[{ops } {pager }]", "no_worker clustererror[{cluster-ops }]"
	expect(60, look(60*time.Second, all...), cluster, hasty)
	expect(61, look(61*time.Second, all[1:]...), cluster, hasty) // patient's has ended, and begins anew
	expect(300, look(300*time.Second, all...), cluster, hasty)
	expect(599, look(599*time.Second, all...), cluster, hasty)
	expect(600, look(600*time.Second, all...), cluster, hasty, "stream_lag stream patientwarning[{ops }]")
	expect(601, look(601*time.Second, all[0]), "stream_lag stream patientwarning[{ops }]")
	if len(book.Ended) != 2 || book.Ended[0].ResolvedMS != begin.Add(601*time.Second).UnixMilli() || book.Ended[0].Sends[0].Told != Nothing {
		t.Errorf("%+v", book.Ended)
	}
	// A clock that was set back has a condition begin anew, not fire in the past.
	expect(-5, look(-5*time.Second, lag("hasty"), all[0]), "stream_lag stream patientwarning[{ops }]")
	expect(54, look(54*time.Second, lag("hasty"), all[0]), "stream_lag stream patientwarning[{ops }]")
	expect(55, look(55*time.Second, lag("hasty"), all[0]), hasty, "stream_lag stream patientwarning[{ops }]")
}

// TestWhatAWebhookWasToldIsToldOnce, and that it is resolved only where it knew that it fires.
func TestWhatAWebhookWasToldIsToldOnce(t *testing.T) {
	t.Parallel()
	var b Book
	b.Apply(&Update{Raise: []Raise{{ID: "a", Rule: StreamLag, Severity: Error, Webhooks: []string{"x", "y", "x"}}}}, 7, 1)
	r := b.Firing[0]
	if len(r.Sends) != 2 || r.Due("x") != Firing || r.Due("z") != "" {
		t.Fatalf("%+v", r)
	}
	told := func(webhook, what string, index uint64) bool {
		return b.Apply(&Update{Told: []Told{{"a", index, webhook, what}}}, 8, 2)
	}
	if told("x", Firing, 6) || told("x", Resolved, 7) || !told("x", Firing, 7) || told("x", Firing, 7) || r.Due("x") != "" {
		t.Errorf("%+v", r)
	}
	if !b.Apply(&Update{Resolve: []Resolve{{"a", 7}}}, 9, 3) || r.Due("x") != Resolved || r.Due("y") != "" {
		t.Errorf("resolved: %+v", r)
	}
	if !told("y", Firing, 7) || r.Due("y") != Resolved { // it was on its way
		t.Errorf("told late: %+v", r)
	}
	if !told("x", Resolved, 7) || told("x", Resolved, 7) || r.Due("x") != "" {
		t.Errorf("%+v", r)
	}
}

// TestTheBookStaysBounded whatever is planned, and is read again as it was written.
func TestTheBookStaysBounded(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(5, 6))
	var b Book
	for index := range uint64(6000) {
		var u Update
		for range random.IntN(4) {
			u.Raise = append(u.Raise, Raise{ID: fmt.Sprint(random.IntN(900)), Rule: StreamLag, Severity: Warning, Webhooks: []string{"x"}})
		}
		if n := len(b.Firing); n > 0 && random.IntN(3) == 0 {
			r := b.Firing[random.IntN(n)]
			u.Resolve = append(u.Resolve, Resolve{r.ID, r.Index - uint64(random.IntN(2))})
			u.Told = append(u.Told, Told{r.ID, r.Index, "x", Firing})
		}
		b.Apply(&u, index, int64(index))
		if index%500 == 0 {
			text, err := json.Marshal(b)
			if err != nil {
				t.Fatal(err)
			}
			var again Book
			if err := json.Unmarshal(text, &again); err != nil || again.Check() != nil {
				t.Fatal(err, again.Check())
			}
			if second, _ := json.Marshal(again); string(second) != string(text) {
				t.Fatal("another book was read")
			}
		}
	}
	if len(b.Firing) > MaxFiring || len(b.Ended) != MaxResolved || b.Check() != nil {
		t.Errorf("%d fire, %d did: %v", len(b.Firing), len(b.Ended), b.Check())
	}
	b.Firing[3], b.Firing[4] = b.Firing[4], b.Firing[3]
	if b.Check() == nil {
		t.Error("a book in another order is taken")
	}
}

// TestTooManyDeadLettersOfAWindowAreACondition, few or old ones are none.
func TestTooManyDeadLettersOfAWindowAreACondition(t *testing.T) {
	t.Parallel()
	var r Rates
	at, rows, dead := begin, int64(1_000_000), int64(50_000) // of before
	note := func(seconds, newRows, newDead int64) bool {
		at, rows, dead = at.Add(time.Duration(seconds)*time.Second), rows+newRows, dead+newDead
		c, many := r.Note(at, "p", rows, dead)
		if many && (c.Rule != DeadLetters || c.Pipeline != "p") {
			t.Errorf("%+v", c)
		}
		return many
	}
	for i, want := range []bool{false, false, false, true, true} {
		if got := note(10, 1000, []int64{0, 5, 4, 40, 0}[i]); got != want {
			t.Errorf("note %d: %v", i, got)
		}
	}
	for range 40 {
		note(10, 1000, 0)
	}
	if note(10, 1000, 0) {
		t.Error("those of before the window count")
	}
	if _, many := r.Note(at, "p", 10, 10); many { // another log
		t.Error("a log that begins anew")
	}
	r.Keep(nil)
	if len(r.streams) != 0 {
		t.Error("it keeps streams that are gone")
	}
}

// TestRulesAreWhole: each says what to do, and none is there twice.
func TestRulesAreWhole(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, r := range Rules() {
		if seen[r.Name] || r.Action == "" || r.Severity != Error && r.Severity != Warning || r.For < 0 {
			t.Errorf("%+v", r)
		}
		seen[r.Name] = true
	}
}
