package state

import (
	"errors"
	"fmt"
	"slices"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
)

var (
	errTwice   = errors.New("missing or duplicated")
	errMissing = errors.New("a part is missing")
)

func (s *State) restoreModel(m *Model) error {
	if m == nil || m.Name == "" || s.models[m.Name] != nil {
		return damaged("model", errTwice)
	}
	subject := "model " + string(m.Name)
	if len(m.Versions) > MaxVersions {
		return damaged(subject, fmt.Errorf("%d versions", len(m.Versions)))
	}
	for i, v := range m.Versions {
		if v == nil || v.Version != m.Before+thalweg.ModelVersion(i+1) {
			return damaged(subject, fmt.Errorf("version %d is missing", m.Before+thalweg.ModelVersion(i+1)))
		}
	}
	for name, a := range m.Aliases {
		if a == nil {
			return damaged(subject, fmt.Errorf("alias %s points nowhere", name))
		}
		if flaw := a.Rollout.flaw(m); flaw != "" {
			return damaged(subject, fmt.Errorf("alias %s: %s", name, flaw))
		}
		if len(a.Tried) > keptReplaced {
			return damaged(subject, fmt.Errorf("alias %s has tried %d versions", name, len(a.Tried)))
		}
		for _, v := range slices.Concat([]thalweg.ModelVersion{a.Version}, a.Replaced, a.Tried) {
			if m.Version(v) == nil {
				return damaged(subject, fmt.Errorf("alias %s points or pointed to version %d, which is missing", name, v))
			}
		}
	}
	s.models[m.Name] = m
	return nil
}

func (s *State) restorePipeline(p *Pipeline) error {
	if p == nil || p.Name == "" || s.pipelines[p.Name] != nil {
		return damaged("pipeline", errTwice)
	}
	subject := "pipeline " + string(p.Name)
	if len(p.Specs) < 1 || len(p.Specs) > MaxGenerations {
		return damaged(subject, fmt.Errorf("%d generations", len(p.Specs)))
	}
	for i, spec := range p.Specs {
		if spec == nil || spec.Generation != p.Specs[0].Generation+thalweg.Generation(i) || spec.Since > spec.Generation || len(spec.Training) > MaxHashBytes ||
			(spec.Model == "") != (spec.Alias == "") {
			return damaged(subject, fmt.Errorf("generation %d of those kept: %w", i, errMissing))
		}
	}
	switch {
	case p.Written > p.Newest().Generation:
		return damaged(subject, fmt.Errorf("generation %d has written its table, of %d", p.Written, p.Newest().Generation))
	case p.PauseReason != "" && !p.Paused || len(p.PauseReason) > MaxTextBytes:
		return damaged(subject, fmt.Errorf("paused %v because of %.40q", p.Paused, p.PauseReason))
	case len(p.Partitions) > MaxPartitions || (len(p.Partitions) > 0) != (p.Newest().Topic != ""):
		return damaged(subject, fmt.Errorf("%d partitions of topic %q", len(p.Partitions), p.Newest().Topic))
	}
	if flaw := p.Timetable.flaw(); flaw != "" {
		return damaged(subject, errors.New(flaw))
	}
	if err := checkSinks(subject, p.Sinks); err != nil {
		return err
	}
	if d := p.Deletion; d != nil && d.Purge {
		if flaw := (&StartRun{Verb: stages.PurgeVerb, Stages: d.Stages, Arguments: d.Arguments}).flaw(); flaw != "" {
			return damaged(subject, fmt.Errorf("its deletion: %s", flaw))
		}
	}
	for i, part := range p.Partitions {
		if part == nil || part.Task == nil || part.Task.Index != uint32(i) || part.Task.ID != ScoreTaskID(p.Name, uint32(i)) ||
			part.Task.State != TaskWaiting && part.Task.State != TaskLeased {
			return damaged(subject, fmt.Errorf("partition %d: %w", i, errMissing))
		}
		if part.Grown && !p.Counted {
			return damaged(subject, fmt.Errorf("partition %d is grown, but they were never counted", i))
		}
		if k := part.Skip; k != nil {
			if flaw := k.flaw(len(p.Partitions)); flaw != "" || k.Partition != uint32(i) {
				return damaged(subject, fmt.Errorf("partition %d: its skip %+v: %s", i, *k, flaw))
			}
		}
		part.Pipeline, part.Task.Partition = p, part
		if err := s.restoreTask(part.Task); err != nil {
			return err
		}
	}
	if err := s.restoreEndpoints(subject, p); err != nil {
		return err
	}
	s.pipelines[p.Name] = p
	return nil
}

func checkSinks(subject string, sinks []Sink) error {
	if len(sinks) > MaxSinks {
		return damaged(subject, fmt.Errorf("%d sinks, at most %d are kept", len(sinks), MaxSinks))
	}
	for _, k := range sinks {
		if flaw := k.flaw(); flaw != "" {
			return damaged(subject, errors.New(flaw))
		}
	}
	return nil
}

func (s *State) restoreTombstone(t *Tombstone) error {
	if t == nil || t.Pipeline == "" || t.Generation < 1 || s.deleted[t.Pipeline] != nil || s.pipelines[t.Pipeline] != nil {
		return damaged("deleted pipeline", errTwice)
	}
	if err := checkSinks("deleted pipeline "+string(t.Pipeline), t.Sinks); err != nil {
		return err
	}
	s.deleted[t.Pipeline] = t
	return nil
}

// check checks all of a run that can be seen in itself, and links its parts.
func (r *Run) check() error {
	if r == nil || r.ID == "" {
		return damaged("run", errMissing)
	}
	subject := "run " + string(r.ID)
	if !slices.Contains([]RunState{RunRunning, RunSucceeded, RunFailed, RunCanceled}, r.State) || int(r.At) >= len(r.Stages) {
		return damaged(subject, fmt.Errorf("%.40q in stage %d of %d", r.State, r.At, len(r.Stages)))
	}
	plans := make([]stages.Plan, len(r.Stages))
	for i, stage := range r.Stages {
		if stage == nil || !slices.Contains([]StageState{StageWaiting, StageRunning, StageDone, StageFailed}, stage.State) ||
			(stage.State == StageWaiting) != (i > int(r.At)) {
			return damaged(subject, fmt.Errorf("stage %d: %w", i+1, errMissing))
		}
		plans[i] = stage.Plan
		for _, t := range stage.Tasks {
			if t == nil || !slices.Contains([]TaskState{TaskWaiting, TaskLeased, TaskDone, TaskFailed}, t.State) {
				return damaged(subject, fmt.Errorf("a task of stage %s: %w", stage.Name, errMissing))
			}
			t.Run, t.Stage = r, stage
			if t.Backup != nil && stage.State != StageRunning {
				return damaged(string(t.ID), errors.New("its stage is over, but it has a backup"))
			}
		}
	}
	if flaw := (&StartRun{Stages: plans, Verb: r.Verb, Arguments: r.Arguments}).flaw(); flaw != "" {
		return damaged(subject, errors.New(flaw))
	}
	return nil
}

func (s *State) restoreRun(r *Run) error {
	if err := r.check(); err != nil {
		return err
	}
	subject, p := "run "+string(r.ID), s.pipelines[r.Pipeline]
	switch {
	case s.runs[r.ID] != nil:
		return damaged(subject, errTwice)
	case p == nil || (p.ActiveRun == r.ID) != (r.State == RunRunning):
		return damaged(subject, fmt.Errorf("it is %v, which its pipeline does not know", r.State))
	case r.State == RunRunning && r.Verb == stages.PurgeVerb && p.Deletion == nil:
		return damaged(subject, errors.New("it purges a pipeline that is not being deleted"))
	case r.State == RunRunning && (p.Spec(r.Generation) == nil || r.Generation == 0):
		return damaged(subject, fmt.Errorf("generation %d: %w", r.Generation, errMissing))
	}
	s.runs[r.ID] = r
	if r.State != RunRunning {
		return nil
	}
	return s.restoreStage(r)
}

// restoreStage checks and enters the tasks of the stage that a run is in.
func (s *State) restoreStage(r *Run) error {
	stage, done := r.Stage(), uint32(0)
	sized := Stage{Plan: stage.Plan}
	if flaw := sized.size(r.Counts); flaw != "" || stage.Shards != sized.Shards || stage.Maps != sized.Maps || stage.Total != sized.Total {
		return damaged("run "+string(r.ID), fmt.Errorf("stage %s has %d tasks: %s", stage.Name, stage.Total, flaw))
	}
	for i, t := range stage.Tasks {
		want := stage.expected(r, uint32(i))
		if t.ID != want.ID || t.Index != want.Index || t.Reduce != want.Reduce || t.State == TaskFailed {
			return damaged(string(want.ID), errMissing)
		}
		if t.State == TaskDone {
			done++
			if flaw := stage.flawOfReport(t); flaw != "" {
				return damaged(string(t.ID), errors.New(flaw))
			}
		}
		if err := s.restoreTask(t); err != nil {
			return err
		}
	}
	// A stage whose tasks are all done is over.
	if stage.State != StageRunning || stage.Done != done || done >= stage.Total && stage.Over != stages.OverNothing ||
		uint32(len(stage.Tasks)) != stage.begun() {
		return damaged("run "+string(r.ID), fmt.Errorf("stage %s has %d tasks of %d, %d done of %d",
			stage.Name, len(stage.Tasks), stage.Total, done, stage.Done))
	}
	if n := len(stage.Tasks); n > 0 {
		read := stage.Tasks[:stage.Reads(stage.Tasks[n-1])]
		if i := slices.IndexFunc(read, func(t *Task) bool { return t.State != TaskDone }); i >= 0 {
			return damaged(string(read[i].ID), errors.New("it is not done, but what reads it is there"))
		}
	}
	return nil
}

// restoreTask enters a live task into the indexes.
func (s *State) restoreTask(t *Task) error {
	switch subject := "task " + string(t.ID); {
	case s.tasks[t.ID] != nil:
		return damaged(subject, errTwice)
	case t.State == TaskWaiting && t.Worker != "":
		return damaged(subject, errors.New("it waits, but has a worker"))
	case t.State == TaskLeased && (t.Worker == "" || t.Token == 0 || uint64(t.Token) > s.index):
		return damaged(subject, errors.New("its lease has no worker or token"))
	case t.State == TaskLeased:
		s.hold(t)
	}
	s.tasks[t.ID] = t
	b := t.Backup
	if b == nil {
		return nil
	}
	if flaw := t.flawOfBackup(); flaw != "" {
		return damaged("task "+string(t.ID), errors.New(flaw))
	}
	b.Run, b.Stage, b.Of = t.Run, t.Stage, t
	return s.restoreTask(b)
}
