package serve

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/thalweg/thalweg/pipeline/artifact/artifacttest"
	"github.com/thalweg/thalweg/worker/stream/engine"

	"github.com/thalweg/thalweg/coordinator/api"
)

const aFlight = `{"date":"2001-03-04 05:06:07","distance":70,"origin":"A1"}`

func TestRequestsThatCannotBeAnsweredSayWhy(t *testing.T) {
	t.Parallel()
	s := serving(t, artifacttest.TrainFlights(t, artifacttest.Flights, 1), Limits{})
	for _, c := range []struct {
		method, path, body string
		headers            []string
		status             int
		says               string
	}{
		{"POST", "/v1/score/others", aFlight, nil, 503, "this worker does not serve it"},
		{"POST", "/v1/score/flights/versions/7", aFlight, nil, 404, "thalweg models"},
		{"POST", "/v1/score/flights", "", nil, 400, "it is empty"},
		{"POST", "/v1/score/flights", aFlight + "}", nil, 422, "nothing after the object"},
		{"POST", "/v1/score/flights", "[" + aFlight, nil, 400, "neither a comma nor the end"},
		{"POST", "/v1/score/flights", aFlight, []string{"Content-Type", "text/csv"}, 400, "application/x-ndjson"},
		{"POST", "/v1/score/flights", aFlight, []string{"Content-Encoding", "br"}, 400, "send it as it is"},
		{"POST", "/v1/score/flights", aFlight, []string{api.TimeoutHeader, "soon"}, 400, "no number of milliseconds"},
		{"POST", "/v1/score/flights", strings.Repeat(" ", api.MaxPredictionBytes+1), nil, 413, "several requests"},
		{"GET", "/v1/score/flights", "", nil, 405, ""},
		{"POST", "/v2/models/flights/infer", `{`, nil, 400, "unexpected end"},
		{"POST", "/v2/models/flights/infer", `{"inputs":[]}`, nil, 400, "one tensor for each column"},
		{"POST", "/v2/models/flights/infer", `{"inputs":[{"name":"delay","datatype":"INT64","shape":[1],"data":[1]}]}`, nil, 400, "it has date, distance, origin"},
		{"POST", "/v2/models/flights/infer", `{"inputs":[{"name":"distance","datatype":"BYTES","shape":[1],"data":["1"]}]}`, nil, 400, "takes INT64"},
		{"POST", "/v2/models/flights/infer", `{"inputs":[{"name":"distance","datatype":"INT64","shape":[2,2],"data":[1,2,3,4]}]}`, nil, 400, "[rows] or [rows, 1]"},
		{"POST", "/v2/models/flights/infer", `{"inputs":[{"name":"distance","datatype":"INT64","shape":[3],"data":[1,2]}]}`, nil, 400, "2 elements, its shape 3"},
		{"POST", "/v2/models/flights/infer", `{"inputs":[{"name":"distance","datatype":"INT64","shape":[1],"data":[1]}]}`, nil, 400, `row 0: decode: field \"date\": missing`},
		{"POST", "/v2/models/flights/infer", `{"inputs":[{"name":"date","datatype":"BYTES","shape":[1],"data":["2001-03-04 05:06:07"]}],"outputs":[{"name":"probability"},{"name":"probability"}]}`, nil, 400, "it is asked for twice"},
		{"POST", "/v2/models/flights/infer", `{"inputs":[{"name":"date","datatype":"BYTES","shape":[1],"data":["2001-03-04 05:06:07"]}],"outputs":[{"name":"no"}]}`, nil, 400, "there are error, prediction, probability"},
	} {
		status, body, _ := ask(t, s, c.method, c.path, c.body, c.headers...)
		if status != c.status || !strings.Contains(body, c.says) || status != 405 && !json.Valid([]byte(body)) {
			t.Errorf("%s %s %.60q: %d %s, want %d %q", c.method, c.path, c.body, status, body, c.status, c.says)
		}
	}
}

func TestAModelTellsWhatItTakesAndGives(t *testing.T) {
	t.Parallel()
	s := serving(t, artifacttest.TrainFlights(t, artifacttest.Flights, 1), Limits{})
	ask(t, s, "POST", "/v1/score/flights", aFlight)
	for path, want := range map[string]string{
		"/v2/models/flights/ready":       `{"name":"flights","ready":true}`,
		"/v2/models/flights/versions/3":  `"inputs":[{"name":"date","datatype":"BYTES","shape":[-1]},{"name":"distance","datatype":"INT64","shape":[-1]},{"name":"origin","datatype":"BYTES","shape":[-1]}]`,
		"/v2/models/flights":             `"outputs":[{"name":"prediction","datatype":"BOOL","shape":[-1]},{"name":"probability","datatype":"FP64","shape":[-1]},{"name":"_model_version","datatype":"INT64","shape":[-1]}]`,
		"/v2/models/flights/stats":       `"success":{"count":1,`,
		"/v2/models/flights/versions/no": `not found`,
	} {
		if _, got, _ := ask(t, s, "GET", path, ""); !strings.Contains(got, want) {
			t.Errorf("%s is %s, not %s", path, got, want)
		}
	}
	s.Drain()
	if status, _, _ := ask(t, s, "GET", "/v2/models/flights/ready", ""); status != 503 {
		t.Errorf("a model is ready of a worker that stops: %d", status)
	}
}

// TestLinesAreAnsweredAsTheyCome: before the last one is sent.
func TestLinesAreAnsweredAsTheyCome(t *testing.T) {
	t.Parallel()
	s := serving(t, artifacttest.TrainFlights(t, artifacttest.Flights, 1), Limits{})
	server := httptest.NewServer(s.Handler())
	defer server.Close()
	body, lines := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/v1/score/flights", body)
	check(t, err)
	req.Header.Set("Content-Type", ndjsonType)
	go fmt.Fprintln(lines, aFlight)
	res, err := server.Client().Do(req)
	check(t, err)
	defer res.Body.Close()
	answers := bufio.NewReader(res.Body)
	for i := range 3 {
		line, err := answers.ReadString('\n')
		if err != nil || !strings.Contains(line, `"probability":`) {
			t.Fatalf("answer %d is %q, %v", i, line, err)
		}
		if i < 2 {
			fmt.Fprintln(lines, aFlight)
		}
	}
	fmt.Fprint(lines, strings.Repeat("x", maxLineBytes+64<<10))
	if line, err := answers.ReadString('\n'); err != nil || !strings.Contains(line, `"error":"read request`) {
		t.Errorf("a line without end: %q, %v", line, err)
	}
	lines.Close()
}

// TestAVersionThatCannotBeLoadedLeavesTheOneBefore, and one that can takes over.
func TestAVersionThatCannotBeLoadedLeavesTheOneBefore(t *testing.T) {
	t.Parallel()
	a := artifacttest.TrainFlights(t, artifacttest.Flights, 1)
	fixed := &engine.Fixed{Candidate: engine.Candidate{Model: flights}, Artifact: a}
	e := NewEndpoint(EndpointConfig{Pipeline: "flights", Alias: "champion"}, fixed, nil, slog.New(slog.DiscardHandler))
	s := NewServer(nil, nil)
	s.Add(e)
	if status, body, _ := ask(t, s, "POST", "/v1/score/flights", aFlight); status != 503 || !strings.Contains(body, "its model is being loaded") {
		t.Errorf("before it has a version: %d %s", status, body)
	}
	next := engine.Candidate{Model: engine.Model{Name: flights.Name, Version: 4}}
	if e.follow(t.Context(), []engine.Candidate{next, fixed.Candidate}) {
		t.Error("a version that is not there was loaded")
	}
	version, why := e.Status()
	if version != 3 || !strings.Contains(why, "only flight-delays 3 is at hand") || len(e.Refused()) != 1 {
		t.Errorf("version %d answers, because %q", version, why)
	}
	fixed.Candidate = next
	if !e.follow(t.Context(), []engine.Candidate{next}) {
		t.Error("the version was not loaded")
	}
	if _, body, _ := ask(t, s, "POST", "/v1/score/flights", aFlight); !strings.Contains(body, `"_model_version":4`) {
		t.Errorf("after the swap: %s", body)
	}
	e.Offer([]Offered{{next.Model, []string{"green"}}, {flights, []string{"blue"}}})
	fixed.Candidate.Model = flights
	if _, body, _ := ask(t, s, "POST", "/v1/score/flights/versions/blue", aFlight); !strings.Contains(body, `"_model_version":3`) {
		t.Errorf("the version before: %s", body)
	}
}
