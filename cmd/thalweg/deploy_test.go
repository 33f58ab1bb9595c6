package main

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/coreos/go-systemd/v22/unit"
	"github.com/goccy/go-yaml"
	"github.com/spf13/pflag"
)

const deployFiles = "../../deploy/"

// checkCommand reports what a command line does not say as the verb takes it.
func checkCommand(t *testing.T, where string, args []string) {
	t.Helper()
	cmd, rest, err := newRoot().Find(args)
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	if err := cmd.ParseFlags(rest); err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	if err := cmd.ValidateRequiredFlags(); err != nil {
		t.Errorf("%s: %v", where, err)
	}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if f.Value.String() == "" {
			t.Errorf("%s: --%s is empty", where, f.Name)
		}
	})
	if args := cmd.Flags().Args(); len(args) > 0 {
		t.Errorf("%s: %q after the flags", where, args)
	}
}

// checkVariables reports environment variables that no verb reads.
func checkVariables(t *testing.T, where string, names []string) {
	t.Helper()
	known := []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"}
	documented, err := os.ReadFile(referenceFiles + "/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !slices.Contains(known, name) && !regexp.MustCompile(`[\[ ]`+name+`[,\]]`).Match(documented) {
			t.Errorf("%s: no verb reads the variable %s", where, name)
		}
	}
}

// TestUnitsOfSystemdStartNodes: each line is of a section and known, and the command is one.
// `make integration` has systemd verify them.
func TestUnitsOfSystemdStartNodes(t *testing.T) {
	for _, name := range []string{"thalweg-coordinator.service", "thalweg-worker.service"} {
		text, err := os.ReadFile(deployFiles + "systemd/" + name)
		if err != nil {
			t.Fatal(err)
		}
		options, err := unit.DeserializeOptions(bytes.NewReader(text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		told := regexp.MustCompile(`(?m)^#   (\w+)=(.*)$`).FindAllStringSubmatch(string(text), -1)
		values := map[string]string{}
		var reads []string
		for _, v := range told {
			values[v[1]] = v[2]
			if v[1] != "THALWEG_NODE" && v[1] != "THALWEG_ADVERTISE" && v[1] != "THALWEG_JOIN" { // of the unit itself
				reads = append(reads, v[1])
			}
		}
		checkVariables(t, name, reads)
		starts := 0
		for _, o := range options {
			if o.Section == "Service" && o.Name == "ExecStart" {
				starts++
				line := os.Expand(strings.ReplaceAll(o.Value, "\\\n", " "), func(of string) string {
					if values[of] == "" {
						t.Errorf("%s: %s is not said at its head", name, of)
					}
					return values[of]
				})
				checkCommand(t, name, strings.Fields(line)[1:])
			}
		}
		if starts != 1 {
			t.Errorf("%s starts %d commands", name, starts)
		}
	}
}

// composeFile is as much of the form of compose as deploy/compose has; other fields are refused.
type composeFile struct {
	Name     string `yaml:"name"`
	Thalweg  any    `yaml:"x-thalweg"`
	Node     any    `yaml:"x-node"`
	Services map[string]struct {
		Image string `yaml:"image"`
		Build struct {
			Context, Dockerfile string
		} `yaml:"build"`
		Command     any                          `yaml:"command"`
		Entrypoint  []string                     `yaml:"entrypoint"`
		Environment map[string]any               `yaml:"environment"`
		Volumes     []string                     `yaml:"volumes"`
		Ports       []string                     `yaml:"ports"`
		Profiles    []string                     `yaml:"profiles"`
		Restart     string                       `yaml:"restart"`
		StopGrace   string                       `yaml:"stop_grace_period"`
		ReadOnly    bool                         `yaml:"read_only"`
		CapDrop     []string                     `yaml:"cap_drop"`
		SecurityOpt []string                     `yaml:"security_opt"`
		Ulimits     map[string]int               `yaml:"ulimits"`
		DependsOn   map[string]map[string]string `yaml:"depends_on"`
		Healthcheck struct {
			Test              []string
			Interval, Timeout string
			Retries           int
		} `yaml:"healthcheck"`
	} `yaml:"services"`
	Volumes map[string]any `yaml:"volumes"`
}

// TestServicesOfComposeAreThatOfThalweg: the commands are verbs with their flags, what a
// service waits for is there, and so are its volumes.
func TestServicesOfComposeAreThoseOfThalweg(t *testing.T) {
	text, err := os.ReadFile(deployFiles + "compose/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var f composeFile
	if err := yaml.UnmarshalWithOptions(text, &f, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	nodes := 0
	for name, s := range f.Services {
		for of := range s.DependsOn {
			if _, ok := f.Services[of]; !ok {
				t.Errorf("%s waits for %s, which there is not", name, of)
			}
		}
		for _, v := range s.Volumes {
			if of, _, _ := strings.Cut(v, ":"); !hasKey(f.Volumes, of) {
				t.Errorf("%s: no volume %s", name, of)
			}
		}
		if s.Image != "thalweg" {
			continue
		}
		nodes++
		checkCommand(t, name, strings.Fields(s.Command.(string)))
		var reads []string
		for v := range s.Environment {
			reads = append(reads, v)
		}
		checkVariables(t, name, reads)
		if _, err := os.Stat(deployFiles + "compose/" + s.Build.Context + "/" + s.Build.Dockerfile); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if nodes != 7 {
		t.Errorf("%d services are of Thalweg; want three coordinators, two workers, the certificates and the command line", nodes)
	}
}

func hasKey(m map[string]any, key string) bool { _, ok := m[key]; return ok }

// metricsOf returns the labels of all metrics by name, as the reference has them.
func metricsOf(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(referenceFiles + "/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	metrics := map[string][]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (\\w+) \\|([^|]*)\\|").FindAllStringSubmatch(string(text), -1) {
		labels := regexp.MustCompile(`\w+`).FindAllString(row[3], -1)
		names := []string{row[1]}
		if row[2] == "histogram" && !slices.Contains(labels, "quantile") {
			names = []string{row[1] + "_sum", row[1] + "_count", row[1] + "_bucket"}
		}
		for _, n := range names {
			metrics[n] = append(metrics[n], append(labels, "le", "instance", "job")...)
		}
	}
	if len(metrics) < 40 {
		t.Fatalf("the reference has %d metrics", len(metrics))
	}
	return metrics
}

var (
	metricNames = regexp.MustCompile(`\bthalweg_\w+`)
	matchers    = regexp.MustCompile(`(\w+)\s*(?:=~|!=|!~|=)\s*"`)
	groupings   = regexp.MustCompile(`\b(?:by|on|ignoring|without)\s*\(([^)]*)\)`)
)

// checkExpression reports metrics and labels that there are not.
func checkExpression(t *testing.T, metrics map[string][]string, where, expression string) {
	t.Helper()
	var labels []string
	names := metricNames.FindAllString(expression, -1)
	for _, name := range names {
		if metrics[name] == nil {
			t.Errorf("%s: no metric %s", where, name)
		}
		labels = append(labels, metrics[name]...)
	}
	var asked []string
	for _, m := range matchers.FindAllStringSubmatch(expression, -1) {
		asked = append(asked, m[1])
	}
	for _, g := range groupings.FindAllStringSubmatch(expression, -1) {
		asked = append(asked, regexp.MustCompile(`\w+`).FindAllString(g[1], -1)...)
	}
	for _, label := range asked {
		if !slices.Contains(labels, label) {
			t.Errorf("%s: %q has no label %s", where, names, label)
		}
	}
	if len(names) == 0 {
		t.Errorf("%s: no metric of Thalweg in %q", where, expression)
	}
}

// TestRulesOfPrometheusAreOnMetricsThatThereAre, and say what to do.
func TestRulesOfPrometheusAreOnMetricsThatThereAre(t *testing.T) {
	text, err := os.ReadFile(deployFiles + "prometheus/thalweg.rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := yaml.UnmarshalWithOptions(text, &f, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	metrics := metricsOf(t)
	rules := 0
	for _, g := range f.Groups {
		for _, r := range g.Rules {
			rules++
			checkExpression(t, metrics, r.Alert, r.Expr)
			if r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("%s does not say how bad it is, what it is and what to do", r.Alert)
			}
		}
	}
	if rules == 0 {
		t.Error("no rules")
	}
}

// TestTheDashboardIsOfMetricsThatThereAre.
func TestTheDashboardIsOfMetricsThatThereAre(t *testing.T) {
	text, err := os.ReadFile(deployFiles + "grafana/thalweg.json")
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		Panels []struct {
			ID      int
			Title   string
			Targets []struct{ Expr string }
		}
		Templating struct {
			List []struct {
				Name  string
				Query any
			}
		}
	}
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	metrics := metricsOf(t)
	for i, p := range f.Panels {
		if p.ID != i+1 || len(p.Targets) == 0 {
			t.Errorf("panel %q has number %d and %d queries", p.Title, p.ID, len(p.Targets))
		}
		for _, q := range p.Targets {
			checkExpression(t, metrics, p.Title, q.Expr)
		}
	}
	if len(f.Panels) == 0 || len(f.Templating.List) != 2 {
		t.Errorf("%d panels, %d variables", len(f.Panels), len(f.Templating.List))
	}
}
