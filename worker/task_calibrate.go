package worker

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"path"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/calibration"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/split"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage/checkpoint"
)

const (
	// maxHeldRows and maxHeldValues bound the rows of a half that a reducer has in memory,
	// and their outputs: 64 MiB. Of more rows a sample is taken, by hash.
	maxHeldRows   = 1 << 20
	maxHeldValues = 1 << 24
	// fewRows is below what a calibration is uncertain, fewForIsotonic for one of many points.
	fewRows        = 100
	fewForIsotonic = 1000
)

// heldOut is what the calibrate stage finds in one shard: rows of both halves of its
// validation rows, those that stopped training (0) and those that were kept (1).
type heldOut [2]outcomes

// outcomes are a model's outputs for rows, and their labels.
type outcomes struct {
	Outputs floats `json:"outputs"`
	Labels  floats `json:"labels"`
	// Draws are numbers from 0 to 1 that follow from which row it is.
	Draws floats `json:"draws"`
}

func (o *outcomes) add(other *outcomes) {
	o.Outputs, o.Labels, o.Draws = append(o.Outputs, other.Outputs...), append(o.Labels, other.Labels...), append(o.Draws, other.Draws...)
}

// floats are four bytes each at rest, in base64.
type floats []float32

// MarshalText implements encoding.TextMarshaler.
func (f floats) MarshalText() ([]byte, error) {
	return base64.StdEncoding.AppendEncode(nil, kernel.AppendFloats(nil, f)), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (f *floats) UnmarshalText(text []byte) error {
	data, err := base64.StdEncoding.AppendDecode(nil, text)
	if err != nil || len(data)%4 != 0 {
		return fmt.Errorf("%d bytes of base64 are no float32s", len(text))
	}
	*f = make(floats, len(data)/4)
	kernel.DecodeFloats(*f, data)
	return nil
}

// halves returns the hash that says in which half of the validation rows a row of a shard
// is; nil where they are not halved.
func (d *data) halves(shard int) func(row int64) uint64 {
	if !d.plan.Spec.Halves() {
		return nil
	}
	return d.origin(shard).Half(d.plan.Spec.Spec.Trainer.Seed)
}

// mapCalibrate scores shards' validation rows with the trained model.
func mapCalibrate(ctx context.Context, t *Task) error {
	trained, fit, err := t.trainedModel(ctx)
	if err != nil {
		return err
	}
	return mapShards(ctx, t, func(d *data, shard int) (heldOut, error) { return d.hold(ctx, trained, fit, shard) })
}

// hold scores the validation rows of a shard, as far as they are needed and have a label.
func (d *data) hold(ctx context.Context, trained *artifact.Artifact, fit *fitted, shard int) (out heldOut, err error) {
	scorer, err := trained.Raw().NewScorer(pipeline.InTraining)
	if err != nil {
		return out, err
	}
	width, total := trained.Model.Outputs(), int64(0)
	for _, rows := range fit.Rows {
		total += rows[split.Validation]
	}
	half, most := d.halves(shard), uint64(math.MaxUint64)
	if rows := min(maxHeldRows, maxHeldValues/width); total/2 > int64(rows) {
		most = uint64(float64(rows) / float64(total/2) * (1 << 63) * 2)
	}
	threshold := d.plan.Label.Optimize != "" && d.plan.Spec.Calibration() != ""
	var labels []float32
	var valid []bool
	for scored, err := range d.scored(ctx, scorer, fit, shard, new(loneFeatures), split.Validation) {
		if err != nil {
			return out, err
		}
		if labels, valid, err = trained.Transform.Labels(scored.Record, labels); err != nil {
			return out, err
		}
		for row, number := range table.Rows(scored.Record) {
			hash := half(number)
			of, draw := 0, hash<<1
			if split.Held(hash) {
				of = 1
			}
			if of == 0 && !threshold || draw > most || valid != nil && !valid[row] {
				continue
			}
			o := &out[of]
			o.Outputs = append(o.Outputs, scored.predictions[row*width:(row+1)*width]...)
			o.Labels = append(o.Labels, labels[row])
			o.Draws = append(o.Draws, float32(kernel.Mix(draw)>>40)/(1<<24))
		}
	}
	return out, nil
}

// reduceCalibrate makes of the trained model what the spec wants, and writes it as another
// checkpoint of it.
func reduceCalibrate(ctx context.Context, t *Task) error {
	d, all, err := shardResults[heldOut](ctx, t)
	if err != nil {
		return err
	}
	trained, err := t.worker.artifact(ctx, t.Lease.Inputs["checkpoint"])
	if err != nil {
		return err
	}
	adjusted, warnings, err := d.adjust(trained, all)
	if err != nil {
		return err
	}
	for _, text := range warnings {
		t.warn("%s", text)
	}
	return t.saveAgain(ctx, adjusted)
}

// saveAgain writes what a stage has made of the trained model as another checkpoint of it,
// beside the one before.
func (t *Task) saveAgain(ctx context.Context, a *artifact.Artifact) error {
	parts, err := a.Encode(a.Extra)
	if err != nil {
		return err
	}
	of, err := thalweg.ParseObjectRef(t.Lease.Inputs["checkpoint"])
	if err != nil {
		return err
	}
	ref, err := checkpoint.Save(ctx, t.worker.state, path.Dir(of.Key)+"/", parts)
	t.Report.Outputs["checkpoint"] = ref.String()
	return err
}

// adjust makes of a trained model what the spec wants by the rows of all shards. What comes
// out does not depend on their order.
func (d *data) adjust(trained *artifact.Artifact, all []heldOut) (_ *artifact.Artifact, warnings []string, err error) {
	var rows heldOut
	for i := range all {
		for half := range rows {
			rows[half].add(&all[i][half])
		}
	}
	kept, width := &rows[1], trained.Model.Outputs()
	fail := func(what string, err error) (*artifact.Artifact, []string, error) {
		return nil, nil, &thalweg.Error{Op: "calibrate", Kind: thalweg.Invalid, Subject: what, Err: err,
			Hint: "the rows are half of those that the split has for validation: give it more, or leave it out"}
	}
	by := new(artifact.Adjustment)
	if method := d.plan.Spec.Calibration(); method != "" {
		if by.Calibration, err = calibration.Fit(method, kept.Outputs, kept.Labels, width); err != nil {
			return fail("calibration "+method, err)
		}
		few := fewRows
		if method == calibration.Isotonic {
			few = fewForIsotonic
		}
		if n := len(kept.Labels); n < few {
			warnings = append(warnings, fmt.Sprintf("calibration %s is fitted to %d rows: with fewer than %d it may make probabilities worse", method, n, few))
		}
		if by.Calibration.Falls() {
			warnings = append(warnings, fmt.Sprintf("calibration %s turns the model round: of the %d rows that it is fitted to, those are true that the model holds to be false", method, len(kept.Labels)))
		}
	}
	model := trained.Model.Calibrated(by.Calibration)
	if of, ok := d.plan.Spec.Conformal(); ok {
		model.Finish(kept.Outputs)
		scores := make([]float64, len(kept.Labels))
		for i, y := range kept.Labels {
			scores[i] = of.Score(kept.Outputs[i*width:(i+1)*width], y, float64(kept.Draws[i]))
		}
		if by.Conformal, err = of.Fit(scores); err != nil {
			return fail("model.uncertainty", err)
		}
	}
	adjusted := *trained
	threshold := trained.Provenance.Threshold
	if metricName := d.plan.Label.Optimize; metricName != "" && by.Calibration != nil {
		model.Finish(rows[0].Outputs)
		found, err := d.threshold(trained.Answer(), metricName, &rows[0])
		if err != nil {
			return nil, nil, err
		}
		threshold = &found
	}
	adjusted.Adjust(by, threshold)
	return &adjusted, warnings, nil
}

// threshold returns the prediction from which on the metric is best for rows.
func (d *data) threshold(answer pipeline.Answer, name string, rows *outcomes) (float64, error) {
	sums, err := metric.New(d.plan.Spec.Entries(pipeline.Metrics), answer)
	if err != nil {
		return 0, err
	}
	sums.Observe(rows.Outputs, rows.Labels)
	if found, ok := metric.Optimized(d.plan.Spec.Entries(pipeline.Metrics), answer.Type, name, sums)[metric.Threshold]; ok {
		return found, nil
	}
	return undecided, nil
}

// uncalibrated measures the rows of a scorer as they were before their probabilities were
// calibrated. A nil one does nothing.
type uncalibrated struct {
	scorer *artifact.Scorer
	sample *metric.Sample
	width  int
	some   []float32
}

// newUncalibrated returns what measures a scorer's rows; nil where it does not calibrate.
func (d *data) newUncalibrated(trained *artifact.Artifact, scorer *artifact.Scorer) (*uncalibrated, error) {
	sample, err := d.plainSample(trained)
	if sample == nil || err != nil {
		return nil, err
	}
	scorer.KeepOutputs()
	return &uncalibrated{scorer: scorer, sample: sample, width: trained.Model.Outputs()}, nil
}

// plainSample returns an empty sample of a calibrated model's answers without calibration; nil
// where a model has none.
func (d *data) plainSample(of *artifact.Artifact) (*metric.Sample, error) {
	if of.Model.Calibration() == nil {
		return nil, nil
	}
	return d.sample(of.Uncalibrated(), false)
}

// observe adds rows of the last batch that was scored.
func (u *uncalibrated) observe(rows *chosen) {
	if u == nil {
		return
	}
	predictions := u.scorer.Uncalibrated()
	u.some = u.some[:0]
	for _, row := range rows.which {
		u.some = append(u.some, predictions[row*u.width:(row+1)*u.width]...)
	}
	u.sample.Observe(u.some, rows.labels, rows.parts)
}

// encoded returns the sample as JSON.
func (u *uncalibrated) encoded() (json.RawMessage, error) {
	if u == nil {
		return nil, nil
	}
	return json.Marshal(u.sample)
}
