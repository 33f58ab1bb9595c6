package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/evaluation"
	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/split"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/worker/average"
	"github.com/thalweg/thalweg/worker/train"
)

func hasFolds(spec *pipeline.Spec) bool { return spec.Spec.Preprocessing.Split.Folds > 0 }

// sizeFolds makes each fold a task.
func sizeFolds(plan *stages.Plan, spec *pipeline.Spec, _ map[string]string) error {
	plan.Number = uint32(spec.Spec.Preprocessing.Split.Folds)
	return nil
}

// mapFold trains a model without the rows of a fold and measures it on them.
func mapFold(ctx context.Context, t *Task) error {
	d, err := t.worker.openData(ctx, t.Lease)
	if err != nil {
		return err
	}
	fold := int(t.Lease.Index) + 1
	d.progress, d.view = &t.rowsDone, split.Without(fold)
	const passes = 3 // fit, train, measure
	t.rowsTotal.Store(passes * d.manifest.Rows)
	found, err := d.try(ctx, variant{run: thalweg.RunID(t.Lease.RunId), name: fmt.Sprintf("fold %d", fold),
		empty: "no row of the other folds is left to train on", hint: "write fewer folds, or give training a larger share of the rows"})
	if err != nil {
		return err
	}
	t.Report.Counts["rows"] = found.Rows
	return t.SavePartial(ctx, found)
}

// reduceFolds sums the folds up.
func reduceFolds(ctx context.Context, t *Task) error {
	d, err := t.worker.openData(ctx, t.Lease)
	if err != nil {
		return err
	}
	all, err := Partials[evaluation.Fold](ctx, t)
	if err != nil {
		return err
	}
	folds := evaluation.NewFolds(all)
	for name, m := range folds.Means {
		name = "folds." + name
		t.Report.Metrics[name], t.Report.Metrics[name+".deviation"] = m.Value, m.Deviation
		if m.Interval != nil {
			t.Report.Metrics[name+".low"], t.Report.Metrics[name+".high"] = m.Interval[0], m.Interval[1]
		}
	}
	for _, text := range folds.Warnings() {
		t.warn("%s", text)
	}
	if t.Lease.Inputs[stages.ParentInput] != "" {
		t.warn("the models of folds start anew: the version that training starts from may have learned from their rows")
	}
	t.Report.Outputs["folds"] = folds.Table(d.plan.Spec, api.MaxOutputBytes)
	return t.Save(ctx, "cross_validation", folds)
}

// variant is one of several models of a run, which are trained on the same prepared rows
// and measured: each is a task, and trained by one worker alone.
type variant struct {
	run  thalweg.RunID
	name string
	// empty says that no row is left to train on, and hint what to do then.
	empty, hint string
	// seed is that of its training; 0: the spec's.
	seed uint64
}

// try fits, trains and measures a variant: on the training and validation rows of the
// data's view, and on its test rows. All that it learns is of the view.
func (d *data) try(ctx context.Context, v variant) (out evaluation.Fold, err error) {
	rows, err := d.fitAlone(ctx, v, &out)
	if err != nil {
		return out, err
	}
	model, _, err := d.trainAlone(ctx, v, rows, train.Hooks{})
	if err == nil {
		model, err = d.adjustAlone(ctx, model, &rows.fit)
	}
	if err != nil {
		return out, err
	}
	out.Model = model.ModelSHA256()
	return out, d.measureAlone(ctx, model, &rows.fit, &out)
}

// fitAlone fits the transform to the training rows of the view.
func (d *data) fitAlone(ctx context.Context, v variant, out *evaluation.Fold) (*shardRows, error) {
	r := &shardRows{data: d}
	var statistics [][]byte
	labels := make(evaluation.Labels)
	err := eachShard(ctx, d, func(ctx context.Context, d *data, shard int) (fitPartial, error) {
		if d.view != split.Whole {
			return d.fitShard(ctx, shard, false)
		}
		return remembered(ctx, d, shard, d.keeping.fit, func() (fitPartial, error) { return d.fitShard(ctx, shard, false) })
	}, func(p fitPartial) error {
		statistics, r.fit.Rows = append(statistics, p.Statistics), append(r.fit.Rows, p.Rows)
		labels.Merge(p.Labels)
		out.Trained += p.Rows[split.Train]
		out.Validated += p.Rows[split.Validation] - p.Held
		return nil
	})
	if err == nil && out.Trained == 0 {
		err = &thalweg.Error{Op: "train " + v.name, Kind: thalweg.Invalid, Subject: fmt.Sprintf("run %s", v.run),
			Err: errors.New(v.empty), Hint: v.hint}
	}
	if err != nil {
		return nil, err
	}
	r.fit.Labels = labels
	if r.transform, err = feature.Finish(d.plan, statistics); err == nil {
		err = r.weigh()
	}
	return r, err
}

// loneWorker is the assignment of all replicas to one worker, which does not change.
type loneWorker average.Assignment

// Assignment implements average.Group.
func (l loneWorker) Assignment() (average.Assignment, <-chan struct{}) {
	return average.Assignment(l), nil
}

// trainAlone trains a variant, on this worker: as many replicas as it has elsewhere, so
// that the result is the same.
func (d *data) trainAlone(ctx context.Context, v variant, rows *shardRows, hooks train.Hooks) (*artifact.Artifact, *train.Result, error) {
	in, err := newTraining(rows, thalweg.RunID(fmt.Sprintf("%s, %s", v.run, v.name)), v.name+" "+rows.transform.Hash())
	if err != nil {
		return nil, nil, err
	}
	in.job.Trainer.Seed = cmp.Or(v.seed, in.job.Trainer.Seed)
	held := make(loneWorker, in.job.Trainer.Distributed.Replicas)
	for i := range held {
		held[i].Worker = d.worker.cfg.ID
	}
	session, err := average.NewServer().Join(average.Run{ID: in.job.Run, Worker: d.worker.cfg.ID, Fingerprint: in.job.Fingerprint()},
		held, d.worker.exchangeConfig())
	if err != nil {
		return nil, nil, err
	}
	defer session.Leave()
	// As many tasks as there are slots share the memory of one training.
	result, err := train.Run(ctx, in.job, session, hooks, train.Config{
		Dir: d.worker.cfg.spillDir(), MemoryBytes: max(1, d.worker.cfg.CacheBytes/int64(d.worker.cfg.Slots)), Yield: d.worker.cfg.Memory.Yield,
		Logger: d.worker.log.With(keyRun, string(in.job.Run))})
	if err != nil {
		return nil, nil, err
	}
	return in.trained(&result.Checkpoint), result, nil
}

// adjustAlone does to the model of a variant what the calibrate stage does.
func (d *data) adjustAlone(ctx context.Context, model *artifact.Artifact, fit *fitted) (*artifact.Artifact, error) {
	if !d.plan.Spec.Halves() {
		return model, nil
	}
	var all []heldOut
	err := eachShard(ctx, d, func(ctx context.Context, d *data, shard int) (heldOut, error) { return d.hold(ctx, model, fit, shard) },
		func(h heldOut) error { all = append(all, h); return nil })
	if err != nil {
		return nil, err
	}
	adjusted, _, err := d.adjust(model, all)
	return adjusted, err
}

// measureAlone measures a model on the test rows of the view.
func (d *data) measureAlone(ctx context.Context, model *artifact.Artifact, fit *fitted, out *evaluation.Fold) error {
	type measured struct {
		*metric.Sample
		unknown int64
	}
	total, err := d.sample(model, false)
	if err != nil {
		return err
	}
	err = eachShard(ctx, d, func(ctx context.Context, d *data, shard int) (of measured, err error) {
		if of.Sample, err = d.sample(model, false); err != nil {
			return of, err
		}
		of.unknown, err = d.observe(ctx, model, fit, shard, of.Sample)
		return of, err
	}, func(of measured) error {
		out.UnknownClasses += of.unknown
		return total.Merge(of.Sample)
	})
	if err != nil {
		return err
	}
	found, err := evaluation.Measure(d.plan.Spec, total)
	if err != nil {
		return err
	}
	out.Rows, out.Metrics = total.Whole().Rows(), make(map[string]float64, len(found.Metrics))
	for name, e := range found.Metrics {
		out.Metrics[name] = e.Value
	}
	return nil
}

// observe shows the test rows of a shard to a sample, and returns how many have a class
// that no training row has.
func (d *data) observe(ctx context.Context, model *artifact.Artifact, fit *fitted, shard int, sample *metric.Sample) (unknown int64, err error) {
	scorer, err := model.NewScorer(pipeline.InTraining)
	if err != nil {
		return 0, err
	}
	var c chosen
	var labels []float32
	var valid []bool
	width := model.Model.Outputs()
	for scored, err := range d.scored(ctx, scorer, fit, shard, new(loneFeatures), split.Test) {
		if err != nil {
			return 0, err
		}
		if labels, valid, err = model.Transform.Labels(scored.Record, labels); err != nil {
			return 0, err
		}
		for row, number := range table.Rows(scored.Record) {
			switch {
			case valid == nil || valid[row]:
				c.predictions = append(c.predictions, scored.predictions[row*width:(row+1)*width]...)
				c.labels = append(c.labels, labels[row])
				c.parts = append(c.parts, metric.Part(d.plan.Spec.Spec.Trainer.Seed, shard, number))
			case labels[row] == feature.UnknownClass:
				unknown++
			}
		}
		if len(c.labels) >= observedRows {
			c.observe(sample)
		}
	}
	c.observe(sample)
	return unknown, nil
}

// eachShard calls do for the shards, several at a time, each with a copy of d, and take with
// what each gave, in the order of the shards.
func eachShard[T any](ctx context.Context, d *data, do func(ctx context.Context, d *data, shard int) (T, error), take func(T) error) error {
	together := runtime.GOMAXPROCS(0)
	for from := 0; from < len(d.manifest.Shards); from += together {
		results := make([]T, min(together, len(d.manifest.Shards)-from))
		group, ctx := errgroup.WithContext(ctx)
		for i := range results {
			group.Go(func() (err error) {
				own := *d
				if results[i], err = do(ctx, &own, from+i); err != nil {
					err = own.located(err)
				}
				return err
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
		for _, r := range results {
			if err := take(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// sizeMembers makes each member a task.
func sizeMembers(plan *stages.Plan, spec *pipeline.Spec, _ map[string]string) error {
	plan.Number = uint32(spec.Members())
	return nil
}

// drawn returns how often a training row of a shard is there for a member: by a Poisson
// distribution of mean 1, and a hash of the row.
func (d *data) drawn(shard, member int) func(row int64) int {
	hash := d.origin(shard).Draw(kernel.Mix(d.plan.Spec.Spec.Trainer.Seed + uint64(member)*kernel.Golden))
	return func(row int64) int {
		u, times := float64(hash(row)>>11)/(1<<53), 0
		for times < len(poisson) && u >= poisson[times] {
			times++
		}
		return times
	}
}

// poisson are the probabilities of at most 0, 1, 2, … of a Poisson distribution of mean 1.
var poisson = [...]float64{0.36787944117144233, 0.7357588823428847, 0.9196986029286058, 0.9810118431238462, 0.9963401531726563, 0.9994058151824183, 0.9999167588507119, 0.9999897508033253, 0.9999988747974020}

// mapMember trains a member on rows that are drawn for it.
func mapMember(ctx context.Context, t *Task) error {
	rows, err := t.worker.openRows(ctx, t.Lease)
	if err != nil {
		return err
	}
	if err := checkModel(rows.plan, rows.transform); err != nil {
		return err
	}
	rows.data.progress, rows.member = &t.rowsDone, int(t.Lease.Index)+1
	t.rowsTotal.Store(rows.manifest.Rows)
	name := fmt.Sprintf("member %d", rows.member)
	member, _, err := rows.trainAlone(ctx, variant{run: thalweg.RunID(t.Lease.RunId), name: name, seed: kernel.Mix(rows.plan.Spec.Spec.Trainer.Seed ^ uint64(rows.member)*kernel.Golden)}, rows, train.Hooks{})
	if err != nil {
		return err
	}
	return t.SavePartial(ctx, floats(member.Params))
}

// unlikely is the chance that is taken that a draw for a member has rows of one label alone,
// of which nothing can be learned.
const unlikely = 1e-6

// checkDraws refuses members where so few training rows have another label than most that a
// draw may have none of them.
func checkDraws(members int, label feature.Label) error {
	rows := label.Statistics.Count
	var most int64
	switch label.Type {
	case model.Binary:
		trues := int64(math.Round(label.Statistics.Mean * float64(rows)))
		most = max(trues, rows-trues)
	case model.Category:
		most = slices.Max(label.Counts)
	default:
		return nil
	}
	others := rows - most
	// None of them is in a draw with a chance of e^-others.
	enough := int64(math.Ceil(math.Log(float64(members) / unlikely)))
	if others == 0 || others >= enough { // training refuses rows of one label
		return nil
	}
	chance := -math.Expm1(float64(members) * math.Log1p(-math.Exp(-float64(others))))
	return &thalweg.Error{Op: "size members", Kind: thalweg.Invalid, Subject: "model.uncertainty.members",
		Hint: fmt.Sprintf("give training at least %d such rows, write uncertainty: {type: conformal}, or leave it out", enough),
		Err:  fmt.Errorf("only %d of %d training rows have another label than most: with %d members the chance is %.2g that one of them draws none of these, and has nothing to learn", others, rows, members, chance)}
}

// checkModel refuses, before any is trained, a model that cannot be of the features and so many
// rows, and members that cannot be trained or have more parameters than a version may have.
func checkModel(plan *pipeline.Plan, transform *feature.Transform) error {
	n := plan.Spec.Members()
	if n > 0 {
		if err := checkDraws(n, transform.Label()); err != nil {
			return err
		}
	}
	a, err := artifact.New(plan, transform)
	if err != nil {
		return err
	}
	if size := a.Model.Size(); n > 0 && size > artifact.MaxMemberValues/n {
		return &thalweg.Error{Op: "size members", Kind: thalweg.Invalid, Subject: "model.uncertainty.members", Hint: "write fewer members, or a smaller model",
			Err: fmt.Errorf("%d members of %d parameters are more than the %d that a version may have", n, size, artifact.MaxMemberValues)}
	}
	return nil
}

// reduceMembers puts the members beside the trained model.
func reduceMembers(ctx context.Context, t *Task) error {
	all, err := Partials[floats](ctx, t)
	if err != nil {
		return err
	}
	trained, err := t.worker.artifact(ctx, t.Lease.Inputs["checkpoint"])
	if err != nil {
		return err
	}
	with := *trained
	with.SetMembers(slices.Concat(all...))
	return t.saveAgain(ctx, &with)
}
