package serve

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/artifact/artifacttest"
	"github.com/thalweg/thalweg/pipeline/rollout"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// both are the Models of a champion, version 1, and a candidate, version 2.
type both [rollout.Arms]*artifact.Artifact

func (both) Candidates() ([]engine.Candidate, <-chan struct{}) { return nil, nil }

func (m both) Load(_ context.Context, of engine.Model) (*artifact.Artifact, error) {
	return m[of.Version-1], nil
}

// TestRowsOfARolloutAreAnsweredAsStreamsScoreThem: by the version that the hash of the column
// says, as that alone answers; of a shadow by the champion.
func TestRowsOfARolloutAreAnsweredAsStreamsScoreThem(t *testing.T) {
	models := both{artifacttest.TrainFlights(t, artifacttest.Flights, 1), artifacttest.TrainFlights(t, artifacttest.Flights, 2)}
	var tallies engine.Tallies
	served := func(m engine.Model) *Server {
		e := NewEndpoint(EndpointConfig{Pipeline: "flights", Generation: 1, Alias: "champion", Limits: Limits{MaxBatch: 50}, Engine: engine.Config{MaxEventBytes: engine.DefaultMaxEventBytes, Tally: tallies.Of}},
			models, NewMetrics(nil), slog.New(slog.DiscardHandler))
		if !e.follow(t.Context(), []engine.Candidate{{Model: m}}) {
			_, why := e.Status()
			t.Fatal(why)
		}
		s := NewServer(e.metrics, nil)
		s.Add(e)
		return s
	}
	var rows []string
	for i := range 120 {
		row := fmt.Sprintf(`{"date":"2001-03-%02d %02d:00:00","distance":%d,"origin":"a%d"}`, 1+i%28, i%24, 100+i, i%17)
		if i%19 == 3 {
			row = `{"date":"never","distance":1,"origin":"a1"}`
		}
		rows = append(rows, row)
	}
	body := "[" + strings.Join(rows, ",") + "]"
	answers := func(m engine.Model) (out []json.RawMessage) {
		status, text, _ := ask(t, served(m), "POST", "/v1/score/flights", body)
		if err := json.Unmarshal([]byte(text), &out); err != nil || status != 200 || len(out) != len(rows) {
			t.Fatalf("%d: %.200s: %v", status, text, err)
		}
		return out
	}
	pair := engine.Model{Name: "m", Version: 1, Rollout: commitlog.Rollout{Candidate: 2, Percent: 40, Salt: "s", By: "origin"}}
	var alone [rollout.Arms][]json.RawMessage
	for k, m := range pair.Arms() {
		alone[k] = answers(m)
	}
	got := answers(pair)
	n := [rollout.Arms]int64{}
	for i, answer := range got {
		arm := rollout.NewHash("s").Text(fmt.Sprintf("a%d", i%17)).Arm(40)
		if i%19 == 3 {
			arm = rollout.NewHash("s").Text("a1").Arm(40)
		}
		n[arm]++
		if string(answer) != string(alone[arm][i]) {
			t.Errorf("row %d is answered %s, by the %s alone %s", i, answer, rollout.ArmName(arm), alone[arm][i])
		}
	}
	counts, _ := tallies.Of(pair).Counts()
	if counts[rollout.Champion].Events != n[rollout.Champion] || counts[rollout.Candidate].Events != n[rollout.Candidate] || n[rollout.Candidate] == 0 {
		t.Errorf("%d and %d rows are counted of %v", counts[rollout.Champion].Events, counts[rollout.Candidate].Events, n)
	}
	pair.Rollout.Shadow = true
	if got := answers(pair); !slices.EqualFunc(got, alone[rollout.Champion], func(a, b json.RawMessage) bool { return string(a) == string(b) }) {
		t.Error("a shadow answers")
	}
	if counts, _ := tallies.Of(pair).Counts(); counts[rollout.Champion].Events != int64(len(rows)) || counts[rollout.Candidate].Events != n[rollout.Candidate] {
		t.Errorf("a shadow counts %d and %d rows", counts[rollout.Champion].Events, counts[rollout.Candidate].Events)
	}
}
