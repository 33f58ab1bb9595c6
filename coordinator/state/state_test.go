package state

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	"github.com/thalweg/thalweg/coordinator/level"
)

// Tombstones are bounded: of the oldest only a bound of their numbers is kept, and
// none of them is given again.
func TestNumbersOfForgottenPipelinesAreNotGivenAgain(t *testing.T) {
	s := New()
	apply := func(c Command) Answer {
		t.Helper()
		entry, err := Encode(c, "", 1)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := s.Apply(s.Index()+1, entry)
		if err != nil || answer.Err() != nil {
			t.Fatal(err, answer.Err())
		}
		return answer
	}
	spec := func(name, text string) Answer {
		return apply(&ApplySpec{Pipeline: thalweg.PipelineName(name), Text: text, Model: thalweg.ModelName(name), Alias: "champion", Stages: specPlan(1)})
	}
	for i := range MaxDeleted + 2 {
		name := fmt.Sprintf("p%d", i)
		for text := range 3 {
			spec(name, fmt.Sprint(text))
		}
		apply(&DeletePipeline{Pipeline: thalweg.PipelineName(name)})
	}
	restored, err := Decode(encoded(t, s))
	if err != nil || len(restored.deleted) != MaxDeleted || s.Tombstone("p1") != nil || s.Tombstone("p2") == nil {
		t.Fatalf("%d are remembered: %v", len(s.deleted), err)
	}
	for _, name := range []string{"p0", "p2", "new"} {
		if g := spec(name, "0").Generation; g != 4 {
			t.Errorf("%s begins at generation %d", name, g)
		}
	}
}

func TestEntriesOfAnIndexAppliedBeforeAreIgnored(t *testing.T) {
	s := New()
	entry := mustEncode(t, &ApplySpec{Pipeline: "a", Text: "v1", Model: "a", Alias: "champion", Stages: specPlan(1)}, "")
	if a, err := s.Apply(5, entry); err != nil || !a.Changed {
		t.Fatalf("first: %+v, %v", a, err)
	}
	before := encoded(t, s)
	for _, index := range []uint64{5, 4} {
		if a, err := s.Apply(index, mustEncode(t, &StartRun{Pipeline: "a", Generation: 1, Stages: specPlan(1)}, "")); err != nil || a.Changed || a.Failure != nil {
			t.Errorf("index %d again: %+v, %v", index, a, err)
		}
	}
	if !bytes.Equal(before, encoded(t, s)) {
		t.Error("an old index changed the state")
	}
}

// TestAGenerationKnowsHowItWasWrittenLast: the same spec in another file or with
// other comments is no new generation, and what cites it cites the newest text.
func TestAGenerationKnowsHowItWasWrittenLast(t *testing.T) {
	s := New()
	for i, file := range []string{"a.yaml", "b.yaml"} {
		entry := mustEncode(t, &ApplySpec{Pipeline: "a", Text: "v1", Model: "a", Alias: "champion", Stages: specPlan(1), File: file, Written: "# of " + file}, "")
		if a, err := s.Apply(uint64(i+1), entry); err != nil || a.Changed != (i == 0) {
			t.Fatalf("%s: %+v, %v", file, a, err)
		}
		if p := s.Pipeline("a").Newest(); p.Generation != 1 || p.File != file || p.Written != "# of "+file {
			t.Errorf("after %s: %+v", file, p)
		}
	}
	long := mustEncode(t, &ApplySpec{Pipeline: "a", Text: "v2", Model: "a", Alias: "champion", Stages: specPlan(1), File: strings.Repeat("x", MaxTextBytes+1)}, "")
	if a, err := s.Apply(3, long); err != nil || a.Failure == nil || a.Failure.Kind != thalweg.Exhausted {
		t.Errorf("a name without bound: %+v, %v", a, err)
	}
}

func TestTimeNeverRunsBackwards(t *testing.T) {
	s := New()
	apply := func(index uint64, timeMS int64, text string) {
		entry, err := Encode(&ApplySpec{Pipeline: "a", Text: text, Model: "a", Alias: "champion", Stages: specPlan(1)}, "", timeMS)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Apply(index, entry); err != nil {
			t.Fatal(err)
		}
	}
	apply(1, 1000, "v1")
	apply(2, 900, "v2") // another leader, whose clock is behind
	first, second := s.Run("a-1-1"), s.Run("a-2-1")
	if second.StartedMS < first.StartedMS || first.EndedMS < first.StartedMS {
		t.Errorf("started %d and %d, the first ended %d", first.StartedMS, second.StartedMS, first.EndedMS)
	}
}

func TestWhatIsNotUnderstoodStopsTheNode(t *testing.T) {
	for name, entry := range map[string]string{
		"unknown command":       `{"command":"fly","time_ms":1,"body":{}}`,
		"unknown field":         `{"command":"start run","time_ms":1,"body":{"pipeline":"a","priority":3}}`,
		"unknown envelope part": `{"command":"start run","time_ms":1,"shard":4,"body":{"pipeline":"a"}}`,
		"no body":               `{"command":"start run","time_ms":1}`,
		"unknown level":         fmt.Sprintf(`{"command":"raise level","time_ms":1,"body":{"to":%d}}`, level.Known+1),
	} {
		s := New()
		before := encoded(t, s)
		if _, err := s.Apply(1, []byte(entry)); !thalweg.Is(err, thalweg.Unsupported) {
			t.Errorf("%s: %v", name, err)
		}
		if !bytes.Equal(before, encoded(t, s)) {
			t.Errorf("%s: it changed the state", name)
		}
	}
}

func TestALevelThatThisBuildDoesNotKnowIsRefused(t *testing.T) {
	s := New()
	if _, err := s.Apply(1, mustEncode(t, &RaiseLevel{To: level.Known}, "")); err != nil || s.Level() != level.Known {
		t.Errorf("level %d, want %d: %v", s.Level(), level.Known, err)
	}
	if _, err := s.Apply(2, mustEncode(t, &RaiseLevel{To: firstLevel}, "")); err != nil || s.Level() != level.Known {
		t.Errorf("level %d after one of before, want %d: %v", s.Level(), level.Known, err)
	}
	s.level = level.Known
	kept, err := Decode(encoded(t, s))
	if err != nil || kept.Level() != level.Known {
		t.Errorf("a snapshot keeps another level than %d: %v", level.Known, err)
	}
	s.level = level.Known + 1
	if _, err := Decode(encoded(t, s)); !thalweg.Is(err, thalweg.Unsupported) {
		t.Errorf("a snapshot of level %d: %v", level.Known+1, err)
	}
}

func TestDamagedEntryIsNotTakenForANewerBuilds(t *testing.T) {
	for _, entry := range []string{`command 2`, `{"command":"start run","time_ms":1,"body":{}} {}`, `{"command":"start run","time_ms":1,"bo`, ``} {
		if _, err := New().Apply(1, []byte(entry)); !thalweg.Is(err, thalweg.Corrupt) || strings.Contains(err.Error(), "newer") {
			t.Errorf("%q: %v", entry, err)
		}
	}
}

func TestEachCommandHasItsOwnName(t *testing.T) {
	names := make(map[string]bool)
	for i, blank := range catalog {
		name := Name(blank())
		if name == "" || names[name] {
			t.Errorf("line %d of the catalog is command %q, which has no name or another's", i+1, name)
		}
		names[name] = true
	}
}

func TestOnlyTheLastAnswersAreKept(t *testing.T) {
	s := New()
	for i := range uint64(MaxRequests + 2) {
		if _, err := s.Apply(i+1, mustEncode(t, &StartRun{Pipeline: "nobody"}, fmt.Sprintf("r%d", i))); err != nil {
			t.Fatal(err)
		}
	}
	checkInvariants(t, s)
	for id, want := range map[string]bool{"r0": false, "r1": false, "r2": true, fmt.Sprintf("r%d", MaxRequests+1): true} {
		if kept := s.request(id) != nil; kept != want {
			t.Errorf("request %s is kept: %v", id, kept)
		}
	}
	if _, err := Decode(encoded(t, s)); err != nil {
		t.Error(err)
	}
	if _, err := Encode(&StartRun{}, strings.Repeat("x", MaxRequestIDBytes+1), 1); !thalweg.Is(err, thalweg.Invalid) {
		t.Errorf("a request id over the bound: %v", err)
	}
}

func TestOldRunsAndGenerationsAreDropped(t *testing.T) {
	s := New()
	index := uint64(0)
	apply := func(c Command) Answer {
		index++
		a, err := s.Apply(index, mustEncode(t, c, ""))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for i := range MaxGenerations + 3 {
		apply(&ApplySpec{Pipeline: "a", Text: fmt.Sprint(i), Model: "a", Alias: "champion", Stages: specPlan(1)})
	}
	p := s.Pipeline("a")
	if len(p.Specs) != MaxGenerations || p.Spec(3) != nil || p.Spec(4) == nil || p.Spec(0) != p.Newest() {
		t.Errorf("%d generations are kept, from %d to %d", len(p.Specs), p.Specs[0].Generation, p.Newest().Generation)
	}
	for range MaxRuns + 5 {
		apply(&CancelRun{Run: p.ActiveRun})
		apply(&StartRun{Pipeline: "a", Generation: p.Newest().Generation, Stages: specPlan(1)})
	}
	// Runs are kept until they are dropped by name, an active one even then.
	held := MaxGenerations + 3 + MaxRuns + 5
	surplus := s.Surplus()
	if n := len(s.RunsByPipeline()["a"]); n != held || len(surplus) != held-MaxRuns || surplus[0].ID != "a-1-1" {
		t.Errorf("%d runs are kept, %d of them are too many", n, len(surplus))
	}
	for len(s.RunsByPipeline()["a"]) < MaxHeldRuns {
		apply(&CancelRun{Run: p.ActiveRun})
		apply(&StartRun{Pipeline: "a", Generation: p.Newest().Generation, Stages: specPlan(1)})
	}
	apply(&CancelRun{Run: p.ActiveRun})
	for _, c := range []Command{&StartRun{Pipeline: "a", Generation: p.Newest().Generation, Stages: specPlan(1)},
		&ApplySpec{Pipeline: "a", Text: "more", Model: "a", Alias: "champion", Stages: specPlan(1)}} {
		if err := apply(c).Err(); !thalweg.Is(err, thalweg.Exhausted) {
			t.Errorf("%s beside %d runs: %v", Name(c), MaxHeldRuns, err)
		}
	}
	drop := &DropRuns{Cluster: "c1", Runs: []thalweg.RunID{"a-1-1", "nobody"}}
	for _, r := range s.Surplus() {
		record, err := EncodeRun(r)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := DecodeRun(record); err != nil || back.ID != r.ID || back.Stage().Name != r.Stage().Name {
			t.Fatalf("record of %s: %v", r.ID, err)
		}
		drop.Runs = append(drop.Runs, r.ID)
	}
	apply(drop)
	if s.Cluster() != "c1" {
		t.Errorf("the cluster is called %q", s.Cluster())
	}
	started := apply(&StartRun{Pipeline: "a", Generation: p.Newest().Generation, Stages: specPlan(1)})
	apply(&DropRuns{Cluster: "c1", Runs: []thalweg.RunID{started.Run}})
	// Records under another ID, or none, are no reason to drop a run.
	apply(&CancelRun{Run: started.Run})
	for _, cluster := range []string{"", "c2", strings.Repeat("c", MaxClusterIDBytes+1)} {
		if answer := apply(&DropRuns{Cluster: cluster, Runs: []thalweg.RunID{started.Run}}); answer.Changed || s.Run(started.Run) == nil {
			t.Errorf("a run was dropped for records of cluster %q", cluster)
		}
	}
	apply(&StartRun{Pipeline: "a", Generation: p.Newest().Generation, Stages: specPlan(1)})
	if n := len(s.RunsByPipeline()["a"]); n != MaxRuns+2 || s.Run(p.ActiveRun) == nil {
		t.Errorf("%d runs are kept", n)
	}
	checkInvariants(t, s)
	if _, err := Decode(encoded(t, s)); err != nil {
		t.Error(err)
	}
	if _, err := DecodeRun([]byte(`{"id":"a-1-1","state":"failed","at":3,"stages":[]}`)); !thalweg.Is(err, thalweg.Corrupt) {
		t.Errorf("a damaged record: %v", err)
	}
}

func TestEndedRunKeepsFewTasks(t *testing.T) {
	m := newMachine(t)
	m.apply(&ApplySpec{Pipeline: "a", Text: "v1", Model: "a", Alias: "champion", Stages: specPlan(1)}, "")
	m.apply(&GrantLeases{Worker: "w", Grants: []Lease{{Task: "a-1-1/profile.reduce"}}}, "")
	m.apply(&ReportTask{Task: "a-1-1/profile.reduce", Token: 2, Results: Results{Counts: map[string]int64{"shards": 2 * MaxKeptTasks * shardsTogether},
		Outputs: map[string]string{"manifest": "m"}}}, "")
	if n := len(m.live.Run("a-1-1").Current().Tasks); n != 2*MaxKeptTasks {
		t.Fatalf("%d tasks", n)
	}
	m.apply(&CancelRun{Run: "a-1-1"}, "")
	r := m.live.Run("a-1-1")
	if stage := r.Stages[1]; len(stage.Tasks) > MaxKeptTasks || stage.Total != 2*MaxKeptTasks+1 {
		t.Errorf("%d tasks are kept of %d", len(stage.Tasks), stage.Total)
	}
}

func TestErrorsAreCut(t *testing.T) {
	if got := clip(strings.Repeat("é", MaxTextBytes)); len(got) > MaxTextBytes || !strings.HasSuffix(got, "é") {
		t.Errorf("cut to %d bytes, ending %q", len(got), got[len(got)-2:])
	}
}

func mustEncode(t tester, c Command, id string) []byte {
	t.Helper()
	entry, err := Encode(c, id, 1)
	if err != nil {
		t.Fatal(err)
	}
	return entry
}

// A run may be of any stages, but without a checkpoint there is no version.
func TestARunWithoutACheckpointRegistersNoVersion(t *testing.T) {
	m := newMachine(t)
	m.apply(&ApplySpec{Pipeline: "p", Text: "x", Model: "m", Alias: "champion", Stages: []stages.Plan{{Name: "register", Over: stages.OverNothing}}}, "")
	m.apply(&RegisterModel{Run: "p-1-1"}, "")
	if r := m.live.Run("p-1-1"); r.State != RunFailed || m.live.Model("m") != nil {
		t.Errorf("run %v (%s), model %v", r.State, r.Error, m.live.Model("m"))
	}
}
