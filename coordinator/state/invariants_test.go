package state

import (
	"slices"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/audit"
)

// tester is what tests, fuzz tests and property tests have in common.
type tester interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// checkInvariants checks what DESIGN.md promises of any one state; the numbers
// are those of its list. Promises over time are checked by the model test.
func checkInvariants(t tester, s *State) {
	t.Helper()
	leased := 0
	for id, task := range s.tasks {
		if task.ID != id {
			t.Fatalf("task %s is kept as %s", task.ID, id)
		}
		switch task.State {
		case TaskLeased: // S1: a live lease has one holder, a token of this log, and is found by its holder
			leased++
			if task.Worker == "" || task.Token == 0 || uint64(task.Token) > s.index || s.held[task.Worker][id] != task {
				t.Fatalf("S1: task %s is leased to %q with token %d, which its holder does not know", id, task.Worker, task.Token)
			}
		case TaskWaiting:
			if task.Worker != "" {
				t.Fatalf("S1: task %s waits, but is held by %s", id, task.Worker)
			}
		case TaskFailed:
			t.Fatalf("S5: failed task %s is live", id)
		}
		if len(task.Failures) >= MaxFailures {
			t.Fatalf("S5: task %s lives after %d failures", id, len(task.Failures))
		}
	}
	held := 0
	for w, tasks := range s.held {
		if len(tasks) == 0 {
			t.Fatalf("S1: %s holds nothing, but is kept", w)
		}
		held += len(tasks)
	}
	if held != leased {
		t.Fatalf("S1: %d tasks are leased, %d are held", leased, held)
	}
	live := checkJobs(t, s)
	for p := range s.Pipelines() {
		active := 0
		for r := range s.Runs() {
			if r.Pipeline == p.Name && r.State == RunRunning {
				active++
				if p.ActiveRun != r.ID { // S6: a pipeline has one active run at most
					t.Fatalf("S6: run %s is running, but %q is %s's active run", r.ID, p.ActiveRun, p.Name)
				}
				if stage := r.Current(); stage != nil {
					live += len(stage.Tasks)
					for _, task := range stage.Tasks {
						if read := stage.Partials(task); uint32(len(read)) != stage.Reads(task) || slices.Contains(read, "") { // S12: what a task reads is there
							t.Fatalf("S12: %s reads %q of %d", task.ID, read, stage.Reads(task))
						}
						if b := task.Backup; b != nil { // S11: a backup does a task that another worker does or did, and ends with it
							live++
							if s.tasks[b.ID] != b || b.Of != task || (b.State == TaskDone) != (task.State == TaskDone) || b.Worker == task.Worker && b.Worker != "" {
								t.Fatalf("S11: %s (%s, %s) has the backup %s (%s, %s)", task.ID, task.State, task.Worker, b.ID, b.State, b.Worker)
							}
						}
					}
				}
			}
		}
		if active > 1 || active == 0 && p.ActiveRun != "" {
			t.Fatalf("S6: %s has %d active runs and names %q", p.Name, active, p.ActiveRun)
		}
		if p.PauseReason != "" && !p.Paused { // S9: a reason to pause is one of a paused stream
			t.Fatalf("S9: %s is not paused because of %q", p.Name, p.PauseReason)
		}
		live += len(p.Partitions)
		if s.deleted[p.Name] != nil { // S10: a pipeline is there or deleted
			t.Fatalf("S10: %s is there, and deleted", p.Name)
		}
	}
	if live != len(s.tasks) { // S7: only tasks of running stages and partitions can be leased
		t.Fatalf("S7: %d tasks are live, %d belong to running stages and streams", len(s.tasks), live)
	}
	for m := range s.Models() {
		runs := make(map[thalweg.RunID]bool)
		for i, v := range m.Versions {
			if v.Version != m.Before+thalweg.ModelVersion(i+1) || runs[v.Run] { // S4: versions are numbered without gap, and a run registers once
				t.Fatalf("S4: model %s version %d of run %s", m.Name, v.Version, v.Run)
			}
			runs[v.Run] = true
		}
		for name, a := range m.Aliases {
			if m.Version(a.Version) == nil || m.Version(a.Version).Collected {
				t.Fatalf("S4: alias %s of %s points to version %d", name, m.Name, a.Version)
			}
			if r := a.Rollout; r.Going() && (a.Version != r.Champion || r.Candidate == r.Champion || m.Version(r.Candidate) == nil || m.Version(r.Candidate).Collected) {
				t.Fatalf("S16: alias %s of %s points to version %d, and %d is to take over from %d", name, m.Name, a.Version, r.Candidate, r.Champion)
			}
		}
	}
	for i, r := range s.AuditRecords() { // S13: the end of the audit log is a chain, up to its head
		before := audit.Head{Seq: r.Seq - 1, Hash: r.Previous}
		if i > 0 {
			before = audit.Head{Seq: s.AuditRecords()[i-1].Seq, Hash: s.AuditRecords()[i-1].Hash}
		}
		head, err := before.Next(r)
		if last := i == len(s.AuditRecords())-1; err != nil || last && head != s.AuditHead() {
			t.Fatalf("S13: %v; head %+v, and %+v", err, head, s.AuditHead())
		}
	}
	if len(s.AuditRecords()) > MaxAudit {
		t.Fatalf("S13: %d records are kept", len(s.AuditRecords()))
	}
	if len(s.tokens) > MaxTokens || len(s.tokens) != len(s.tokensByHash) || len(s.tokens) > 0 && !s.tokensMade { // S14: a token is found by its hash
		t.Fatalf("S14: %d tokens, %d hashes, made %v", len(s.tokens), len(s.tokensByHash), s.tokensMade)
	}
	for token := range s.Tokens() {
		if s.TokenByHash(token.Hash) != token {
			t.Fatalf("S14: token %s is not found by its hash", token.Name)
		}
	}
	ids := make(map[string]bool, len(s.requests))
	for _, r := range s.requests {
		ids[r.ID] = true
	}
	if len(s.requests) > MaxRequests || len(s.requests) != len(ids) {
		t.Fatalf("S8: %d answers are kept, to %d requests", len(s.requests), len(ids))
	}
}
