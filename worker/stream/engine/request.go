package engine

import (
	"context"
	"fmt"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/artifact"
	events "github.com/thalweg/thalweg/pipeline/event"
	"github.com/thalweg/thalweg/pipeline/table"
)

// RequestScorer scores rows that somebody asks about, as JSON objects, by the code that
// scores events: the same values get the same bits, or are rejected for the same reason. It
// is for one goroutine.
type RequestScorer struct {
	rows    *RowScorer
	decoder *events.Decoder
}

// NewRequestScorer returns a scorer of requests with a version. Of cfg it uses what concerns
// events.
func NewRequestScorer(m Model, a *artifact.Artifact, cfg Config) (*RequestScorer, error) {
	rows, err := NewRowScorer(m, a)
	if err != nil {
		return nil, err
	}
	rows.engine.cfg = cfg
	decoder, err := a.NewRequestDecoder(events.Config{MaxEventBytes: cfg.MaxEventBytes})
	if err != nil {
		return nil, &thalweg.Error{Op: "prepare model", Kind: thalweg.KindOf(err), Subject: m.String(), Err: err}
	}
	return &RequestScorer{rows, decoder}, nil
}

// Tell has Score add the scores of rows to what is given.
func (s *RequestScorer) Tell(scores *[]float64) { s.rows.scores = scores }

// Added returns the columns that scoring adds to a row, and how many others are before them
// in what Score yields.
func (s *RequestScorer) Added() (columns []table.Column, at int) {
	columns = s.rows.engine.output.AddedColumns()
	return columns, len(s.rows.engine.output.OutputSchema().Columns) - len(columns)
}

// Score scores rows, each of which becomes a scored one or a Reject. It yields the scored
// ones in one part or several, which are the caller's until yield returns; their offsets are
// those of the rows.
func (s *RequestScorer) Score(ctx context.Context, rows events.Events, from artifact.Origin, yield func(arrow.Record) error) ([]Reject, error) {
	return s.score(ctx, func() (arrow.Record, []events.Reject, error) { return s.decoder.Decode(ctx, rows) }, from, yield)
}

// ScoreRows is Score of rows that are a record of Arrow, as event.Decoder.DecodeRows reads them.
func (s *RequestScorer) ScoreRows(ctx context.Context, rows arrow.Record, offsets []int64, from artifact.Origin, yield func(arrow.Record) error) ([]Reject, error) {
	return s.score(ctx, func() (arrow.Record, []events.Reject, error) { return s.decoder.DecodeRows(rows, offsets) }, from, yield)
}

func (s *RequestScorer) score(ctx context.Context, decode func() (arrow.Record, []events.Reject, error), from artifact.Origin, yield func(arrow.Record) error) (lost []Reject, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("scoring rows panicked: %v", p)
		}
	}()
	rec, rejects, err := decode()
	if err != nil {
		return nil, err
	}
	defer rec.Release()
	if rec.NumRows() > 0 {
		if lost, err = s.rows.Score(ctx, rec, from, yield); err != nil {
			return nil, err
		}
	}
	lost = slices.Grow(lost, len(rejects))
	for _, r := range rejects {
		lost = append(lost, Reject{r.Row, stageDecode, r.Reason, r.Cause, r.Shapes})
	}
	return lost, nil
}
