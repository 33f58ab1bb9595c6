package state

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
)

// Stage is one stage of a run.
type Stage struct {
	stages.Plan
	State     StageState `json:"state"`
	StartedMS int64      `json:"started_ms,omitempty"`
	EndedMS   int64      `json:"ended_ms,omitempty"`
	// Shards is what the map tasks of a stage over shards divide among them.
	Shards uint32 `json:"shards,omitempty"`
	Maps   uint32 `json:"maps,omitempty"`  // map tasks, known once the stage has begun
	Total  uint32 `json:"total,omitempty"` // tasks, the reducers included
	Done   uint32 `json:"done,omitempty"`
	Rows   int64  `json:"rows,omitempty"` // of the done tasks
	// Tasks are the map tasks in index order and then, once those are done, the
	// reducers. An ended run keeps at most MaxKeptTasks of them.
	Tasks []*Task `json:"tasks,omitempty"`
}

// flawOfPlan says why a run cannot have these stages, "" if it can.
func flawOfPlan(plans []stages.Plan) string {
	if len(plans) < 1 || len(plans) > MaxStages {
		return fmt.Sprintf("%d stages; a run has 1 to %d", len(plans), MaxStages)
	}
	names := make(map[string]bool, len(plans))
	for i, p := range plans {
		if p.Name == "" || len(p.Name) > MaxStageNameBytes || strings.ContainsAny(p.Name, "/@. ") || names[p.Name] {
			return fmt.Sprintf("stage %d: %.80q is no name or duplicated", i+1, p.Name)
		}
		names[p.Name] = true
		if flaw := flawOfStage(p, i == len(plans)-1); flaw != "" {
			return "stage " + p.Name + ": " + flaw
		}
	}
	return ""
}

func flawOfStage(p stages.Plan, last bool) string {
	switch {
	case p.Reducers > MaxReducers:
		return fmt.Sprintf("%d reducers; at most %d are possible", p.Reducers, MaxReducers)
	case len(p.Outputs) > MaxStageOutputs:
		return fmt.Sprintf("%d outputs; at most %d are possible", len(p.Outputs), MaxStageOutputs)
	}
	if p.BackupAfter != 0 && !(p.BackupAfter >= stages.MinBackupAfter && p.BackupAfter <= stages.MaxBackupAfter) {
		return fmt.Sprintf("backups after %v times the median; %d to %d are possible", p.BackupAfter, stages.MinBackupAfter, stages.MaxBackupAfter)
	}
	if p.MinWorkers > stages.MaxMinWorkers {
		return fmt.Sprintf("%d workers must be alive; at most %d can be asked for", p.MinWorkers, stages.MaxMinWorkers)
	}
	for _, name := range p.Outputs {
		if name == "" || len(name) > MaxStageNameBytes {
			return fmt.Sprintf("%.80q is no name of an output", name)
		}
	}
	if p.Over != stages.OverTasks && (len(p.Waves) > 0 || p.Together > 0) {
		return "tasks over " + string(p.Over) + " have no waves"
	}
	switch p.Over {
	case stages.OverTasks:
		switch {
		case p.Number+p.Reducers == 0:
			return "it has no tasks"
		case p.Number > MaxTasks:
			return fmt.Sprintf("%d tasks; at most %d are possible", p.Number, MaxTasks)
		case uint64(p.Number)*uint64(p.Reducers) > MaxPartials:
			return fmt.Sprintf("%d tasks address %d partials each; at most %d partials are possible", p.Number, p.Reducers, MaxPartials)
		}
		return flawOfWaves(p)
	case stages.OverReplicas:
		if p.Number > MaxReplicas || p.Reducers > 0 {
			return fmt.Sprintf("%d replicas and %d reducers; at most %d replicas without a reducer are possible", p.Number, p.Reducers, MaxReplicas)
		}
	case stages.OverShards:
		if p.Number != 0 {
			return "shards are counted, not planned"
		}
	case stages.OverNothing:
		if !last || p.Number+p.Reducers > 0 {
			return "registration has no tasks and ends the run"
		}
	default:
		return fmt.Sprintf("tasks over %q", p.Over)
	}
	return ""
}

// flawOfWaves says why tasks cannot come in the waves of a plan, "" if they can.
func flawOfWaves(p stages.Plan) string {
	if len(p.Waves) == 0 {
		return ""
	}
	if len(p.Waves) > MaxWaves || p.Number > MaxWavingTasks || p.Reducers != 1 {
		return fmt.Sprintf("%d tasks in %d waves for %d reducers; at most %d in %d waves for one are possible", p.Number, len(p.Waves), p.Reducers, MaxWavingTasks, MaxWaves)
	}
	sum := uint64(0)
	for _, n := range p.Waves {
		if sum += uint64(n); n == 0 {
			return "a wave has no tasks"
		}
	}
	if sum != uint64(p.Number) {
		return fmt.Sprintf("waves of %d tasks, of %d", sum, p.Number)
	}
	return ""
}

// size fixes how many tasks a stage has, now that those before it are done.
func (p *Stage) size(counts map[string]int64) (flaw string) {
	p.Maps = p.Number
	switch {
	case p.Over == stages.OverReplicas && p.Number == 0:
		n := counts["replicas"]
		if n < 1 || n > MaxReplicas {
			return fmt.Sprintf("%s: %d replicas; there must be 1 to %d", p.Name, n, MaxReplicas)
		}
		p.Maps = uint32(n)
	case p.Over == stages.OverShards:
		n := counts["shards"]
		if n < 1 || n > MaxShards {
			return fmt.Sprintf("%s: %d shards; there must be 1 to %d", p.Name, n, MaxShards)
		}
		p.Shards = uint32(n)
		tasks := max(min(p.Shards, enoughTasks), p.Shards/shardsTogether)
		p.Maps = min(tasks, MaxTasks, MaxPartials/max(p.Reducers, 1))
	}
	p.Total = p.Maps + p.Reducers
	return ""
}

// Waits reports whether the stage waits for workers, as so few are alive.
func (p *Stage) Waits(alive int) bool { return alive < int(p.MinWorkers) }

// begun is the number of tasks that a running stage has: the map tasks, of waves as far
// as those before are done, and, once all are done, the reducers.
func (p *Stage) begun() uint32 {
	if p.Done >= p.Maps {
		return p.Total
	}
	sum := uint32(0)
	for _, n := range p.Waves {
		if sum += n; p.Done < sum {
			return sum
		}
	}
	return p.Maps
}

// Reads returns how many map tasks, from the first one on, wrote what a task reads: all
// for a reducer, and those of the waves before for a map task.
func (p *Stage) Reads(t *Task) uint32 {
	if t.Reduce {
		return p.Maps
	}
	sum := uint32(0)
	for _, n := range p.Waves {
		if t.Index < sum+n {
			return sum
		}
		sum += n
	}
	return 0
}

// Range returns the shards [from, to) of a map task: ranges of all tasks cover
// the stage's shards once, and none is empty.
func (p *Stage) Range(t *Task) (from, to uint32) {
	if p.Over != stages.OverShards || t.Reduce {
		return 0, 0
	}
	at := func(i uint32) uint32 { return uint32(uint64(i) * uint64(p.Shards) / uint64(p.Maps)) }
	return at(t.Index), at(t.Index + 1)
}

// Partials returns what map tasks addressed to a task that reads them, in index order.
func (p *Stage) Partials(reader *Task) []string {
	reads, reducer := p.Reads(reader), uint32(0)
	if reads == 0 {
		return nil
	}
	if reader.Reduce {
		reducer = reader.Index
	}
	partials := make([]string, 0, reads)
	for _, t := range p.Tasks[:reads] {
		partials = append(partials, t.Partials[reducer])
	}
	return partials
}

// expected returns the i-th task of the stage as it is when it is made.
func (p *Stage) expected(r *Run, i uint32) *Task {
	t := &Task{ID: thalweg.TaskID(fmt.Sprintf("%s/%s@%d", r.ID, p.Name, i)), Index: i, State: TaskWaiting, Run: r, Stage: p}
	if i >= p.Maps {
		t.Index, t.Reduce = i-p.Maps, true
		t.ID = thalweg.TaskID(fmt.Sprintf("%s/%s.reduce", r.ID, p.Name))
		if p.Reducers > 1 {
			t.ID += thalweg.TaskID(fmt.Sprintf("@%d", t.Index))
		}
	}
	return t
}

// flawOfReport says what a task that reports to be done failed to leave.
func (p *Stage) flawOfReport(t *Task) string {
	want := p.Reducers
	if t.Reduce {
		want = 0
	}
	if uint32(len(t.Partials)) != want {
		return fmt.Sprintf("%s: finished with %d partials for %d reducers", t.ID, len(t.Partials), want)
	}
	if i := slices.Index(t.Partials, ""); i >= 0 {
		return fmt.Sprintf("%s: finished without its partial for reducer %d", t.ID, i)
	}
	if p.Reducers > 0 {
		return ""
	}
	return p.disagreement(t)
}

// disagreement tells how a finished task's outputs differ from those of the
// others, in a stage that nobody merges: its tasks compute the same, so any
// difference is a fault.
func (p *Stage) disagreement(t *Task) string {
	for _, other := range p.Tasks {
		if other == t || other.State != TaskDone {
			continue
		}
		for _, name := range sortedKeys(merged(maps.Clone(other.Outputs), t.Outputs)) {
			if a, b := other.Outputs[name], t.Outputs[name]; a != b {
				return fmt.Sprintf("%s reports %s %s but %s on %s reported %s", t.ID, name, quoted(b), other.ID, other.Worker, quoted(a))
			}
		}
		return "" // the others agree with this one
	}
	return ""
}

// gather makes the stage's results the run's and names an output that is
// missing. Outputs are those of the reducer, with its number behind the name
// where there are several, or what the tasks agree on where there is none;
// metrics are those of the first of them. Counts are summed over the map tasks,
// except for names that reducers report, which are summed over those. A later
// stage's value replaces an earlier stage's of the same name.
func (r *Run) gather(p *Stage) (missing string) {
	counts, own := make(map[string]int64), make(map[string]int64)
	for _, t := range p.Tasks {
		to := counts
		if t.Reduce {
			to = own
		}
		for name, n := range t.Counts {
			to[name] += n
		}
	}
	results := p.Tasks[p.Maps:]
	if len(results) == 0 {
		results = p.Tasks[:1]
	}
	for i, t := range results {
		if p.Reducers <= 1 {
			r.Outputs = merged(r.Outputs, t.Outputs)
		}
		for _, name := range p.Outputs {
			if t.Outputs[name] == "" && missing == "" {
				missing = name
			}
			if p.Reducers > 1 {
				r.Outputs = merged(r.Outputs, map[string]string{fmt.Sprintf("%s@%d", name, i): t.Outputs[name]})
			}
		}
	}
	r.Metrics = merged(r.Metrics, results[0].Metrics)
	r.warn(results[0].Warnings...)
	r.Counts = merged(r.Counts, merged(counts, own))
	return missing
}

// warn adds warnings up to their bound.
func (r *Run) warn(texts ...string) {
	for _, text := range texts[:min(len(texts), MaxWarnings-len(r.Warnings))] {
		r.Warnings = append(r.Warnings, clip(text))
	}
}

func merged[V any](to, from map[string]V) map[string]V {
	if to == nil && len(from) > 0 {
		to = make(map[string]V, len(from))
	}
	maps.Copy(to, from)
	return to
}

func quoted(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
