package sketch_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/artifact/artifacttest"
	"github.com/thalweg/thalweg/pipeline/monitor"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

var columns = table.Schema{Columns: []table.Column{
	{Name: "date", Type: table.Timestamp, Nullable: true}, {Name: "delay", Type: table.Int64, Nullable: true}, {Name: "distance", Type: table.Int64, Nullable: true},
	{Name: "origin", Type: table.String, Nullable: true}, {Name: "destination", Type: table.String, Nullable: true},
}}

// flights returns so many rows of the demo's flights, in a random order.
func flights(t *testing.T, n int) (rows [][]any) {
	t.Helper()
	body, err := os.ReadFile("../../../deploy/demo/flights.parquet")
	if err != nil {
		t.Fatal(err)
	}
	for batch, err := range engine.ReadRows("flights", body) {
		if err != nil {
			t.Fatal(err)
		}
		for i := range int(batch.Rows.NumRows()) {
			row := make([]any, len(columns.Columns))
			for k, c := range columns.Columns {
				at := batch.Rows.Schema().FieldIndices(c.Name)
				switch a := batch.Rows.Column(at[0]).(type) {
				case *array.Int64:
					row[k] = a.Value(i)
				case *array.Timestamp:
					row[k] = int64(a.Value(i))
				case *array.Dictionary:
					row[k] = a.Dictionary().(*array.String).Value(a.GetValueIndex(i))
				default:
					t.Fatalf("%T", a)
				}
				if batch.Rows.Column(at[0]).IsNull(i) {
					row[k] = nil
				}
			}
			rows = append(rows, row)
		}
	}
	random := rand.New(rand.NewPCG(5, 5))
	random.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	if len(rows) < n {
		t.Fatalf("%d rows", len(rows))
	}
	return rows[:n]
}

// stand is a version that is fitted on flights, with its reference of others.
type stand struct {
	*artifact.Artifact
	reference *monitor.Reference
	counter   *monitor.Counter
}

func newStand(t *testing.T, document string, train, evaluated [][]any) *stand {
	t.Helper()
	s := &stand{Artifact: artifacttest.Train(t, document, columns, 1, train...)}
	rows, predictions := s.score(t, evaluated)
	defer rows.Release()
	seen := monitor.NewSample(s.Plan(), s.Transform, s.Answer(), s.Model.Outputs(), rows.NumRows(), func(row int64) uint64 { return uint64(row) })
	if err := seen.Observe(rows, func(int) bool { return true }, predictions); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(seen.Reference())
	if err != nil {
		t.Fatal(err)
	}
	if s.reference, err = monitor.Decode(s.Plan(), data); err != nil {
		t.Fatal(err)
	}
	s.counter = monitor.NewCounter(s.Plan(), s.Transform, s.Answer(), s.reference)
	return s
}

func (s *stand) score(t *testing.T, rows [][]any) (cleaned arrow.Record, predictions []float32) {
	t.Helper()
	scorer, err := s.NewScorer(pipeline.InScoring)
	if err != nil {
		t.Fatal(err)
	}
	batch := tabletest.Batch(memory.DefaultAllocator, columns, 0, rows...)
	defer batch.Release()
	cleaned, predictions, err = scorer.Score(t.Context(), batch, nil)
	if err != nil {
		t.Fatal(err)
	}
	return cleaned, slices.Clone(predictions)
}

// window counts some rows of a batch in a window.
func (s *stand) window(t *testing.T, cfg *monitor.Config, rows arrow.Record, predictions []float32, which table.Mask, at int, into *monitor.Sketch) {
	t.Helper()
	some, err := table.Select(memory.DefaultAllocator, rows, which)
	if err != nil {
		t.Fatal(err)
	}
	defer some.Release()
	times := slices.Repeat([]int64{int64(at) * cfg.Window.Microseconds()}, int(some.NumRows()))
	index := slices.Collect(which.Marked())
	if err := s.counter.Count(cfg, 1, some, times, func(i int) []float32 { return predictions[index[i] : index[i]+1] }, into); err != nil {
		t.Fatal(err)
	}
}

const document = `
apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: flight-delays}
spec:
  sources:
    train:  {s3: {path: "s3://lake/flights/*.parquet"}, format: {type: parquet}}
    events: {kafka: {topic: flights}, format: {type: json}}
  input_features:
    - {name: distance,    type: number}
    - {name: origin,      type: category}
    - {name: destination, type: category}
    - {name: hour,        type: category, expression: "hour(date)"}
    - {name: weekday,     type: category, expression: "weekday(date)"}
  output_features:
    - {name: delayed, type: binary, expression: "delay > 15"}
  scoring:
    source: events
    sink: {s3: {path: "s3://lake/scored/flight-delays/"}, format: {type: parquet}}
  monitoring: {drift: {window: 168h}}
`

// Of a thousand windows of 1,000 flights each, drawn from those that the reference is of, none
// is reported. A window of flights that have changed is, and for what has changed.
func TestDriftIsFoundInOneWindowAndNoneIsReportedInAThousandWithout(t *testing.T) {
	t.Parallel()
	const windows, each = 1000, 1000
	rows := flights(t, 45_000)
	s := newStand(t, document, rows[:15_000], rows[15_000:30_000])
	live := rows[30_000:]
	cfg := monitor.ConfigOf(s.Spec)
	random := rand.New(rand.NewPCG(7, 7))
	// choose marks each rows of so many.
	choose := func(of int) table.Mask {
		m := table.NewMask(of)
		for left := each; left > 0; {
			if i := random.IntN(of); !m.Has(i) {
				m.Set(i)
				left--
			}
		}
		return m
	}
	judge := func(counts *monitor.Sketch) *monitor.Report {
		return monitor.Judge(counts, s.Spec.Drift(), windows, func(thalweg.ModelVersion) (*monitor.Reference, error) { return s.reference, nil })
	}
	var counts monitor.Sketch
	cleaned, predictions := s.score(t, live)
	defer cleaned.Release()
	for at := range windows {
		s.window(t, cfg, cleaned, predictions, choose(int(cleaned.NumRows())), at, &counts)
	}
	report := judge(&counts)
	reported, judged, largest := 0, 0, 0.0
	for _, w := range report.Windows {
		if w.Verdict != monitor.OK {
			reported++
			t.Logf("%+v", w)
		}
		for _, m := range append(w.Features, w.Score) {
			judged++
			largest = max(largest, m.PSI.Low)
		}
	}
	if len(report.Windows) != windows || reported > 0 || len(report.Flaws) > 0 {
		t.Errorf("%d of %d windows are reported (%v)", reported, len(report.Windows), report.Flaws)
	}
	t.Logf("%d windows, %d of %d judgements reported; the largest low end of an interval is %.4f", windows, reported, judged, largest)

	for name, c := range map[string]struct {
		feature string
		change  func(i int, row []any)
	}{
		"distances in another unit":      {"distance", func(_ int, row []any) { row[2] = row[2].(int64) * 1609 / 1000 }},
		"a tenth without a distance":     {"distance", func(i int, row []any) { row[2] = map[bool]any{true: nil, false: row[2]}[i%10 == 0] }},
		"a source of an airport is gone": {"origin", func(i int, row []any) { row[3] = map[bool]any{true: "ATL", false: row[3]}[i%4 == 0] }},
		"airports in lower case":         {"destination", func(_ int, row []any) { row[4] = fmt.Sprintf("x%v", row[4]) }},
		"times of another zone":          {"hour", func(_ int, row []any) { row[0] = row[0].(int64) + 6*3600*1e6 }},
	} {
		t.Run(name, func(t *testing.T) {
			changed := make([][]any, len(live))
			for i, row := range live {
				changed[i] = slices.Clone(row)
				c.change(i, changed[i])
			}
			cleaned, predictions := s.score(t, changed)
			defer cleaned.Release()
			var counts monitor.Sketch
			s.window(t, cfg, cleaned, predictions, choose(len(changed)), 0, &counts)
			report := judge(&counts)
			if report.Worst().Level() < monitor.Warn.Level() {
				t.Fatalf("not found: %+v", report.Windows[0])
			}
			for _, m := range report.Windows[0].Features {
				if found := m.Verdict.Level() >= monitor.Warn.Level(); found != (m.Name == c.feature) && !(name == "times of another zone" && m.Name == "weekday") {
					t.Errorf("%s: %s, %+v, most in %s", m.Name, m.Verdict, m.PSI, m.Most)
				}
				if m.Name == "destination" && name == "airports in lower case" && m.Unknown != each {
					t.Errorf("%d of %d values are unknown", m.Unknown, each)
				}
			}
		})
	}
}

// Windows with few rows, and rows counted by other windows, say so.
func TestFewRowsAreNotJudged(t *testing.T) {
	t.Parallel()
	rows := flights(t, 3000)
	s := newStand(t, document, rows[:1000], rows[1000:2000])
	cleaned, predictions := s.score(t, rows[2000:])
	defer cleaned.Release()
	all := table.NewMask(int(cleaned.NumRows())).Not()
	few := table.NewMask(int(cleaned.NumRows()))
	for i := range 999 {
		few.Set(i)
	}
	var counts monitor.Sketch
	week := monitor.ConfigOf(s.Spec)
	s.window(t, week, cleaned, predictions, few, 0, &counts)
	s.window(t, week, cleaned, predictions, all, 1, &counts)
	s.window(t, &monitor.Config{Window: 30 * 24 * time.Hour, OneIn: 16}, cleaned, predictions, all, 1, &counts)
	day := &monitor.Config{Window: 24 * time.Hour, OneIn: 16}
	s.window(t, day, cleaned, predictions, few, 14, &counts)
	s.window(t, day, cleaned, predictions, few, 15, &counts)
	day.Die(&counts, 1, 15*day.Window.Microseconds()+5, "decode: the event is null (a tombstone)")
	report := monitor.Judge(&counts, s.Spec.Drift(), 10, func(thalweg.ModelVersion) (*monitor.Reference, error) { return s.reference, nil })
	if len(report.Windows) != 3 || report.OtherWidths != 1000 {
		t.Fatalf("%+v", report)
	}
	if w := report.Windows[0]; w.Verdict != monitor.Unjudged || w.Why == "" || w.Score.PSI.High == 0 {
		t.Errorf("%+v", w)
	}
	if w := report.Windows[1]; w.Verdict == monitor.Unjudged || w.Rows != 1000 {
		t.Errorf("%+v", w)
	}
	// Days add up to their week.
	if w := report.Windows[2]; w.Rows != 2*999 || w.DeadLetters != 1 || w.Dead["decode: the event is null (a tombstone)"] != 1 || w.Verdict == monitor.Unjudged {
		t.Errorf("%+v", w)
	}
	if r := monitor.Judge(&counts, s.Spec.Drift(), 10, func(thalweg.ModelVersion) (*monitor.Reference, error) { return nil, nil }); r.Windows[1].Why == "" || r.Worst() != monitor.Unjudged {
		t.Errorf("%+v", r.Windows[1])
	}
}

// A reference is the same bytes whatever parts of the rows are seen by whom, and has the largest
// slices, whose scores are judged by themselves.
func TestAReferenceDoesNotDependOnParts(t *testing.T) {
	t.Parallel()
	rows := flights(t, 8000)
	s := newStand(t, strings.Replace(document, "  scoring:", "  evaluation: {slices: [{columns: [origin]}, {columns: [origin, destination]}]}\n  scoring:", 1), rows[:1000], rows[1000:])
	cleaned, predictions := s.score(t, rows[1000:])
	defer cleaned.Release()
	seen := func(from, to int64) *monitor.Seen {
		part := cleaned.NewSlice(from, to)
		defer part.Release()
		sample := monitor.NewSample(s.Plan(), s.Transform, s.Answer(), s.Model.Outputs(), cleaned.NumRows(), func(row int64) uint64 { return uint64(row) })
		if err := sample.Observe(part, func(int) bool { return true }, predictions[from:to]); err != nil {
			t.Fatal(err)
		}
		data, err := json.Marshal(sample.Seen)
		if err != nil {
			t.Fatal(err)
		}
		out := new(monitor.Seen)
		if err := json.Unmarshal(data, out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	whole, err := json.Marshal(s.reference)
	if err != nil {
		t.Fatal(err)
	}
	n := cleaned.NumRows()
	for _, cuts := range [][]int64{{0, n}, {0, 1, 2500, n}, {0, 6000, n}} {
		sum := monitor.NewSeen(s.Plan())
		for i := len(cuts) - 1; i > 0; i-- {
			if err := sum.Merge(seen(cuts[i-1], cuts[i])); err != nil {
				t.Fatal(err)
			}
		}
		if parts, err := json.Marshal(sum.Reference()); err != nil || string(parts) != string(whole) {
			t.Errorf("%v: %v\n%.300s\nin one go\n%.300s", cuts, err, parts, whole)
		}
	}
	if len(s.reference.Slices) < 5 || !strings.HasPrefix(s.reference.Slices[0].Name, "origin=") {
		t.Fatalf("%d slices", len(s.reference.Slices))
	}
	var counts monitor.Sketch
	s.window(t, monitor.ConfigOf(s.Spec), cleaned, predictions, table.NewMask(int(n)).Not(), 0, &counts)
	want := s.Spec.Drift()
	want.MinRows = 200
	report := monitor.Judge(&counts, want, 1, func(thalweg.ModelVersion) (*monitor.Reference, error) { return s.reference, nil })
	judged := 0
	for _, m := range report.Windows[0].Slices {
		if m.Verdict == monitor.OK {
			judged++
		} else if m.Verdict != monitor.Unjudged {
			t.Errorf("%+v", m)
		}
	}
	if judged == 0 || len(report.Windows[0].Slices) != len(s.reference.Slices) {
		t.Errorf("%d of %d slices are judged", judged, len(s.reference.Slices))
	}
}
