package engine

import (
	"context"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
)

// RowScorer scores rows of a dataset by the code that scores events, so that the same
// row gets the same bits. It is for one goroutine.
type RowScorer struct {
	engine *artifactEngine
	middle int        // as middleOf says
	scores *[]float64 // get those of rows, as a Tally counts them; nil: nobody asks
}

// NewRowScorer returns a scorer of rows with a version.
func NewRowScorer(m Model, a *artifact.Artifact) (*RowScorer, error) {
	e := &artifactEngine{model: m}
	if err := e.prepare(a); err != nil {
		return nil, &thalweg.Error{Op: "prepare model", Kind: thalweg.KindOf(err), Subject: m.String(), Err: err}
	}
	return &RowScorer{engine: e, middle: middleOf(a)}, nil
}

// Schema returns the columns of scored rows.
func (s *RowScorer) Schema() *arrow.Schema { return s.engine.output.DatasetArrow() }

// Score scores a canonical batch and yields the scored rows in one part or several,
// which are the caller's until yield returns. The rows that do not become scored ones
// are returned.
func (s *RowScorer) Score(ctx context.Context, rows arrow.Record, from artifact.Origin, yield func(arrow.Record) error) (lost []Reject, err error) {
	var found pipeline.Report
	defer func() { s.engine.observeTests(found.Tests, lost) }()
	for rest := rows; rest.NumRows() > 0; {
		pieces, more, end, err := s.engine.predict(ctx, rest, nil, false)
		if err != nil {
			return nil, err
		}
		lost = append(lost, more...)
		for _, p := range pieces {
			found.Merge(&p.found)
			if s.scores != nil {
				*s.scores = append(*s.scores, scoresOf(p.predictions, p.rows(), s.engine.outputs, s.middle)...)
			}
			if err == nil && p.rows() > 0 {
				err = s.yield(p, from, yield)
			}
		}
		releaseAll(pieces)
		if err != nil {
			return nil, err
		}
		if end == rest.NumRows() {
			break
		}
		rest = rest.NewSlice(end, rest.NumRows())
		defer rest.Release()
	}
	return lost, nil
}

func (s *RowScorer) yield(p piece, from artifact.Origin, yield func(arrow.Record) error) error {
	rec, err := s.engine.output.Output(p.cleaned, p.predictions, from)
	if err != nil {
		return err
	}
	defer rec.Release()
	return yield(rec)
}
