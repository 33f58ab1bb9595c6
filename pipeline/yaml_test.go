package pipeline_test

import (
	"strings"
	"testing"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/table"
)

// A number is what YAML 1.2 calls one, however the library types it.
func TestNumbersAreThoseOfYAMLsCoreSchema(t *testing.T) {
	for text, want := range map[string]float64{"1e-3": 0.001, "1E-3": 0.001, "1.e-3": 0.001, ".5": 0.5, "5e-1": 0.5, "+1e-2": 0.01, "0.010": 0.01} {
		s := edited(t, "  scoring:", "  trainer: {regularization: {l2: "+text+"}}\n  scoring:")
		if got := s.Spec.Trainer.Regularization.L2; got != want {
			t.Errorf("%s is %v, want %v", text, got, want)
		}
	}
}

// What readers of YAML read as different values is refused, and so is what would
// become another text than the one that stands there.
func TestNumbersThatCouldMeanSomethingElseAreRefused(t *testing.T) {
	const quotes = "put it in quotes"
	fill := "    clean: [{fill: {columns: [origin], strategy: fill_with_const, value: %}}]\n    split:"
	constant := "- {name: town, expression: origin, type: category, missing_value_strategy: fill_with_const, fill_value: %}"
	for _, tc := range []struct{ old, new, value, want string }{
		{"  scoring:", "  trainer: {epochs: %}\n  scoring:", "010", "without a zero in front"},
		{"  scoring:", "  trainer: {epochs: %}\n  scoring:", "-08", "without a zero in front"},
		{"source: events", "source: events\n    batching: {byte_size: %}", "0100", "without a zero in front"},
		{"{name: flight-delays}", "{name: %}", "123", quotes},
		{"topic: flights", "topic: %", "1e3", quotes},
		{"topic: flights", "topic: %", "08", quotes},
		{"topic: flights", "topic: %", "18446744073709551616", quotes},
		{"    split:", fill, "5", quotes},
		{"    split:", fill, "1.10", quotes},
		{"    split:", fill, "007", "in quotes"},
		{"    split:", fill, "1e3", quotes},
		{"- {name: origin,", constant + "\n    - {name: origin,", "7", quotes},
		{"- {name: origin,", constant + "\n    - {name: origin,", "1.10", quotes},
		{"- {name: origin,", constant + "\n    - {name: origin,", "0x1F", "in quotes"},
	} {
		text := string(read(t, "flights.yaml"))
		if !strings.Contains(text, tc.old) {
			t.Fatalf("flights.yaml has no %q", tc.old)
		}
		text = strings.Replace(text, tc.old, strings.ReplaceAll(tc.new, "%", tc.value), 1)
		_, err := pipeline.ParseAndCompile(catalog.All(), "a.yaml", []byte(text), flightColumns)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s in %q: error %v, want one that says %q", tc.value, tc.new, err, tc.want)
		}
	}
}

func TestAByteOrderMarkBeforeASpecIsPassedOver(t *testing.T) {
	text := append([]byte("\ufeff"), read(t, "flights.yaml")...)
	s := parse(t, "bom.yaml", text)
	if _, err := pipeline.Compile(s, table.Schema{}); err == nil || !strings.HasPrefix(err.Error(), "bom.yaml:") {
		t.Errorf("diagnostics have no places: %v", err)
	}
	var into struct {
		Name string `yaml:"name"`
	}
	if err := pipeline.DecodeFile("file", "f.yaml", []byte("\ufeffname: x\n"), &into); err != nil || into.Name != "x" {
		t.Errorf("another file: %q, %v", into.Name, err)
	}
	if _, err := pipeline.Parse(catalog.All(), "utf16.yaml", []byte("\xff\xfea\x00:\x00")); err == nil || !strings.Contains(err.Error(), "UTF-16") {
		t.Errorf("UTF-16: %v", err)
	}
}
