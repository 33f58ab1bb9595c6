package artifact_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/clean"
	"github.com/thalweg/thalweg/pipeline/event"
	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

// randomColumns are the columns of random specs: one of each type and a label.
var randomColumns = table.Schema{Columns: []table.Column{
	{Name: "s", Type: table.String, Nullable: true}, {Name: "k", Type: table.String, Nullable: true}, {Name: "i", Type: table.Int64, Nullable: true},
	{Name: "f", Type: table.Float64, Nullable: true}, {Name: "b", Type: table.Bool, Nullable: true}, {Name: "t", Type: table.Timestamp, Nullable: true},
	{Name: "v", Type: table.Float64List, Nullable: true}, {Name: "n", Type: table.Int64List, Nullable: true},
	{Name: "y", Type: table.Bool, Nullable: true, TrainingOnly: true},
}}

func one(rt *rapid.T, of ...string) string { return rapid.SampledFrom(of).Draw(rt, "of") }

// randomSteps draws a step of each entry of the catalog, as a spec has it.
var randomSteps = map[string]func(rt *rapid.T) string{
	"trim": func(*rapid.T) string { return "{columns: [s, k]}" },
	"normalize_text": func(rt *rapid.T) string {
		return "{columns: [s], form: " + one(rt, "nfc", "nfkd") + ", collapse_space: true}"
	},
	"case": func(rt *rapid.T) string { return "{columns: [s], to: " + one(rt, "upper", "lower", "title") + "}" },
	"replace": func(rt *rapid.T) string {
		return one(rt, "{columns: [k], values: {JFK: LAX, '': null}}", "{column: s, pattern: '[a-z]+', with: '<$0>'}", "{columns: [i], values: {'0': 5, '1': null}}")
	},
	"filter": func(rt *rapid.T) string {
		return "{expression: '" + one(rt, "i == null || i < 40", "f != null && f < 1000.0", `k != "LAX"`, "len(v) != 3") + "', apply_to: " + one(rt, "[training]", "[training, scoring]") + "}"
	},
	"derive": func(rt *rapid.T) string { return "{column: d, expression: '" + one(rt, `k + "-" + s`, `s + s`) + "'}" },
	"cast":   func(rt *rapid.T) string { return "{column: b, type: " + one(rt, "int64", "string") + "}" },
	"fill": func(rt *rapid.T) string {
		return one(rt, "{columns: [s], strategy: fill_with_const, value: gone}", "{columns: [f, i], strategy: fill_with_mean}", "{columns: [i], strategy: fill_with_median}",
			"{columns: [k], strategy: fill_with_mode}", "{columns: [t], strategy: drop_row, apply_to: [training, scoring]}", "{columns: [i], strategy: last_in_key, key: k, apply_to: [training]}")
	},
	"outliers": func(rt *rapid.T) string {
		return "{column: " + one(rt, "i", "f") + ", method: " + one(rt, "zscore", "iqr", "mad", "quantile") + ", threshold: 0.4, action: " + one(rt, "clip", "null") + "}"
	},
	"dedupe":  func(*rapid.T) string { return "{keys: [k]}" },
	"lookup":  func(*rapid.T) string { return "{table: places}" },
	"balance": func(rt *rapid.T) string { return "{by: k, method: " + one(rt, "downsample", "upsample") + "}" },
}

// randomOptions draws the options of encoders that need some.
var randomOptions = map[string]func(rt *rapid.T) string{
	"bins": func(*rapid.T) string { return ", count: 5" }, "periodic": func(*rapid.T) string { return ", period: 7.5" }, "hash": func(*rapid.T) string { return ", buckets: 100" },
	"target":  func(rt *rapid.T) string { return ", folds: 3, smoothing: " + one(rt, "0", "2") },
	"tfidf":   func(rt *rapid.T) string { return ", ngrams: [1, 2], buckets: 64" + one(rt, "", ", stem: english") },
	"hashing": func(*rapid.T) string { return ", buckets: 7" }, "bag": func(*rapid.T) string { return ", ngrams: [1, 1], buckets: 1024" },
	"multihot": func(*rapid.T) string { return ", buckets: 128, separator: a" },
}

// fills are values that features of a type are filled with.
var fills = map[string]string{"number": "-2", "category": "gone", "text": "'no remark'", "set": "'a b'", "list": "3"}

// randomFeatures draws, of each encoder of the catalog, features with a normalization and a
// treatment of missing values that fit.
func randomFeatures(rt *rapid.T, choices pipeline.Catalog) (features []string) {
	for n, e := range choices[pipeline.Encoders] {
		of := e.Options.(pipeline.Typed).For()
		column := one(rt, map[string][]string{"number": {"i", "f"}, "category": {"s", "k", "i", "n[0]"}, "text": {"s"}, "set": {"s", "k"}, "list": {"v"}}[of]...)
		text := fmt.Sprintf("{name: x%d, type: %s, expression: '%s'", n, of, column)
		if !strings.Contains(column, "[") {
			text = fmt.Sprintf("{name: %s, type: %s", column, of)
		}
		options := ""
		if draw := randomOptions[e.Name]; draw != nil {
			options = draw(rt)
		}
		switch {
		case of == "list":
			text += ", length: 3"
		case e.Name != "none":
			text += fmt.Sprintf(", encoder: {type: %s%s}", e.Name, options)
		}
		if of == "list" || of == "number" && e.Name == "none" {
			var names []string
			for _, norm := range choices[pipeline.Normalizations] {
				also, more := norm.Options.(interface{ AlsoFor() []string })
				if of == "number" || more && slices.Contains(also.AlsoFor(), of) {
					names = append(names, norm.Name)
				}
			}
			text += ", normalization: " + one(rt, names...)
		}
		var ways []string
		for _, m := range choices[pipeline.MissingValues] {
			if m.Options.(pipeline.Typed).For() == of && (m.Name != "own_bin" || e.Name == "bins") && (e.Name != "periodic" || m.Name == "fill_with_const") {
				ways = append(ways, m.Name)
			}
		}
		way := one(rt, ways...)
		if text += ", missing_value_strategy: " + way; way == "fill_with_const" {
			text += ", fill_value: " + fills[of]
		}
		features = append(features, text+"}")
	}
	features = rapid.Permutation(features).Draw(rt, "features")[:rapid.IntRange(1, 6).Draw(rt, "how many")]
	seen := make(map[string]bool)
	return slices.DeleteFunc(features, func(text string) bool { // a name once
		name, _, _ := strings.Cut(text, ",")
		again := seen[name]
		seen[name] = true
		return again
	})
}

// places is the table of random specs.
func places(t testing.TB) *table.Lookup {
	columns := []table.Column{{Name: "code", Type: table.String}, {Name: "state", Type: table.String}, {Name: "height", Type: table.Float64}}
	b := table.NewLookupBuilder("places", columns, 1)
	batch := tabletest.Batch(memory.DefaultAllocator, table.Schema{Columns: columns}, 0, []any{"JFK", "NY", 4.0}, []any{"LAX", "CA", nil}, []any{"a", "", -0.5})
	defer batch.Release()
	err := b.Add(batch)
	read, failed := b.Finish()
	if err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	return read
}

// nothingToLearn are the errors of specs that find nothing to learn from in the rows.
var nothingToLearn = regexp.MustCompile(`has no value in the training rows|has so many equal values among the training rows|lists of the training rows|no value of|mean and variance overflow`)

// trainRandom trains a spec on rows, steps and features: nil where they have nothing to teach.
func trainRandom(t testing.TB, document string, columns table.Schema, rec arrow.Record) *artifact.Artifact {
	t.Helper()
	must := func(err error) bool {
		t.Helper()
		if err != nil && !nothingToLearn.MatchString(err.Error()) {
			t.Fatalf("%v\n%s", err, document)
		}
		return err == nil
	}
	spec, err := pipeline.Parse(catalog.All(), "test.yaml", []byte(document))
	must(err)
	plan, err := pipeline.Compile(spec, columns)
	must(err)
	settled := make(map[string]*pipeline.Settled) // what shuffles found: nothing
	for i := range plan.Steps {
		settled[fmt.Sprintf("%d %s", i+1, plan.Spec.Spec.Preprocessing.Clean[i].Name)] = new(pipeline.Settled)
	}
	learning := clean.NewLearning(plan)
	learning.With(settled)
	if !must(learning.Observe(t.Context(), rec, func(cleaned arrow.Record) ([]uint8, error) { return make([]uint8, cleaned.NumRows()), nil })) {
		return nil
	}
	partial, err := learning.Partial()
	must(err)
	learnt, err := clean.FinishLearning(plan, []map[string]json.RawMessage{partial})
	if !must(err) {
		return nil
	}
	plan, err = plan.WithLearnt(learnt)
	must(err)
	cleaned, err := clean.New(plan, pipeline.InTraining).With(settled).Apply(t.Context(), rec, nil)
	must(err)
	fitter := feature.NewFitter(plan)
	if !must(fitter.Observe(cleaned, make([]uint8, cleaned.NumRows()))) {
		return nil
	}
	statistics, err := fitter.Partial()
	if !must(err) {
		return nil
	}
	transform, err := feature.Finish(plan, [][]byte{statistics})
	if !must(err) {
		return nil
	}
	a, err := artifact.New(plan, transform)
	must(err)
	a.Params = make([]float32, a.Model.Size())
	for i := range a.Params {
		a.Params[i] = float32(math.Sin(float64(i+1))) / 3
	}
	return a
}

// scored is the bits of the predictions, by row, and why other rows have none.
func scored(t testing.TB, a *artifact.Artifact, batches ...arrow.Record) (out map[int64]string, rep *pipeline.Report) {
	t.Helper()
	s, err := a.NewScorer(pipeline.InScoring)
	if err != nil {
		t.Fatal(err)
	}
	out, rep = make(map[int64]string), &pipeline.Report{KeepRemoved: true}
	for _, batch := range batches {
		cleaned, values, err := s.Score(t.Context(), batch, rep)
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range values {
			out[table.RowNumber(cleaned, i)] = fmt.Sprintf("%x", math.Float32bits(p))
		}
		cleaned.Release()
	}
	for _, gone := range rep.Removed {
		out[gone.Row] = gone.Reason
	}
	return out, rep
}

// A random spec over all entries of the catalogs of steps, data tests, encoders,
// normalizations and treatments of missing values scores the same bits whether rows come as a
// batch, in pieces, one by one or as JSON events.
func TestARandomSpecScoresTheSameBitsInBatchAndStream(t *testing.T) {
	choices := catalog.All()
	for _, e := range choices[pipeline.Steps] {
		if randomSteps[e.Name] == nil {
			t.Errorf("step %s is in no random spec: add a draw of it to randomSteps", e.Name)
		}
	}
	known := places(t)
	rapid.Check(t, func(rt *rapid.T) {
		var steps []string
		for _, e := range choices[pipeline.Steps] {
			if rapid.IntRange(0, 2).Draw(rt, "step") == 0 {
				steps = append(steps, fmt.Sprintf("{%s: %s}", e.Name, randomSteps[e.Name](rt)))
			}
		}
		// What is settled before anything is learnt comes first, and what makes columns of other
		// types last, but for balance, which is behind all.
		steps = rapid.Permutation(steps).Draw(rt, "order")
		slices.SortStableFunc(steps, func(a, b string) int {
			place := func(s string) int {
				return 2*strings.Count(s, "{balance:") + strings.Count(s, "{cast:") - strings.Count(s, "{dedupe:") - strings.Count(s, "last_in_key")
			}
			return place(a) - place(b)
		})
		tests := one(rt, "", "{column: f, range: {max: 500}}, {column: i, not_null: true, severity: warn}", "{column: k, accepted_values: [JFK, LAX, '', a]}, {columns: [k, i], unique: true, severity: warn}",
			"{column: i, check: 'value < 60'}, {column: s, regex: '^.{0,9}$', severity: warn}, {column: k, in_lookup: places, severity: warn}, {row_count: {min: 0}}")
		features := randomFeatures(rt, choices)
		document := "apiVersion: thalweg/v1\nkind: Pipeline\nmetadata: {name: random}\nspec:\n  sources:\n    train: {s3: {path: \"s3://lake/*.parquet\"}, format: {type: parquet}}\n    events: {kafka: {topic: x}, format: {type: json}}\n" +
			"  preprocessing: {clean: [" + strings.Join(steps, ", ") + "]}\n" + modelOf(features) + "  input_features: [" + strings.Join(features, ", ") +
			"]\n  output_features: [{name: y, type: binary}]\n  scoring: {source: events, sink: {s3: {path: \"s3://lake/scored/\"}, format: {type: parquet}}}\n"
		if tests != "" {
			document += "  tests: [" + tests + "]\n"
		}
		columns := randomColumns
		if strings.Contains(document, "table: places") || strings.Contains(document, "in_lookup") {
			document += "  lookups: [{name: places, s3: {path: \"s3://lake/places.csv\"}, format: {type: csv}, key: {k: code}, columns: [state, height]}]\n"
			columns.Lookups = []*table.Lookup{known}
		}
		a := trainRandom(t, document, columns, tabletest.Draw(rt, memory.DefaultAllocator, columns, 40))
		if a == nil {
			return
		}
		rec := tabletest.Draw(rt, memory.DefaultAllocator, columns, 30)
		whole, wholeReport := scored(t, a, rec)
		if len(whole) != int(rec.NumRows()) {
			rt.Fatalf("%d rows of %d have a prediction or a reason\n%s", len(whole), rec.NumRows(), document)
		}
		pieces := tabletest.Split(rt, rec)
		if rapid.Bool().Draw(rt, "one by one") {
			pieces = nil
			for i := range rec.NumRows() {
				pieces = append(pieces, rec.NewSlice(i, i+1))
			}
		}
		split, splitReport := scored(t, a, pieces...)
		if diff := cmp.Diff(whole, split); diff != "" {
			rt.Fatalf("in pieces rows differ (-whole +pieces):\n%s\n%s", diff, document)
		}
		if !maps.Equal(wholeReport.Changed, splitReport.Changed) || !maps.Equal(wholeReport.Filled, splitReport.Filled) || !maps.Equal(wholeReport.Unknown, splitReport.Unknown) || !maps.Equal(wholeReport.Dropped, splitReport.Dropped) {
			rt.Fatalf("in pieces counts differ: %+v, %+v\n%s", wholeReport, splitReport, document)
		}
		// JSON has no NaN and no infinity, and no time beyond the year 9999: they come as nulls,
		// which steps and expressions may tell from them.
		decoder, err := event.NewDecoder(a.Plan().ScoringInput, event.Config{})
		if err != nil {
			rt.Fatal(err)
		}
		var events event.Events
		for i := range int(rec.NumRows()) {
			events.Values = event.AppendJSON(events.Values, rec, i)
			events.Ends, events.Offsets = append(events.Ends, len(events.Values)), append(events.Offsets, table.RowNumber(rec, i))
		}
		decoded, rejects, err := decoder.Decode(t.Context(), events)
		if err != nil || len(rejects) > 0 {
			rt.Fatalf("%v, %v", err, rejects)
		}
		asEvents, _ := scored(t, a, decoded)
		sayable := func(row int64) bool {
			i := int(row - table.RowNumber(rec, 0))
			x, number := tabletest.Value(rec.Column(3), i).(float64)
			at, timed := tabletest.Value(rec.Column(5), i).(int64)
			list := fmt.Sprint(tabletest.Value(rec.Column(6), i))
			return (rec.Column(3).IsNull(i) || number && !math.IsInf(x, 0)) && (!timed || at >= table.MinMicros && at <= table.MaxMicros) && !strings.Contains(list, "NaN") && !strings.Contains(list, "Inf")
		}
		for row, want := range whole {
			if sayable(row) && asEvents[row] != want {
				rt.Fatalf("row %d is %s as an event, %s in a batch\n%s", row, asEvents[row], want, document)
			}
		}
	})
}

// modelOf is the model that learns the embeddings among features; "" where there are none.
func modelOf(features []string) string {
	if strings.Contains(strings.Join(features, ""), "type: embedding") {
		return "  model: {type: mlp, hidden: [5]}\n"
	}
	return ""
}
