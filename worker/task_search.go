package worker

import (
	"context"
	"encoding/json"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/evaluation"
	"github.com/thalweg/thalweg/pipeline/search"
	"github.com/thalweg/thalweg/pipeline/split"
	"github.com/thalweg/thalweg/worker/train"
)

// What a search leaves for the stages after it: all trials, the values of the best one,
// which they put into the spec, and the sha256 of its model.
const (
	searchInput     = "search"
	valuesInput     = "parameters"
	trialModelInput = "trial_model"
)

// The values of a trial fit into an output.
const _ = uint(api.MaxOutputBytes - pipeline.MaxValuesBytes)

// searchBackupAfter is how many times the median of the trials one may take before another
// worker does it too: some values make a training many times as long as others.
const searchBackupAfter = 20

// sizeSearch makes each trial a task, and each generation a wave.
func sizeSearch(plan *stages.Plan, spec *pipeline.Spec, _ map[string]string) error {
	p, err := search.New(spec)
	if err != nil {
		return err
	}
	for _, n := range p.Generations() {
		plan.Number += uint32(n)
		plan.Waves = append(plan.Waves, uint32(n))
	}
	plan.Together, plan.BackupAfter = uint32(spec.Spec.Search.ParallelTrials), searchBackupAfter
	return nil
}

// specOf parses the spec of a lease. Once a search has found values, it is what the user
// wrote, with these in it.
func (w *Worker) specOf(lease *apiv1.Lease) (*pipeline.Spec, error) {
	name := lease.Pipeline + ".yaml"
	found := lease.Inputs[valuesInput]
	if found == "" {
		return pipeline.ParseAccepted(w.cfg.SpecCatalog, name, []byte(lease.Spec))
	}
	var values pipeline.Values
	if err := json.Unmarshal([]byte(found), &values); err != nil {
		return nil, err
	}
	// In the rendered one defaults are written out that may depend on the values.
	text := lease.SpecWritten
	if text == "" {
		text = lease.Spec
	}
	return pipeline.ParseWith(w.cfg.SpecCatalog, name, []byte(text), values)
}

// openSearch returns the spec of a task's search, what it searches, and the trials that the
// task follows from.
func openSearch(ctx context.Context, t *Task) (*pipeline.Spec, *search.Problem, []search.Trial, error) {
	spec, err := t.worker.spec(t.Lease)
	if err != nil {
		return nil, nil, nil, err
	}
	problem, err := search.New(spec)
	if err != nil {
		return nil, nil, nil, err
	}
	trials, err := Partials[search.Trial](ctx, t)
	return spec, problem, trials, err
}

// mapTrial trains a model with the values that follow from the trials before, and measures
// it on the validation rows.
func mapTrial(ctx context.Context, t *Task) error {
	spec, problem, finished, err := openSearch(ctx, t)
	if err != nil {
		return err
	}
	trial, err := problem.Trial(int(t.Lease.Index), finished)
	if err != nil {
		return err
	}
	if err := t.try(ctx, spec, &trial); err != nil {
		// What is wrong with the values, or comes of them, is no failure of the run.
		if ctx.Err() != nil || !isWrongInput(err) {
			return err
		}
		trial.Failed = err.Error()
	}
	if v, ok := trial.Metrics[problem.Metric]; ok && trial.Failed == "" {
		trial.Score = &v
	} else if trial.Failed == "" {
		trial.Failed = fmt.Sprintf("%s of the validation rows is undefined", problem.Metric)
	}
	t.Report.Outputs[stages.FoundOutput] = evaluation.TrialLine(problem.Metric, trial)
	return t.SavePartial(ctx, trial)
}

// try trains the model of a trial.
func (t *Task) try(ctx context.Context, base *pipeline.Spec, trial *search.Trial) error {
	lease := proto.CloneOf(t.Lease)
	if err := putValues(lease, trial.Values); err != nil {
		return err
	}
	spec, err := t.worker.specOf(lease)
	if err != nil {
		return err
	}
	if !base.SearchesFeatures() && !pipeline.FitsAlike(base, spec) {
		return &thalweg.Error{Op: "try", Kind: thalweg.Unsupported, Subject: trial.Values.Text(),
			Hint: "these fields of the model change how features enter it, which the run has fitted: search fields of input_features or defaults instead"}
	}
	rows, err := t.rowsOf(ctx, base, lease, trial.Number)
	if err != nil {
		return err
	}
	v := variant{run: thalweg.RunID(lease.RunId), name: fmt.Sprintf("trial %d", trial.Number)}
	hooks := train.Hooks{Progress: func(p train.Progress) {
		var done, total int64
		for _, r := range p.Replicas {
			done, total = done+r.RowsDone, total+r.RowsTotal
		}
		t.rowsDone.Store(done)
		t.rowsTotal.Store(total)
		t.message.Store(fmt.Sprintf("trial %d: %s", trial.Number, p.Message))
	}}
	model, result, err := rows.data.trainAlone(ctx, v, rows, hooks)
	if err != nil {
		return err
	}
	t.Report.Counts["rows"] = t.rowsDone.Load()
	trial.Metrics, trial.Epochs, trial.Model = result.Metrics, result.Epochs, model.ModelSHA256()
	if folds, err := t.trialFolds(ctx, base); folds == 0 || err != nil {
		return err
	} else if trial.Metrics, err = t.tryFolds(ctx, lease, v, folds); err != nil {
		return err
	}
	return nil
}

// trialFolds returns by how many folds trials are compared; 0: by the validation rows.
func (t *Task) trialFolds(ctx context.Context, spec *pipeline.Spec) (int, error) {
	var fit fitted
	if err := t.Input(ctx, "transform", &fit); err != nil {
		return 0, err
	}
	var validation int64
	for _, rows := range fit.Rows {
		validation += rows[split.Validation]
	}
	if spec.Halves() {
		validation /= 2
	}
	return spec.TrialFolds(validation), nil
}

// tryFolds returns the means of the metrics of a trial's models, each trained without one of the
// folds, of the rows of that fold.
func (t *Task) tryFolds(ctx context.Context, lease *apiv1.Lease, v variant, folds int) (map[string]float64, error) {
	d, err := t.worker.openData(ctx, lease)
	if err != nil {
		return nil, err
	}
	plan, spec := *d.plan, *d.plan.Spec
	spec.Spec.Evaluation.Metrics = nil // trials may be compared by one that the version is not judged by
	plan.Spec, d.plan = &spec, &plan
	all := make([]evaluation.Fold, folds)
	for i := range all {
		own := *d
		own.view = split.Without(i + 1)
		t.message.Store(fmt.Sprintf("%s: fold %d of %d", v.name, i+1, folds))
		all[i], err = own.try(ctx, variant{run: v.run, name: fmt.Sprintf("%s, fold %d", v.name, i+1),
			empty: "no row of the other folds is left to train on", hint: "write search: {folds: 1}, or give training a larger share of the rows"})
		if err != nil {
			return nil, err
		}
	}
	metrics := make(map[string]float64)
	for name, mean := range evaluation.NewFolds(all).Means {
		metrics[name] = mean.Value
	}
	return metrics, nil
}

// putValues makes a lease one whose spec has values in it.
func putValues(lease *apiv1.Lease, values pipeline.Values) error {
	text, err := json.Marshal(values)
	if lease.Inputs == nil {
		lease.Inputs = make(map[string]string)
	}
	lease.Inputs[valuesInput] = string(text)
	return err
}

// rowsOf returns the rows of a trial: transformed as the run has fitted them, or, where
// features have other options, by statistics of its own.
func (t *Task) rowsOf(ctx context.Context, base *pipeline.Spec, lease *apiv1.Lease, number int) (*shardRows, error) {
	if !base.SearchesFeatures() {
		return t.worker.openRows(ctx, lease)
	}
	d, err := t.worker.openData(ctx, lease)
	if err != nil {
		return nil, err
	}
	return d.fitAlone(ctx, variant{run: thalweg.RunID(lease.RunId), name: fmt.Sprintf("trial %d", number),
		empty: "no row is left to train on", hint: "look at what is done with missing values"}, new(evaluation.Fold))
}

// reduceTrials chooses the best trial.
func reduceTrials(ctx context.Context, t *Task) error {
	spec, problem, trials, err := openSearch(ctx, t)
	if err != nil {
		return err
	}
	best := problem.Best(trials)
	if best == nil {
		return &thalweg.Error{Op: "search", Kind: thalweg.Invalid, Subject: "run " + t.Lease.RunId,
			Err: fmt.Errorf("all %d trials failed; the first: %s", len(trials), trials[0].Failed)}
	}
	failed := 0
	for _, trial := range trials {
		if trial.Failed != "" {
			failed++
		}
	}
	if failed > 0 {
		t.warn("%d of %d trials failed", failed, len(trials))
	}
	lease := proto.CloneOf(t.Lease)
	if err := putValues(lease, best.Values); err != nil {
		return err
	}
	rows, err := t.rowsOf(ctx, spec, lease, best.Number)
	if err != nil {
		return err
	}
	trainer := artifact.Trainer(rows.plan, rows.transform)
	result := problem.Result(trials, best)
	if result.Folds, err = t.trialFolds(ctx, spec); err != nil {
		return err
	}
	t.Report.Counts["replicas"] = int64(trainer.Distributed.Replicas)
	t.Report.Counts["search.trials"], t.Report.Counts["search.trials.failed"] = int64(len(trials)), int64(failed)
	t.Report.Metrics["search."+problem.Metric], t.Report.Metrics["search.best_trial"] = *best.Score, float64(best.Number)
	for name, text := range map[string]string{"trainer": trainer.Text(), valuesInput: lease.Inputs[valuesInput],
		trialModelInput: best.Model, "trials": evaluation.SearchTable(result, api.MaxOutputBytes)} {
		t.Report.Outputs[name] = text
	}
	return t.Save(ctx, searchInput, result)
}
