package diagnose

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func get(t *testing.T, p Process, target string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	w := httptest.NewRecorder()
	serve := Handlers(p)[r.URL.Path]
	if serve == nil {
		t.Fatalf("%s has no handler", target)
	}
	serve(w, r)
	return w
}

func some() Process {
	r := prometheus.NewRegistry()
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "answer"}, func() float64 { return 42 }))
	return Process{Version: "v1", Logs: new(Ring), Metrics: r, Facts: func() map[string]any { return map[string]any{"node": "n1"} }}
}

// TestEachPathHasAHandler: and the other way round, since who serves them goes by Paths.
func TestEachPathHasAHandler(t *testing.T) {
	handlers := Handlers(some())
	for _, path := range Paths() {
		if handlers[path] == nil {
			t.Errorf("%s has no handler", path)
		}
	}
	if len(handlers) != len(Paths()) {
		t.Errorf("%d handlers of %d paths", len(handlers), len(Paths()))
	}
}

// TestProfilesAreThoseOfPprof: compressed protocol buffers, and text where it is asked for.
func TestProfilesAreThoseOfPprof(t *testing.T) {
	for _, path := range []string{HeapPath, AllocsPath, GoroutinePath, BlockPath, MutexPath, CPUPath + "?seconds=1"} {
		z, err := gzip.NewReader(get(t, some(), path).Body)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if body, err := io.ReadAll(z); err != nil || len(body) == 0 {
			t.Errorf("%s: %d bytes, %v", path, len(body), err)
		}
	}
	if text := get(t, some(), GoroutinePath+"?debug=2").Body.String(); !strings.Contains(text, "TestProfilesAreThoseOfPprof") {
		t.Errorf("the stacks of goroutines lack this test:\n%.300s", text)
	}
	if body := get(t, some(), TracePath+"?seconds=1").Body.Bytes(); !bytes.HasPrefix(body, []byte("go 1.")) {
		t.Errorf("a trace begins with %.20q", body)
	}
}

// TestAProcessIsObservedForABoundedTime: what is longer is refused before it begins.
func TestAProcessIsObservedForABoundedTime(t *testing.T) {
	for _, target := range []string{CPUPath + "?seconds=61", CPUPath + "?seconds=0", CPUPath + "?seconds=-1", CPUPath + "?seconds=x", TracePath + "?seconds=11", HeapPath + "?debug=3"} {
		if w := get(t, some(), target); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "want ") {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
}

// TestAProcessTellsWhatItIs: its build, its settings and its metrics.
func TestAProcessTellsWhatItIs(t *testing.T) {
	var told map[string]any
	if err := json.Unmarshal(get(t, some(), InfoPath).Body.Bytes(), &told); err != nil || told["version"] != "v1" || told["node"] != "n1" || told["memory"] == nil {
		t.Errorf("%v %v", told, err)
	}
	if text := get(t, some(), MetricsPath).Body.String(); !strings.Contains(text, "answer 42") {
		t.Errorf("metrics:\n%s", text)
	}
}

// TestTheNewestLinesOfALogAreKept: within a bound, whatever the length of one, and as the
// logger writes them besides.
func TestTheNewestLinesOfALogAreKept(t *testing.T) {
	p := some()
	var written bytes.Buffer
	log := p.Logs.Keeping(slog.New(slog.NewTextHandler(&written, &slog.HandlerOptions{Level: slog.LevelWarn}))).With("node", "n1")
	log.Debug("not this")
	log.Info("worker is lost", "worker", "w1")
	log.Warn("disk is full")
	text := get(t, p, LogsPath).Body.String()
	if !strings.Contains(text, `msg="worker is lost" node=n1 worker=w1`) || !strings.Contains(text, "disk is full") || strings.Contains(text, "not this") {
		t.Errorf("lines:\n%s", text)
	}
	if strings.Contains(written.String(), "worker is lost") || !strings.Contains(written.String(), "disk is full") {
		t.Errorf("written besides:\n%s", written.String())
	}
	log.Info(strings.Repeat("x", 10*lineBytes))
	for range 2 * ringBytes / lineBytes {
		log.Info(strings.Repeat("y", lineBytes/2))
	}
	log.Info("the last")
	total := 0
	lines := p.Logs.Lines()
	for _, l := range lines {
		total += len(l)
	}
	if total > ringBytes || !bytes.Contains(lines[len(lines)-1], []byte("the last")) || bytes.Contains(lines[0], []byte("disk")) {
		t.Errorf("%d lines of %d bytes are kept", len(lines), total)
	}
}
