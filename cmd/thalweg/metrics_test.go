package main

import (
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

	"github.com/thalweg/thalweg/coordinator/api"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
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

// scrape adds the metrics that a process serves, and checks that it is well.
func scrape(t *testing.T, address string, served map[string]bool) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		res, err := client.Get("http://" + address + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK {
			t.Errorf("%s of %s: %s %s %v", path, address, res.Status, body, err)
		}
		for line := range strings.Lines(string(body)) {
			if name, ok := strings.CutPrefix(line, "# TYPE "); ok && path == "/metrics" {
				served[strings.Fields(name)[0]] = true
			}
		}
	}
}

// metricsAreServed scrapes every coordinator and worker of a cluster that has
// trained and scores: what a DESIGN.md names is there, and what is there is named.
func metricsAreServed(t *testing.T, cl *api.Client) {
	t.Helper()
	status, err := cl.Status(t.Context(), &apiv1.StatusRequest{})
	for err == nil && len(status.Workers) < 2 { // a new leader knows them once they have polled
		status, err = cl.Status(t.Context(), &apiv1.StatusRequest{})
	}
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
	for name := range served {
		if named[name] == "" {
			t.Errorf("no DESIGN.md names %s", name)
		}
	}
}
