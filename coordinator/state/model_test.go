package state

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	"github.com/thalweg/thalweg/pipeline/rollout"
)

// history is what a watcher of the log remembers, to check promises that hold
// over time; the numbers are those of DESIGN.md's list.
type history struct {
	tokens   map[thalweg.TaskID]thalweg.Token
	done     map[thalweg.TaskID]bool
	versions map[string]string // model version → checkpoint
	answers  map[string]Answer
	ended    map[thalweg.RunID]RunState
	started  map[thalweg.RunID]uint64
}

func (h *history) check(t *rapid.T, s *State) {
	checkInvariants(t, s)
	for id, task := range s.tasks {
		if task.State == TaskLeased && h.done[id] {
			t.Fatalf("S3: task %s was done and is leased again", id)
		}
		if task.Token < h.tokens[id] && task.Token != 0 {
			t.Fatalf("S2: the token of %s fell from %d to %d", id, h.tokens[id], task.Token)
		}
		h.tokens[id] = max(h.tokens[id], task.Token)
		if task.State == TaskDone {
			h.done[id] = true
		}
	}
	for m := range s.Models() {
		for _, v := range m.Versions {
			key := fmt.Sprintf("%s %d", m.Name, v.Version)
			if was, ok := h.versions[key]; ok && was != v.Checkpoint {
				t.Fatalf("S4: %s was %s and is %s", key, was, v.Checkpoint)
			}
			h.versions[key] = v.Checkpoint
		}
	}
	for r := range s.Runs() {
		// S10: what a deleted pipeline had numbered is never numbered again.
		if was, ok := h.started[r.ID]; ok && was != r.StartIndex {
			t.Fatalf("S10: run %s started at %d, and again at %d", r.ID, was, r.StartIndex)
		}
		h.started[r.ID] = r.StartIndex
		if was, ok := h.ended[r.ID]; ok && was != r.State {
			t.Fatalf("S6: run %s ended as %v and is %v", r.ID, was, r.State)
		}
		if r.State != RunRunning {
			h.ended[r.ID] = r.State
		}
	}
}

// TestRandomCommands applies random commands, valid and not, and checks every
// invariant after each. The machine also checks that a state which goes through
// a snapshot after each entry stays equal.
func TestRandomCommands(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine(t)
		h := &history{tokens: map[thalweg.TaskID]thalweg.Token{}, done: map[thalweg.TaskID]bool{}, versions: map[string]string{},
			answers: map[string]Answer{}, ended: map[thalweg.RunID]RunState{}, started: map[thalweg.RunID]uint64{}}
		// The random part begins anywhere on the way of a run, since it would seldom
		// get to the end of one by itself.
		m.apply(&ApplySpec{Pipeline: "a", Text: "v1", Model: "m", Alias: "champion", Stages: specPlan(1), Topic: "x", Training: "t1"}, "")
		for _, id := range seedTasks[:rapid.IntRange(0, len(seedTasks)).Draw(t, "tasks done")] {
			m.carryOut("a-1-1/" + id)
			h.check(t, m.live)
		}
		for range rapid.IntRange(1, 120).Draw(t, "commands") {
			c := drawCommand(t, m.live)
			id := ""
			if rapid.IntRange(0, 9).Draw(t, "with id") == 0 {
				id = fmt.Sprintf("%s %d", c.name(), rapid.IntRange(0, 3).Draw(t, "id"))
			}
			before := encoded(t, m.live)
			answer := m.apply(c, id)
			if first, again := h.answers[id]; again && id != "" {
				if answer != first && (answer.Failure == nil || first.Failure == nil || *answer.Failure != *first.Failure) {
					t.Fatalf("S8: request %s was answered %+v, then %+v", id, first, answer)
				}
				if len(encoded(t, m.live)) > len(before)+8 { // the index and the time may gain digits
					t.Fatalf("S8: repeating request %s changed the state", id)
				}
			} else if id != "" {
				h.answers[id] = answer
			}
			h.check(t, m.live)
		}
	})
}

// drawCommand draws a command that often fits the state.
func drawCommand(t *rapid.T, s *State) Command {
	pipeline := rapid.SampledFrom([]thalweg.PipelineName{"a", "b"}).Draw(t, "pipeline")
	worker := rapid.SampledFrom([]thalweg.WorkerID{"w1", "w2", "w3"}).Draw(t, "worker")
	if c := drawJobCommand(t, s, pipeline); c != nil {
		return c
	}
	n := rapid.IntRange(0, 99).Draw(t, "kind")
	ids := []thalweg.TaskID{"a-1-1/profile.reduce"}
	for id, task := range s.tasks {
		// Most grants and reports are of tasks that they fit, so that runs get to
		// their end.
		if n >= 60 || n < 30 && task.State == TaskWaiting || n >= 30 && task.State == TaskLeased {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids[1:])
	id := ids[min(len(ids)-1, rapid.IntRange(0, len(ids)).Draw(t, "task"))]
	token := thalweg.Token(rapid.Uint64Range(0, 4).Draw(t, "token"))
	if task := s.Task(id); task != nil && rapid.IntRange(0, 7).Draw(t, "right token") > 0 {
		token = task.Token
	}
	run := thalweg.RunID("a-1-1")
	if p := s.Pipeline(pipeline); p != nil && p.ActiveRun != "" {
		run = p.ActiveRun
	}
	switch {
	case n < 30:
		return &GrantLeases{Worker: worker, Incarnation: "i", Grants: []Lease{{Task: id, Token: token}}}
	case n < 70:
		c := &ReportTask{Task: id, Token: token, Results: Results{Rows: 1, Partials: partialsOf(s.Task(id)), Counts: map[string]int64{"shards": rapid.Int64Range(1, 3).Draw(t, "shards")},
			Outputs: map[string]string{"manifest": "m", "split": "s", "transform": "t", "evaluation": "e", "checkpoint": "c"}}}
		switch rapid.IntRange(0, 39).Draw(t, "outcome") {
		case 0:
			c.Failure = &ReportFailure{Error: "broken", Permanent: true}
		case 1:
			c.Failure = &ReportFailure{Error: "broken"}
		case 2:
			c.Outputs["checkpoint"] = "another"
		case 3:
			c.Partials = nil
		}
		return c
	case n < 71:
		return &GrantBackup{Worker: worker, Incarnation: "i", Slow: Lease{Task: id, Token: token}}
	case n < 73:
		return &ReleaseLeases{Leases: []Lease{{Task: id, Token: token}}, Lost: map[bool]thalweg.WorkerID{true: worker}[n == 71]}
	case n < 74:
		return Release(worker, s.HeldBy(worker)...)
	case n < 77:
		return &SaveCheckpoint{Task: id, Token: token, Checkpoint: rapid.SampledFrom([]string{"c1", "c2"}).Draw(t, "checkpoint")}
	case n < 84:
		return &RegisterModel{Run: run}
	case n < 88:
		return &ApplySpec{Pipeline: pipeline, Text: rapid.SampledFrom([]string{"v1", "v1", "v1", "v2"}).Draw(t, "text"), Model: "m", Alias: "champion",
			Keep: rapid.Uint32Range(0, 2).Draw(t, "keep"), Stages: specPlan(rapid.Uint32Range(0, 2).Draw(t, "replicas")), Topic: rapid.SampledFrom([]string{"", "x", "x", "y"}).Draw(t, "topic"),
			Training: rapid.SampledFrom([]string{"", "t1", "t1", "t2"}).Draw(t, "training"),
			Rollout:  policyOf(map[string]string{"steps": rapid.SampledFrom([]string{"", "5,25", "10,100", "100"}).Draw(t, "steps"), "shadow": rapid.SampledFrom([]string{"", "yes"}).Draw(t, "shadow"), "inconclusive": rapid.SampledFrom([]string{"hold", "promote", "abort"}).Draw(t, "inconclusive")})}
	case n < 92:
		return &StartRun{Pipeline: pipeline, Stages: specPlan(1), Generation: thalweg.Generation(rapid.Uint64Range(1, 3).Draw(t, "run generation"))}
	case n < 93:
		if rapid.IntRange(0, 2).Draw(t, "drop") == 0 {
			return &DropRuns{Cluster: rapid.SampledFrom([]string{"c1", "c1", "c1", "c2", ""}).Draw(t, "cluster"), Runs: []thalweg.RunID{"a-1-1", run}}
		}
		return &CancelRun{Run: run}
	case n < 94:
		return &CollectVersions{Model: "m", Versions: []thalweg.ModelVersion{1, 2, thalweg.ModelVersion(rapid.Uint64Range(0, 4).Draw(t, "collect"))}}
	case n < 95:
		if rapid.Bool().Draw(t, "rollout") {
			return drawRollout(t, s, pipeline)
		}
		return &Promote{Model: "m", Alias: "champion", Version: thalweg.ModelVersion(rapid.Uint64Range(0, 3).Draw(t, "version"))}
	case n < 97:
		c := &SetStream{Pipeline: pipeline, Paused: n == 95}
		if rapid.IntRange(0, 2).Draw(t, "with a word") == 0 {
			c.Skip = &SkipAuthorization{Partition: rapid.Uint32Range(0, 3).Draw(t, "skip partition"), From: rapid.Int64Range(-1, 3).Draw(t, "skip from"), To: rapid.Int64Range(0, 5).Draw(t, "skip to"),
				Accept: rapid.SampledFrom([]string{"", "T2"}).Draw(t, "accept")}
		}
		return c
	case n < 98 && rapid.IntRange(0, 1).Draw(t, "delete") == 0:
		return deletePipeline(pipeline, rapid.Bool().Draw(t, "purge"))
	case n < 98:
		return &TripStream{Pipeline: pipeline, Partition: rapid.Uint32Range(0, 2).Draw(t, "partition"), Generation: thalweg.Generation(rapid.Uint64Range(0, 3).Draw(t, "generation")),
			Resumes: rapid.Uint64Range(0, 2).Draw(t, "resumes"), Reason: rapid.SampledFrom([]string{"", "too many"}).Draw(t, "reason")}
	default:
		return &SetPartitions{Pipeline: pipeline, Topic: rapid.SampledFrom([]string{"x", "y"}).Draw(t, "topic"), Partitions: rapid.Uint32Range(0, 3).Draw(t, "partitions")}
	}
}

// drawRollout draws what somebody does about a rollout, or a verdict that often fits it.
func drawRollout(t *rapid.T, s *State, pipeline thalweg.PipelineName) Command {
	if rapid.IntRange(0, 3).Draw(t, "by hand") == 0 {
		return &SetRollout{Pipeline: pipeline, Action: rapid.SampledFrom([]string{PromoteCandidate, HoldRollout, ResumeRollout, AbortRollout, "fly"}).Draw(t, "action")}
	}
	c := &JudgeRollout{Model: "m", Alias: "champion", Verdict: rollout.Verdict{Percent: 5, Outcome: rapid.SampledFrom([]string{rollout.Good, rollout.Bad, rollout.Inconclusive}).Draw(t, "outcome"), Why: "w"}}
	if m := s.Model("m"); m != nil && m.Aliases["champion"] != nil && m.Aliases["champion"].Rollout != nil {
		r := m.Aliases["champion"].Rollout
		c.Salt, c.Judged, c.Verdict.Percent = r.Salt, r.Judged, r.Percent()
	}
	return c
}

// policyOf reads the rollout of a spec.
func policyOf(options map[string]string) *RolloutPolicy {
	if options["steps"] == "" {
		return nil
	}
	k := &RolloutPolicy{Shadow: options["shadow"] != "", By: options["by"], IntervalMS: 1000, MinRows: 100, FailureLimit: 2, OnInconclusive: cmp.Or(options["inconclusive"], InconclusiveHolds),
		Conditions: []rollout.Condition{{Metric: rollout.ErrorRate, Above: 0.01}}}
	for step := range strings.SplitSeq(options["steps"], ",") {
		n, _ := strconv.ParseUint(step, 10, 32)
		k.Steps = append(k.Steps, uint32(n))
	}
	return k
}

// planOf reads "name:over:number:reducers:output;…", or ":backup_after:wave,wave" besides.
func planOf(text string) []stages.Plan {
	var plans []stages.Plan
	for part := range strings.SplitSeq(text, ";") {
		var p stages.Plan
		fields := strings.Split(part, ":")
		p.Name = fields[0]
		p.Over = stages.Over(fields[1])
		number, _ := strconv.ParseUint(fields[2], 10, 32)
		reducers, _ := strconv.ParseUint(fields[3], 10, 32)
		p.Number, p.Reducers = uint32(number), uint32(reducers)
		if fields[4] != "" {
			p.Outputs = []string{fields[4]}
		}
		if len(fields) > 5 {
			p.BackupAfter, _ = strconv.ParseFloat(fields[5], 64)
		}
		if len(fields) > 6 {
			for n := range strings.SplitSeq(fields[6], ",") {
				wave, _ := strconv.ParseUint(n, 10, 32)
				p.Waves = append(p.Waves, uint32(wave))
			}
		}
		plans = append(plans, p)
	}
	return plans
}
