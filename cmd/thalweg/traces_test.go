package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/thalweg/thalweg/cmd/thalweg/embedded"
)

// TestARunAndASlotAreOneTraceEach, though coordinators and workers tell each other nothing
// of traces: the spans that a collector gets have their parents.
func TestARunAndASlotAreOneTraceEach(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	spans := make(map[string]*tracepb.Span) // by id
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		data := new(tracepb.TracesData)
		if err == nil {
			err = proto.Unmarshal(body, data)
		}
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL, err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, of := range data.ResourceSpans {
			for _, scope := range of.ScopeSpans {
				for _, s := range scope.Spans {
					spans[hex.EncodeToString(s.SpanId)] = s
				}
			}
		}
	}))
	defer collector.Close()
	c, stop := startDevWith(t, embedded.Config{Dir: t.TempDir(), NewStore: newStoreProcess, Traces: collector.URL})
	cl := client(t, c)
	body := fewFlights(t, 6_000)
	upload(t, c, body)
	run := applyAndWait(t, cl, demoSpec(t))
	flights := filepath.Join(t.TempDir(), "flights.parquet")
	put(t, flights, string(body))
	if text, err := command(t, c, "produce", flights, "--topic", "flights", "--partitions", "1", "--from", "0.9"); err != nil {
		t.Fatalf("%v %s", err, text)
	}
	committed(t, c, cl, 600)
	if text, err := command(t, c, "runs", "start", "flight-delays"); err != nil {
		t.Fatalf("%v %s", err, text)
	}
	if text, err := command(t, c, "runs", "cancel", "flight-delays-1-2"); err != nil && !strings.Contains(err.Error(), "it has ended") {
		t.Fatalf("%v %s", err, text)
	}
	// The end of a process waits two seconds for its spans, not longer: by then those of the
	// canceled run are the only ones that have to be there.
	eventually(t, "the spans of the first run and of a slot", func() error {
		mu.Lock()
		defer mu.Unlock()
		missing := map[string]bool{"apply": true, "run": true, "register": true, "slot": true}
		for _, s := range spans {
			delete(missing, s.Name)
		}
		if len(missing) > 0 {
			return fmt.Errorf("%v are missing", slices.Sorted(maps.Keys(missing)))
		}
		return nil
	})
	stop() // which sends what waits

	of := func(s *tracepb.Span, key string) string {
		for _, a := range s.Attributes {
			if a.Key == key {
				return strings.Trim(a.Value.String()[strings.IndexByte(a.Value.String(), ':')+1:], `"`)
			}
		}
		return ""
	}
	mu.Lock()
	defer mu.Unlock()
	paths := map[string]int{} // of names from the first span of a trace
	slots := map[string]bool{}
	for _, s := range spans {
		path, at := s.Name, s
		for len(at.ParentSpanId) > 0 {
			parent := spans[hex.EncodeToString(at.ParentSpanId)]
			if parent == nil {
				path = "? > " + path
				break
			}
			if string(parent.TraceId) != string(s.TraceId) {
				t.Errorf("%v is of another trace than its parent", s)
			}
			path, at = parent.Name+" > "+path, parent
		}
		if run := of(s, "thalweg.run"); run != "" {
			path = run + ": " + path
		}
		paths[path]++
		if s.EndTimeUnixNano < s.StartTimeUnixNano || of(s, "thalweg.pipeline") != "flight-delays" {
			t.Errorf("%v", s)
		}
		if s.Name == "slot" {
			slots[string(s.TraceId)] = true
			if of(s, "thalweg.model.version") != "1" || of(s, "messaging.destination.name") != "flights" || of(s, "thalweg.offset.to") == "" {
				t.Errorf("%v", s)
			}
		}
	}
	id := run.Id + ": apply"
	for _, want := range []string{id, id + " > run", id + " > run > train", id + " > run > register", id + " > run > train > train", id + " > run > clean > clean",
		"flight-delays-1-2: start run > run", "slot", "slot > fetch", "slot > score", "slot > claim", "slot > write", "slot > commit"} {
		if paths[want] == 0 {
			t.Errorf("there is no span %s", want)
		}
	}
	if paths[id] != 1 || paths[id+" > run"] != 1 || paths[id+" > run > train"] != 1 || len(slots) != paths["slot"] {
		t.Errorf("%v", paths)
	}
	for path := range paths {
		if strings.Contains(path, "?") {
			t.Errorf("%s has no parent", path)
		}
	}
	t.Log(paths)
}
