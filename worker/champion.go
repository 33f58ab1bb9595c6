package worker

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/evaluation"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/table"
)

// modelVersion is a version of the model that a run knows: its parent, or the champion.
type modelVersion struct {
	*artifact.Artifact
	number uint64
	flaw   string // why a champion cannot be read
}

// parent loads the version that training starts from, nil where it starts anew, and holds
// it against the plan.
func (w *Worker) parent(ctx context.Context, lease *apiv1.Lease, plan *pipeline.Plan) (*modelVersion, error) {
	input, ok := lease.Inputs[stages.ParentInput]
	if !ok {
		if of := plan.Spec.Spec.Model; pipeline.Front(of).Name != of.Name {
			return nil, &thalweg.Error{Op: "start from a version", Kind: thalweg.Invalid, Subject: "trainer.warm_start", Err: fmt.Errorf("model %s has no version that alias %s names, and so no hidden layer for %s", plan.Spec.Spec.Registry.Model, plan.Spec.Spec.Registry.Alias, of.Name),
				Hint: "train model: " + pipeline.Front(of).Name + " first, and promote it"}
		}
		return nil, nil
	}
	v, err := w.version(ctx, input)
	if err == nil {
		err = artifact.CheckParent(plan, v.Artifact)
	}
	if err == nil {
		_, err = v.HashedBy(w.connections.Key)
	}
	if err != nil {
		number, _, _ := strings.Cut(input, " ")
		return nil, &thalweg.Error{Op: "start from version " + number, Kind: thalweg.KindOf(err), Subject: "trainer.warm_start", Err: err}
	}
	return v, nil
}

// version loads the version that an input of a run names.
func (w *Worker) version(ctx context.Context, input string) (v *modelVersion, err error) {
	number, reference, _ := strings.Cut(input, " ")
	v = new(modelVersion)
	if v.number, err = strconv.ParseUint(number, 10, 64); err == nil {
		v.Artifact, err = w.artifact(ctx, reference)
	}
	return v, err
}

// inheritedText says, for people, what training took from the version that it starts from.
func (v *modelVersion) inheritedText(got artifact.Inherited) string {
	text := fmt.Sprintf("from version %d: weights of %d of %d features", v.number, got.Features, got.Features+len(got.New))
	if got.Trees > 0 {
		text = fmt.Sprintf("from version %d: splits of %d trees, by %d of %d features, with leaves refitted", v.number, got.Trees, got.Features, got.Features+len(got.New))
	}
	if len(got.New) > 0 {
		text += "; new are " + brief(strings.Join(got.New, ", "))
	}
	if got.Values > 0 {
		text += fmt.Sprintf("; %d values that it did not know", got.Values)
	}
	return text
}

// champion loads the version that the alias named when the run began; nil where there was
// none, or no gate of the spec is versus it.
func (t *Task) champion(ctx context.Context) (*modelVersion, error) {
	input := t.Lease.Inputs[stages.ChampionInput]
	if input == "" {
		return nil, nil
	}
	spec, err := t.worker.spec(t.Lease)
	if err != nil || !evaluation.Compares(spec) {
		return nil, err
	}
	champion, err := t.worker.version(ctx, input)
	if isPermanent(ctx, err) {
		// A run is how a champion that is damaged can be replaced.
		return &modelVersion{number: champion.number, flaw: fmt.Sprintf("version %d cannot be read: %v", champion.number, err)}, nil
	}
	return champion, err
}

// isPermanent reports an error that another attempt would meet too.
func isPermanent(ctx context.Context, err error) bool {
	return err != nil && !thalweg.KindOf(err).Transient() && ctx.Err() == nil
}

// comparison measures the version that is evaluated and the champion on the same rows of
// one shard. A nil one does nothing.
type comparison struct {
	width int
	// rows are the numbers of the shard's rows that the champion scores, in order, of
	// which those before next are passed; predictions are its.
	rows        []int64
	next        int
	predictions []float32
	samples     [2]*metric.Sample // of the version, of the champion
	slices      [2]*evaluation.Slices
	// The rows of a batch that both score, and what the champion predicts of them.
	both   chosen
	theirs []float32
}

// newComparison scores a shard with the champion; needed: it has judged rows. A flaw says
// why the champion cannot score them.
func (d *data) newComparison(ctx context.Context, champion *modelVersion, trained *artifact.Artifact, shard int, needed bool) (c *comparison, flaw string, err error) {
	if champion.flaw != "" {
		return nil, champion.flaw, nil
	}
	defer func() {
		if isPermanent(ctx, err) {
			c, flaw, err = nil, fmt.Sprintf("version %d cannot score these rows: %v", champion.number, err), nil
		}
	}()
	if err := answersAlike(champion.Artifact, trained); err != nil {
		return nil, "", err
	}
	scorer, err := champion.NewScorer(pipeline.InTraining)
	if err != nil {
		return nil, "", err
	}
	c = &comparison{width: champion.Model.Outputs()}
	for i, a := range []*artifact.Artifact{trained, champion.Artifact} {
		if c.samples[i], err = d.sample(a, false); err != nil {
			return nil, "", err
		}
		c.slices[i] = d.slices(a, evaluation.ComparedWays(d.plan.Spec))
	}
	if !needed {
		return c, "", nil
	}
	theirs := *d
	if theirs.source.Key, err = champion.HashedBy(d.worker.connections.Key); err != nil {
		return nil, "", err
	}
	theirs.input, theirs.progress = scorer.Input(), new(atomic.Int64)
	var rep pipeline.Report
	for batch, err := range theirs.batches(ctx, shard, new(pipeline.Report)) {
		if err != nil {
			return nil, "", err
		}
		rows, predictions, err := scorer.Score(ctx, batch, &rep)
		if err != nil {
			return nil, "", err
		}
		c.rows = append(c.rows, table.Rows(rows)...)
		c.predictions = append(c.predictions, predictions...)
		rows.Release()
	}
	return c, "", nil
}

// answersAlike refuses models whose metrics cannot be compared.
func answersAlike(a, b *artifact.Artifact) error {
	x, y := a.Answer(), b.Answer()
	of, to := a.Spec.Spec.OutputFeatures[0], b.Spec.Spec.OutputFeatures[0]
	if x.Type != y.Type || !slices.Equal(x.Classes, y.Classes) || !slices.Equal(x.Levels, y.Levels) || of.Name != to.Name || of.Expression != to.Expression {
		return &thalweg.Error{Op: "compare", Kind: thalweg.Invalid, Subject: "output " + of.Name,
			Hint: "promote the new version by hand", Err: fmt.Errorf("its expression, type or classes are not those of output %s of the new version", to.Name)}
	}
	return nil
}

// observe adds those of some rows of a batch that the champion scores too; numbers are
// those of the batch's rows.
func (c *comparison) observe(rows arrow.Record, some *chosen, numbers []int64) error {
	if c == nil {
		return nil
	}
	both := chosen{which: c.both.which[:0], predictions: c.both.predictions[:0], labels: c.both.labels[:0], parts: c.both.parts[:0]}
	c.theirs = c.theirs[:0]
	for k, row := range some.which {
		for c.next < len(c.rows) && c.rows[c.next] < numbers[row] {
			c.next++
		}
		if c.next == len(c.rows) || c.rows[c.next] != numbers[row] {
			continue
		}
		both.predictions = append(both.predictions, some.predictions[k*c.width:(k+1)*c.width]...)
		c.theirs = append(c.theirs, c.predictions[c.next*c.width:(c.next+1)*c.width]...)
		both.which = append(both.which, row)
		both.labels, both.parts = append(both.labels, some.labels[k]), append(both.parts, some.parts[k])
	}
	c.both = both
	for i, predictions := range [][]float32{both.predictions, c.theirs} {
		c.samples[i].Observe(predictions, both.labels, both.parts)
		if err := c.slices[i].Observe(rows, both.which, predictions, both.labels, both.parts); err != nil {
			return err
		}
	}
	return nil
}

// compared is what is found in one shard of one of two models.
type compared struct {
	Sums   json.RawMessage `json:"sums"`
	Slices json.RawMessage `json:"slices"`
}

// encoded returns the samples and slices as JSON.
func (c *comparison) encoded() (out *[2]compared, err error) {
	if c == nil {
		return nil, nil
	}
	out = new([2]compared)
	for i := range out {
		if out[i].Sums, err = json.Marshal(c.samples[i]); err != nil {
			return nil, err
		}
		if out[i].Slices, err = json.Marshal(c.slices[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// comparisons sums up what shards have found of the version and the champion. A nil one does
// nothing.
type comparisons struct {
	out    evaluation.Champion
	flawed bool // there is nothing to compare
	totals [2]*metric.Sample
	slices [2]*evaluation.Slices
}

// newComparisons returns what compares with the champion; nil where no gate asks.
func (t *Task) newComparisons(ctx context.Context, d *data, trained *artifact.Artifact) (*comparisons, error) {
	champion, err := t.champion(ctx)
	if champion == nil || err != nil {
		return nil, err
	}
	c := &comparisons{out: evaluation.Champion{Version: champion.number, Flaw: champion.flaw}, flawed: champion.flaw != ""}
	if c.flawed {
		return c, nil
	}
	for i, a := range []*artifact.Artifact{trained, champion.Artifact} {
		if c.totals[i], err = d.sample(a, false); err != nil {
			return nil, err
		}
		c.slices[i] = d.slices(a, evaluation.ComparedWays(d.plan.Spec))
	}
	return c, nil
}

// add adds the next shard.
func (c *comparisons) add(p *evaluated) error {
	switch {
	case c == nil || c.flawed:
		return nil
	case p.Flaw != "" || p.Pair == nil:
		c.out.Flaw, c.flawed = p.Flaw, true
		return nil
	}
	for i, of := range p.Pair {
		if err := cmp.Or(c.totals[i].MergeJSON(of.Sums), c.slices[i].Merge(of.Slices)); err != nil {
			return err
		}
	}
	return nil
}

// result tells how the version compares with the champion; nil where no gate asks.
func (c *comparisons) result() (out *evaluation.Champion, err error) {
	if c == nil {
		return nil, nil
	}
	if out = &c.out; c.flawed {
		return out, nil
	}
	out.Rows = c.totals[0].Whole().Rows()
	if out.Changes, err = c.totals[0].Change(c.totals[1]); err != nil {
		return nil, err
	}
	out.Sliced, err = c.slices[0].Change(c.slices[1])
	return out, err
}
