package worker

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline"
)

// Stage is one stage of a run: what the coordinator plans with, and what a
// worker does for its tasks.
type Stage struct {
	api.Stage
	// Size sets the numbers of the plan that the spec, or a job's arguments, decide.
	// Nil: none.
	Size func(stage *api.Stage, spec *pipeline.Spec, arguments map[string]string) error
	// Needed reports whether a run of the spec has the stage. Nil: each has.
	Needed func(spec *pipeline.Spec) bool
	// Map carries a map task out, Reduce a reducer. They may be called concurrently,
	// for different tasks. An error that would be the same on any worker has the kind
	// Invalid, Unsupported or NotFound.
	Map, Reduce func(ctx context.Context, t *Task) error
	// begin makes what holds a lease of the stage, where Map is not enough: tasks
	// that have to know of each other.
	begin func(w *Worker, lease *apiv1.Lease) (runner, error)
}

// StageCatalog holds the stages that workers can carry out, in order, by the verb
// whose runs have them. Those of a spec's batch half are under the empty verb.
type StageCatalog map[string][]Stage

// Stages returns the catalog. To add a stage: a file task_<name>.go, and a line
// here.
func Stages() StageCatalog {
	return StageCatalog{"": {
		{Stage: api.Stage{Name: "profile", Over: api.OverTasks, Reducers: 1, Outputs: []string{"manifest"}}, Reduce: runProfile},
		{Stage: api.Stage{Name: "clean", Over: api.OverShards, Reducers: 1, Outputs: []string{"split"}}, Map: mapClean, Reduce: reduceClean},
		{Stage: api.Stage{Name: "learn", Over: api.OverShards, Reducers: 1, Outputs: []string{"learnt"}}, Needed: needsLearn, Map: mapLearn, Reduce: reduceLearn},
		{Stage: api.Stage{Name: "fit", Over: api.OverShards, Reducers: 1, Outputs: []string{"transform"}}, Map: mapFit, Reduce: reduceFit},
		{Stage: api.Stage{Name: "train", Over: api.OverReplicas, Outputs: []string{"checkpoint", "model_sha256"}}, Size: sizeTrain, begin: newTrainTask},
		{Stage: api.Stage{Name: "evaluate", Over: api.OverShards, Reducers: 1, Outputs: []string{"evaluation"}}, Map: mapEvaluate, Reduce: reduceEvaluate},
		{Stage: api.Stage{Name: "register", Over: api.OverNothing}},
	}}
}

// Plan returns the stages of a run of a verb, as coordinators ask for them.
func (c StageCatalog) Plan(spec *pipeline.Spec, verb string, arguments map[string]string) ([]api.Stage, error) {
	stages, ok := c[verb]
	if !ok {
		return nil, &thalweg.Error{Op: "plan run", Kind: thalweg.Invalid, Subject: fmt.Sprintf("verb %q", verb),
			Hint: fmt.Sprintf("known are %q", slices.Sorted(maps.Keys(c)))}
	}
	plan := make([]api.Stage, 0, len(stages))
	for _, s := range stages {
		if s.Needed != nil && !s.Needed(spec) {
			continue
		}
		if s.Size != nil {
			if err := s.Size(&s.Stage, spec, arguments); err != nil {
				return nil, err
			}
		}
		plan = append(plan, s.Stage)
	}
	return plan, nil
}

// begin returns what carries a lease out.
func (c StageCatalog) begin(w *Worker, lease *apiv1.Lease) (runner, error) {
	if lease.RunId == "" {
		return newScoreTask(w, lease)
	}
	for _, s := range c[lease.Verb] {
		do := s.Map
		if lease.Reduce {
			do = s.Reduce
		}
		switch {
		case s.Name != lease.Kind:
		case s.begin != nil:
			return s.begin(w, lease)
		case do != nil:
			return &Task{Lease: lease, worker: w, do: do, Report: &apiv1.TaskReport{
				Outputs: map[string]string{}, Metrics: map[string]float64{}, Counts: map[string]int64{}}}, nil
		}
	}
	return nil, &thalweg.Error{Op: "run task", Kind: thalweg.Unsupported, Subject: lease.TaskId,
		Hint: "the coordinator is newer than this worker"}
}
