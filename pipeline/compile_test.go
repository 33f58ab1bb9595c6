package pipeline_test

import (
	"encoding"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/document"
	"github.com/thalweg/thalweg/pipeline/table"
)

// edited is flights.yaml with pieces replaced, pairwise.
func edited(t testing.TB, edits ...string) *pipeline.Spec {
	t.Helper()
	text := string(read(t, "flights.yaml"))
	for i := 0; i < len(edits); i += 2 {
		if !strings.Contains(text, edits[i]) {
			t.Fatalf("flights.yaml has no %q", edits[i])
		}
		text = strings.Replace(text, edits[i], edits[i+1], 1)
	}
	return parse(t, "flights.yaml", []byte(text))
}

func compile(t testing.TB, s *pipeline.Spec, in table.Schema) *pipeline.Plan {
	t.Helper()
	p, err := pipeline.Compile(s, in)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestCompileResolvesTheFlights(t *testing.T) {
	p := compile(t, edited(t), flightColumns)
	type source struct {
		Name, Type, Column, Expression string
		Result                         table.Type
	}
	var got []source
	for _, f := range p.Features {
		s := source{Name: f.Name, Type: f.Type, Column: f.Column}
		if f.Expression != nil {
			s.Expression, s.Result = f.Expression.Source(), f.Expression.Type()
		}
		got = append(got, s)
	}
	want := []source{
		{"distance", "number", "distance", "", ""}, {"origin", "category", "origin", "", ""}, {"destination", "category", "destination", "", ""},
		{"hour", "category", "", "hour(date)", table.Int64}, {"weekday", "category", "", "weekday(date)", table.Int64},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("features (-want +got):\n%s", diff)
	}
	if l := p.Label; l.Name != "delayed" || l.Type != "binary" || l.Expression.Source() != "delay > 15" || l.Threshold != 0.5 {
		t.Errorf("label %+v", l)
	}
	if o := p.Features[0].Options; o.MissingValueStrategy != "fill_with_mean" || o.Normalization != "zscore" || o.Encoder.Name != "none" {
		t.Errorf("options %+v", o)
	}
	if diff := cmp.Diff(flightColumns.Columns, p.Cleaned.Columns); diff != "" || len(p.Input.Columns) != len(flightColumns.Columns) {
		t.Errorf("cleaned columns:\n%s", diff)
	}
}

// Steps change columns in the phases that they apply to.
func TestCompileFollowsTheStepsInBothPhases(t *testing.T) {
	p := compile(t, edited(t, "    split:", `    clean:
      - {trim: {columns: [origin]}}
      - {derive: {column: route, expression: "origin + '-' + destination"}}
      - {cast: {column: distance, type: float64}}
      - {fill: {columns: [distance], strategy: fill_with_const, value: 3}}
      - {filter: {expression: "distance > 0"}}
      - {derive: {column: shortened, expression: "route[0:2]", apply_to: [scoring]}}
    split:`, "name: origin,", "name: route,"), flightColumns)
	var steps []string
	for _, s := range p.Steps {
		name := s.Name
		if s.Training != nil {
			name += " T"
		}
		if s.Scoring != nil {
			name += " S"
		}
		steps = append(steps, name)
	}
	want := []string{"1 trim T S", "2 derive T S", "3 cast T S", "4 fill T S", "5 filter T", "6 derive S"}
	if diff := cmp.Diff(want, steps); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	_, distance, _ := p.Cleaned.Lookup("distance")
	_, route, _ := p.Cleaned.Lookup("route")
	_, _, both := p.Cleaned.Lookup("shortened")
	if distance != (table.Column{Name: "distance", Type: table.Float64}) || route != (table.Column{Name: "route", Type: table.String, Nullable: true}) || both {
		t.Errorf("cleaned: %+v %+v, shortened in training: %v", distance, route, both)
	}
}

func TestEventsNeedOnlyWhatFeaturesAndFiltersRead(t *testing.T) {
	in := table.Schema{Columns: []table.Column{
		{Name: "date", Type: table.Timestamp}, {Name: "delay", Type: table.Int64}, {Name: "distance", Type: table.Int64},
		{Name: "origin", Type: table.String}, {Name: "destination", Type: table.String}, {Name: "tail", Type: table.String},
		{Name: "airline", Type: table.String},
	}}
	p := compile(t, edited(t, "    split:", `    clean:
      - {derive: {column: carrier, expression: "lower(airline)"}}
      - {derive: {column: loss, expression: "delay * 2"}}
      - {filter: {expression: "carrier != 'x'", apply_to: [training, scoring]}}
      - {fill: {columns: [distance], strategy: fill_with_const, value: 0}}
    split:`, `"delay > 15"`, `"loss > 30"`), in)
	needed := make(map[string]bool)
	for _, c := range p.ScoringInput.Columns {
		needed[c.Name] = !c.Nullable
	}
	want := map[string]bool{"date": true, "delay": false, "distance": false, "origin": true, "destination": true, "tail": false, "airline": true}
	if diff := cmp.Diff(want, needed); diff != "" {
		t.Errorf("required of events (-want +got):\n%s", diff)
	}
}

func TestDeclaredColumnsReplaceThoseOfTheData(t *testing.T) {
	p := compile(t, edited(t, "  input_features:", `  schema:
    timezone: America/New_York
    columns:
      - {name: delay, type: int64, available_in: [training]}
      - {name: date, type: timestamp, nullable: false}
      - {name: distance, type: int64}
      - {name: origin, type: string}
      - {name: destination, type: string}
  input_features:`), flightColumns)
	want := table.Schema{Timezone: "America/New_York", Unsupported: flightColumns.Unsupported, Columns: []table.Column{
		{Name: "delay", Type: table.Int64, Nullable: true, TrainingOnly: true}, {Name: "date", Type: table.Timestamp},
		{Name: "distance", Type: table.Int64, Nullable: true}, {Name: "origin", Type: table.String, Nullable: true},
		{Name: "destination", Type: table.String, Nullable: true},
	}}
	if diff := cmp.Diff(want, p.Input); diff != "" {
		t.Errorf("input (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want.Columns[1:], p.ScoringInput.Columns); diff != "" {
		t.Errorf("scoring input (-want +got):\n%s", diff)
	}
}

func TestColumnsOfTheDataThatDifferInCaseAreRefusedByName(t *testing.T) {
	columns := slices.Clone(flightColumns.Columns)
	for _, name := range []string{"Origin", "_Offset", "PREDICTION"} {
		columns = append(columns, table.Column{Name: name, Type: table.Float64, Nullable: true})
	}
	data := table.Schema{Columns: columns}
	_, err := pipeline.Compile(edited(t), data)
	for _, want := range []string{"columns origin and Origin differ in case only", "column _offset of their own, and column _Offset differs from it in case only",
		"column prediction of their own, and column PREDICTION differs"} {
		if !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	// Rows that are not scored are in no table.
	spec := edited(t)
	spec.Spec.Scoring = nil
	compile(t, spec, data)
}

func TestAColumnOfNullsIsOfTheTypeThatIsDeclared(t *testing.T) {
	data := table.Schema{Columns: slices.Clone(flightColumns.Columns), Unsupported: []table.UnsupportedColumn{{Name: "weather", Type: "null"}}}
	declared := func(weather string) *pipeline.Spec {
		return edited(t, "  input_features:", "  schema:\n    columns:\n      - {name: delay, type: int64, available_in: [training]}\n      - {name: date, type: timestamp}\n"+
			"      - {name: distance, type: int64}\n      - {name: origin, type: string}\n      - {name: destination, type: string}\n"+
			"      - {name: weather, type: string"+weather+"}\n  input_features:")
	}
	if _, c, ok := compile(t, declared(""), data).Input.Lookup("weather"); !ok || c.Type != table.String || !c.Nullable {
		t.Errorf("weather: %+v", c)
	}
	if _, err := pipeline.Compile(declared(", nullable: false"), data); !thalweg.Is(err, thalweg.Unsupported) || !strings.Contains(err.Error(), "column weather of type null") {
		t.Errorf("without nulls: %v", err)
	}
}

func TestAColumnThatTheDataLacksGetsTheNearestName(t *testing.T) {
	s := edited(t)
	compile(t, s, flightColumns)
	s.Spec.InputFeatures[0].Name = "distence"
	_, err := pipeline.Compile(s, flightColumns)
	var all *pipeline.SpecError
	if !errors.As(err, &all) || len(all.Diagnostics) != 1 {
		t.Fatalf("error %v", err)
	}
	want := pipeline.Diagnostic{File: all.Diagnostics[0].File, Line: all.Diagnostics[0].Line, Column: all.Diagnostics[0].Column,
		Path: "spec.input_features[0].name", Message: "there is no column distence", Hint: "did you mean distance?", Kind: thalweg.Invalid}
	if all.Diagnostics[0] != want {
		t.Errorf("%+v, want %+v", all.Diagnostics[0], want)
	}
}

func TestDiagnosticsAreBounded(t *testing.T) {
	text := "apiVersion: thalweg/v1\n"
	for range 500 {
		text += "kind: Pipeline\n"
	}
	_, err := pipeline.Parse(catalog.All(), "", []byte(text))
	var all *pipeline.SpecError
	if !errors.As(err, &all) || len(all.Diagnostics) != 100 || !all.More || !strings.HasSuffix(err.Error(), "\nreading stopped here: mend these first") {
		t.Errorf("error %v", err)
	}
}

func TestHostileTextIsRefusedQuickly(t *testing.T) {
	for name, text := range map[string]string{
		"brackets":  strings.Repeat("[", pipeline.MaxSpecBytes),
		"braces":    strings.Repeat("{a: ", pipeline.MaxSpecBytes/4),
		"dashes":    strings.Repeat("- ", pipeline.MaxSpecBytes/2),
		"questions": strings.Repeat("? ", pipeline.MaxSpecBytes/2),
		"long":      strings.Repeat("#", pipeline.MaxSpecBytes+1),
		"lines":     strings.Repeat("\n", document.MaxLines+1),
		"null":      "a: \"\x00\"",
		"laughs":    "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
	} {
		if _, err := pipeline.Parse(catalog.All(), name, []byte(text)); !thalweg.Is(err, thalweg.Invalid) {
			t.Errorf("%s: error %.100v", name, err)
		}
	}
}

func parsed[T any, P interface {
	*T
	encoding.TextUnmarshaler
}](text string) (v T, err error) {
	err = P(&v).UnmarshalText([]byte(text))
	return v, err
}

func TestUnitsReadBackAsTheyPrint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := pipeline.ByteSize(rapid.OneOf(rapid.Int64Range(0, 1<<20), rapid.Int64Min(0),
			rapid.SampledFrom([]int64{8 << 20, 128e6, 1 << 40, 3e9, 1024})).Draw(t, "size"))
		if back, err := parsed[pipeline.ByteSize](size.String()); err != nil || back != size {
			t.Fatalf("%d prints as %s, which reads as %d (%v)", size, size, back, err)
		}
		d := pipeline.Duration(rapid.OneOf(rapid.Int64(), rapid.SampledFrom([]int64{60e9, 3600e9, 36000e9, 5e6, 90e9})).Draw(t, "duration"))
		if back, err := parsed[pipeline.Duration](d.String()); err != nil || back != d {
			t.Fatalf("%d prints as %s, which reads as %d (%v)", d, d, back, err)
		}
	})
	for text, want := range map[string]int64{"8MiB": 8 << 20, "128MB": 128e6, "4096": 4096, "3 KB": 3000, "7B": 7} {
		if got, err := parsed[pipeline.ByteSize](text); err != nil || int64(got) != want {
			t.Errorf("%s is %d (%v)", text, got, err)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "1.5MiB", "9999999TiB", "8 potatoes", "1 0"} {
		if got, err := parsed[pipeline.ByteSize](text); err == nil {
			t.Errorf("%q is %d", text, got)
		}
	}
	for text, want := range map[string]float64{"5%": 0.05, "0.1%": 0.001, "100%": 1} {
		p, err := parsed[pipeline.Percent](text)
		if err != nil || p.Share() != want || p.String() != text {
			t.Errorf("%s is %v, a share of %v (%v)", text, p, p.Share(), err)
		}
	}
	for _, text := range []string{"", "5", "%", "NaN%", "Inf%", "5 %", "0x5%", "1e1%", "%5"} {
		if got, err := parsed[pipeline.Percent](text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
	if s := pipeline.Duration(10 * 3600e9).String(); s != "10h" {
		t.Errorf("ten hours print as %s", s)
	}
}

func TestRenderingKeepsAnyString(t *testing.T) {
	s := edited(t)
	rapid.Check(t, func(rt *rapid.T) {
		key := rapid.OneOf(rapid.StringN(1, 8, -1), rapid.SampledFrom([]string{"yes", "null", "1", "a: b", "- x", "#", "é", "\u2028", "😀", "~", "<<", "\t"})).Draw(rt, "key")
		value := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", " ", "true", "1e3", "2001-01-01", "'", "\"", "\\", "\n", "a\r\nb", "\x7f", "\u0085", "\ufeff", "!x", "&a", "*a", "|", ">"})).Draw(rt, "value")
		s.Metadata.Labels = map[string]string{key: value}
		text, err := pipeline.Render(s)
		if err != nil {
			rt.Fatal(err)
		}
		if strings.ContainsRune(key+value, 0) || strings.ContainsRune(key+value, '\ufffd') {
			return
		}
		back, err := pipeline.Parse(catalog.All(), "rendered", text)
		if err != nil {
			rt.Fatalf("%v\n%s", err, text)
		}
		if diff := cmp.Diff(s.Metadata.Labels, back.Metadata.Labels); diff != "" {
			rt.Fatalf("labels (-want +got):\n%s\n%s", diff, text)
		}
	})
}

func TestSplitS3Path(t *testing.T) {
	for path, want := range map[string][2]string{"s3://lake/a/b.parquet": {"lake", "a/b.parquet"}, "s3://my-lake.eu/": {"my-lake.eu", ""}, "s3://lake": {"lake", ""}} {
		if bucket, key, err := pipeline.SplitS3Path(path); err != nil || bucket != want[0] || key != want[1] {
			t.Errorf("%s: %q %q %v", path, bucket, key, err)
		}
	}
	for _, path := range []string{"", "lake/a", "s3://", "s3:///a", "s3://ab/c", "s3://Lake/a", "s3://-lake/a", "gs://lake/a", "s3://la_ke/x"} {
		if _, _, err := pipeline.SplitS3Path(path); !thalweg.Is(err, thalweg.Invalid) {
			t.Errorf("%q: error %v", path, err)
		}
	}
}

// widening is a step that learns, and wrongly adds a column.
type widening struct {
	pipeline.StepPhases `yaml:",inline" json:",inline"`
}

func (*widening) Learns() bool { return true }
func (*widening) Bind(at *pipeline.Columns) pipeline.Op {
	at.Derive(table.Column{Name: "wide", Type: table.Int64}, []string{"distance"})
	return struct{ pipeline.Learner }{}
}

func TestAStepThatLearnsKeepsTheNamesAndTypesOfColumns(t *testing.T) {
	all := catalog.All()
	all[pipeline.Steps] = append(all[pipeline.Steps], pipeline.Step("widen", new(widening)))
	text := strings.Replace(string(read(t, "flights.yaml")), "    split:", "    clean: [{widen: {}}]\n    split:", 1)
	_, err := pipeline.ParseAndCompile(all, "flights.yaml", []byte(text), flightColumns)
	if err == nil || !strings.Contains(err.Error(), "clean[0].widen: a step that learns cannot change the names and types of columns") {
		t.Errorf("error %v", err)
	}
}

// What neither a feature nor a step of scoring reads is known, by way of derived
// columns too; the split and the label read nothing of an event.
// Steps learn from the rows that the split calls training rows, so that the split cannot
// go by what they make of these.
func TestRowsAreNotSplitByWhatStepsLearn(t *testing.T) {
	const wrong = ": spec.preprocessing.split.column: step %q changes column %s by what it learns from the training rows"
	for _, c := range []struct{ steps, column, step string }{
		{"- {fill: {columns: [origin], strategy: fill_with_mode}}", "origin", "1 fill"},
		{"- {outliers: {column: distance, method: iqr, action: clip}}", "distance", "1 outliers"},
		{"- {outliers: {column: distance, method: iqr, action: 'null'}}", "distance", "1 outliers"},
		{"- {fill: {columns: [origin], strategy: fill_with_mode}}\n      - {derive: {column: route, expression: \"origin + '-' + destination\"}}", "route", "1 fill"},
		{"- {outliers: {column: distance, method: iqr, action: drop}}", "distance", ""},
		{"- {fill: {columns: [origin], strategy: fill_with_const, value: x}}", "origin", ""},
		{"- {derive: {column: key, expression: origin}}\n      - {fill: {columns: [origin], strategy: fill_with_mode}}", "key", ""},
		{"- {fill: {columns: [origin], strategy: fill_with_mode}}\n      - {derive: {column: origin, expression: destination}}", "origin", ""},
	} {
		spec := edited(t, "    split:", "    clean:\n      "+c.steps+"\n    split:", "type: datetime, column: date", "type: hash, column: "+c.column)
		_, err := pipeline.Compile(spec, flightColumns)
		if c.step == "" && err != nil || c.step != "" && (err == nil || !strings.Contains(err.Error(), fmt.Sprintf(wrong, c.step, c.column))) {
			t.Errorf("%s: %v", c.steps, err)
		}
	}
}

func TestThePlanKnowsTheColumnsThatNothingReads(t *testing.T) {
	in := table.Schema{Columns: append(slices.Clone(flightColumns.Columns), table.Column{Name: "tail", Type: table.String},
		table.Column{Name: "airline", Type: table.String}, table.Column{Name: "gate", Type: table.String})}
	p := compile(t, edited(t, "    split:", `    clean:
      - {derive: {column: carrier, expression: "lower(airline)"}}
      - {trim: {columns: [tail]}}
      - {trim: {columns: [gate], apply_to: [training]}}
    split:`, `    - {name: hour,        type: category, expression: "hour(date)"}
    - {name: weekday,     type: category, expression: "weekday(date)"}
`, "    - {name: carrier, type: category}\n"), in)
	if diff := cmp.Diff([]string{"date", "delay", "late", "gate"}, p.Unread); diff != "" {
		t.Errorf("unread (-want +got):\n%s", diff)
	}
	for _, c := range p.ScoringInput.Columns {
		if slices.Contains(p.Unread, c.Name) && !c.Nullable {
			t.Errorf("column %s cannot be null", c.Name)
		}
	}
}

// What reads a column first is known of those that training reads, for slices too.
func TestThePlanKnowsWhatReadsAColumn(t *testing.T) {
	in := table.Schema{Columns: append(slices.Clone(flightColumns.Columns), table.Column{Name: "tail", Type: table.String}, table.Column{Name: "gate", Type: table.String})}
	p := compile(t, edited(t, "  scoring:", "  evaluation: {slices: [{columns: [origin, tail]}]}\n  scoring:"), in)
	if p.Uses["origin"] != "feature origin" || p.Uses["tail"] != "a slice" || p.Uses["delay"] != "the label" || p.Uses["gate"] != "" {
		t.Errorf("uses %v", p.Uses)
	}
}

func TestALabelThatReadsNoColumnIsRefused(t *testing.T) {
	for _, label := range []string{`"1 > 0"`, `"true"`, `"always"`} {
		text := strings.Replace(string(read(t, "flights.yaml")), `"delay > 15"`, label, 1)
		text = strings.Replace(text, "    split:", "    clean: [{derive: {column: always, expression: \"1 == 1\"}}]\n    split:", 1)
		_, err := pipeline.Compile(parse(t, "flights.yaml", []byte(text)), flightColumns)
		if err == nil || !strings.Contains(err.Error(), "label delayed reads no column") {
			t.Errorf("%s: %v", label, err)
		}
	}
}

// A feature with columns is one feature for each column that its patterns match, in
// the order of the data, without the label's and those that have a feature of their
// own; its options are those of each.
func TestAFeatureWithColumnsIsOneForEach(t *testing.T) {
	in := table.Schema{}
	for i := range 784 {
		// Neither the order of letters nor that of the spec.
		in.Columns = append(in.Columns, table.Column{Name: fmt.Sprintf("pixel_%d", (i*37)%784), Type: table.Int64})
	}
	in.Columns = append(in.Columns, table.Column{Name: "pixel_label", Type: table.Int64}, table.Column{Name: "name", Type: table.String})
	text := `
apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: digits}
spec:
  sources: {train: {s3: {path: "s3://lake/*.parquet"}, format: {type: parquet}}, events: {kafka: {topic: digits}, format: {type: json}}}
  input_features:
    - {name: pixel_5, type: category}
    - {columns: ["pixel_1*", "pixel_7??"], type: number, normalization: minmax}
    - {columns: "pixel_*", type: number}
    - {name: pixel_6, type: number, expression: "pixel_6 * 2"}
    - {columns: name, type: category}
  output_features: [{name: nine, type: binary, expression: "pixel_label == 9"}]
`
	spec := parse(t, "digits.yaml", []byte(strings.Replace(text, `, "pixel_7??"`, "", 1)))
	p := compile(t, spec, in)
	want := []string{"pixel_5"}
	for _, ones := range []bool{true, false} {
		for _, c := range in.Columns[:784] {
			if strings.HasPrefix(c.Name, "pixel_1") == ones && c.Name != "pixel_5" && c.Name != "pixel_6" {
				want = append(want, c.Name)
			}
		}
	}
	want = append(want, "pixel_6", "name")
	var got []string
	for _, f := range p.Features {
		got = append(got, f.Name)
		normalization := map[bool]string{true: "minmax", false: "zscore"}[strings.HasPrefix(f.Name, "pixel_1")]
		if f.Type == "number" && f.Options.Normalization != normalization {
			t.Errorf("%s has %s", f.Name, f.Options.Normalization)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("features (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{
		`"pixel_1*": 111 of type number, from "pixel_111" to "pixel_192"`,
		`"pixel_*": 671 of type number, from "pixel_0" to "pixel_747"; 114 that match are features of their own or the label's`,
		`"name": 1 of type category, from "name" to "name"`}, p.Matched); diff != "" {
		t.Errorf("matched (-want +got):\n%s", diff)
	}
	for i, c := range in.Columns {
		if scored := p.ScoringInput.Columns[i]; scored.Name != c.Name || scored.Type != c.Type || scored.Nullable != (c.Name == "pixel_label") {
			t.Errorf("events have %+v for %+v", scored, c)
		}
	}
	rendered, err := pipeline.Render(spec)
	if err != nil {
		t.Fatal(err)
	}
	if again := compile(t, parse(t, "rendered.yaml", rendered), in); !slices.EqualFunc(again.Features, p.Features, func(a, b pipeline.Feature) bool { return a.Name == b.Name }) {
		t.Errorf("rendered it has other features:\n%s", rendered)
	}
	_, err = pipeline.ParseAndCompile(catalog.All(), "digits.yaml", []byte(text), in)
	if err == nil || !strings.Contains(err.Error(), `spec.input_features[1].columns[1]: no column matches "pixel_7??" (only * stands for others)`) {
		t.Errorf("error %v", err)
	}
}

// Each pattern is held against every column, so a spec has a bounded number.
func TestPatternsAreBounded(t *testing.T) {
	names := strings.Repeat("origin, ", 1000) + "origin"
	_, err := pipeline.Compile(edited(t, "{name: origin,      type: category}", "{columns: ["+names+"], type: category}"), flightColumns)
	if err == nil || !strings.Contains(err.Error(), "at most 1000 names and patterns") {
		t.Errorf("error %v", err)
	}
}

func TestTheColumnOfARolloutIsOneOfEvents(t *testing.T) {
	s := edited(t)
	s.Spec.Rollout = &pipeline.Rollout{By: "orign"}
	if _, err := pipeline.Compile(s, flightColumns); err == nil || !strings.Contains(err.Error(), "spec.rollout.by: there is no column orign (did you mean origin?)") {
		t.Error(err)
	}
	s.Spec.Rollout.By = "origin"
	compile(t, s, flightColumns)
}
