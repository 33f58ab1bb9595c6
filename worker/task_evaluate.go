package worker

import (
	"cmp"
	"context"
	"encoding/json"
	"iter"
	"path"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/compact"
	"github.com/thalweg/thalweg/pipeline/evaluation"
	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/monitor"
	"github.com/thalweg/thalweg/pipeline/onnx"
	"github.com/thalweg/thalweg/pipeline/split"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage/checkpoint"
)

// evaluatedSplits are the splits that the evaluate stage measures.
var evaluatedSplits = [...]uint8{split.Validation, split.Test}

// evaluated is what the evaluate stage finds in one shard.
type evaluated struct {
	// Sums are mergeable samples, of the evaluated splits in their order.
	Sums [len(evaluatedSplits)]json.RawMessage `json:"sums"`
	// UnknownClasses counts the rows of these splits whose class no training row has.
	UnknownClasses int64 `json:"unknown_classes,omitempty"`
	// Before is a sample of the judged split as it was before probabilities were calibrated.
	Before json.RawMessage `json:"before,omitempty"`
	// Slices are of the judged split.
	Slices json.RawMessage `json:"slices,omitempty"`
	// Groups are those slices by sensitive columns.
	Groups json.RawMessage `json:"groups,omitempty"`
	// Pair are samples of the judged rows that both the version and the champion score,
	// of either. Flaw says why the champion scores none. Absent where no gate is versus
	// the champion.
	Pair *[2]compared `json:"pair,omitempty"`
	Flaw string       `json:"flaw,omitempty"`
	// Drawn are judged rows whose inputs are to be shuffled.
	Drawn *evaluation.PermutationRows `json:"drawn,omitempty"`
	// Alone is by feature, in the first shard.
	Alone map[string]alone `json:"alone,omitempty"`
	// Seen is the values and scores of some of the rows of these splits.
	Seen *monitor.Seen `json:"seen,omitempty"`
}

// artifact loads and verifies a checkpoint of the state bucket.
func (w *Worker) artifact(ctx context.Context, reference string) (*artifact.Artifact, error) {
	return w.models.of(reference, func() (*artifact.Artifact, error) {
		parts, err := w.checkpoint(ctx, reference)
		if err != nil {
			return nil, err
		}
		return artifact.Decode(w.cfg.SpecCatalog, parts)
	})
}

// checkpoint loads and verifies the parts of a checkpoint of the state bucket.
func (w *Worker) checkpoint(ctx context.Context, reference string) (map[string][]byte, error) {
	ref, err := thalweg.ParseObjectRef(reference)
	if err != nil {
		return nil, err
	}
	return checkpoint.Load(ctx, w.state, ref)
}

// trainedModel returns the model that a task scores rows with, and what fit found of the rows.
func (t *Task) trainedModel(ctx context.Context) (*artifact.Artifact, *fitted, error) {
	trained, err := t.worker.artifact(ctx, t.Lease.Inputs["checkpoint"])
	if err != nil {
		return nil, nil, err
	}
	fit := new(fitted)
	return trained, fit, t.Input(ctx, "transform", fit)
}

// sample returns an empty sample of the metrics of a model's answers; coarse: of a
// slice.
func (d *data) sample(of *artifact.Artifact, coarse bool) (*metric.Sample, error) {
	return metric.NewSample(d.plan.Spec.Entries(pipeline.Metrics), of.Answer(), coarse)
}

// slices returns the empty slices of the spec.
func (d *data) slices(of *artifact.Artifact, ways []pipeline.SliceSpec) *evaluation.Slices {
	return evaluation.NewSlices(ways, func() (*metric.Sample, error) { return d.sample(of, true) })
}

// mapEvaluate scores shards' validation and test rows with the trained model, by
// the same path that scores the stream.
func mapEvaluate(ctx context.Context, t *Task) error {
	trained, fit, err := t.trainedModel(ctx)
	if err != nil {
		return err
	}
	champion, err := t.champion(ctx)
	if err != nil {
		return err
	}
	return mapShards(ctx, t, func(d *data, shard int) (evaluated, error) {
		return d.evaluate(ctx, trained, champion, fit, shard)
	})
}

// observedRows is how many rows a sample is shown at a time, at least but for the last.
const observedRows = 1 << 15

// chosen are rows that belong to a split and have a label, and which ones of the last
// batch do.
type chosen struct {
	which               []int
	predictions, labels []float32
	parts               []uint8
}

// observe shows the rows to a sample.
func (c *chosen) observe(sample *metric.Sample) {
	sample.Observe(c.predictions, c.labels, c.parts)
	c.predictions, c.labels, c.parts = c.predictions[:0], c.labels[:0], c.parts[:0]
}

// evaluate returns the sums of one shard.
func (d *data) evaluate(ctx context.Context, trained *artifact.Artifact, champion *modelVersion, fit *fitted, shard int) (out evaluated, err error) {
	scorer, err := trained.NewScorer(pipeline.InTraining)
	if err != nil {
		return out, err
	}
	var samples [len(evaluatedSplits)]*metric.Sample
	for i := range samples {
		if samples[i], err = d.sample(trained, false); err != nil {
			return out, err
		}
	}
	slices, judged, seed := d.slices(trained, d.plan.Spec.Spec.Evaluation.Slices), d.cuts.Judged(), d.plan.Spec.Spec.Trainer.Seed
	groups := d.slices(trained, evaluation.SensitiveWays(d.plan.Spec))
	var splits []uint8
	var labels []float32
	var valid []bool
	var some [len(evaluatedSplits)]chosen
	width := trained.Model.Outputs()
	var lone loneFeatures
	if shard == 0 && width == 1 {
		lone = newLoneFeatures(len(d.plan.Features))
	}
	var compared *comparison
	if champion != nil {
		if compared, out.Flaw, err = d.newComparison(ctx, champion, trained, shard, fit.has(shard, judged)); err != nil {
			return out, err
		}
	}
	before, err := d.newUncalibrated(trained, scorer)
	if err != nil {
		return out, err
	}
	half := d.halves(shard)
	drawn := d.toShuffle(trained, fit)
	watched := d.toWatch(trained, fit, shard)
	for scored, err := range d.scored(ctx, scorer, fit, shard, &lone, evaluatedSplits[:]...) {
		if err != nil {
			return out, err
		}
		rows, predictions := scored.Record, scored.predictions
		splits = feature.Splits(rows, splits)
		if labels, valid, err = trained.Transform.Labels(rows, labels); err != nil {
			return out, err
		}
		if !lone.full() {
			lone.observe(scorer.Parts(), labels, valid)
		}
		numbers := table.Rows(rows)
		if err := watched.Observe(rows, func(row int) bool { return splits[row] == split.Validation || splits[row] == split.Test }, predictions); err != nil {
			return out, err
		}
		for i, s := range evaluatedSplits {
			c := &some[i]
			from := len(c.labels)
			c.which = c.which[:0]
			for row, of := range splits {
				switch {
				case of != s:
				case s == split.Validation && half != nil && split.Held(half(numbers[row])): // what was fitted knows them
				case valid == nil || valid[row]:
					c.which = append(c.which, row)
					c.predictions = append(c.predictions, predictions[row*width:(row+1)*width]...)
					c.labels = append(c.labels, labels[row])
					c.parts = append(c.parts, metric.Part(seed, shard, numbers[row]))
				case labels[row] == feature.UnknownClass:
					out.UnknownClasses++
				}
			}
			if s == judged {
				now := chosen{c.which, c.predictions[from*width:], c.labels[from:], c.parts[from:]}
				block, at := scorer.Encoded()
				for k, row := range c.which {
					drawn.Observe(block, int(at[row]), now.labels[k], kernel.Mix(metric.RowHash(seed, shard, numbers[row])))
				}
				if err := compared.observe(rows, &now, numbers); err != nil {
					return out, err
				}
				before.observe(&now)
				for _, of := range []*evaluation.Slices{slices, groups} {
					if err := of.Observe(rows, now.which, now.predictions, now.labels, now.parts); err != nil {
						return out, err
					}
				}
			}
			if len(c.labels) >= observedRows {
				c.observe(samples[i])
			}
		}
	}
	for i := range samples {
		some[i].observe(samples[i])
		if out.Sums[i], err = json.Marshal(samples[i]); err != nil {
			return out, err
		}
	}
	if out.Before, err = before.encoded(); err != nil {
		return out, err
	}
	if out.Pair, err = compared.encoded(); err != nil {
		return out, err
	}
	drawn.Cut()
	out.Drawn, out.Seen = drawn, watched.Seen
	out.Alone = lone.strengths(d.plan.Label.Type == model.Binary)
	if out.Groups, err = json.Marshal(groups); err != nil {
		return out, err
	}
	out.Slices, err = json.Marshal(slices)
	return out, err
}

// toShuffle returns what draws judged rows, of which none is drawn yet.
func (d *data) toShuffle(of *artifact.Artifact, fit *fitted) *evaluation.PermutationRows {
	var rows int64
	for _, by := range fit.Rows {
		rows += by[d.cuts.Judged()]
	}
	return evaluation.NewPermutationRows(of.Model.Shape(), len(of.Inputs().Names), rows)
}

// toWatch returns what keeps the values and scores of some of the evaluated rows of a shard,
// chosen by their hash, so that they are the same on any worker.
func (d *data) toWatch(of *artifact.Artifact, fit *fitted, shard int) *monitor.Sample {
	var rows int64
	for _, by := range fit.Rows {
		rows += by[split.Validation] + by[split.Test]
	}
	seed := d.plan.Spec.Spec.Trainer.Seed
	return monitor.NewSample(of.Plan(), of.Transform, of.Answer(), of.Model.Outputs(), rows, func(row int64) uint64 { return metric.RowHash(seed, shard, row) })
}

// scoredRows are prepared rows with their predictions.
type scoredRows struct {
	arrow.Record
	predictions []float32
}

// scored yields the rows of a shard that are of some splits, and all of them as long as
// features are tried alone.
func (d *data) scored(ctx context.Context, scorer *artifact.Scorer, fit *fitted, shard int, lone *loneFeatures, of ...uint8) iter.Seq2[scoredRows, error] {
	return func(yield func(scoredRows, error) bool) {
		if lone.full() && !fit.has(shard, of...) {
			d.progress.Add(d.manifest.Shards[shard].Rows)
			return
		}
		var rep pipeline.Report
		var splits []uint8
		score := func(rows *compact.Batch, chunk int) (out scoredRows, err error) {
			from, to := rows.Bounds(chunk)
			keep := table.NewMask(to - from).Not()
			if lone.full() {
				if keep = measured(splits[from:to], of); keep.Count() == 0 {
					return out, nil
				}
			}
			whole, err := rows.Chunk(chunk)
			if err != nil {
				return out, err
			}
			defer whole.Release()
			some, err := table.Select(memory.DefaultAllocator, whole, keep)
			if err != nil {
				return out, err
			}
			defer some.Release()
			out.Record, out.predictions, err = scorer.ScoreCleaned(some, &rep)
			return out, err
		}
		for rows, err := range d.prepared(ctx, shard, true, &rep) {
			if err != nil {
				yield(scoredRows{}, err)
				return
			}
			splits = feature.Splits(rows.Tail, splits)
			for chunk := range rows.Chunks() {
				some, err := score(rows, chunk)
				if some.Record == nil && err == nil {
					continue
				}
				more := yield(some, err)
				if some.Record != nil {
					some.Release()
				}
				if !more || err != nil {
					return
				}
			}
		}
	}
}

// measured marks the rows that are of some splits.
func measured(splits, of []uint8) table.Mask {
	keep := table.NewMask(len(splits))
	for i, s := range splits {
		if slices.Contains(of, s) {
			keep.Set(i)
		}
	}
	return keep
}

// totals sums up what is found in all shards.
type totals struct {
	sums           [len(evaluatedSplits)]*metric.Sample
	before         *metric.Sample // nil: probabilities are not calibrated
	slices, groups *evaluation.Slices
	compared       *comparisons
	drawn          *evaluation.PermutationRows
	seen           *monitor.Seen
	unknown        int64            // classes
	alone          map[string]alone // of the first shard
}

// totals returns those of no shard yet.
func (t *Task) totals(ctx context.Context, d *data, trained *artifact.Artifact, fit *fitted) (*totals, error) {
	out := &totals{slices: d.slices(trained, d.plan.Spec.Spec.Evaluation.Slices), groups: d.slices(trained, evaluation.SensitiveWays(d.plan.Spec))}
	var err error
	for i := range out.sums {
		if out.sums[i], err = d.sample(trained, false); err != nil {
			return nil, err
		}
	}
	if out.before, err = d.plainSample(trained); err != nil {
		return nil, err
	}
	if out.compared, err = t.newComparisons(ctx, d, trained); err != nil {
		return nil, err
	}
	out.drawn, out.seen = d.toShuffle(trained, fit), monitor.NewSeen(trained.Plan())
	return out, nil
}

// add adds the next shard.
func (t *totals) add(p *evaluated) error {
	for i, sums := range t.sums {
		if err := sums.MergeJSON(p.Sums[i]); err != nil {
			return err
		}
	}
	if t.before != nil {
		if err := t.before.MergeJSON(p.Before); err != nil {
			return err
		}
	}
	t.unknown += p.UnknownClasses
	if t.alone == nil {
		t.alone = p.Alone
	}
	return cmp.Or(t.slices.Merge(p.Slices), t.groups.Merge(p.Groups), t.compared.add(p), t.drawn.Merge(p.Drawn), t.seen.Merge(p.Seen))
}

// reduceEvaluate merges the sums in shard order into the run's metrics.
func reduceEvaluate(ctx context.Context, t *Task) error {
	d, err := t.worker.openData(ctx, t.Lease)
	if err != nil {
		return err
	}
	trained, fit, err := t.trainedModel(ctx)
	if err != nil {
		return err
	}
	all, err := t.totals(ctx, d, trained, fit)
	if err != nil {
		return err
	}
	if err := eachResult(ctx, t, all.add); err != nil {
		return err
	}
	doc := evaluation.Document{Judged: split.Names[d.cuts.Judged()], Splits: make(map[string]evaluation.Measured, len(evaluatedSplits))}
	values := make(map[string]map[string]float64, len(evaluatedSplits))
	if doc.Threshold = trained.Provenance.Threshold; doc.Threshold != nil {
		t.Report.Metrics[metric.Threshold] = *doc.Threshold
	}
	for i, s := range evaluatedSplits {
		name := split.Names[s]
		values[name] = all.sums[i].Whole().Values()
		measured, err := evaluation.Measure(d.plan.Spec, all.sums[i])
		if err != nil {
			return err
		}
		doc.Splits[name] = measured
		for metric, e := range measured.Metrics {
			t.Report.Metrics[name+"."+metric] = e.Value
			if e.Interval != nil && name == doc.Judged {
				t.Report.Metrics[name+"."+metric+".low"], t.Report.Metrics[name+"."+metric+".high"] = e.Interval[0], e.Interval[1]
			}
		}
	}
	if doc.Fairness, err = all.groups.Fairness(d.plan.Spec); err != nil {
		return err
	}
	if all.before != nil {
		after := all.sums[slices.Index(evaluatedSplits[:], d.cuts.Judged())]
		if doc.Calibration, err = evaluation.NewCalibration(trained.Model.Calibration(), all.before, after); err != nil {
			return err
		}
	}
	if doc.Sliced, err = all.slices.Measure(d.plan.Spec); err != nil {
		return err
	}
	if doc.Permutation, err = all.drawn.Importance(ctx, d.plan.Spec, trained.Model, trained.Params, trained.Answer(), trained.Inputs()); err != nil {
		return err
	}
	if doc.Champion, err = all.compared.result(); err != nil {
		return err
	}
	if hasFolds(d.plan.Spec) {
		if err := t.Input(ctx, "cross_validation", &doc.Folds); err != nil {
			return err
		}
	}
	if t.Lease.Inputs[searchInput] != "" {
		if err := t.Input(ctx, searchInput, &doc.Search); err != nil {
			return err
		}
	}
	doc.Judge(d.plan.Spec)
	for _, text := range doc.Skipped {
		t.warn("%s", text)
	}
	if text := doc.Splits[doc.Judged].Unconfused; text != "" {
		t.warn("%s", text)
	}
	for _, f := range doc.Fairness {
		for _, text := range f.Skipped {
			t.warn("fairness: %s", text)
		}
	}
	judged := split.Names[split.Test]
	if values[judged][metric.Rows] == 0 {
		judged = split.Names[split.Validation]
	}
	if all.unknown > 0 {
		t.Report.Counts["labels of unknown classes"] = all.unknown
		t.warn("%d validation and test rows are not measured: their class is none that a training row has", all.unknown)
	}
	t.warnOfEvaluation(d.plan, judged, values[judged], all.alone)
	return cmp.Or(t.saveReference(ctx, all.seen.Reference()), t.saveEvaluation(ctx, d, &doc))
}

// saveReference keeps what a version's stream is held against beside the checkpoint that it is
// of, for as long as that is kept. Whoever does the task again writes the same bytes.
func (t *Task) saveReference(ctx context.Context, reference *monitor.Reference) error {
	of, err := thalweg.ParseObjectRef(t.Lease.Inputs["checkpoint"])
	if err != nil || reference == nil {
		return err
	}
	body, err := json.Marshal(reference)
	if err == nil {
		_, err = t.worker.state.Put(ctx, path.Join(path.Dir(of.Key), monitor.ObjectName), body)
	}
	return err
}

// saveEvaluation keeps the document beside the checkpoint that it is of, for as long
// as that is kept, and shows the slices in the run.
func (t *Task) saveEvaluation(ctx context.Context, d *data, doc *evaluation.Document) error {
	of, err := thalweg.ParseObjectRef(t.Lease.Inputs["checkpoint"])
	if err != nil {
		return err
	}
	body, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	ref, err := checkpoint.PutObject(ctx, t.worker.state, path.Join(path.Dir(of.Key), "evaluation.json"), body)
	t.Report.Outputs["evaluation"] = ref.String()
	if table := doc.GateTable(api.MaxOutputBytes); table != "" {
		t.Report.Outputs["gates"] = table
	}
	if rejected := doc.Rejected(); rejected != "" {
		t.Report.Outputs[stages.RejectedOutput] = strings.ToValidUTF8(rejected[:min(len(rejected), api.MaxOutputBytes)], "")
	}
	if table := evaluation.FairnessTable(doc.Fairness, api.MaxOutputBytes); table != "" {
		t.Report.Outputs["fairness"] = table
	}
	if table := doc.Permutation.Table(api.MaxOutputBytes); table != "" {
		t.Report.Outputs["permutation"] = table
	}
	judged := doc.Splits[doc.Judged]
	if table := judged.ConfusionTable(api.MaxOutputBytes); table != "" {
		t.Report.Outputs["confusion"] = table
	}
	if table := doc.Calibration.Table(api.MaxOutputBytes); table != "" {
		t.Report.Outputs["calibration"] = table
	}
	if table := doc.SliceTable(d.plan.Spec, api.MaxOutputBytes); table != "" {
		t.Report.Outputs["slices"] = table
	}
	return err
}

// exportFormat is a format that versions are kept in besides their own.
type exportFormat struct {
	// check reports what of a spec has no form in it, before anything is trained.
	check  func(spec *pipeline.Spec) error
	export func(a *artifact.Artifact) ([]byte, error)
}

// exportFormats are the formats, by what specs call them. To add one is a line here, and
// a name in package pipeline.
func exportFormats() map[pipeline.ExportFormat]exportFormat {
	return map[pipeline.ExportFormat]exportFormat{
		pipeline.ONNX: {onnx.Check, func(a *artifact.Artifact) ([]byte, error) {
			m, err := onnx.Export(a)
			if err != nil {
				return nil, err
			}
			return m.Bytes, nil
		}},
	}
}

// exports reports whether a spec wants versions in other formats.
func exports(spec *pipeline.Spec) bool { return len(spec.Spec.Registry.Export) > 0 }

// checkExports refuses a spec whose versions have no form in a format that it wants.
func checkExports(_ *stages.Plan, spec *pipeline.Spec, _ map[string]string) error {
	for _, format := range spec.Spec.Registry.Export {
		if err := exportFormats()[format].check(spec); err != nil {
			return err
		}
	}
	return nil
}

// runExport keeps the version in other formats beside its checkpoint, for as long as that is
// kept. Their bytes follow from the checkpoint's, so that any worker writes the same ones.
func runExport(ctx context.Context, t *Task) error {
	trained, err := t.worker.artifact(ctx, t.Lease.Inputs["checkpoint"])
	if err != nil {
		return err
	}
	of, err := thalweg.ParseObjectRef(t.Lease.Inputs["checkpoint"])
	if err != nil {
		return err
	}
	for _, format := range trained.Spec.Spec.Registry.Export {
		body, err := exportFormats()[format].export(trained)
		if err != nil {
			return err
		}
		ref, err := checkpoint.PutObject(ctx, t.worker.state, path.Join(path.Dir(of.Key), "model."+string(format)), body)
		if err != nil {
			return err
		}
		t.Report.Outputs[stages.ExportOutput+string(format)] = ref.String()
	}
	return nil
}
