package state

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/thalweg/thalweg"
)

// Run is one execution of a pipeline's batch half.
type Run struct {
	ID         thalweg.RunID        `json:"id"`
	Pipeline   thalweg.PipelineName `json:"pipeline"`
	Generation thalweg.Generation   `json:"generation"`
	State      RunState             `json:"state"`
	Stage      Work                 `json:"stage"`
	Error      string               `json:"error,omitempty"`
	StartedMS  int64                `json:"started_ms"`
	EndedMS    int64                `json:"ended_ms,omitempty"`
	StartIndex uint64               `json:"start_index"` // of the entry that started it
	Replicas   uint32               `json:"replicas"`
	Shards     uint32               `json:"shards,omitempty"` // known once profile is done
	// Stages are those begun, in order: stage w is Stages[w-1].
	Stages []*Stage `json:"stages"`
	// Outputs, Metrics and Counts are those of the finished stages.
	Outputs map[string]string  `json:"outputs,omitempty"`
	Metrics map[string]float64 `json:"metrics,omitempty"`
	Counts  map[string]int64   `json:"counts,omitempty"`
	// Checkpoint is the newest one that the training saved, key#sha256; a replica
	// that changes hands resumes from it.
	Checkpoint string               `json:"checkpoint,omitempty"`
	Model      thalweg.ModelName    `json:"model,omitempty"`   // once registered
	Version    thalweg.ModelVersion `json:"version,omitempty"` // once registered
}

// Stage is one stage of a run that has begun.
type Stage struct {
	Work      Work       `json:"work"`
	State     StageState `json:"state"`
	StartedMS int64      `json:"started_ms"`
	EndedMS   int64      `json:"ended_ms,omitempty"`
	Total     uint32     `json:"total"` // tasks, the reduce task included
	Done      uint32     `json:"done"`
	Rows      int64      `json:"rows,omitempty"` // of the done tasks
	// Tasks are the map tasks in index order and then, once those are done, the
	// reduce task. An ended run keeps at most MaxKeptTasks of them.
	Tasks []*Task `json:"tasks,omitempty"`
}

// compareStart orders runs by when they started.
func compareStart(a, b *Run) int { return cmp.Compare(a.StartIndex, b.StartIndex) }

// Current returns the stage that the run is in, nil while it is registering or
// has ended.
func (r *Run) Current() *Stage {
	if r.State != RunRunning || r.Stage == Register {
		return nil
	}
	return r.Stages[r.Stage-1]
}

// Partials returns what the map tasks of the current stage wrote, in index
// order, for its reduce task.
func (r *Run) Partials() []string {
	stage := r.Current()
	if stage == nil {
		return nil
	}
	var partials []string
	for _, t := range stage.Tasks {
		if !t.Reduce {
			partials = append(partials, t.Outputs[partialOutput])
		}
	}
	return partials
}

// partialOutput is the output by which a map task names what it wrote.
const partialOutput = "partial"

// shape tells how many map tasks a stage has and whether it ends with a reduce
// task.
func (r *Run) shape(w Work) (maps uint32, reduce bool) {
	switch w {
	case Profile:
		return 0, true
	case Train:
		return r.Replicas, false
	case Clean, Fit, Evaluate:
		return r.Shards, true
	}
	return 0, false
}

// needs names the outputs that a stage must leave behind.
func needs(w Work) []string {
	switch w {
	case Profile:
		return []string{"manifest"}
	case Clean:
		return []string{"split"}
	case Fit:
		return []string{"transform"}
	case Train:
		return []string{"checkpoint"}
	case Evaluate:
		return []string{"evaluation"}
	}
	return nil
}

// startRun creates the next run of a pipeline's newest generation.
func (s *State) startRun(p *Pipeline, now at) *Run {
	spec := p.Newest()
	p.Ordinal++
	r := &Run{
		ID: thalweg.NewRunID(p.Name, spec.Generation, p.Ordinal), Pipeline: p.Name, Generation: spec.Generation,
		State: RunRunning, StartedMS: now.timeMS, StartIndex: now.index, Replicas: spec.Replicas,
	}
	s.runs[r.ID] = r
	p.ActiveRun = r.ID
	s.begin(r, Profile, now)
	s.dropOldRuns(p)
	return r
}

// begin enters a stage and makes its first tasks.
func (s *State) begin(r *Run, w Work, now at) {
	r.Stage = w
	n, reduce := r.shape(w)
	stage := &Stage{Work: w, State: StageRunning, StartedMS: now.timeMS, Total: n}
	if reduce {
		stage.Total++
	}
	r.Stages = append(r.Stages, stage)
	for i := range n {
		s.addTask(r, stage, &Task{ID: mapTaskID(r.ID, w, i), Work: w, Index: i, State: TaskWaiting})
	}
	if n == 0 && reduce {
		s.addReduce(r, stage)
	}
}

func (s *State) addReduce(r *Run, stage *Stage) {
	s.addTask(r, stage, &Task{ID: reduceTaskID(r.ID, stage.Work), Work: stage.Work, Reduce: true, State: TaskWaiting})
}

func (s *State) addTask(r *Run, stage *Stage, t *Task) {
	t.run = r
	stage.Tasks = append(stage.Tasks, t)
	s.tasks[t.ID] = t
}

// taskDone moves the run on after one of its tasks was finished.
func (s *State) taskDone(r *Run, now at) {
	stage := r.Current()
	n, reduce := r.shape(stage.Work)
	switch {
	case reduce && stage.Done == n && uint32(len(stage.Tasks)) == n:
		s.addReduce(r, stage)
		return
	case stage.Done < stage.Total:
		return
	}
	r.gather(stage)
	for _, name := range needs(stage.Work) {
		if r.Outputs[name] == "" {
			s.failRun(r, now, fmt.Sprintf("%s: finished without its output %q", stage.Work, name))
			return
		}
	}
	if stage.Work == Profile {
		shards := r.Counts["shards"]
		if shards < 1 || shards > MaxShards {
			s.failRun(r, now, fmt.Sprintf("profile: %d shards; there must be 1 to %d", shards, MaxShards))
			return
		}
		r.Shards = uint32(shards)
	}
	stage.State, stage.EndedMS = StageDone, now.timeMS
	for _, t := range stage.Tasks {
		delete(s.tasks, t.ID)
		t.forgetResults()
	}
	s.begin(r, stage.Work+1, now)
}

// gather makes the stage's results the run's. Outputs and metrics are the reduce
// task's, or replica 0's where there is none. Counts are summed over the map
// tasks, except for those names that the reduce task reports itself. A later
// stage's value replaces an earlier stage's of the same name.
func (r *Run) gather(stage *Stage) {
	counts := make(map[string]int64)
	for _, t := range stage.Tasks {
		if !t.Reduce {
			for name, n := range t.Counts {
				counts[name] += n
			}
		}
	}
	result := stage.Tasks[0]
	if last := stage.Tasks[len(stage.Tasks)-1]; last.Reduce {
		result = last
		maps.Copy(counts, last.Counts)
	}
	r.Outputs = merged(r.Outputs, result.Outputs)
	delete(r.Outputs, partialOutput)
	r.Metrics = merged(r.Metrics, result.Metrics)
	r.Counts = merged(r.Counts, counts)
}

func merged[V any](to, from map[string]V) map[string]V {
	if to == nil && len(from) > 0 {
		to = make(map[string]V, len(from))
	}
	maps.Copy(to, from)
	return to
}

// disagreement tells how a finished replica's result differs from that of the
// others; training is a pure function, so any difference is a fault.
func disagreement(stage *Stage, t *Task) string {
	for _, other := range stage.Tasks {
		if other == t || other.State != TaskDone {
			continue
		}
		for _, name := range []string{"model_sha256", "checkpoint"} {
			if a, b := other.Outputs[name], t.Outputs[name]; a != b {
				return fmt.Sprintf("%s reports %s %s but %s on %s reported %s", t.ID, name, quoted(b), other.ID, other.Worker, quoted(a))
			}
		}
	}
	return ""
}

func quoted(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// failRun ends a run as failed.
func (s *State) failRun(r *Run, now at, why string) { s.endRun(r, RunFailed, now, why) }

// endRun ends a run in the stage it is in: its leases are over and its tasks
// gone from the live ones.
func (s *State) endRun(r *Run, to RunState, now at, why string) {
	stage := r.Stages[r.Stage-1]
	for _, t := range stage.Tasks {
		if t.State == TaskLeased {
			s.endLease(t, TaskWaiting)
		}
		delete(s.tasks, t.ID)
	}
	stage.State, stage.EndedMS = StageFailed, now.timeMS
	if to == RunSucceeded {
		stage.State = StageDone
	}
	r.State, r.Error, r.EndedMS = to, clip(why), now.timeMS
	if p := s.pipelines[r.Pipeline]; p != nil && p.ActiveRun == r.ID {
		p.ActiveRun = ""
	}
	r.compact()
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
			stage.Tasks = slices.Clip(stage.Tasks[:min(len(stage.Tasks), MaxKeptTasks/int(Register))])
		}
		for _, t := range stage.Tasks {
			t.forgetResults()
		}
	}
}

// dropOldRuns keeps the newest MaxRuns of a pipeline's runs.
func (s *State) dropOldRuns(p *Pipeline) {
	var mine []*Run
	for _, r := range s.runs {
		if r.Pipeline == p.Name {
			mine = append(mine, r)
		}
	}
	if len(mine) <= MaxRuns {
		return
	}
	slices.SortFunc(mine, compareStart)
	for _, r := range mine[:len(mine)-MaxRuns] {
		if r.State != RunRunning {
			delete(s.runs, r.ID)
		}
	}
}

// failureText says why a run failed: the failed attempts of the task, the newest
// first.
func failureText(t *Task) string {
	attempts := make([]string, 0, len(t.Failures))
	for _, f := range slices.Backward(t.Failures) {
		attempts = append(attempts, fmt.Sprintf("on %s: %s", f.Worker, f.Error))
	}
	return fmt.Sprintf("%s failed %s", t.ID, strings.Join(attempts, "; before that "))
}
