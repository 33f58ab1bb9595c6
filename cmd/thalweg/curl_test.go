package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/docs/reference"
)

// What documents show of curl: its command over the lines that it has, the body and
// the address in it; and the calls of a function for it.
var (
	curlLine = regexp.MustCompile(`(?m)^\s*(?:\S+ )*curl [^\n]*(?:\\\n[^\n]*)*`)
	curlBody = regexp.MustCompile(`-d '([^']*)'`)
	curlURL  = regexp.MustCompile(`http://127\.0\.0\.1:7070(/\S*)`)
	callLine = regexp.MustCompile(`(?m)^call (\w+) '([^']*)'`)
)

// TestExamplesOfCurlWork: each one in a document or help text is a call that there
// is, with a body that it takes.
func TestExamplesOfCurlWork(t *testing.T) {
	var texts []string
	for _, pattern := range []string{"../../*.md", "../../docs/reference/*.md", "../../*/DESIGN.md"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			texts = append(texts, string(text))
		}
	}
	for _, c := range newRoot().Commands() {
		texts = append(texts, c.Example)
	}
	mux := http.NewServeMux()
	mux.Handle(apiv1.NewCoordinatorServiceHandler(&answers{runs: someRuns(), models: someModels(), applied: &apiv1.ApplyResponse{}}))
	mux.HandleFunc("GET /openapi.yaml", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(reference.OpenAPI) })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	tried := 0
	call := func(path, body string) {
		t.Helper()
		tried++
		method := http.MethodPost
		if body == "" {
			method = http.MethodGet
		}
		req, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(res.Body)
		res.Body.Close()
		// The run that an example names need not be one of those here, and answers are
		// to what people call.
		known := res.StatusCode == http.StatusOK || strings.HasPrefix(string(answer), `{"code":"`+connect.CodeNotFound.String()) ||
			strings.HasPrefix(string(answer), `{"code":"`+connect.CodeUnimplemented.String())
		if err != nil || !known {
			t.Errorf("%s %s: %s %s %v", path, body, res.Status, answer, err)
		}
		methods := apiv1.File_coordinator_api_v1_coordinator_proto.Services().Get(0).Methods()
		if m := methods.ByName(protoreflect.Name(filepath.Base(path))); m != nil {
			if err := protojson.Unmarshal([]byte(body), dynamicpb.NewMessage(m.Input())); err != nil {
				t.Errorf("%s %s: %v", path, body, err)
			}
		}
	}
	for _, text := range texts {
		for _, line := range curlLine.FindAllString(text, -1) {
			if url := curlURL.FindStringSubmatch(line); url != nil && !strings.Contains(line, "call()") {
				body := curlBody.FindStringSubmatch(line)
				if body == nil {
					body = []string{"", ""}
				} else if !strings.Contains(line, "Content-Type: application/json") {
					t.Errorf("%s: curl says no type of the body", line)
				}
				call(url[1], body[1])
			}
		}
		for _, c := range callLine.FindAllStringSubmatch(text, -1) {
			call("/thalweg.coordinator.v1.CoordinatorService/"+c[1], c[2])
		}
	}
	if tried < 13 {
		t.Errorf("%d examples were found, which cannot be all", tried)
	}
}
