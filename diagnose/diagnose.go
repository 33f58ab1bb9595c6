// Package diagnose is what a process tells of itself to those who look for a fault:
// profiles, its newest log lines, its metrics and what it is. It has handlers only; who
// serves them says who may call.
package diagnose

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"runtime/trace"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// The paths of Handlers. Those of profiles are where `go tool pprof` expects them.
const (
	CPUPath       = "/debug/pprof/profile"
	TracePath     = "/debug/pprof/trace"
	HeapPath      = "/debug/pprof/heap"
	AllocsPath    = "/debug/pprof/allocs"
	GoroutinePath = "/debug/pprof/goroutine"
	BlockPath     = "/debug/pprof/block"
	MutexPath     = "/debug/pprof/mutex"
	InfoPath      = "/debug/info"
	LogsPath      = "/debug/logs"
	MetricsPath   = "/debug/metrics"
)

// NodeParameter names, in a request to a coordinator, the coordinator or worker that it is
// about. Without it, that is the node which is asked.
const NodeParameter = "node"

// Paths returns all of them.
func Paths() []string {
	return []string{CPUPath, TracePath, HeapPath, AllocsPath, GoroutinePath, BlockPath, MutexPath, InfoPath, LogsPath, MetricsPath}
}

// Bounds of how long a process is observed, since that slows it down.
const (
	defaultSeconds  = 10
	maxCPUSeconds   = 60
	maxTraceSeconds = 10
)

// Process is what a process knows of itself.
type Process struct {
	Version string // of the build
	Logs    *Ring  // nil: it keeps none
	Metrics prometheus.Gatherer
	// Facts returns what else there is to know, by name: settings and states, no secrets.
	Facts func() map[string]any
}

// Handlers returns the handlers of all paths. They take GET, and are to be served to
// admins alone.
func Handlers(p Process) map[string]http.HandlerFunc {
	began := time.Now()
	all := map[string]http.HandlerFunc{
		CPUPath:     observe(maxCPUSeconds, pprof.StartCPUProfile, pprof.StopCPUProfile),
		TracePath:   observe(maxTraceSeconds, trace.Start, trace.Stop),
		LogsPath:    p.logs,
		InfoPath:    func(w http.ResponseWriter, _ *http.Request) { p.info(w, began) },
		MetricsPath: promhttp.HandlerFor(p.Metrics, promhttp.HandlerOpts{}).ServeHTTP,
	}
	for path, name := range map[string]string{HeapPath: "heap", AllocsPath: "allocs", GoroutinePath: "goroutine", BlockPath: "block", MutexPath: "mutex"} {
		all[path] = func(w http.ResponseWriter, r *http.Request) { lookup(w, r, name) }
	}
	return all
}

// lookup writes a profile: with debug=1 or 2 as text, else as pprof has it.
func lookup(w http.ResponseWriter, r *http.Request, name string) {
	form, err := number(r, "debug", 0, 0, 2)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if form > 0 {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	}
	_ = pprof.Lookup(name).WriteTo(w, form) // it fails when the caller is gone
}

// observe writes what is observed in a number of seconds, which the request says. One
// observation of a kind is under way at a time.
func observe(most int, start func(io.Writer) error, stop func()) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		seconds, err := number(r, "seconds", defaultSeconds, 1, most)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		if err := start(w); err != nil {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		timer := time.NewTimer(time.Duration(seconds) * time.Second)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
		}
		stop()
	}
}

// number returns a number of the query, which has to be in a range.
func number(r *http.Request, name string, otherwise, least, most int) (int, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("%s=%.20q: want %d to %d", name, text, least, most)
	}
	return n, nil
}

func (p Process) logs(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if p.Logs == nil {
		return
	}
	for _, line := range p.Logs.Lines() {
		if _, err := w.Write(line); err != nil {
			return // the caller is gone
		}
	}
}

// info writes what the process is.
func (p Process) info(w http.ResponseWriter, began time.Time) {
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	told := map[string]any{
		"version": p.Version, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH,
		"started": began.UTC().Format(time.RFC3339), "now": time.Now().UTC().Format(time.RFC3339Nano),
		"cores": runtime.GOMAXPROCS(0), "goroutines": runtime.NumGoroutine(),
		"memory": map[string]uint64{"heap_bytes": memory.HeapAlloc, "heap_objects": memory.HeapObjects, "from_system_bytes": memory.Sys,
			"soft_limit_bytes": uint64(debug.SetMemoryLimit(-1)), "collections": uint64(memory.NumGC)},
	}
	if build, ok := debug.ReadBuildInfo(); ok {
		modules := make([]string, 0, len(build.Deps))
		for _, m := range build.Deps {
			modules = append(modules, m.Path+" "+m.Version)
		}
		slices.Sort(modules)
		told["modules"] = modules
	}
	if p.Facts != nil {
		for name, fact := range p.Facts() {
			told[name] = fact
		}
	}
	text, err := json.MarshalIndent(told, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(text, '\n')) // it fails when the caller is gone
}
