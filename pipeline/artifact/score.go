package artifact

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/clean"
	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/quality"
	"github.com/thalweg/thalweg/pipeline/table"
)

// Scorer takes rows from the source to predictions. It keeps memory between
// batches and is for one goroutine; make one for each.
type Scorer struct {
	artifact *Artifact
	answer   pipeline.Answer
	outputs  int         // of the model for a row
	width    int         // of a row's predictions: outputs, and what samples say
	constant []float32   // the prediction of a row of which nothing is known
	explains *explaining // nil: no row is
	chain    *clean.Chain
	tests    *quality.Tests // of events; nil: none
	applier  *feature.Applier
	mem      memory.Allocator
	// cleaned and output are the Arrow schemas of what Score and Output return, dataset of
	// Output for rows of a dataset.
	cleaned, output, dataset *arrow.Schema

	block       kernel.Block
	workspace   *model.Workspace
	predictions []float32
	predicted   []float32    // outputs of rows on their way to predictions
	sampling    *sampling    // nil: rows are predicted once
	kept        *keptOutputs // nil: outputs are not kept
	finiteRows  table.Mask   // those of block that have predictions; no words: all
}

// Tests returns the data tests of the rows; nil if there are none.
func (s *Scorer) Tests() *quality.Tests { return s.tests }

// NewScorer returns a scorer of rows in phase: events in scoring, the rows of
// the training data in training. Where the spec scores a stream, a cleaned column
// that could not be written beside those of scoring is an error.
func (a *Artifact) NewScorer(phase pipeline.Phase) (*Scorer, error) {
	chain := clean.Alone(a.plan, phase)
	if a.Spec.Spec.Scoring != nil {
		if err := checkColumns(a.carried(chain.Schema()), pipeline.OutputColumns(a.plan.Label.Answer, true, a.plan.Label.Besides...)); err != nil {
			return nil, err
		}
	}
	if a.Spec.Halves() && a.Adjustment == nil && !a.bare {
		return nil, &thalweg.Error{Op: "score", Kind: thalweg.Invalid, Subject: PartCalibration, Err: errMissing,
			Hint: "the checkpoint is of a run that has not calibrated its model: score with the version that it registers"}
	}
	if a.Spec.HasMembers() && a.Members == nil && !a.bare && phase == pipeline.InScoring {
		return nil, &thalweg.Error{Op: "score", Kind: thalweg.Invalid, Subject: PartMembers, Err: errMissing,
			Hint: "the checkpoint is of a run that has not trained its members: score with the version that it registers"}
	}
	s := a.newScorer(chain)
	if u, ok := a.Spec.Uncertainty().(pipeline.SamplingSpec); ok && phase == pipeline.InScoring && !a.bare {
		s.sample(u)
	}
	if phase == pipeline.InScoring {
		s.tests = quality.New(a.plan, phase)
		if top := a.top(); top > 0 {
			var err error
			if s.explains, err = newExplaining(a, top); err != nil {
				return nil, err
			}
		}
	}
	s.cleaned = s.Cleaned().Arrow()
	// The row number becomes the offset and is no column of its own.
	fields := s.OutputSchema().Arrow().Fields()
	s.output = arrow.NewSchema(fields[:len(fields)-1], nil)
	fields = s.DatasetSchema().Arrow().Fields()
	s.dataset = arrow.NewSchema(fields[:len(fields)-1], nil)
	return s, nil
}

// NewScorerWith returns a scorer of cleaned rows that explains each by so many inputs, 0 for
// none, and predicts it as often as samples says, nil for once, whatever the spec wants: to
// see what it costs. Members that the artifact does not have are the model again.
func (a *Artifact) NewScorerWith(top int, samples pipeline.SamplingSpec) (*Scorer, error) {
	bare := a.Uncalibrated()
	s := bare.newScorer(clean.Alone(a.plan, pipeline.InTraining))
	if members, ok := samples.(pipeline.MemberSpec); ok {
		n := members.MemberModels()
		if a.Model.Size() > MaxMemberValues/n {
			return nil, &thalweg.Error{Op: "score", Kind: thalweg.Invalid, Subject: "model.uncertainty.members", Err: fmt.Errorf("%d members of %d parameters are more than %d", n, a.Model.Size(), MaxMemberValues)}
		}
		if len(a.Members) < n*a.Model.Size() {
			bare.Members = slices.Repeat(a.Params, n)
		}
	}
	if samples != nil {
		s.sample(samples)
	}
	var err error
	if top > 0 {
		s.explains, err = newExplaining(bare, top)
	}
	return s, err
}

func (a *Artifact) newScorer(chain *clean.Chain) *Scorer {
	return &Scorer{artifact: a, answer: a.Answer(), outputs: a.Model.Outputs(), width: a.Model.Outputs(), constant: a.Constant(), chain: chain, applier: a.Transform.NewApplier(), workspace: a.Model.NewPredictor(), mem: memory.DefaultAllocator}
}

// Input returns the columns of the rows that Score wants, without
// table.RowColumn.
func (s *Scorer) Input() table.Schema { return s.chain.Input() }

// Cleaned returns the columns of the rows that Score returns, without
// table.RowColumn.
func (s *Scorer) Cleaned() table.Schema { return s.chain.Schema() }

// Score cleans a canonical batch, whose last column is table.RowColumn, and
// predicts each row that is left: the probability of true for a binary label,
// the value for a number, the probability of each class for a category. A row of
// which nothing is known, every feature being missing or unknown, gets the mean of
// the training labels. Rows that a cleaning step, a data test of events or a feature
// removes, and those whose prediction is not finite, are counted and named in rep, which
// may be nil. What becomes of a row depends on that row alone, to the bit.
//
// The batch stays the caller's. The caller releases cleaned; predictions has
// as many elements for each of its rows as the model has outputs, one after the
// other, in scoring and what samples of the model and explanations say, for Output, and is
// valid until the next call.
func (s *Scorer) Score(ctx context.Context, batch arrow.Record, rep *pipeline.Report) (cleaned arrow.Record, predictions []float32, err error) {
	if rep == nil {
		rep = new(pipeline.Report)
	}
	all, err := s.chain.Apply(ctx, batch, rep)
	if err != nil {
		return nil, nil, err
	}
	defer all.Release()
	rows, err := s.tests.Remove(s.mem, all, rep)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Release()
	return s.ScoreCleaned(rows, rep)
}

// ScoreCleaned is Score of rows that are cleaned already, or prepared, all of a batch or
// some; they stay the caller's, and rep must not be nil.
func (s *Scorer) ScoreCleaned(rows arrow.Record, rep *pipeline.Report) (cleaned arrow.Record, predictions []float32, err error) {
	kept, err := s.artifact.Transform.Keep(rows, rep)
	if err != nil {
		return nil, nil, err
	}
	defer kept.Release()
	if err := s.applier.Apply(kept, &s.block, rep); err != nil {
		return nil, nil, err
	}
	n := int(kept.NumRows())
	s.predictions = slices.Grow(s.predictions[:0], n*s.width)[:n*s.width]
	if n > 0 {
		s.predict(n)
	}
	if cleaned, err = s.finite(kept, rep); err != nil {
		return nil, nil, err
	}
	rep.RowsOut -= rows.NumRows() - cleaned.NumRows()
	if s.explains != nil && len(s.predictions) > 0 {
		s.explain()
	}
	return cleaned, s.predictions, nil
}

// predict predicts the rows of the block.
func (s *Scorer) predict(n int) {
	out := s.predictions
	if s.sampling != nil {
		s.predicted = slices.Grow(s.predicted[:0], n*s.outputs)[:n*s.outputs]
		out = s.predicted
	}
	if s.kept == nil {
		s.artifact.Model.Predict(s.workspace, s.artifact.Params, &s.block, out)
	} else {
		s.kept.model.Predict(s.workspace, s.artifact.Params, &s.block, out)
		s.kept.values = append(s.kept.values[:0], out...)
		s.artifact.Model.Finish(out)
	}
	s.setBlank(out, s.constant)
	if s.sampling != nil {
		s.sampling.predict(s, n)
	}
}

// setBlank sets the predictions of rows of which nothing is known.
func (s *Scorer) setBlank(predictions, constant []float32) {
	for i := range s.applier.Blank().Marked() {
		copy(predictions[i*s.outputs:(i+1)*s.outputs], constant)
	}
}

// keptOutputs are a model's for the rows of the last Score, before they became predictions.
type keptOutputs struct {
	model    *model.Model // that predicts them
	values   []float32
	plain    *model.Model // that makes predictions of them as the loss has it
	constant []float32    // its prediction of a row of which nothing is known
}

// KeepOutputs makes Uncalibrated known.
func (s *Scorer) KeepOutputs() {
	plain := s.artifact.Uncalibrated()
	s.kept = &keptOutputs{model: s.artifact.Model.Raw(), plain: plain.Model, constant: plain.Constant()}
	s.workspace = s.kept.model.NewPredictor()
}

// Uncalibrated returns what the predictions of the last Score would be without calibration.
// KeepOutputs was called before.
func (s *Scorer) Uncalibrated() []float32 {
	out := slices.Clone(s.kept.values)
	s.kept.plain.Finish(out)
	s.setBlank(out, s.kept.constant)
	return s.left(out)
}

// Raw returns what the predictions of the last Score were made of: the log-odds of a binary
// label for example.
func (s *Scorer) Raw() []float32 {
	out := make([]float32, s.block.Rows*s.outputs)
	if s.block.Rows > 0 {
		raw := s.artifact.Model.Raw()
		raw.Predict(raw.NewPredictor(), s.artifact.Params, &s.block, out)
	}
	return s.left(out)
}

// left returns the outputs of those rows of the block that have predictions, in out's memory.
func (s *Scorer) left(out []float32) []float32 {
	if s.finiteRows.Words == nil {
		return out
	}
	left := out[:0]
	for i := range s.finiteRows.Marked() {
		left = append(left, out[i*s.outputs:(i+1)*s.outputs]...)
	}
	return left
}

// Parts yields what each feature brought to the rows that the last Score returned: a
// number itself, of a category the weight of its value, of a text the sum of its terms',
// where the model has one for each. A list is many inputs, and none of them. A part is
// valid until the next one.
func (s *Scorer) Parts() iter.Seq2[string, []float32] {
	return func(yield func(string, []float32) bool) {
		m, rows := s.artifact.Model, s.finiteRows
		shape := m.Shape()
		if rows.Words == nil {
			rows = table.NewMask(s.block.Rows).Not()
		}
		part := make([]float32, 0, s.block.Rows)
		for k, name := range shape.NumberNames {
			part = part[:0]
			for i := range rows.Marked() {
				part = append(part, s.block.Numbers[k][i])
			}
			if !yield(name, part) {
				return
			}
		}
		for j, name := range shape.CategoryNames {
			v, ok := model.Find(m, "category."+name+".weight")
			if !ok || m.Deep() || v.Size() != shape.Cardinalities[j] {
				continue
			}
			weights := v.Of(s.artifact.Params)
			part = part[:0]
			for i := range rows.Marked() {
				part = append(part, weights[s.block.Categories[j][i]])
			}
			if !yield(name, part) {
				return
			}
		}
		for t, name := range shape.TermNames {
			v, ok := model.Find(m, "terms."+name+".weight")
			if !ok || v.Size() != shape.Terms[t] {
				continue
			}
			sums := make([]float32, s.block.Rows)
			kernel.GatherTerms(sums, v.Of(s.artifact.Params), s.block.Terms[t], 1)
			part = part[:0]
			for i := range rows.Marked() {
				part = append(part, sums[i])
			}
			if !yield(name, part) {
				return
			}
		}
	}
}

// Encoded returns the rows that the last Score looked at, as the model reads them, and
// which of them each row is that it returned. They are valid until the next call.
func (s *Scorer) Encoded() (b *kernel.Block, rows []int32) {
	if s.finiteRows.Words == nil {
		for i := range s.block.Rows {
			rows = append(rows, int32(i))
		}
		return &s.block, rows
	}
	for i := range s.finiteRows.Marked() {
		rows = append(rows, int32(i))
	}
	return &s.block, rows
}

// finite removes the rows whose prediction is not finite, as sums of very
// large inputs may be.
func (s *Scorer) finite(rows arrow.Record, rep *pipeline.Report) (arrow.Record, error) {
	s.finiteRows = table.Mask{}
	if kernel.Finite(s.predictions) < 0 {
		rows.Retain()
		return rows, nil
	}
	keep := table.NewMask(int(rows.NumRows()))
	left := s.predictions[:0]
	for i := range int(rows.NumRows()) {
		row := s.predictions[i*s.width : (i+1)*s.width]
		if kernel.Finite(row) < 0 {
			keep.Set(i)
			left = append(left, row...)
		}
	}
	s.predictions, s.finiteRows = left, keep
	rep.DropRows(table.RowNumbers(nil, rows, keep.Not()), "model", "prediction is not finite")
	return table.Select(s.mem, rows, keep)
}

// Decide returns the answer of a binary model that a probability stands for, or a
// margin, whose threshold is 0.
func (s *Scorer) Decide(probability float32) bool {
	return float64(probability) >= s.answer.Threshold
}
