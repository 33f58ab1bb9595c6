package artifact

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/split"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

// asEvents returns the same rows with memory of their own, as a decoder of
// events makes them.
func asEvents(rec arrow.Record) arrow.Record {
	rows, first := tabletest.Rows(rec), int64(0)
	for i, r := range rows {
		for c, v := range r {
			if v == "NaN" {
				r[c] = math.NaN()
			}
		}
		if i == 0 {
			first = r[len(r)-1].(int64)
		}
	}
	return tabletest.Batch(memory.DefaultAllocator, sourceColumns, first, rows...)
}

func TestBatchBoundariesChangeNoBit(t *testing.T) {
	artifacts := []*Artifact{trained(t, binary), trained(t, number), trained(t, category)}
	for _, label := range []string{binary, number, category} {
		for _, document := range []string{network, thinned, factored, nearest, below} {
			artifacts = append(artifacts, trainedBy(t, document, label))
		}
	}
	artifacts = append(artifacts, withMembers(t, category))
	rapid.Check(t, func(rt *rapid.T) {
		a := rapid.SampledFrom(artifacts).Draw(rt, "artifact")
		phase := rapid.SampledFrom([]pipeline.Phase{pipeline.InTraining, pipeline.InScoring}).Draw(rt, "phase")
		rec := tabletest.Draw(rt, memory.DefaultAllocator, sourceColumns, 60)
		whole, wholeReport := score(t, a, phase, rec)
		pieces := tabletest.Split(rt, rec)
		if rapid.Bool().Draw(rt, "row by row") {
			pieces = nil
			for i := range rec.NumRows() {
				pieces = append(pieces, rec.NewSlice(i, i+1))
			}
		}
		for i := range pieces {
			if rapid.Bool().Draw(rt, "as events") {
				pieces[i] = asEvents(pieces[i])
			}
		}
		split, splitReport := score(t, a, phase, pieces...)
		if diff := cmp.Diff(whole, split); diff != "" {
			rt.Fatalf("in pieces the rows differ (-whole +pieces):\n%s", diff)
		}
		if diff := cmp.Diff(counts(wholeReport), counts(splitReport)); diff != "" {
			rt.Fatalf("in pieces the counts differ (-whole +pieces):\n%s", diff)
		}
		if r := wholeReport; r.RowsIn != rec.NumRows() || r.RowsOut != int64(len(whole)) || r.RowsIn != r.RowsOut+int64(len(r.Removed)) {
			rt.Fatalf("%d rows in, %d out, %d named as removed, %d returned", r.RowsIn, r.RowsOut, len(r.Removed), len(whole))
		}
	})
}

// counts is a report without the order in which rows were removed.
func counts(r *pipeline.Report) map[string]int64 {
	out := map[string]int64{"rows in": r.RowsIn, "rows out": r.RowsOut}
	for name, m := range map[string]map[string]int64{"changed ": r.Changed, "dropped ": r.Dropped, "filled ": r.Filled, "clipped ": r.Clipped, "unknown ": r.Unknown} {
		for k, n := range m {
			out[name+k] = n
		}
	}
	for _, gone := range r.Removed {
		out["removed by "+gone.Reason] += gone.Row
	}
	return out
}

func TestADecodedArtifactScoresTheSame(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rec := tabletest.Draw(rt, memory.DefaultAllocator, sourceColumns, 20)
		a := trainedBy(t, rapid.SampledFrom([]string{document, network, factored, nearest, below}).Draw(rt, "model"), binary)
		b, err := Decode(catalog.All(), encode(t, a))
		if err != nil {
			t.Fatal(err)
		}
		want, _ := score(t, a, pipeline.InScoring, rec)
		got, _ := score(t, b, pipeline.InScoring, rec)
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatal(diff)
		}
	})
}

func TestScoredRowsCarryWhereTheyCameFrom(t *testing.T) {
	a := trained(t, binary)
	rec := tabletest.Batch(memory.DefaultAllocator, sourceColumns, 100,
		[]any{int64(0), nil, int64(4), 0.5, " a1"},
		[]any{int64(0), nil, nil, 0.5, "a1"},
		[]any{int64(0), int64(20), int64(4), nil, "a1"},
		[]any{nil, int64(20), int64(7), 1.5, nil})
	rows, rep := score(t, a, pipeline.InScoring, rec)
	if len(rows) != 2 {
		t.Fatalf("%d rows: %v", len(rows), rows)
	}
	for i, want := range [][]any{
		{int64(0), nil, int64(4), 0.5, "A1", nil, nil, "flights", int64(3), int64(100), int64(2), a.Transform.Hash(), int64(4), int64(5), nil},
		{nil, int64(20), int64(7), 1.5, nil, nil, nil, "flights", int64(3), int64(103), int64(2), a.Transform.Hash(), int64(4), int64(5), nil},
	} {
		probability, ok := rows[i][6].(float64)
		if !ok || probability <= 0 || probability >= 1 || float64(float32(probability)) != probability {
			t.Errorf("row %d: a probability of %v", i, rows[i][6])
		}
		want[5], want[6] = probability >= 0.25, probability
		check(t, "row", rows[i], want)
	}
	check(t, "dropped", rep.Dropped, map[string]int64{"3 filter: distance != null": 1, "feature ratio is missing": 1})
	check(t, "removed", rep.Removed, []pipeline.Removal{
		{Row: 101, Stage: "3 filter", Reason: "3 filter: distance != null"},
		{Row: 102, Stage: "features", Reason: "feature ratio is missing"}})
	check(t, "rows in and out", []int64{rep.RowsIn, rep.RowsOut}, []int64{4, 2})
	check(t, "unknown", rep.Unknown, map[string]int64{"origin": 1, "hour": 1})

	s, err := a.NewScorer(pipeline.InScoring)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, c := range s.OutputSchema().Columns {
		names = append(names, c.Name)
	}
	check(t, "columns", names, []string{"date", "delay", "distance", "ratio", "origin", "prediction", "probability",
		"_topic", "_partition", "_offset", "_model_version", "_transform_hash", "_spec_generation", "_scored_at", "_replay"})
}

// The threshold that training chose is part of the version, and rows are decided by it.
func TestRowsAreDecidedByTheThresholdThatWasChosen(t *testing.T) {
	a := trained(t, `{name: delayed, type: binary, expression: "delay > 15", threshold: {optimize: f1}}`)
	if _, err := Decode(catalog.All(), encode(t, a)); !thalweg.Is(err, thalweg.Corrupt) {
		t.Errorf("without a threshold: %v", err)
	}
	rec := tabletest.Batch(memory.DefaultAllocator, sourceColumns, 0, []any{int64(0), nil, int64(4), 0.5, "a1"})
	rows, _ := score(t, a, pipeline.InScoring, rec)
	probability := rows[0][6].(float64)
	for _, at := range []float64{probability, math.Nextafter(probability, 1)} {
		a.Provenance.Threshold = &at
		b, err := Decode(catalog.All(), encode(t, a))
		if err != nil {
			t.Fatal(err)
		}
		for _, phase := range []pipeline.Phase{pipeline.InTraining, pipeline.InScoring} {
			if phase == pipeline.InTraining {
				rec = tabletest.Batch(memory.DefaultAllocator, sourceColumns, 0, []any{int64(0), int64(1), int64(4), 0.5, "a1"})
			}
			if rows, _ := score(t, b, phase, rec); rows[0][5] != (probability >= at) {
				t.Errorf("%v from %v on: %v", probability, at, rows[0])
			}
		}
	}
	bad := 1.5
	a.Provenance.Threshold = &bad
	if _, err := Decode(catalog.All(), encode(t, a)); !thalweg.Is(err, thalweg.Corrupt) {
		t.Errorf("with threshold 1.5: %v", err)
	}
}

func TestANumberIsItsOwnScore(t *testing.T) {
	a := trained(t, number)
	rows, _ := score(t, a, pipeline.InTraining, tabletest.Batch(memory.DefaultAllocator, sourceColumns, 0,
		[]any{int64(0), int64(1), int64(4), 0.5, "a1"}, []any{int64(0), nil, int64(4), 0.5, "a1"}))
	if len(rows) != 1 || rows[0][5] != rows[0][6] || rows[0][5].(float64) == 0 {
		t.Errorf("rows %v", rows)
	}
}

func TestAPredictionThatIsNotFiniteRemovesTheRow(t *testing.T) {
	a := trained(t, number)
	for i := range a.Params {
		a.Params[i] = math.MaxFloat32
	}
	rec := tabletest.Batch(memory.DefaultAllocator, sourceColumns, 7,
		[]any{int64(0), nil, int64(4), 1e18, "a1"}, []any{int64(0), nil, int64(4), -1e18, "a1"})
	rows, rep := score(t, a, pipeline.InScoring, rec)
	if len(rows) != 0 || rep.RowsOut != 0 {
		t.Errorf("rows %v", rows)
	}
	check(t, "dropped", rep.Dropped, map[string]int64{"prediction is not finite": 2})
	if len(rep.Removed) != 2 || rep.Removed[1].Row != 8 || rep.Removed[1].Stage != "model" {
		t.Errorf("removed %v", rep.Removed)
	}
}

// What features bring to a row does not depend on the rows beside it, also where the
// prediction of one of these is not finite.
func TestPartsAreOfTheRowsThatScoreReturns(t *testing.T) {
	a := trained(t, number)
	weight, _ := model.Find(a.Model, "number.ratio.weight")
	weight.Of(a.Params)[0] = math.MaxFloat32
	s, err := a.NewScorer(pipeline.InScoring)
	if err != nil {
		t.Fatal(err)
	}
	parts := func(rows ...[]any) map[string][]float32 {
		cleaned, _, err := s.Score(t.Context(), tabletest.Batch(memory.DefaultAllocator, sourceColumns, 0, rows...), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer cleaned.Release()
		out := make(map[string][]float32)
		for name, part := range s.Parts() {
			if len(part) != 2 || cleaned.NumRows() != 2 {
				t.Errorf("%d values of %s for %d rows", len(part), name, cleaned.NumRows())
			}
			out[name] = slices.Clone(part)
		}
		return out
	}
	first, second := []any{int64(0), nil, int64(4), 0.0, "a1"}, []any{int64(7200e6), nil, int64(9), 0.0, "a3"}
	want := parts(first, second)
	check(t, "parts", parts(first, []any{int64(0), nil, int64(5), 1e18, "a2"}, second), want)
	if len(want) != 5 {
		t.Errorf("parts %v", want)
	}
}

func TestTheOutputIsOfItsSchema(t *testing.T) {
	for _, label := range []string{binary, number} {
		a := trained(t, label)
		for _, phase := range []pipeline.Phase{pipeline.InTraining, pipeline.InScoring} {
			s, err := a.NewScorer(phase)
			if err != nil {
				t.Fatal(err)
			}
			for _, rows := range [][][]any{nil, {{int64(0), int64(1), int64(4), 0.5, "a1"}}} {
				cleaned, predictions, err := s.Score(t.Context(), tabletest.Batch(memory.DefaultAllocator, sourceColumns, 0, rows...), nil)
				if err != nil {
					t.Fatal(err)
				}
				out, err := s.Output(cleaned, predictions, Origin{})
				if err != nil {
					t.Fatal(err)
				}
				want := s.OutputSchema().Arrow().Fields()
				want = want[:len(want)-1] // without the row column
				if got := out.Schema().Fields(); !slices.EqualFunc(got, want, arrow.Field.Equal) || int(out.NumRows()) != len(rows) {
					t.Errorf("%d rows of %v, want %d of %v", out.NumRows(), got, len(rows), want)
				}
			}
		}
	}
}

func TestAColumnThatScoringWritesIsRefused(t *testing.T) {
	for label, names := range map[string][]string{
		"binary": {"prediction", "probability", "_offset", "_scored_at"},
		"number": {"prediction", "score", "_topic"},
	} {
		for _, name := range names {
			err := checkColumns(table.Schema{Columns: []table.Column{{Name: "a"}, {Name: name}}}, pipeline.OutputColumns(label, true))
			if !thalweg.Is(err, thalweg.Invalid) {
				t.Errorf("%s beside a %s label: got %v", name, label, err)
			}
		}
		if err := checkColumns(sourceColumns, pipeline.OutputColumns(label, true)); err != nil {
			t.Errorf("%s: %v", label, err)
		}
	}
	if err := checkColumns(table.Schema{Columns: []table.Column{{Name: "score"}}}, pipeline.OutputColumns("binary", true)); err != nil {
		t.Errorf("a binary label leaves score to the user: %v", err)
	}
}

func TestScoringFreesWhatItTakes(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	s, err := trained(t, binary).NewScorer(pipeline.InScoring)
	if err != nil {
		t.Fatal(err)
	}
	s.mem = mem
	rec := tabletest.Batch(mem, sourceColumns, 0, []any{int64(0), nil, int64(4), 0.5, " a1"}, []any{int64(0), nil, nil, 0.5, "a1"})
	defer rec.Release()
	cleaned, predictions, err := s.Score(t.Context(), rec, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer cleaned.Release()
	out, err := s.Output(cleaned, predictions, Origin{Topic: "flights"})
	if err != nil {
		t.Fatal(err)
	}
	out.Release()
}

func TestOutputRefusesPredictionsOfOtherRows(t *testing.T) {
	s, err := trained(t, binary).NewScorer(pipeline.InScoring)
	if err != nil {
		t.Fatal(err)
	}
	rec := tabletest.Batch(memory.DefaultAllocator, sourceColumns, 0)
	if _, err := s.Output(rec, make([]float32, 1), Origin{}); !thalweg.Is(err, thalweg.Invalid) {
		t.Errorf("got %v", err)
	}
}

func BenchmarkScore(b *testing.B) {
	a := trained(b, binary)
	// A worker holds rows by the hundred megabytes. With an empty heap the
	// collector would run at every other batch, and be what is measured.
	heap := make([]byte, 128<<20)
	defer runtime.KeepAlive(heap)
	for name, rows := range map[string]int{"64Ki rows": 1 << 16, "5000 rows": 5000, "100 rows": 100} {
		values := make([][]any, rows)
		for i := range values {
			values[i] = []any{int64(i) * 480e6, int64(i%90 - 20), int64(i % 20), float64(i%7) / 7, []string{"A1", "A2", "A3", "A4"}[i%4]}
		}
		rec := tabletest.Batch(memory.DefaultAllocator, sourceColumns, 0, values...)
		for _, output := range []bool{false, true} {
			kind := name
			if output {
				kind += " with output"
			}
			b.Run(kind, func(b *testing.B) {
				s, err := a.NewScorer(pipeline.InScoring)
				if err != nil {
					b.Fatal(err)
				}
				rep := new(pipeline.Report)
				b.ReportAllocs()
				for b.Loop() {
					cleaned, predictions, err := s.Score(b.Context(), rec, rep)
					if err != nil {
						b.Fatal(err)
					}
					if output {
						out, err := s.Output(cleaned, predictions, Origin{Topic: "flights"})
						if err != nil {
							b.Fatal(err)
						}
						out.Release()
					}
					cleaned.Release()
				}
				b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
			})
		}
	}
}

// output_columns picks the user's columns of a row, by names and patterns, whatever
// the model reads; what scoring adds is there always, and the predictions are the same.
func TestScoredRowsCarryTheColumnsThatTheSpecNames(t *testing.T) {
	rec := tabletest.Batch(memory.DefaultAllocator, sourceColumns, 100, []any{int64(0), nil, int64(4), 0.5, " a1"})
	defer rec.Release()
	all, _ := score(t, trained(t, binary), pipeline.InScoring, rec)
	own := all[0][len(sourceColumns.Columns):]
	for columns, want := range map[string][]any{
		"{include: all}":                             {int64(0), nil, int64(4), 0.5, "A1"},
		`{include: ["or*n", d*e]}`:                   {int64(0), int64(4), "A1"},
		`{include: [origin, "*t*"], exclude: [d*]}`:  {0.5, "A1"},
		"{include: []}":                              {},
		"{exclude: [delay, origin], include: '*'}":   {int64(0), int64(4), 0.5},
		"{exclude: '*'}":                             {},
		"{include: ratio}":                           {0.5},
		`{include: ["*o*i*"], exclude: ["*ratio*"]}`: {"A1"},
		`{include: ["date*date", date]}`:             nil, // one matches nothing
	} {
		text := strings.Replace(document, "    source: events", "    source: events\n    output_columns: "+columns, 1)
		if want == nil {
			spec, err := pipeline.Parse(catalog.All(), "", fmt.Appendf(nil, text, binary))
			if err == nil {
				_, err = pipeline.Compile(spec, sourceColumns)
			}
			if err == nil || !strings.Contains(err.Error(), `no column matches "date*date"`) {
				t.Errorf("%s: %v", columns, err)
			}
			continue
		}
		got, _ := score(t, trainedBy(t, text, binary), pipeline.InScoring, rec)
		check(t, columns, got[0], slices.Concat(want, own))
	}
}

// A column that has the name of one of ours can be a feature, if rows leave it out.
func TestAColumnOfOursMayBeLeftOut(t *testing.T) {
	text := strings.NewReplacer("      - {trim", "      - {derive: {column: Probability, expression: \"distance + 1\"}}\n      - {trim",
		"{name: distance, ", "{name: Probability, ").Replace(document)
	compiled := func(text string) error {
		spec, err := pipeline.Parse(catalog.All(), "", fmt.Appendf(nil, text, binary))
		if err != nil {
			t.Fatal(err)
		}
		_, err = pipeline.Compile(spec, sourceColumns)
		return err
	}
	if err := compiled(text); err == nil || !strings.Contains(err.Error(), "column Probability differs from it in case only") {
		t.Errorf("error %v", err)
	}
	if err := compiled(strings.Replace(text, "    source: events", "    source: events\n    output_columns: {exclude: [Prob*]}", 1)); err != nil {
		t.Error(err)
	}
}

// A scored row says which split the rule of its version's training puts it in: the
// same for an event as for a row of the data.
func TestScoredRowsSayTheirSplit(t *testing.T) {
	text := strings.NewReplacer("{type: random, probabilities: [0.7, 0.15, 0.15]}", "{type: datetime, column: date}",
		"    source: events", "    source: events\n    output_columns: {include: [], split: true}").Replace(document)
	a := trainedBy(t, text, binary)
	if _, err := a.Encode(nil); !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), PartSplit) {
		t.Errorf("an artifact without cut points: %v", err)
	}
	a.Cuts = &split.Cuts{Type: "datetime", Column: "date", Times: [2]int64{100, 200}}
	parts := encode(t, a)
	b, err := Decode(catalog.All(), parts)
	if err != nil {
		t.Fatal(err)
	}
	rec := tabletest.Batch(memory.DefaultAllocator, sourceColumns, 0)
	for _, at := range []any{int64(99), int64(100), int64(199), int64(200), nil, int64(-5)} {
		rec = tabletest.Batch(memory.DefaultAllocator, sourceColumns, 0, append(tabletest.Rows(rec), []any{at, nil, int64(4), 0.5, "a1"})...)
	}
	assigned, err := a.Cuts.Assign(a.Plan(), rec, split.Origin{Object: "another", First: 7}, nil)
	if err != nil {
		t.Fatal(err)
	}
	rows, _ := score(t, b, pipeline.InScoring, rec)
	var got, want []any
	for i, row := range rows {
		got, want = append(got, row[len(row)-1]), append(want, split.Names[assigned[i]])
	}
	check(t, "splits", got, want)
	check(t, "splits", got, []any{"train", "validation", "validation", "test", "train", "train"})
	s, err := b.NewScorer(pipeline.InScoring)
	if err != nil {
		t.Fatal(err)
	}
	if last := s.OutputSchema().Columns[len(rows[0])-1].Name; last != "_split" {
		t.Errorf("the last column is %s", last)
	}
	for damage, data := range map[string][]byte{"missing": nil, "another's": []byte(`{"type":"random","seed":1,"bounds":[0.7,0.85],"times":[0,0]}`)} {
		if parts[PartSplit] = data; data == nil {
			delete(parts, PartSplit)
		}
		if _, err := Decode(catalog.All(), parts); !thalweg.Is(err, thalweg.Corrupt) || !strings.Contains(err.Error(), PartSplit) {
			t.Errorf("%s: %v", damage, err)
		}
	}
}

// The split of a key is the same for an event as for a row of the data.
func TestScoredRowsSayTheSplitOfTheirKey(t *testing.T) {
	text := strings.NewReplacer("{type: random, probabilities: [0.7, 0.15, 0.15]}", "{type: hash, column: origin}",
		"    source: events", "    source: events\n    output_columns: {include: [], split: true}").Replace(document)
	a := trainedBy(t, text, binary)
	var err error
	if a.Cuts, err = split.Finish(a.Plan(), nil); err != nil {
		t.Fatal(err)
	}
	b, err := Decode(catalog.All(), encode(t, a))
	if err != nil {
		t.Fatal(err)
	}
	var values [][]any
	for i := range 40 {
		values = append(values, []any{int64(99), nil, int64(4), 0.5, strconv.Itoa(i)})
	}
	rec := tabletest.Batch(memory.DefaultAllocator, sourceColumns, 0, values...)
	assigned, err := a.Cuts.Assign(a.Plan(), rec, split.Origin{Object: "an object", First: 3}, nil)
	if err != nil {
		t.Fatal(err)
	}
	rows, _ := score(t, b, pipeline.InScoring, rec)
	var counts [split.Count]int
	for i, row := range rows {
		check(t, "split", row[len(row)-1], any(split.Names[assigned[i]]))
		counts[assigned[i]]++
	}
	if len(rows) != len(values) || counts[0] == 0 || counts[1] == 0 || counts[2] == 0 {
		t.Errorf("splits of %v rows", counts)
	}
}

// A row of which nothing is known gets the mean of the training labels, whatever the
// parameters; a value that training knows, or that the spec gives to a missing one, is
// something.
func TestARowOfWhichNothingIsKnownGetsTheBaseRate(t *testing.T) {
	text := strings.NewReplacer("missing_value_strategy: drop_row, ", "", "      - {filter: {expression: \"distance != null\", apply_to: [training, scoring]}}\n", "").Replace(document)
	blank := [][]any{{nil, nil, nil, nil, nil}, {nil, int64(7), nil, nil, nil}, {nil, nil, nil, "NaN", "never met"}}
	for i := range blank {
		if blank[i][3] == "NaN" {
			blank[i][3] = math.NaN()
		}
	}
	known := [][]any{{nil, nil, int64(4), nil, nil}, {nil, nil, nil, 0.5, nil}, {nil, nil, nil, nil, " a1"}, {int64(0), nil, nil, nil, nil}}
	for label, spec := range map[string]string{binary: text, number: text, binary + " ": strings.Replace(text, "{name: distance, ",
		"{name: distance, missing_value_strategy: fill_with_const, fill_value: 3, ", 1)} {
		a := trainedBy(t, spec, strings.TrimSpace(label))
		rows, rep := score(t, a, pipeline.InScoring, tabletest.Batch(memory.DefaultAllocator, sourceColumns, 0, append(slices.Clone(blank), known...)...))
		mean := float64(float32(a.Transform.Label().Statistics.Mean))
		for i, row := range rows {
			if want := i < len(blank) && spec == text; (row[6] == mean) != want {
				t.Errorf("%s: row %d has %v, the mean is %v", label, i, row[6], mean)
			}
		}
		if len(rows) != len(blank)+len(known) || rep.Filled["distance"] == 0 {
			t.Errorf("%d rows, %v", len(rows), rep)
		}
	}
}

// What a batch costs grows with its columns, not with their square.
func TestABatchOfManyColumnsIsScoredInLinearSpace(t *testing.T) {
	const columns = 2000
	schema, row := table.Schema{}, make([]any, columns+1)
	for i := range columns {
		schema.Columns, row[i] = append(schema.Columns, table.Column{Name: fmt.Sprintf("c%d", i), Type: table.Float64, Nullable: true}), float64(i)
	}
	schema.Columns, row[columns] = append(schema.Columns, table.Column{Name: "y", Type: table.Float64}), 1.0
	spec, err := pipeline.Parse(catalog.All(), "", []byte(`
apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: wide}
spec:
  sources: {train: {s3: {path: "s3://lake/*.parquet"}, format: {type: parquet}}}
  input_features: [{columns: "c*", type: number}]
  output_features: [{name: y, type: number}]
`))
	if err != nil {
		t.Fatal(err)
	}
	plan, err := pipeline.Compile(spec, schema)
	if err != nil {
		t.Fatal(err)
	}
	rec := tabletest.Batch(memory.DefaultAllocator, schema, 0, row, row)
	a := fitted(t, plan, rec)
	a.Params = make([]float32, a.Model.Size())
	s, err := a.NewScorer(pipeline.InScoring)
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, predictions, err := s.Score(t.Context(), rec, nil); err != nil || len(predictions) != 2 {
		t.Fatalf("%d predictions: %v", len(predictions), err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 8<<20 {
		t.Errorf("two rows of %d columns took %d bytes", columns, got)
	}
}
