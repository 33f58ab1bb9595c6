package worker

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/worker/serve"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// Stage is one stage of a run: what the coordinator plans with, and what a
// worker does for its tasks.
type Stage struct {
	stages.Plan
	// Size sets the numbers of the plan that the spec, or a job's arguments, decide.
	// Nil: none.
	Size func(plan *stages.Plan, spec *pipeline.Spec, arguments map[string]string) error
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
	return StageCatalog{stages.PurgeVerb: {
		{Plan: stages.Plan{Name: "purge", Over: stages.OverTasks, Reducers: 1}, Reduce: runPurge},
	}, stages.ScoreVerb: {
		{Plan: stages.Plan{Name: "profile", Over: stages.OverTasks, Reducers: 1, Outputs: []string{"manifest"}}, Size: checkScoring, Reduce: profileScoring},
		{Plan: stages.Plan{Name: "score", Over: stages.OverShards, Reducers: 1, Outputs: []string{"table"}}, Map: mapScoring, Reduce: reduceScoring},
	}, "": slices.Concat([]Stage{
		{Plan: stages.Plan{Name: "profile", Over: stages.OverTasks, Reducers: 1, Outputs: []string{"manifest"}}, Reduce: runProfile},
		{Plan: stages.Plan{Name: "inspect", Over: stages.OverShards, Reducers: 1, Outputs: []string{"manifest"}}, Needed: skipsBadShards, Map: mapInspect, Reduce: reduceInspect},
	}, shuffleStages(shufflesBeforeLearning), []Stage{
		{Plan: stages.Plan{Name: "clean", Over: stages.OverShards, Reducers: 1, Outputs: []string{"split"}}, Needed: needsCuts, Map: mapClean, Reduce: reduceClean},
		{Plan: stages.Plan{Name: "learn", Over: stages.OverShards, Reducers: 1, Outputs: []string{"learnt"}}, Needed: (*pipeline.Spec).Learns, Map: mapLearn, Reduce: reduceLearn},
	}, shuffleStages(shufflesAfterLearning), []Stage{
		{Plan: stages.Plan{Name: "write", Over: stages.OverShards, Reducers: 1, Outputs: []string{"table"}}, Needed: writes, Map: mapWrite, Reduce: reduceWrite},
		{Plan: stages.Plan{Name: "balance", Over: stages.OverShards, Reducers: 1, Outputs: []string{"balance"}}, Needed: (*pipeline.Spec).Balances, Map: mapBalance, Reduce: reduceBalance},
	}, trained([]Stage{
		{Plan: stages.Plan{Name: "fit", Over: stages.OverShards, Reducers: 1, Outputs: []string{"transform"}}, Map: mapFit, Reduce: reduceFit},
		{Plan: stages.Plan{Name: "search", Over: stages.OverTasks, Reducers: 1, Outputs: []string{"search", valuesInput}}, Needed: (*pipeline.Spec).Searches, Size: sizeSearch, Map: mapTrial, Reduce: reduceTrials},
		{Plan: stages.Plan{Name: "refit", Over: stages.OverShards, Reducers: 1, Outputs: []string{"transform"}}, Needed: (*pipeline.Spec).SearchesFeatures, Map: mapFit, Reduce: reduceFit},
		{Plan: stages.Plan{Name: "cross_validate", Over: stages.OverTasks, Reducers: 1, Outputs: []string{"cross_validation"}}, Needed: hasFolds, Size: sizeFolds, Map: mapFold, Reduce: reduceFolds},
		{Plan: stages.Plan{Name: "train", Over: stages.OverReplicas, Outputs: []string{"checkpoint", "model_sha256"}}, begin: newTrainTask},
		{Plan: stages.Plan{Name: "bootstrap", Over: stages.OverTasks, Reducers: 1, Outputs: []string{"checkpoint"}}, Needed: (*pipeline.Spec).HasMembers, Size: sizeMembers, Map: mapMember, Reduce: reduceMembers},
		{Plan: stages.Plan{Name: "calibrate", Over: stages.OverShards, Reducers: 1, Outputs: []string{"checkpoint"}}, Needed: (*pipeline.Spec).Halves, Map: mapCalibrate, Reduce: reduceCalibrate},
		{Plan: stages.Plan{Name: "evaluate", Over: stages.OverShards, Reducers: 1, Outputs: []string{"evaluation"}}, Map: mapEvaluate, Reduce: reduceEvaluate},
		{Plan: stages.Plan{Name: "export", Over: stages.OverTasks, Reducers: 1}, Needed: exports, Size: checkExports, Reduce: runExport},
		{Plan: stages.Plan{Name: "register", Over: stages.OverNothing}},
	}))}
}

// trained returns stages as those of specs that train a model alone.
func trained(all []Stage) []Stage {
	for i := range all {
		needed := all[i].Needed
		all[i].Needed = func(spec *pipeline.Spec) bool { return spec.Trains() && (needed == nil || needed(spec)) }
	}
	return all
}

// Plan returns the stages of a run of a verb, as coordinators ask for them.
func (c StageCatalog) Plan(spec *pipeline.Spec, verb string, arguments map[string]string) ([]stages.Plan, error) {
	all, ok := c[verb]
	if !ok {
		return nil, &thalweg.Error{Op: "plan run", Kind: thalweg.Invalid, Subject: fmt.Sprintf("verb %q", verb),
			Hint: fmt.Sprintf("known are %q", slices.Sorted(maps.Keys(c)))}
	}
	plan := make([]stages.Plan, 0, len(all))
	for _, s := range all {
		if s.Needed != nil && !s.Needed(spec) {
			continue
		}
		if s.Size != nil {
			if err := s.Size(&s.Plan, spec, arguments); err != nil {
				return nil, err
			}
		}
		if s.Over == stages.OverShards {
			s.BackupAfter = spec.Spec.Trainer.Distributed.Straggler.BackupAfter
		}
		if verb == "" && s.Over != stages.OverNothing {
			s.MinWorkers = uint32(spec.Spec.Trainer.Distributed.MinWorkers)
		}
		if r := spec.Spec.Resources; r != nil {
			s.MaxWorkers = uint32(r.MaxWorkers)
		}
		plan = append(plan, s.Plan)
	}
	return plan, nil
}

// serveKind is the kind of the lease of a pipeline's endpoint.
const serveKind = "serve"

// serveTask is such a lease.
type serveTask struct{ *serve.Lease }

func newServeTask(w *Worker, lease *apiv1.Lease) (runner, error) {
	t, err := serve.NewLease(serve.Host{Server: w.served, Metrics: w.metrics.served, Spec: w.spec, Tallies: &w.arms,
		Registry: func(model string) *engine.Registry { return w.streams.registry(w, model) },
		Failed: func(pipeline, test, severity string, rows int64) {
			w.metrics.testFailed(pipeline, inService, test, severity, rows)
		}}, lease, w.logOf(lease))
	return serveTask{t}, err
}

func (t serveTask) run(ctx context.Context) *apiv1.TaskReport { t.Run(ctx); return nil }
func (t serveTask) update(lease *apiv1.Lease)                 { t.Update(lease) }
func (t serveTask) fill(req *apiv1.PollRequest)               { t.Fill(req) }

// begin returns what carries a lease out.
func (c StageCatalog) begin(w *Worker, lease *apiv1.Lease) (runner, error) {
	switch {
	case lease.JobId != "" && w.cfg.Jobs != nil:
		return newTask(w, lease, w.cfg.Jobs), nil
	case lease.Kind == serveKind && lease.RunId == "":
		return newServeTask(w, lease)
	case lease.RunId == "" && lease.JobId == "":
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
			return newTask(w, lease, do), nil
		}
	}
	return nil, outdated("run task", lease.TaskId, nil)
}

// outdated is the error of a lease that this worker does not understand although
// the coordinator did: another worker may be of a newer build.
func outdated(op, subject string, err error) error {
	return &thalweg.Error{Op: op, Kind: thalweg.Unavailable, Subject: subject, Hint: "the coordinator is newer than this worker", Err: err}
}

// spec reads the spec of a lease, with the values that its run's search has found.
func (w *Worker) spec(lease *apiv1.Lease) (*pipeline.Spec, error) {
	spec, err := w.specOf(lease)
	if err != nil {
		return nil, outdated("read spec", "pipeline "+lease.Pipeline, err)
	}
	spec.Cite(lease.SpecFile, []byte(lease.SpecWritten))
	return spec, nil
}
