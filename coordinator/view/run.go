// Package view shows the state as the RPC does.
package view

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/liveness"
	"github.com/thalweg/thalweg/coordinator/state"
)

// Run returns a run as the RPC shows it; progress of running tasks comes
// from l, which is nil for a record; tasks are listed where asked for.
func Run(r *state.Run, l *liveness.Liveness, tasks bool) *apiv1.Run {
	v := &apiv1.Run{
		Id: string(r.ID), Pipeline: string(r.Pipeline), Generation: uint64(r.Generation),
		State: string(r.State), Stage: r.Stage().Name, Error: r.Error,
		StartedAtUnixMs: r.StartedMS, EndedAtUnixMs: r.EndedMS,
		Outputs: maps.Clone(r.Outputs), Metrics: maps.Clone(r.Metrics), Counts: maps.Clone(r.Counts),
		Warnings:     slices.Clone(r.Warnings),
		ModelVersion: uint64(r.Version), Verb: r.Verb, Arguments: maps.Clone(r.Arguments), Trigger: r.Trigger,
	}
	fromTable(v, "curve", &v.Curve)
	fromTable(v, "weights", &v.Weights)
	fromTable(v, "importance", &v.Importance)
	for _, stage := range r.Stages {
		v.Stages = append(v.Stages, stageOf(r, stage, l, tasks))
	}
	if l != nil {
		if v.Waiting = Waiting(r, l); v.Waiting != "" {
			v.Stages[r.At].Message = v.Waiting
		}
	}
	return v
}

// Waiting says for which workers a run waits, "" if it does not.
func Waiting(r *state.Run, l *liveness.Liveness) string {
	stage := r.Current()
	if stage == nil || stage.Over == stages.OverNothing {
		return ""
	}
	switch alive, roomy := l.Alive(time.Now()); {
	case stage.Waits(alive):
		return fmt.Sprintf("waiting for %d workers, %d there", stage.MinWorkers, alive)
	case alive > 0 && roomy == 0:
		return "waiting for a worker with room on its disk"
	case stage.MaxWorkers > 0 && alive > int(stage.MaxWorkers) && full(stage):
		return fmt.Sprintf("on %d workers of %d, as many as resources.max_workers allows", stage.MaxWorkers, alive)
	}
	return ""
}

// full reports whether tasks of a stage wait, and as many workers as may hold some do.
func full(stage *state.Stage) bool {
	on, waits := make(map[thalweg.WorkerID]bool), false
	for _, t := range stage.Tasks {
		if waits = waits || t.State == state.TaskWaiting; t.State == state.TaskLeased {
			on[t.Worker] = true
		}
	}
	return waits && len(on) >= int(stage.MaxWorkers)
}

// fromTable moves an output that is a table of api.Table to a field of its own; what
// is none stays.
func fromTable[T any](v *apiv1.Run, name string, into *[]T) {
	if json.Unmarshal([]byte(v.Outputs[name]), into) == nil {
		delete(v.Outputs, name)
	} else {
		*into = nil
	}
}

func stageOf(r *state.Run, stage *state.Stage, l *liveness.Liveness, tasks bool) *apiv1.Stage {
	v := &apiv1.Stage{
		Name: stage.Name, State: string(stage.State), TasksTotal: stage.Total, TasksDone: stage.Done,
		RowsDone: stage.Rows, StartedAtUnixMs: stage.StartedMS, EndedAtUnixMs: stage.EndedMS,
	}
	known := stage.Total > 0 // whether every task's total is
	for _, t := range stage.Tasks {
		if tasks {
			v.Tasks = append(v.Tasks, &apiv1.Task{Id: string(t.ID), State: string(t.State), Worker: string(t.Worker),
				Token: uint64(t.Token), Attempts: t.Attempts, Error: t.LastError(), Found: t.Outputs[stages.FoundOutput]})
			if b := t.Backup; b != nil && b.State == state.TaskLeased {
				v.Tasks = append(v.Tasks, &apiv1.Task{Id: string(b.ID), State: string(b.State), Worker: string(b.Worker), Token: uint64(b.Token), Attempts: b.Attempts})
			}
		}
		if t.State == state.TaskDone {
			v.RowsTotal += t.Rows
			continue
		}
		var p *apiv1.Progress
		if l != nil {
			p = l.ProgressOf(t.ID, t.Token)
		}
		if t.State != state.TaskLeased || p == nil {
			known = known && t.Reduce
			continue
		}
		v.RowsDone += p.RowsDone
		v.RowsTotal += p.RowsTotal
		known = known && (p.RowsTotal > 0 || t.Reduce)
		if v.Message == "" {
			v.Message = p.Message
		}
	}
	switch {
	case stage.State == state.StageDone, stage.State == state.StageFailed:
		v.RowsTotal = v.RowsDone
	case known:
	case stage.Over == stages.OverShards: // each shard's rows once, as they were counted
		v.RowsTotal = r.Counts["rows"]
	default:
		v.RowsTotal = 0
	}
	return v
}
