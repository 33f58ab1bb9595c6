package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/google/go-cmp/cmp"

	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact/artifacttest"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

// testBatch lays out events from offset 0 on.
func testBatch(events ...string) *Batch {
	var r connectors.Records
	for i, e := range events {
		r.Append(int64(i), 1, nil, []byte(e))
	}
	return BatchOf(&r, 0, int64(len(events)))
}

func testEngine(t *testing.T) *artifactEngine {
	t.Helper()
	e, err := New(Model{Name: "m", Version: 1}, artifacttest.TrainFlights(t, artifacttest.Flights, 1), Config{Compression: "zstd", MaxEventBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return e.(*artifactEngine)
}

// flight returns an event that can be scored; n makes it one of a kind.
func flight(n int) string {
	return fmt.Sprintf(`{"date":"2001-03-%02d %02d:00:00","delay":%d,"distance":%d,"origin":"a%d"}`, 1+n%28, n%24, n%60-10, 100+n%2000, n%7)
}

// moody is a predictor that fails on chosen offsets.
type moody struct {
	predictor
	fails  func(offset int64) bool
	panics bool
}

func (m moody) Score(ctx context.Context, rec arrow.Record, rep *pipeline.Report) (arrow.Record, []float32, error) {
	if slices.ContainsFunc(offsetsOf(rec), m.fails) {
		if m.panics {
			panic("a bug")
		}
		return nil, nil, errors.New("a bug")
	}
	return m.predictor.Score(ctx, rec, rep)
}

func TestARowThatTheCodeFailsOnIsADeadLetterAndTheOthersAreScored(t *testing.T) {
	var events []string
	for i := range 50 {
		events = append(events, flight(i))
	}
	for _, panics := range []bool{false, true} {
		e := testEngine(t)
		e.scorer = moody{predictor: e.scorer, fails: func(o int64) bool { return o == 7 || o == 8 || o == 49 }, panics: panics}
		r := &Rows{Topic: "flights"}
		if err := e.Score(t.Context(), testBatch(events...), r); err != nil {
			t.Fatal(err)
		}
		var offsets []int64
		for l, err := range e.Stored(commitlog.Dead, r.dead.Bytes()) {
			if err != nil {
				t.Fatal(err)
			}
			offsets = append(offsets, l.Offset)
		}
		if r.Scored != 47 || !slices.Equal(offsets, []int64{7, 8, 49}) || !strings.Contains(r.dead.String(), `"stage":"score","reason":"`) {
			t.Errorf("panics %v: %d scored, dead letters of %d", panics, r.Scored, offsets)
		}
		r.Release()
	}
}

func TestAFaultOfTheCodeOnEveryRowIsNoReasonForDeadLetters(t *testing.T) {
	e := testEngine(t)
	e.scorer = moody{predictor: e.scorer, fails: func(int64) bool { return true }}
	r := &Rows{Topic: "flights"}
	if err := e.Score(t.Context(), testBatch(flight(1), flight(2), flight(3)), r); err == nil || r.Rejected > 0 || r.To != 0 {
		t.Errorf("%v, %d dead letters, up to %d", err, r.Rejected, r.To)
	}
}

func TestUnreadableAndNullRecordsAreDeadLetters(t *testing.T) {
	b := testBatch(flight(1), "", "", flight(2))
	b.Records.Null = []bool{false, true, false, false}
	b.Records.Unreadable = map[int]string{2: "the batch inflates beyond 1 byte"}
	r := &Rows{Topic: "flights"}
	if err := testEngine(t).Score(t.Context(), b, r); err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	if text := r.dead.String(); r.Scored != 2 || r.Rejected != 2 || !strings.Contains(text, `"stage":"fetch","reason":"the batch inflates`) || !strings.Contains(text, "null") {
		t.Errorf("%d scored, %d dead:\n%s", r.Scored, r.Rejected, text)
	}
}

// Rows of a model of several classes keep their probabilities however they are cut:
// merged from batches, and parted by days.
func TestRowsOfSeveralClassesKeepTheirProbabilities(t *testing.T) {
	document := strings.NewReplacer(`{name: delayed, type: binary, expression: "delay > 15"}`, `{name: delay, type: category}`).Replace(artifacttest.Flights)
	a := artifacttest.TrainFlights(t, document, 1)
	scored := func(partitionBy string, batches ...*Batch) map[int64]string {
		e, err := New(Model{Name: "m", Version: 1}, a, Config{Compression: "zstd"})
		if err != nil {
			t.Fatal(err)
		}
		r := &Rows{Topic: "flights", PartitionBy: partitionBy}
		defer r.Release()
		for _, b := range batches {
			if err := e.Score(t.Context(), b, r); err != nil {
				t.Fatal(err)
			}
		}
		files, err := e.Encode(commitlog.Intent{Topic: "flights", PartitionBy: partitionBy}, r)
		if err != nil {
			t.Fatal(err)
		}
		out := make(map[int64]string)
		for _, f := range files {
			for batch, err := range ReadRows("file", f.Body) {
				if err != nil {
					t.Fatal(err)
				}
				at := batch.Rows.Schema().FieldIndices("probabilities")[0]
				offsets := batch.Rows.Schema().FieldIndices("_offset")[0]
				for i := range int(batch.Rows.NumRows()) {
					out[batch.Rows.Column(offsets).(*array.Int64).Value(i)] = batch.Rows.Column(at).ValueStr(i)
				}
			}
		}
		return out
	}
	var events []string
	var single []*Batch
	for i := range 40 {
		events = append(events, flight(i))
	}
	for i, e := range events {
		var one connectors.Records
		one.Append(int64(i), 1, nil, []byte(e))
		single = append(single, BatchOf(&one, int64(i), int64(i+1)))
	}
	whole := scored("", testBatch(events...))
	if len(whole) != 40 {
		t.Fatalf("%d rows", len(whole))
	}
	for name, got := range map[string]map[int64]string{"one by one": scored("", single...), "by days": scored("date", testBatch(events...))} {
		if diff := cmp.Diff(whole, got); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

// An event that fails a data test of severity error is a dead letter that names the test;
// of one of severity warn the events are counted.
func TestAnEventThatFailsADataTestIsADeadLetterOrCounted(t *testing.T) {
	spec := strings.Replace(artifacttest.Flights, "spec:\n", `spec:
  tests:
    - {column: distance, check: "value >= 103", error_if: "> 50%"}
    - {column: origin, accepted_values: [A1, a1], severity: warn}
`, 1)
	e, err := New(Model{Name: "m", Version: 1}, artifacttest.TrainFlights(t, spec, 1), Config{Compression: "zstd", MaxEventBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	var events []string
	for i := range 14 {
		events = append(events, flight(i))
	}
	r := &Rows{Topic: "flights"}
	if err := e.Score(t.Context(), testBatch(events...), r); err != nil {
		t.Fatal(err)
	}
	if want := map[string]int64{"failed test 2 accepted_values origin, which warns": 12}; !maps.Equal(r.Notes, want) {
		t.Errorf("counted are %v, want %v", r.Notes, want)
	}
	defer r.Release()
	if text := r.dead.String(); r.Scored != 11 || r.Rejected != 3 || strings.Count(text, `"stage":"test","reason":"test 1 check distance: value >= 103"`) != 3 {
		t.Errorf("%d scored, %d dead:\n%s", r.Scored, r.Rejected, text)
	}
}
