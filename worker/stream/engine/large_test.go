package engine

import (
	"fmt"
	"strings"
	"testing"

	"github.com/thalweg/thalweg/pipeline/artifact/artifacttest"
)

// swelling is Flights with steps that make of each event a million times its
// origin, twice over.
func swelling() string {
	steps := "      - {derive: {column: c0, expression: \"origin + origin\"}}\n"
	for i := range 19 {
		steps += fmt.Sprintf("      - {derive: {column: c%d, expression: \"c%d + c%d\"}}\n", i+1, i, i)
	}
	return strings.Replace(artifacttest.Flights, "    split:", steps+"    split:", 1)
}

// verdicts scores events as a partition does, a batch from where the last ended,
// and returns by offset what they became: "row", or stage and reason.
func verdicts(t *testing.T, e Engine, events []string) (all map[int64]string, batches int) {
	t.Helper()
	all = make(map[int64]string)
	for to := int64(0); to < int64(len(events)); batches++ {
		b := testBatch(events...)
		b.first, b.n, b.From = int(to), len(events)-int(to), to
		r := &Rows{Topic: "flights", To: to}
		if err := e.Score(t.Context(), b, r); err != nil {
			t.Fatal(err)
		}
		if b.To <= to || r.To != b.To {
			t.Fatalf("a batch from %d ends at %d, the rows at %d", to, b.To, r.To)
		}
		if held := r.SizeBytes(); held > 2*maxHeld+32<<20 {
			t.Errorf("a batch from %d became %d MiB", to, held>>20)
		}
		letters, err := ParseLetters(r.dead.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range letters {
			all[l.Offset] = l.Stage + ": " + l.Reason
		}
		for _, p := range r.pieces {
			for _, offset := range offsetsOf(p.cleaned) {
				if all[offset] != "" {
					t.Errorf("offset %d became a row and %s", offset, all[offset])
				}
				all[offset] = "row"
			}
		}
		to = b.To
		r.Release()
	}
	return all, batches
}

// TestAnEventThatOutgrowsABatchIsADeadLetterAndTheOthersAreRows: which one it
// becomes does not depend on the batch, and a batch of large rows ends early.
func TestAnEventThatOutgrowsABatchIsADeadLetterAndTheOthersAreRows(t *testing.T) {
	e, err := New(Model{Name: "m", Version: 1}, artifacttest.TrainFlights(t, swelling(), 1), Config{Compression: "zstd", MaxEventBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	var events []string
	want := map[int64]string{}
	for i := range 40 {
		origin, outcome := fmt.Sprintf("AIRPORT%d", i%10), "row"
		switch {
		case i%13 == 5:
			origin, outcome = strings.Repeat("X", 50), "dead"
		case i%13 == 7:
			origin = ""
		case i == 20:
			events = append(events, "nothing")
			want[int64(i)] = "dead"
			continue
		}
		events = append(events, fmt.Sprintf(`{"date":"2001-03-01 00:00:00","distance":%d,"origin":"%s"}`, i, origin))
		want[int64(i)] = outcome
	}
	together, batches := verdicts(t, e, events)
	if batches < 2 {
		t.Errorf("%d batches: the test shows nothing of batches that end early", batches)
	}
	for offset, outcome := range want {
		got := together[offset]
		if outcome == "row" && got != "row" || outcome == "dead" && (got == "row" || got == "") {
			t.Errorf("offset %d became %q", offset, got)
		}
		if outcome == "dead" && offset != 20 && !strings.HasPrefix(got, "score: clean: step ") {
			t.Errorf("the letter of offset %d does not name the step: %s", offset, got)
		}
		alone, _ := verdicts(t, e, events[offset:offset+1])
		if alone[0] != got && offset != 20 {
			t.Errorf("offset %d became %q, and alone %q", offset, got, alone[0])
		}
	}
}

// TestABatchOfNothingButLargeEventsIsDeadLetters: no fault of the code, at which
// a stream would wait.
func TestABatchOfNothingButLargeEventsIsDeadLetters(t *testing.T) {
	e, err := New(Model{Name: "m", Version: 1}, artifacttest.TrainFlights(t, swelling(), 1), Config{Compression: "zstd", MaxEventBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	event := fmt.Sprintf(`{"date":"2001-03-01 00:00:00","distance":1,"origin":"%s"}`, strings.Repeat("X", 50))
	all, _ := verdicts(t, e, []string{event, event, event})
	for offset := range int64(3) {
		if !strings.HasPrefix(all[offset], "score: clean: step ") {
			t.Errorf("offset %d became %q", offset, all[offset])
		}
	}
}
