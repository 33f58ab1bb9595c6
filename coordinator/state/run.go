package state

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
)

// Run is one execution of a list of stages: those of a pipeline's batch half, or
// of a job.
type Run struct {
	ID         thalweg.RunID        `json:"id"`
	Pipeline   thalweg.PipelineName `json:"pipeline"`
	Generation thalweg.Generation   `json:"generation"`
	// Verb names the job that the run is, with its arguments; empty for the batch
	// half of the spec.
	Verb       string            `json:"verb,omitempty"`
	Arguments  map[string]string `json:"arguments,omitempty"`
	State      RunState          `json:"state"`
	Error      string            `json:"error,omitempty"`
	StartedMS  int64             `json:"started_ms"`
	EndedMS    int64             `json:"ended_ms,omitempty"`
	StartIndex uint64            `json:"start_index"` // of the entry that started it
	// Trigger says why it started by itself; empty: a user started it. Known are then the
	// newest version and the objects that it was trained on: the same again are nothing
	// new.
	Trigger string `json:"trigger,omitempty"`
	Known   string `json:"known,omitempty"`
	// Parent is the version whose weights training starts from; nil: none.
	Parent *VersionRef `json:"parent,omitempty"`
	// Champion is the version that the alias named when the run began, which gates compare
	// with; nil: none.
	Champion *VersionRef `json:"champion,omitempty"`
	// Stages are all stages in order; At is the one that the run is in or ended in.
	Stages []*Stage `json:"stages"`
	At     uint32   `json:"at"`
	// Outputs, Metrics, Counts and Warnings are those of the finished stages.
	Outputs map[string]string  `json:"outputs,omitempty"`
	Metrics map[string]float64 `json:"metrics,omitempty"`
	Counts  map[string]int64   `json:"counts,omitempty"`
	// Warnings are what the run's owner should look at.
	Warnings []string `json:"warnings,omitempty"`
	// Checkpoint is the newest one that the replicas saved, key#sha256; a replica
	// that changes hands resumes from it.
	Checkpoint string               `json:"checkpoint,omitempty"`
	Model      thalweg.ModelName    `json:"model,omitempty"`   // once registered
	Version    thalweg.ModelVersion `json:"version,omitempty"` // once registered
}

// compareStart orders runs by their start.
func compareStart(a, b *Run) int { return cmp.Compare(a.StartIndex, b.StartIndex) }

// Stage returns the stage that the run is in or ended in.
func (r *Run) Stage() *Stage { return r.Stages[r.At] }

// Current returns the stage that the run is in, nil once it has ended.
func (r *Run) Current() *Stage {
	if r.State != RunRunning {
		return nil
	}
	return r.Stage()
}

// startRun creates the next run of a pipeline's newest generation.
func (s *State) startRun(p *Pipeline, c *StartRun) *Run {
	p.Ordinal++
	r := &Run{
		ID: thalweg.NewRunID(p.Name, p.Newest().Generation, p.Ordinal), Pipeline: p.Name, Generation: p.Newest().Generation,
		Verb: c.Verb, Arguments: c.Arguments, State: RunRunning, StartedMS: s.timeMS, StartIndex: s.index,
	}
	if c.Verb == "" {
		r.Parent, _ = s.Parent(p.Newest()) // where it cannot be, no run is started
		if versions := s.Champion(p); len(versions) > 0 {
			r.Champion = versions[0].ref()
		}
	}
	for _, plan := range c.Stages {
		r.Stages = append(r.Stages, &Stage{Plan: plan, State: StageWaiting})
	}
	s.runs[r.ID] = r
	p.ActiveRun = r.ID
	if flaw := r.Stage().size(nil); flaw != "" {
		s.endRun(r, RunFailed, flaw)
	} else {
		s.begin(r)
	}
	return r
}

// begin enters the stage that the run has come to and makes its first tasks.
func (s *State) begin(r *Run) {
	stage := r.Stage()
	stage.State, stage.StartedMS = StageRunning, s.timeMS
	s.addTasks(r, stage)
}

// addTasks makes the tasks of a stage that it has come to.
func (s *State) addTasks(r *Run, stage *Stage) {
	for i := uint32(len(stage.Tasks)); i < stage.begun(); i++ {
		t := stage.expected(r, i)
		stage.Tasks = append(stage.Tasks, t)
		s.tasks[t.ID] = t
	}
}

// taskDone moves the run on after one of its tasks was finished.
func (s *State) taskDone(r *Run) {
	stage := r.Stage()
	if stage.Done < stage.Total {
		s.addTasks(r, stage)
		return
	}
	if missing := r.gather(stage); missing != "" {
		s.endRun(r, RunFailed, fmt.Sprintf("%s: finished without its output %q", stage.Name, missing))
		return
	}
	s.noteTimetable(r)
	if int(r.At) == len(r.Stages)-1 || r.Outputs[stages.EndOutput] != "" {
		s.endRun(r, RunSucceeded, "")
		return
	}
	if flaw := r.Stages[r.At+1].size(r.Counts); flaw != "" {
		s.endRun(r, RunFailed, flaw)
		return
	}
	stage.State, stage.EndedMS = StageDone, s.timeMS
	for _, t := range stage.Tasks {
		s.dropBackup(t)
		delete(s.tasks, t.ID)
		t.forgetResults()
	}
	r.At++
	s.begin(r)
}

// endRun ends a run in the stage it is in: its leases are over and its tasks
// gone from the live ones.
func (s *State) endRun(r *Run, to RunState, why string) {
	stage := r.Stage()
	for _, t := range stage.Tasks {
		if t.State == TaskLeased {
			s.endLease(t, TaskWaiting)
		}
		s.dropBackup(t)
		delete(s.tasks, t.ID)
	}
	stage.State, stage.EndedMS = StageFailed, s.timeMS
	if to == RunSucceeded {
		stage.State = StageDone
	}
	r.State, r.Error, r.EndedMS = to, clip(why), s.timeMS
	s.noteTimetable(r)
	if p := s.pipelines[r.Pipeline]; p != nil && p.ActiveRun == r.ID {
		p.ActiveRun = ""
		if spec := p.Spec(r.Generation); to == RunSucceeded && r.Verb == "" && spec != nil && spec.Model == "" {
			p.Written = r.Generation
		}
	}
	r.compact()
	if p := s.pipelines[r.Pipeline]; p != nil && r.Verb == stages.PurgeVerb {
		s.purgeEnded(p, r)
	}
}

// compact drops from an ended run what nobody will ask for any more.
func (r *Run) compact() {
	r.Checkpoint = ""
	total := 0
	for _, stage := range r.Stages {
		total += len(stage.Tasks)
	}
	for _, stage := range r.Stages {
		if total > MaxKeptTasks {
			stage.Tasks = slices.DeleteFunc(stage.Tasks, func(t *Task) bool { return len(t.Failures) == 0 && t.Losses == 0 })
			stage.Tasks = slices.Clip(stage.Tasks[:min(len(stage.Tasks), MaxKeptTasks/len(r.Stages))])
		}
		for _, t := range stage.Tasks {
			t.forgetResults()
		}
	}
}

// RunsByPipeline returns the runs that are kept of each pipeline, newest first.
func (s *State) RunsByPipeline() map[thalweg.PipelineName][]*Run {
	all := make(map[thalweg.PipelineName][]*Run, len(s.pipelines))
	for _, r := range s.runs {
		all[r.Pipeline] = append(all[r.Pipeline], r)
	}
	for _, runs := range all {
		slices.SortFunc(runs, func(a, b *Run) int { return compareStart(b, a) })
	}
	return all
}

// Surplus returns the ended runs older than the newest MaxRuns of each pipeline,
// which belong in records: oldest first within a pipeline.
func (s *State) Surplus() []*Run {
	byPipeline := s.RunsByPipeline()
	var surplus []*Run
	for _, name := range slices.Sorted(maps.Keys(byPipeline)) {
		runs := byPipeline[name]
		for _, r := range slices.Backward(runs[min(len(runs), MaxRuns):]) {
			if r.State != RunRunning {
				surplus = append(surplus, r)
			}
		}
	}
	return surplus
}

// overfull says that no run of a pipeline can be started until ended ones were
// moved to records, "" while one can.
func (s *State) overfull(p thalweg.PipelineName) string {
	if n := len(s.RunsByPipeline()[p]); n >= MaxHeldRuns {
		return fmt.Sprintf("%d runs are kept, and those that ended cannot be moved to the state bucket; see the leader's log", n)
	}
	return ""
}

// failureText says why a run failed: the failed attempts of the task, the newest
// first, and what is the same of several once.
func failureText(t *Task) string {
	var attempts []string
	var workers []string
	for i, f := range slices.Backward(t.Failures) {
		workers = append(workers, string(f.Worker))
		if i == 0 || t.Failures[i-1].Error != f.Error {
			attempts = append(attempts, fmt.Sprintf("on %s: %s", strings.Join(workers, ", "), f.Error))
			workers = nil
		}
	}
	return fmt.Sprintf("%s failed %s", t.ID, strings.Join(attempts, "; before that "))
}

// StageState is how far a stage of a run has come.
type StageState string

// The states of a stage; the last two are final.
const (
	StageWaiting StageState = "waiting"
	StageRunning StageState = "running"
	StageDone    StageState = "done"
	StageFailed  StageState = "failed"
)

// RunState is how far a run has come.
type RunState string

// The states of a run; all but the first are final.
const (
	RunRunning   RunState = "running"
	RunSucceeded RunState = "succeeded"
	RunFailed    RunState = "failed"
	RunCanceled  RunState = "canceled"
)
