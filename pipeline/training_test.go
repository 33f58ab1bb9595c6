package pipeline_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/table"
)

const bothHalves = `
apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: flights, labels: {team: ops}}
spec:
  sources:
    train:  {s3: {path: "s3://lake/flights/*.parquet"}, format: {type: parquet}}
    events: {kafka: {topic: flights}, format: {type: json}}
  tests:
    - {column: distance, range: {min: 0}, store_failures: 5}
  input_features:
    - {name: distance, type: number}
  output_features:
    - {name: delayed, type: binary, expression: "delay > 15"}
  scoring:
    source: events
    sink: {s3: {path: "s3://lake/scored/flights/"}, format: {type: parquet}, rolling: {period: 5s}}
`

// What a trained version depends on counts, and how its stream runs does not.
func TestTrainingHashLeavesOutHowTheStreamRuns(t *testing.T) {
	hash := func(text string) string {
		t.Helper()
		s, err := pipeline.Parse(catalog.All(), "flights.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return pipeline.TrainingHash(s)
	}
	want := hash(bothHalves)
	for _, tc := range []struct {
		trains   bool
		old, new string
	}{
		{false, "team: ops", "team: dev"},
		{false, "period: 5s", "period: 1s"},
		{false, "rolling: {period: 5s}", "compaction: {}"},
		{false, "scored/flights/", "scored/elsewhere/"},
		{false, "source: events", "source: events\n    dead_letter: {max_rate: 5%}"},
		{false, "source: events", "source: events\n    batching: {count: 7}"},
		{false, "{topic: flights}", "{topic: other, isolation_level: read_committed}"},
		{false, "{kafka: {topic: flights}", "{connection: bus, kafka: {topic: flights}"},
		{true, "format: {type: json}", "format: {type: json, on_unknown_field: dead_letter}"},
		{true, "flights/*.parquet", "flights/2001*.parquet"},
		{false, "store_failures: 5", "store_failures: 6"},
		{true, "store_failures: 5", "store_failures: 5, severity: warn"}, // it is the version that tests events
		{true, "min: 0", "min: 1"},
		{true, "type: number}", "type: number, normalization: none}"},
		{true, "delay > 15", "delay > 20"},
		{true, "  input_features", "  trainer: {seed: 7}\n  input_features"},
		{false, "  input_features", "  trainer: {distributed: {straggler: {backup_after: 1.5}}}\n  input_features"},
		{true, "  input_features", "  registry: {alias: canary}\n  input_features"},
		{true, "  input_features", "  preprocessing: {clean: [{filter: {expression: \"delay != null\"}}]}\n  input_features"},
		{true, "rolling: {period: 5s}", "partition_by: [date]"}, // only a run knows whether there is such a column
		{true, "rolling: {period: 5s}}", "rolling: {period: 5s}}\n    output_columns: {exclude: [passenger]}"},
		{false, "rolling: {period: 5s}}", "rolling: {period: 5s}}\n    output_columns: {include: all}"},
		{false, "  scoring:", "  monitoring: {drift: {window: 24h, one_in: 1}, skew_sample: 1%}\n  scoring:"},
		{true, bothHalves[strings.Index(bothHalves, "  scoring:"):], ""},
	} {
		changed := strings.Replace(bothHalves, tc.old, tc.new, 1)
		if changed == bothHalves {
			t.Fatalf("the spec has no %q", tc.old)
		}
		if got := hash(changed) != want; got != tc.trains {
			t.Errorf("%q for %q trains otherwise: %v, want %v", tc.new, tc.old, got, tc.trains)
		}
	}
	s, err := pipeline.Parse(catalog.All(), "", []byte(bothHalves))
	if err != nil {
		t.Fatal(err)
	}
	before, _ := pipeline.Render(s)
	pipeline.TrainingHash(s)
	if after, _ := pipeline.Render(s); string(after) != string(before) {
		t.Error("hashing changed the spec")
	}
	if rendered, err := pipeline.Parse(catalog.All(), "", before); err != nil || pipeline.TrainingHash(rendered) != want {
		t.Errorf("the rendered spec trains otherwise: %v", err)
	}
}

// Trees of several classes are held back less by default than what else there is.
func TestThePenaltyOfTreesDependsOnTheOutput(t *testing.T) {
	for _, test := range []struct {
		model, output string
		want          float64
	}{{"trees", "binary", 1}, {"trees", "number", 1}, {"trees", "category", 0.1}, {"linear", "category", 1}} {
		spec, err := pipeline.Parse(catalog.All(), "test.yaml", fmt.Appendf(nil, `
apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: penalty}
spec:
  sources: {train: {s3: {path: "s3://lake/*.parquet"}, format: {type: parquet}}}
  input_features: [{name: x, type: number}]
  output_features: [{name: label, type: %s}]
  model: {type: %s}
`, test.output, test.model))
		if err != nil {
			t.Fatal(err)
		}
		if got := spec.Spec.Trainer.Regularization.L2; got != test.want {
			t.Errorf("%s, %s: %v", test.model, test.output, got)
		}
	}
}

// How old rows may be is judged in each run, so that versions, and what is kept of rows,
// are those of another limit, and not those of another column.
func TestLimitsOfFreshnessAreOfRunsAlone(t *testing.T) {
	of := func(column string, days int) []string {
		var s pipeline.Spec
		s.Spec.Sources.Train.Freshness = &pipeline.Freshness{Column: column, ErrorAfter: &pipeline.Age{Count: days, Period: "day"}}
		return []string{pipeline.FittingHash(&s), pipeline.CleaningHash(&s), pipeline.TrainingHash(&s)}
	}
	for i, hash := range of("at", 7) {
		if hash != of("at", 8)[i] || hash == of("on", 7)[i] {
			t.Errorf("hash %d: the limits count, or the column does not", i)
		}
	}
}

// A share is exceeded by more than it, not by as much.
func TestAsManyBadRowsAsAreAllowedAreNoError(t *testing.T) {
	for percent := range int64(100) {
		o := pipeline.OnBadRow{MaxRate: pipeline.Percent(percent)}
		if o.Exceeded(percent, 100-percent) || !o.Exceeded(percent+1, 99-percent) {
			t.Errorf("%d of 100 at %d%%", percent, percent)
		}
	}
}

// The longest age is a time that a Duration can hold.
func TestAnAgeThatNoDurationHoldsIsRefused(t *testing.T) {
	for count, fails := range map[int]bool{100_000: false, 106_752: true} {
		text := strings.Replace(bothHalves, "format: {type: parquet}}", fmt.Sprintf("format: {type: parquet}, freshness: {column: at, error_after: {count: %d, period: day}}}", count), 1)
		if _, err := pipeline.Parse(catalog.All(), "flights.yaml", []byte(text)); (err != nil) != fails || err != nil && !strings.Contains(err.Error(), "error_after.count") {
			t.Errorf("%d days: %v", count, err)
		}
	}
}

// A model that a single algorithm trains has it, others what the spec says.
func TestTheOptimizerIsThatOfTheModel(t *testing.T) {
	for model, want := range map[string]string{"{type: linear}": "auto", "{type: mlp}": "auto", "{type: trees}": "boosting", "{type: knn}": "memorize"} {
		s, err := pipeline.Parse(catalog.All(), "flights.yaml", []byte(strings.Replace(bothHalves, "  scoring:", "  model: "+model+"\n  scoring:", 1)))
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Optimizer(); got.Name != want || got.Options == nil {
			t.Errorf("%s is trained by %q, not by %q", model, got.Name, want)
		}
	}
}

// Neighbours on a hidden layer read what the network reads, whose version the trainer names.
func TestNeighboursOnAHiddenLayerAreOfTheNetworkOfAVersion(t *testing.T) {
	const hidden = "{type: knn, on: hidden, of: {type: mlp, hidden: [9, 5]}}"
	parse := func(model, trainer, more string) (*pipeline.Spec, error) {
		text := strings.Replace(bothHalves, "  scoring:", "  model: "+model+"\n  trainer: {"+trainer+"}\n"+more+"  scoring:", 1)
		return pipeline.Parse(catalog.All(), "flights.yaml", []byte(strings.Replace(text, "{name: origin, type: category}", "{name: origin, type: category, encoder: {type: embedding, size: 4}}", 1)))
	}
	for _, start := range []string{"1", "champion"} {
		s, err := parse(hidden, "warm_start: "+start, "")
		if err != nil {
			t.Fatal(err)
		}
		if front := pipeline.Front(s.Spec.Model); front.Name != "mlp" || s.Optimizer().Name != "memorize" {
			t.Errorf("%s is read by, and %s trained by %s", s.Spec.Model.Name, front.Name, s.Optimizer().Name)
		}
		rendered, err := pipeline.Render(s)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := pipeline.Parse(catalog.All(), "rendered.yaml", rendered); err != nil || pipeline.Front(again.Spec.Model).Name != "mlp" {
			t.Errorf("as it is rendered: %v\n%s", err, rendered)
		}
	}
	for _, tc := range [][4]string{
		{hidden, "", "", "trainer.warm_start: the hidden layer needs a version of the model that has it"},
		{"{type: knn, on: hidden}", "warm_start: 1", "", "model.of: a hidden layer needs a network that it is one of"},
		{"{type: knn, of: {type: mlp}}", "", "", "model.of: a network needs on: hidden"},
		{"{type: knn}", "warm_start: 1", "", "trainer.warm_start: a start of a model of type knn from a version"},
		{"{type: knn, on: hidden, of: {type: trees}}", "warm_start: 1", "", "model.of.type"},
		{"{type: knn, on: hidden, of: {type: mlp, uncertainty: {type: mc_dropout}}}", "warm_start: 1", "", "model.of.uncertainty: the network predicts nothing here"},
		{"{type: knn, on: hidden, of: {type: mlp, hidden: [0]}}", "warm_start: 1", "", "model.of.hidden[0]: 0 is out of range"},
		{"{type: knn, on: hidden, of: {type: cnn}}", "warm_start: 1", "", "a number of a model of type cnn"},
		{hidden, "warm_start: 1", "  preprocessing: {split: {folds: 3}}\n", "which has learnt from the rows of all folds"},
	} {
		if _, err := parse(tc[0], tc[1], tc[2]); err == nil || !strings.Contains(err.Error(), tc[3]) {
			t.Errorf("%s: got %v, want %q", tc[0], err, tc[3])
		}
	}
}

// The rate of an mlp falls to zero by default, and nothing stops early; else it is patient.
func TestNetworksAnnealUnlessTheSpecSaysOtherwise(t *testing.T) {
	for trainer, want := range map[string]struct {
		schedule string
		stop     int
	}{
		"{}":                        {"cosine", 0},
		"{early_stop: 7}":           {"cosine", 7},
		"{optimizer: {type: sgd}}":  {"cosine", 0},
		"{optimizer: {type: ftrl}}": {"constant", 40},
		"{learning_rate_scheduler: {type: constant}}":            {"constant", 40},
		"{learning_rate_scheduler: {type: step}, early_stop: 0}": {"step", 0},
	} {
		s, err := pipeline.Parse(catalog.All(), "flights.yaml", []byte(strings.Replace(bothHalves, "  scoring:", "  model: {type: mlp}\n  trainer: "+trainer+"\n  scoring:", 1)))
		if err != nil {
			t.Fatal(err)
		}
		text, err := pipeline.Render(s)
		if err != nil {
			t.Fatal(err)
		}
		again, err := pipeline.Parse(catalog.All(), "flights.yaml", text)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []*pipeline.Spec{s, again} {
			if got := s.Spec.Trainer; got.LearningRateScheduler.Name != want.schedule || got.EarlyStop != want.stop {
				t.Errorf("%s has the scheduler %s and early_stop %d", trainer, got.LearningRateScheduler.Name, got.EarlyStop)
			}
		}
	}
}

// Probabilities of balanced rows are those of rates that validation rows do not have: they are
// judged by what does not look at rates, unless the spec says otherwise.
func TestModelsOfBalancedRowsAreNotJudgedByTheLogLoss(t *testing.T) {
	const several = `from, type: category, expression: "origin"`
	for _, tc := range []struct{ method, output, trainer, want string }{
		{"", "", "", "log_loss"}, {"weights", "", "", "roc_auc"}, {"upsample", "", "", "roc_auc"}, {"downsample", "", "", "roc_auc"},
		{"weights", "", "\n  trainer: {validation_metric: log_loss}", "log_loss"}, {"weights", several, "", "f1_macro"}, {"", several, "", "log_loss"},
		{"weights", `minutes, type: number, expression: "delay"`, "", "mse"},
	} {
		text := bothHalves
		if tc.output != "" {
			text = strings.Replace(text, `delayed, type: binary, expression: "delay > 15"`, tc.output, 1)
		}
		if tc.method != "" {
			text = strings.Replace(text, "  input_features:", "  preprocessing: {clean: [{balance: {by: origin, method: "+tc.method+"}}]}\n  input_features:", 1)
		}
		s, err := pipeline.Parse(catalog.All(), "flights.yaml", []byte(strings.Replace(text, "\n  scoring:", tc.trainer+"\n  scoring:", 1)))
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Spec.Trainer.ValidationMetric; got != tc.want {
			t.Errorf("%+v: judged by %s", tc, got)
		}
	}
}

// A stream is watched unless the spec says otherwise, by bounds that suit the metric.
func TestMonitoringHasDefaultsAndRefusesWhatCannotBe(t *testing.T) {
	spec := func(part string) (*pipeline.Spec, error) {
		return pipeline.Parse(catalog.All(), "", []byte(strings.Replace(bothHalves, "  scoring:", part+"\n  scoring:", 1)))
	}
	for part, want := range map[string]string{
		"":                                     "true 1h psi 0.1 0.25 1000 32",
		"  monitoring: {drift: {window: 24h}}": "true 24h psi 0.1 0.25 1000 32",
		"  monitoring: {skew_sample: 1%}":      "true 1h psi 0.1 0.25 1000 32",
		"  monitoring: {drift: {warn: 0}}":     "true 1h psi 0 0.25 1000 32",
		"  monitoring: {drift: {one_in: 1, enabled: false, metric: jensen_shannon, min_rows: 5}}": "false 1h jensen_shannon 0.02 0.05 5 1",
	} {
		s, err := spec(part)
		if err != nil {
			t.Errorf("%s: %v", part, err)
			continue
		}
		d := s.Drift()
		if got := strings.TrimSpace(fmt.Sprintln(d.On(), d.Window, d.Metric, *d.Warn, *d.Error, d.MinRows, d.OneIn)); got != want {
			t.Errorf("%s is %s, want %s", part, got, want)
		}
	}
	for part, want := range map[string]string{
		"  monitoring: {drift: {window: 7h}}":         "7h is no window",
		"  monitoring: {drift: {window: 1s}}":         "1s is no window",
		"  monitoring: {drift: {warn: 0.3}}":          "it is an error above 0.25 anyway",
		"  monitoring: {drift: {metric: kolmogorov}}": "metric",
		"  monitoring: {drift: {one_in: 0}}":          "one_in",
		"  monitoring: {drift: {widnow: 1h}}":         "window",
		"  monitoring: {skew_sample: 0%}":             "skew_sample",
	} {
		if _, err := spec(part); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", part, err, want)
		}
	}
	columns := table.Schema{Columns: []table.Column{{Name: "delay", Type: table.Int64}, {Name: "distance", Type: table.Int64, Nullable: true}, {Name: "date", Type: table.Timestamp}}}
	for part, want := range map[string]string{
		"  schema: {event_time: date}":                        "",
		"  schema: {event_time: dat}":                         "there is no column dat",
		"  schema: {event_time: distance}":                    "column distance is int64",
		"  monitoring: {drift: {ignore: [distance]}}":         "",
		"  monitoring: {drift: {ignore: [distance, season]}}": "there is no feature season",
	} {
		s, err := spec(part)
		if err == nil {
			_, err = pipeline.Compile(s, columns)
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", part, err, want)
		}
	}
}
