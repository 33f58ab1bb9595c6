package state

import (
	"errors"
	"fmt"

	"github.com/thalweg/thalweg"
)

var (
	errTwice   = errors.New("missing or there twice")
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
		if v == nil || v.Version != thalweg.ModelVersion(i+1) {
			return damaged(subject, fmt.Errorf("version %d is missing", i+1))
		}
	}
	for name, a := range m.Aliases {
		if a == nil || m.Version(a.Version) == nil {
			return damaged(subject, fmt.Errorf("alias %s points nowhere", name))
		}
		for _, v := range a.Replaced {
			if m.Version(v) == nil {
				return damaged(subject, fmt.Errorf("alias %s replaced version %d, which is missing", name, v))
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
			spec.Replicas < 1 || spec.Replicas > MaxReplicas || spec.Model == "" || spec.Alias == "" {
			return damaged(subject, fmt.Errorf("generation %d of those kept: %w", i, errMissing))
		}
	}
	if p.PauseReason != "" && !p.Paused || len(p.PauseReason) > MaxTextBytes {
		return damaged(subject, fmt.Errorf("paused %v because of %.40q", p.Paused, p.PauseReason))
	}
	if len(p.Partitions) > MaxPartitions || (len(p.Partitions) > 0) != (p.Newest().Topic != "") {
		return damaged(subject, fmt.Errorf("%d partitions of topic %q", len(p.Partitions), p.Newest().Topic))
	}
	for i, part := range p.Partitions {
		if part == nil || part.Task == nil || part.Task.Work != Score || part.Task.Index != uint32(i) ||
			part.Task.ID != scoreTaskID(p.Name, uint32(i)) || part.Task.State != TaskWaiting && part.Task.State != TaskLeased {
			return damaged(subject, fmt.Errorf("partition %d: %w", i, errMissing))
		}
		if k := part.Skip; k != nil {
			if flaw := k.flaw(len(p.Partitions)); flaw != "" || k.Partition != uint32(i) {
				return damaged(subject, fmt.Errorf("partition %d: its skip %+v: %s", i, *k, flaw))
			}
		}
		if part.Grown && !p.Counted {
			return damaged(subject, fmt.Errorf("partition %d is grown, but they were never counted", i))
		}
		part.of, part.Task.partition = p, part
		if err := s.restoreTask(part.Task); err != nil {
			return err
		}
	}
	s.pipelines[p.Name] = p
	return nil
}

func (s *State) restoreRun(r *Run) error {
	if r == nil || r.ID == "" || s.runs[r.ID] != nil {
		return damaged("run", errTwice)
	}
	subject := "run " + string(r.ID)
	if r.State < RunRunning || r.Stage < Profile || r.Stage > Register || len(r.Stages) != int(r.Stage) {
		return damaged(subject, fmt.Errorf("stage %v with %d stages begun", r.Stage, len(r.Stages)))
	}
	if r.Replicas < 1 || r.Replicas > MaxReplicas || r.Shards > MaxShards || r.Stage > Profile && r.Shards == 0 && r.State == RunRunning {
		return damaged(subject, fmt.Errorf("%d replicas, %d shards", r.Replicas, r.Shards))
	}
	for i, stage := range r.Stages {
		if stage == nil || stage.Work != Work(i+1) || stage.State < StageRunning {
			return damaged(subject, fmt.Errorf("stage %d: %w", i+1, errMissing))
		}
		for _, t := range stage.Tasks {
			if t == nil || t.State == 0 || t.Work != stage.Work {
				return damaged(subject, fmt.Errorf("a task of stage %v: %w", stage.Work, errMissing))
			}
			t.run = r
		}
	}
	p := s.pipelines[r.Pipeline]
	if p == nil || (p.ActiveRun == r.ID) != (r.State == RunRunning) {
		return damaged(subject, fmt.Errorf("it is %v, which its pipeline does not know", r.State))
	}
	s.runs[r.ID] = r
	if r.State != RunRunning {
		return nil
	}
	if p.Spec(r.Generation) == nil || r.Generation == 0 {
		return damaged(subject, fmt.Errorf("generation %d: %w", r.Generation, errMissing))
	}
	return s.restoreStage(r)
}

// restoreStage checks and enters the tasks of the stage that a run is in.
func (s *State) restoreStage(r *Run) error {
	stage := r.Current()
	if stage == nil {
		return nil
	}
	n, reduce := r.shape(stage.Work)
	total, done := n, uint32(0)
	if reduce {
		total++
	}
	have := uint32(len(stage.Tasks))
	for i, t := range stage.Tasks {
		want := Task{ID: mapTaskID(r.ID, stage.Work, uint32(i)), Index: uint32(i)}
		if uint32(i) == n {
			want = Task{ID: reduceTaskID(r.ID, stage.Work), Reduce: true}
		}
		if t.ID != want.ID || t.Index != want.Index || t.Reduce != want.Reduce || t.State == TaskFailed {
			return damaged(string(want.ID), errMissing)
		}
		if t.State == TaskDone {
			done++
		}
		if err := s.restoreTask(t); err != nil {
			return err
		}
	}
	// The reduce task is there exactly when the map tasks are done, and a stage
	// whose tasks are all done is over.
	wantTasks := n
	if reduce && done >= n {
		wantTasks = total
	}
	if stage.State != StageRunning || stage.Total != total || stage.Done != done || done >= total || have != wantTasks {
		return damaged("run "+string(r.ID), fmt.Errorf("stage %v has %d tasks of %d, %d done of %d", stage.Work, have, total, done, stage.Done))
	}
	return nil
}

// restoreTask enters a live task into the indexes.
func (s *State) restoreTask(t *Task) error {
	if s.tasks[t.ID] != nil {
		return damaged("task "+string(t.ID), errTwice)
	}
	s.tasks[t.ID] = t
	switch t.State {
	case TaskWaiting:
		if t.Worker != "" {
			return damaged("task "+string(t.ID), errors.New("it waits, but has a worker"))
		}
	case TaskLeased:
		if t.Worker == "" || t.Token == 0 || uint64(t.Token) > s.index {
			return damaged("task "+string(t.ID), errors.New("its lease has no worker or token"))
		}
		s.hold(t)
	case TaskDone, TaskFailed:
	}
	return nil
}
