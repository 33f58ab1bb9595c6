package pipeline_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/table"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// flightColumns are the columns of the flights, and some that do no good.
var flightColumns = table.Schema{
	Columns: []table.Column{
		{Name: "date", Type: table.Timestamp, Nullable: true}, {Name: "delay", Type: table.Int64},
		{Name: "distance", Type: table.Int64, Nullable: true}, {Name: "origin", Type: table.String},
		{Name: "destination", Type: table.String, Nullable: true}, {Name: "late", Type: table.Bool, Nullable: true},
	},
	Unsupported: []table.UnsupportedColumn{{Name: "photo", Type: "binary"}},
	Labels: &table.Labels{Columns: []table.Column{
		{Name: "origin", Type: table.String}, {Name: "distance", Type: table.Float64}, {Name: "arrived", Type: table.Int64},
		{Name: "landed", Type: table.Timestamp}, {Name: "delay", Type: table.Int64}, {Name: "gates", Type: table.Int64List},
	}},
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func parse(t testing.TB, name string, text []byte) *pipeline.Spec {
	t.Helper()
	s, err := pipeline.Parse(catalog.All(), name, text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// golden compares text with a file, or rewrites that.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got; -update rewrites it):\n%s", file, diff)
	}
}

func TestDiagnostics(t *testing.T) {
	files, err := filepath.Glob("testdata/diagnostics/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, error %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = pipeline.ParseAndCompile(catalog.All(), name+".yaml", text, flightColumns)
			var all *pipeline.SpecError
			if !errors.As(err, &all) {
				t.Fatalf("error %v", err)
			}
			if kind := thalweg.KindOf(err); kind != thalweg.Invalid && kind != thalweg.Unsupported {
				t.Errorf("kind %v", kind)
			}
			golden(t, filepath.Join("testdata/diagnostics", name+".txt"), []byte(err.Error()+"\n"))
		})
	}
}

func TestEveryFieldOfTheFullFormIsTaken(t *testing.T) {
	if _, err := pipeline.Parse(catalog.All(), "full.yaml", read(t, "flights-full.yaml")); err != nil {
		t.Fatalf("a known field is called wrong:\n%v", err)
	}
}

// What the build takes of the full form, it keeps: with all that it refuses cut
// out the rest is there after rendering.
func TestTheRestOfTheFullFormIsKept(t *testing.T) {
	text := read(t, "flights-rest.yaml")
	s := parse(t, "rest.yaml", text)
	rendered, err := pipeline.Render(s)
	if err != nil {
		t.Fatal(err)
	}
	var before, after any
	if err := errors.Join(yaml.Unmarshal(text, &before), yaml.Unmarshal(rendered, &after)); err != nil {
		t.Fatal(err)
	}
	// Values that mean what the build does anyway are not written out.
	meaningless := map[string]bool{"spec.preprocessing.sample_ratio": true, "spec.trainer.resume": true, "spec.trainer.regularization.l1": true,
		"spec.scoring.output_columns.include": true, "spec.output_features[0].calibration": true}
	contained(t, "", before, after, meaningless)
	airports, err := table.NewLookupBuilder("airports", []table.Column{{Name: "iata", Type: table.String}, {Name: "state", Type: table.String}, {Name: "elevation", Type: table.Int64}}, 1).Finish()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pipeline.Compile(s, table.Schema{Columns: append(flightColumns.Columns, table.Column{Name: "passenger", Type: table.String}), Lookups: []*table.Lookup{airports}}); err != nil {
		t.Error(err)
	}
}

// contained reports what is in a and not in b.
func contained(t *testing.T, path string, a, b any, but map[string]bool) {
	t.Helper()
	if but[path] {
		return
	}
	switch a := a.(type) {
	case map[string]any:
		b, _ := b.(map[string]any)
		for k, v := range a {
			contained(t, strings.TrimPrefix(path+"."+k, "."), v, b[k], but)
		}
	case []any:
		b, _ := b.([]any)
		if len(a) != len(b) {
			t.Errorf("%s: %v became %v", path, a, b)
			return
		}
		for i := range a {
			contained(t, path+"["+string(rune('0'+i))+"]", a[i], b[i], but)
		}
	default:
		x, _ := json.Marshal(a)
		y, _ := json.Marshal(b)
		if !bytes.Equal(x, y) {
			t.Errorf("%s: %s became %s", path, x, y)
		}
	}
}

func TestRenderWritesEveryDefaultAndIsAFixedPoint(t *testing.T) {
	for _, name := range []string{"flights.yaml", "flights-rest.yaml", "flights-csv.yaml", "flights-clean.yaml"} {
		first, err := pipeline.Render(parse(t, name, read(t, name)))
		if err != nil {
			t.Fatal(err)
		}
		golden(t, filepath.Join("testdata", strings.TrimSuffix(name, ".yaml")+".rendered.yaml"), first)
		again, err := pipeline.Render(parse(t, "rendered", first))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(first), string(again)); diff != "" {
			t.Errorf("%s rendered twice:\n%s", name, diff)
		}
	}
}

func TestDefaultsAreFilledIn(t *testing.T) {
	out := parse(t, "flights.yaml", read(t, "flights.yaml"))
	if *out.Spec.Defaults.Category.MostCommon != 10_000 || out.Spec.Scoring.Batching.Count != 5000 || out.Spec.Registry.Model != out.Metadata.Name ||
		out.Spec.Trainer.Seed != 42 || out.Spec.Trainer.EarlyStop != 3 {
		t.Errorf("defaults are missing: %+v", out.Spec)
	}
}

// A bad row fails a run, whether the text says so or not.
func TestOnBadRowFailIsWhatNothingIs(t *testing.T) {
	csv := strings.Replace(string(read(t, "flights.yaml")), "format: {type: parquet}}", "format: {type: csv}}", 1)
	want := pipeline.TrainingHash(parse(t, "flights.yaml", []byte(csv)))
	for _, way := range []string{"fail", "{type: fail}"} {
		s := parse(t, "flights.yaml", []byte(strings.Replace(csv, "format: {type: csv}}", "format: {type: csv}, on_bad_row: "+way+"}", 1)))
		if s.Spec.Sources.Train.OnBadRow.Rejects() || pipeline.TrainingHash(s) != want {
			t.Errorf("%s: %+v, another hash than that of nothing", way, s.Spec.Sources.Train.OnBadRow)
		}
	}
	if text := strings.Replace(csv, "format: {type: csv}}", "format: {type: csv}, on_bad_row: reject}", 1); pipeline.TrainingHash(parse(t, "flights.yaml", []byte(text))) == want {
		t.Error("reject has the hash of nothing")
	}
}

// A bad shard fails a run, whether the text says so or not; whether others leave it out
// changes no row that is kept.
func TestOnBadShardFailIsWhatNothingIs(t *testing.T) {
	text := string(read(t, "flights.yaml"))
	of := func(way string) *pipeline.Spec {
		return parse(t, "flights.yaml", []byte(strings.Replace(text, "format: {type: parquet}}", "format: {type: parquet}, on_bad_shard: "+way+"}", 1)))
	}
	want := pipeline.TrainingHash(parse(t, "flights.yaml", []byte(text)))
	for _, way := range []string{"fail", "{type: fail}"} {
		if s := of(way); s.Spec.Sources.Train.OnBadShard.Skips() || pipeline.TrainingHash(s) != want {
			t.Errorf("%s: %+v, another hash than that of nothing", way, s.Spec.Sources.Train.OnBadShard)
		}
	}
	skip := of("skip")
	if got := skip.Spec.Sources.Train.OnBadShard; !got.Skips() || got.MaxSkipped != 1 || pipeline.TrainingHash(skip) == want || pipeline.CleaningHash(skip) != pipeline.CleaningHash(of("fail")) {
		t.Errorf("skip: %+v", got)
	}
	for way, problem := range map[string]string{"{max_skipped: 3}": "it needs type: skip", "{type: skip, max_skipped: 0}": "at least 1", "drop": "one of fail, skip"} {
		_, err := pipeline.Parse(catalog.All(), "s.yaml", []byte(strings.Replace(text, "format: {type: parquet}}", "format: {type: parquet}, on_bad_shard: "+way+"}", 1)))
		if err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("%s: %v", way, err)
		}
	}
}

func TestARunMayUseAsManyWorkersAsItWaitsFor(t *testing.T) {
	text := string(read(t, "flights.yaml")) + "  trainer: {distributed: {min_workers: 3}}\n  resources: {max_workers: MOST}\n"
	for most, problem := range map[string]string{"3": "", "2": "a run waits for 3 workers, and may use 2", "0": "at least 1"} {
		_, err := pipeline.Parse(catalog.All(), "s.yaml", []byte(strings.Replace(text, "MOST", most, 1)))
		if (err == nil) != (problem == "") || err != nil && !strings.Contains(err.Error(), problem) {
			t.Errorf("%s: %v", most, err)
		}
	}
}

func TestZeroesThatTheTextHasStay(t *testing.T) {
	text := strings.Replace(string(read(t, "flights.yaml")), "  scoring:",
		"  trainer: {seed: 0, early_stop: 0, regularization: {l2: 0}}\n  scoring:", 1)
	s := parse(t, "zero.yaml", []byte(text))
	rendered, err := pipeline.Render(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*pipeline.Spec{s, parse(t, "rendered", rendered)} {
		if tr := s.Spec.Trainer; tr.Seed != 0 || tr.EarlyStop != 0 || tr.Regularization.L2 != 0 {
			t.Errorf("trainer %+v", tr)
		}
	}
}

func TestFeaturesInheritTheDefaultsOfTheirType(t *testing.T) {
	text := strings.Replace(string(read(t, "flights.yaml")), "  input_features:", `  defaults:
    number:   {missing_value_strategy: fill_with_const, fill_value: 7, normalization: log1p}
    category: {most_common: 50, min_count: 5, missing_value_strategy: fill_with_mode}
  input_features:
    - {name: delay2, type: number, missing_value_strategy: fill_with_mean, expression: "distance * 2"}
    - {name: town, type: category, missing_value_strategy: fill_with_const, most_common: 3, expression: origin}`, 1)
	in := parse(t, "defaults.yaml", []byte(text)).Spec.InputFeatures
	type options struct {
		Strategy, Normalization string
		Fill                    any
		Most, Least             int
	}
	got := make(map[string]options)
	for _, f := range in {
		o := options{f.MissingValueStrategy, f.Normalization, f.FillValue, 0, 0}
		if f.MostCommon != nil {
			o.Most, o.Least = *f.MostCommon, *f.MinCount
		}
		got[f.Name] = o
	}
	want := map[string]options{
		"distance": {"fill_with_const", "log1p", int64(7), 0, 0},
		"delay2":   {"fill_with_mean", "log1p", nil, 0, 0},
		"town":     {"fill_with_const", "", "<MISSING>", 3, 5},
		"origin":   {"fill_with_mode", "", nil, 50, 5},
	}
	for name, w := range want {
		if diff := cmp.Diff(w, got[name]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestJSONSchemaJudgesSpecs(t *testing.T) {
	text, err := pipeline.JSONSchema(catalog.All())
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("spec.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("spec.json")
	if err != nil {
		t.Fatal(err)
	}
	judge := func(text []byte) error {
		asJSON, err := yaml.YAMLToJSON(text)
		if err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
		if err != nil {
			t.Fatal(err)
		}
		return schema.Validate(v)
	}
	flights := string(read(t, "flights.yaml"))
	rendered, err := pipeline.Render(parse(t, "flights.yaml", []byte(flights)))
	if err != nil {
		t.Fatal(err)
	}
	for name, good := range map[string]string{"flights": flights, "rendered": string(rendered),
		"rendered rest": string(read(t, "flights-rest.rendered.yaml")),
		"crosses":       strings.Replace(flights, "  output_features:", "  crosses: [[origin, hour], {all: pairs, buckets: 64}]\n  output_features:", 1),
		"all pairs":     strings.Replace(flights, "  output_features:", "  crosses: pairs\n  output_features:", 1),
		"on_error":      strings.Replace(flights, "    split:", "    clean: [{cast: {column: distance, type: int64, on_error: null}}]\n    split:", 1)} {
		if err := judge([]byte(good)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, edit := range map[string][2]string{
		"unknown field":  {"topic: flights", "topic: flights, tpoic: x"},
		"unknown type":   {"type: number", "type: numbre"},
		"missing field":  {"source: events", "batching: {}"},
		"wrong type":     {"[0.7, 0.15, 0.15]", "0.7"},
		"two operators":  {"split:", "clean: [{trim: {columns: [a]}, filter: {expression: b}}]\n    split:"},
		"out of range":   {"  scoring:", "  trainer: {epochs: 0}\n  scoring:"},
		"bad size":       {"source: events", "source: events\n    batching: {byte_size: big}"},
		"wrong phase":    {"split:", "clean: [{trim: {columns: [a], apply_to: [sometimes]}}]\n    split:"},
		"too few shares": {"[0.7, 0.15, 0.15]", "[0.5, 0.5]"},
	} {
		if err := judge([]byte(strings.Replace(flights, edit[0], edit[1], 1))); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if !bytes.Contains(text, []byte(`"description": "ConsumerGroup is written for lag dashboards`)) {
		t.Error("the schema does not describe fields")
	}
}

func TestWhatIsNoScheduleIsRefused(t *testing.T) {
	for schedule, want := range map[string]string{
		`{}`:                         "a schedule needs a time, or new objects",
		`{cron: "0 2 * *"}`:          "expected exactly 5 fields, found 4",
		`{cron: "0 2 * * 7"}`:        "(7) above maximum (6)",
		`{cron: "0 0 30 2 *"}`:       "no day is one of 0 0 30 2 *",
		`{cron: "@every 1s"}`:        "neither a time zone nor @every belongs here",
		`{cron: "TZ=UTC 0 2 * * *"}`: "neither a time zone nor @every belongs here",
		`{cron: "0 2 * * *", timezone: Mars/Olympus}`: `"Mars/Olympus" is not a time zone`,
		`{cron: "0 2 * * *", on_overlap: cancel}`:     "(one of skip, queue, replace)",
		`{on_new_objects: true, every: 1h}`:           "there is no such field",
	} {
		_, err := pipeline.Parse(catalog.All(), "s.yaml", []byte("spec: {schedule: "+schedule+"}"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", schedule, err, want)
		}
	}
}

// What averaging costs in noise: nothing, as replicas make each step together.
func TestPrivacyIsToldWithTheSpecsNumbers(t *testing.T) {
	const spec = `apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: flights}
spec:
  sources:
    train: {s3: {path: "s3://lake/flights/*.parquet"}, format: {type: parquet}}
  input_features:
    - {name: distance, type: number, expression: "distance / 1000", normalization: none, missing_value_strategy: fill_with_const}
  output_features:
    - {name: delayed, type: binary, expression: "delay > 15"}
  trainer:
    distributed: {replicas: 4}
    privacy: {type: dp_sgd, key: dp-noise, clip_norm: 0.5, noise_multiplier: 1.1, delta: 1.0e-6, epsilon_max: 3.0}
`
	for text, want := range map[string]string{
		spec: "noise of 1.1 times clip_norm 0.5, once a step, on the sum of all replicas: averaging costs none; replicas that average after steps of their own would need 2 times as much for the same epsilon",
		strings.Replace(spec, "replicas: 4", "replicas: auto", 1): "would need the square root of their number times as much",
	} {
		if got := parse(t, "s.yaml", []byte(text)).PrivacyText(); !strings.Contains(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := parse(t, "flights.yaml", read(t, "flights.yaml")).PrivacyText(); got != "" {
		t.Errorf("without privacy: %q", got)
	}
}
