package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/evaluation"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/table"
)

// champion loads the version that the alias named when the run began, if a gate is
// versus it.
func (t *Task) champion(ctx context.Context) (*parent, error) {
	d, err := t.worker.openData(ctx, t.Lease)
	input := t.Lease.Inputs[stages.ChampionInput]
	if err != nil || input == "" || !evaluation.Compares(d.plan.Spec) {
		return nil, err
	}
	champion, err := t.worker.version(ctx, input)
	if err != nil && !thalweg.KindOf(err).Transient() && ctx.Err() == nil {
		// A run is how a champion that is damaged can be replaced.
		return &parent{version: champion.version, flaw: fmt.Sprintf("version %d cannot be read: %v", champion.version, err)}, nil
	}
	return champion, err
}

// rival is the champion beside the version that is evaluated, in one shard. A nil one
// does nothing.
type rival struct {
	width int
	// rows are the numbers of the shard's rows that it scores, in order, of which those
	// before next are passed.
	rows        []int64
	next        int
	predictions []float32
	samples     [2]*metric.Sample // of the version, of the champion
	mine        chosen
	theirs      []float32
}

// newRival scores a shard with the champion; needed: it has judged rows. A flaw says
// why it cannot.
func (d *data) newRival(ctx context.Context, champion *parent, trained *artifact.Artifact, shard int, needed bool) (r *rival, flaw string, err error) {
	if champion.flaw != "" {
		return nil, champion.flaw, nil
	}
	defer func() {
		if err != nil && !thalweg.KindOf(err).Transient() && ctx.Err() == nil {
			r, flaw, err = nil, fmt.Sprintf("version %d cannot score these rows: %v", champion.version, err), nil
		}
	}()
	if err := answersAlike(champion.Artifact, trained); err != nil {
		return nil, "", err
	}
	scorer, err := champion.NewScorer(pipeline.InTraining)
	if err != nil {
		return nil, "", err
	}
	r = &rival{width: champion.Model.Outputs()}
	for i, a := range []*artifact.Artifact{trained, champion.Artifact} {
		if r.samples[i], err = d.sample(a, false); err != nil {
			return nil, "", err
		}
	}
	if !needed {
		return r, "", nil
	}
	theirs := *d
	theirs.input, theirs.progress = scorer.Input(), new(atomic.Int64)
	var rep pipeline.Report
	for batch, err := range theirs.batches(ctx, shard) {
		if err != nil {
			return nil, "", err
		}
		rows, predictions, err := scorer.Score(ctx, batch, &rep)
		if err != nil {
			return nil, "", err
		}
		r.rows = append(r.rows, table.Rows(rows)...)
		r.predictions = append(r.predictions, predictions...)
		rows.Release()
	}
	return r, "", nil
}

// answersAlike refuses models whose metrics cannot be compared.
func answersAlike(a, b *artifact.Artifact) error {
	x, y := a.Answer(), b.Answer()
	of, to := a.Spec.Spec.OutputFeatures[0], b.Spec.Spec.OutputFeatures[0]
	if x.Type != y.Type || !slices.Equal(x.Classes, y.Classes) || !slices.Equal(x.Levels, y.Levels) || of.Name != to.Name || of.Expression != to.Expression {
		return &thalweg.Error{Op: "compare", Kind: thalweg.Invalid, Subject: "output " + of.Name,
			Hint: "promote the new version by hand", Err: fmt.Errorf("it answers something else than %s", to.Name)}
	}
	return nil
}

// observe adds those of some rows of a batch that the champion scores too.
func (r *rival) observe(some *chosen, numbers []int64) {
	if r == nil {
		return
	}
	r.mine.predictions, r.mine.labels, r.mine.parts = r.mine.predictions[:0], r.mine.labels[:0], r.mine.parts[:0]
	r.theirs = r.theirs[:0]
	for k, row := range some.which {
		for r.next < len(r.rows) && r.rows[r.next] < numbers[row] {
			r.next++
		}
		if r.next == len(r.rows) || r.rows[r.next] != numbers[row] {
			continue
		}
		r.mine.predictions = append(r.mine.predictions, some.predictions[k*r.width:(k+1)*r.width]...)
		r.theirs = append(r.theirs, r.predictions[r.next*r.width:(r.next+1)*r.width]...)
		r.mine.labels, r.mine.parts = append(r.mine.labels, some.labels[k]), append(r.mine.parts, some.parts[k])
	}
	r.samples[0].Observe(r.mine.predictions, r.mine.labels, r.mine.parts)
	r.samples[1].Observe(r.theirs, r.mine.labels, r.mine.parts)
}

// sums returns the samples.
func (r *rival) sums() (out *[2]json.RawMessage, err error) {
	if r == nil {
		return nil, nil
	}
	out = new([2]json.RawMessage)
	for i, s := range r.samples {
		if out[i], err = json.Marshal(s); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// compare tells how the version compares with the champion; nil where no gate asks.
func (t *Task) compare(ctx context.Context, d *data, trained *artifact.Artifact, all []evaluated) (*evaluation.Champion, error) {
	champion, err := t.champion(ctx)
	if champion == nil || err != nil {
		return nil, err
	}
	out := &evaluation.Champion{Version: champion.version, Flaw: champion.flaw}
	if champion.flaw != "" {
		return out, nil
	}
	var totals [2]*metric.Sample
	for i, a := range []*artifact.Artifact{trained, champion.Artifact} {
		if totals[i], err = d.sample(a, false); err != nil {
			return nil, err
		}
		for _, p := range all {
			if p.Flaw != "" || p.Pair == nil {
				out.Flaw = p.Flaw
				return out, nil
			}
			if err := d.merge(a, totals[i], p.Pair[i]); err != nil {
				return nil, err
			}
		}
	}
	out.Rows = totals[0].Whole().Rows()
	out.Changes, err = totals[0].Change(totals[1])
	return out, err
}
