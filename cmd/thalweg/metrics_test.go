package main

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/thalweg/thalweg/coordinator"
	"github.com/thalweg/thalweg/coordinator/api"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/worker"
)

// designedMetrics returns the metrics that DESIGN.md files name, and the file of
// each. One that ends in a star stands for all that begin so.
func designedMetrics(t *testing.T) map[string]string {
	t.Helper()
	names := make(map[string]string)
	metric := regexp.MustCompile(`thalweg_[a-z_]+\*?`)
	if err := filepath.WalkDir(filepath.Join(demoFiles, "../.."), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "DESIGN.md" {
			return err
		}
		text, err := os.ReadFile(path)
		for _, name := range metric.FindAllString(string(text), -1) {
			names[name] = path
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return names
}

// metricType is the type of a metric, which its name ends in the sign of.
func metricType(name string) string {
	switch {
	case strings.HasSuffix(name, "_total"):
		return "counter"
	case strings.HasSuffix(name, "_seconds") && !strings.HasSuffix(name, "_lag_seconds"):
		return "histogram"
	}
	return "gauge"
}

var describedMetric = regexp.MustCompile(`^Desc\{fqName: "(.*)", help: "(.*?)", (?:unit: "[^"]*", )?constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)

func metricsReference(t *testing.T) string {
	var b strings.Builder
	b.WriteString("# Metrics\n\n" + generatedMark + "\nWhat Prometheus gets at `/metrics` of each process, beside `/healthz` and `/readyz`. A histogram has\n" +
		"`_bucket`, `_sum` and `_count` after its name.\n")
	for _, process := range []struct {
		name, where string
		metrics     prometheus.Collector
	}{
		{"Coordinators", "at the address of their API", coordinator.Metrics()},
		{"Workers", "at the address of `--listen`, which `thalweg status` shows", worker.Metrics()},
	} {
		fmt.Fprintf(&b, "\n## %s\n\n%[1]s serve them %s.\n\n", process.name, process.where)
		tableHead(&b, "Metric", "Type", "Labels", "Meaning")
		descs := make(chan *prometheus.Desc)
		go func() {
			process.metrics.Describe(descs)
			close(descs)
		}()
		var rows [][]string
		for d := range descs {
			parts := describedMetric.FindStringSubmatch(d.String())
			if parts == nil {
				t.Fatalf("%s is not understood", d)
			}
			labels := regexp.MustCompile(`="[^"]*"`).ReplaceAllString(parts[3], "")
			labels = strings.Trim(labels+","+parts[4], ",")
			if labels != "" {
				labels = "`" + strings.ReplaceAll(labels, ",", "`, `") + "`"
			}
			rows = append(rows, []string{code(parts[1]), metricType(parts[1]), labels, cell(parts[2])})
		}
		slices.SortFunc(rows, slices.Compare)
		for _, row := range rows {
			tableRow(&b, row...)
		}
	}
	return b.String()
}

// TestMetricsKeepTheRulesOfPrometheus lints all that coordinators and workers
// register: base units, help, counters that end in _total, no type in a name.
func TestMetricsKeepTheRulesOfPrometheus(t *testing.T) {
	for _, process := range []prometheus.Collector{coordinator.Metrics(), worker.Metrics()} {
		descs := make(chan *prometheus.Desc)
		go func() {
			process.Describe(descs)
			close(descs)
		}()
		var text strings.Builder
		for d := range descs {
			parts := describedMetric.FindStringSubmatch(d.String())
			name, kind := parts[1], metricType(parts[1])
			fmt.Fprintf(&text, "# HELP %s %s\n# TYPE %[1]s %[3]s\n", name, parts[2], kind)
			if kind == "histogram" {
				fmt.Fprintf(&text, "%s_bucket{le=\"+Inf\"} 0\n%[1]s_sum 0\n%[1]s_count 0\n", name)
				continue
			}
			fmt.Fprintf(&text, "%s{%s} 0\n", name, strings.ReplaceAll(strings.Trim(parts[4], ","), ",", `="",`)+strings.Repeat(`=""`, min(1, len(parts[4]))))
		}
		problems, err := promlint.New(strings.NewReader(text.String())).Lint()
		if err != nil {
			t.Fatalf("%v\n%s", err, text.String())
		}
		for _, p := range problems {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// scrape adds the metrics that a process serves, once it is well: on a busy machine leaders
// may change, and meanwhile coordinators are not ready.
func scrape(t *testing.T, address string, served map[string]bool) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		var body []byte
		eventually(t, path+" of "+address, func() error {
			res, err := client.Get("http://" + address + path)
			if err != nil {
				return err
			}
			defer res.Body.Close()
			if body, err = io.ReadAll(res.Body); err == nil && res.StatusCode != http.StatusOK {
				err = fmt.Errorf("%s %s", res.Status, body)
			}
			return err
		})
		for line := range strings.Lines(string(body)) {
			if name, ok := strings.CutPrefix(line, "# TYPE "); ok && path == "/metrics" {
				metric := strings.Fields(name)
				served[metric[0]] = true
				if metric[1] != metricType(metric[0]) {
					t.Errorf("%s is a %s, the reference says %s", metric[0], metric[1], metricType(metric[0]))
				}
			}
		}
	}
}

// metricsAreServed scrapes every coordinator and worker of a cluster that has
// trained and scores: what a DESIGN.md names is there, and what is there is named, in
// the reference too.
func metricsAreServed(t *testing.T, cl *api.Client) {
	t.Helper()
	status, err := cl.Status(t.Context(), &apiv1.StatusRequest{})
	if err != nil || len(status.Nodes) < 3 || len(status.Workers) < 2 {
		t.Fatalf("status %v, %v", status, err)
	}
	served := make(map[string]bool)
	for _, n := range status.Nodes {
		scrape(t, n.Address, served)
	}
	for _, w := range status.Workers {
		scrape(t, w.Address, served)
	}
	named := designedMetrics(t)
	covers := func(name string, has map[string]bool) bool {
		prefix, open := strings.CutSuffix(name, "*")
		if !open {
			return has[name]
		}
		return slices.ContainsFunc(slices.Collect(maps.Keys(has)), func(s string) bool { return strings.HasPrefix(s, prefix) })
	}
	for name, file := range named {
		if !covers(name, served) {
			t.Errorf("%s names %s, which nothing serves", file, name)
		}
	}
	text := metricsReference(t)
	for name := range served {
		if !strings.Contains(text, "| `"+name+"` | ") {
			t.Errorf("the reference does not have %s", name)
		}
		if named[name] == "" {
			t.Errorf("no DESIGN.md names %s", name)
		}
	}
}
