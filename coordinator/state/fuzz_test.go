package state

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/audit"
)

// seedTasks are the tasks of a run with one shard and one replica, in order.
var seedTasks = []thalweg.TaskID{"profile.reduce", "clean@0", "clean.reduce", "fit@0", "fit.reduce", "train@0", "evaluate@0", "evaluate.reduce"}

// partialsOf returns a partial for each reducer that a task writes for.
func partialsOf(t *Task) []string {
	if t == nil || t.Stage == nil || t.Reduce {
		return nil
	}
	return slices.Repeat([]string{"p"}, int(t.Stage.Reducers))
}

// carryOut grants a task and reports it as done.
func (m *machine) carryOut(id thalweg.TaskID) {
	m.t.Helper()
	m.apply(&GrantLeases{Worker: "w", Incarnation: "i", Grants: []Lease{{Task: id}}}, "")
	m.apply(&ReportTask{Task: id, Token: thalweg.Token(m.index), Results: Results{Partials: partialsOf(m.live.Task(id)), Counts: map[string]int64{"shards": 1}, Metrics: map[string]float64{"x": 0.5},
		Outputs: map[string]string{"manifest": "m", "split": "s", "transform": "t", "evaluation": "e", "checkpoint": "c"}}}, "")
}

// seedState returns a state with a little of everything.
func seedState(t tester) *State {
	m := newMachine(t)
	m.apply(&ApplySpec{Pipeline: "a", Text: "v1", Model: "m", Alias: "champion", Stages: specPlan(1), Topic: "x"}, "r1")
	grant := func(id thalweg.TaskID) {
		m.apply(&GrantLeases{Worker: "w", Incarnation: "i", Grants: []Lease{{Task: id}}}, "")
	}
	for _, id := range seedTasks {
		m.carryOut("a-1-1/" + id)
	}
	m.apply(&RegisterModel{Run: "a-1-1"}, "")
	m.apply(&StartRun{Pipeline: "a", Generation: 1, Stages: specPlan(1)}, "")
	grant("a-1-2/profile.reduce")
	grant("a/score@0")
	m.apply(&SetStream{Pipeline: "a", Skip: &SkipAuthorization{From: 3, To: 7, TopicID: "T1", Accept: "T2"}}, "")
	m.apply(&SetPartitions{Pipeline: "a", Topic: "x", Partitions: 1}, "")
	m.apply(&SetPartitions{Pipeline: "a", Topic: "x", Partitions: 2}, "")
	m.apply(&CreateToken{Name: "ci", Hash: hashOf("ci"), Role: "submitter", Pipelines: []string{"a*"}, ExpiresMS: 1_000_000}, "")
	m.apply(&DropAudit{Cluster: "c1", Upto: audit.Head{Seq: 1, Hash: m.live.AuditRecords()[0].Hash}}, "")
	return m.live
}

// FuzzDecode: a snapshot is refused, or decodes to a state that keeps the
// invariants, encodes to the same state, and takes commands without a panic.
func FuzzDecode(f *testing.F) {
	f.Add(encoded(f, New()))
	f.Add(encoded(f, seedState(f)))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Decode(data)
		if err != nil {
			if !thalweg.Is(err, thalweg.Corrupt) && !thalweg.Is(err, thalweg.Unsupported) {
				t.Fatalf("refused without a kind: %v", err)
			}
			return
		}
		first := encoded(t, s)
		again, err := Decode(first)
		if err != nil {
			t.Fatalf("its own encoding is refused: %v", err)
		}
		if second := encoded(t, again); !bytes.Equal(first, second) {
			t.Fatalf("not a fixed point:\n%s\n%s", first, second)
		}
		exercise(t, s)
	})
}

// exercise applies commands that reach all parts of the seed state.
func exercise(t tester, s *State) {
	index := s.Index()
	for _, id := range []thalweg.TaskID{"a-1-2/profile.reduce", "a/score@0", "a-1-2/clean@0", "a-1-2/clean.reduce", "a-1-2/train@0"} {
		for _, c := range []Command{
			&GrantLeases{Worker: "v", Grants: []Lease{{Task: id}}},
			&ReportTask{Task: id, Token: 1, Failure: &ReportFailure{Error: "x"}},
			&ReportTask{Task: id, Token: thalweg.Token(index), Results: Results{Partials: partialsOf(s.Task(id)), Outputs: map[string]string{"manifest": "m"}, Counts: map[string]int64{"shards": 1}}},
			Release("w", s.HeldBy("w")...),
			&RegisterModel{Run: "a-1-2"}, &StartRun{Pipeline: "a", Generation: 1, Stages: specPlan(1)}, &CancelRun{Run: "a-1-2"}, &DropRuns{Cluster: "c1", Runs: []thalweg.RunID{"a-1-1"}},
			&SetPartitions{Pipeline: "a", Topic: "x", Partitions: 3},
			&TripStream{Pipeline: "a", Generation: 1, Reason: "too many"}, &SetStream{Pipeline: "a", Skip: &SkipAuthorization{From: 1, To: 2}}, &SetSchedule{Pipeline: "a", Paused: true},
			&CreateToken{Name: "cd", Hash: hashOf("cd"), Role: "reader"}, &RevokeToken{Name: "ci"}, &DropAudit{Cluster: "c1", Upto: s.AuditHead()},
			&ApplySpec{Pipeline: "a", Text: "v2", Model: "m", Alias: "champion", Stages: specPlan(1)},
		} {
			if index++; index == 0 {
				return // the largest index there is
			}
			entry, err := EncodeFor(&audit.Caller{Name: "ada"}, c, "", 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Apply(index, entry); err != nil {
				t.Fatalf("%s: %v", Name(c), err)
			}
		}
	}
}

// TestDamagedSnapshots changes one value of a snapshot at a time: it is refused,
// or decodes to a state that takes commands without a panic.
func TestDamagedSnapshots(t *testing.T) {
	t.Parallel()
	var whole any
	if err := json.Unmarshal(encoded(t, seedState(t)), &whole); err != nil {
		t.Fatal(err)
	}
	refused, taken := 0, 0
	try := func() {
		data, err := json.Marshal(whole)
		if err != nil {
			t.Fatal(err)
		}
		s, err := Decode(data)
		if err != nil {
			refused++
			return
		}
		taken++
		exercise(t, s)
	}
	var visit func(v any, set func(any))
	visit = func(v any, set func(any)) {
		for _, damage := range []any{nil, "other", -1.0, 0.0, 7.0, []any{nil}, map[string]any{}} {
			set(damage)
			try()
		}
		set(v)
		switch v := v.(type) {
		case map[string]any:
			for _, k := range slices.Sorted(maps.Keys(v)) {
				was := v[k]
				visit(was, func(to any) { v[k] = to })
				delete(v, k)
				try()
				v[k] = was
			}
		case []any:
			for i, was := range v {
				visit(was, func(to any) { v[i] = to })
			}
		}
	}
	visit(whole, func(to any) { whole = to })
	if refused == 0 || taken == 0 {
		t.Errorf("%d damaged snapshots were refused, %d taken", refused, taken)
	}
}

// FuzzApply: an entry is refused as not understood or damaged, or applied; what comes out
// keeps the invariants and survives a snapshot.
func FuzzApply(f *testing.F) {
	for _, blank := range catalog {
		f.Add(mustEncode(f, blank(), ""))
	}
	f.Add(mustEncode(f, &ReportTask{Task: "a-1-2/profile.reduce", Token: 20, Results: Results{Counts: map[string]int64{"shards": 3}, Outputs: map[string]string{"manifest": "m"}}}, "r2"))
	f.Add(mustEncode(f, &ApplySpec{Pipeline: "b", Text: "v1", Model: "m", Alias: "champion", Stages: specPlan(3), Topic: "x"}, "r3"))
	f.Add(mustEncode(f, &SetPartitions{Pipeline: "a", Topic: "x", Partitions: 9}, ""))
	seed := encoded(f, seedState(f))
	f.Fuzz(func(t *testing.T, entry []byte) {
		s, err := Decode(seed)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Apply(s.Index()+1, entry); err != nil {
			if !thalweg.Is(err, thalweg.Unsupported) && !thalweg.Is(err, thalweg.Corrupt) {
				t.Fatalf("refused without its kind: %v", err)
			}
			return
		}
		checkInvariants(t, s)
		if _, err := Decode(encoded(t, s)); err != nil {
			t.Fatal(err)
		}
	})
}
