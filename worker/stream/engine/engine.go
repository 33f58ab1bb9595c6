// Package engine takes the events of a partition to scored rows and dead letters
// with one version of a model, and publishes them under a claim of the commit log.
//
// What becomes of an event depends on that event and the version alone, and the
// bytes of a file on its claim, the version and the events: how events were
// fetched or batched changes nothing.
package engine

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	events "github.com/thalweg/thalweg/pipeline/event"
	"github.com/thalweg/thalweg/pipeline/monitor"
	"github.com/thalweg/thalweg/pipeline/quality"
	"github.com/thalweg/thalweg/storage/dataset"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

// The stages of a dead letter besides the names of cleaning steps and what the
// artifact's scorer says.
const (
	stageFetch  = "fetch"
	stageDecode = "decode"
	stageScore  = "score"
)

// Engine takes events to rows with one version. Score and Encode may be called
// at the same time, each by one goroutine.
type Engine interface {
	// Prepare gets what scoring the batch takes from elsewhere, and may wait for it,
	// so that Score need not. It is called as Score is.
	Prepare(ctx context.Context, b *Batch, partition int) error
	// Score turns a batch into rows and dead letters: each event becomes one or
	// the other, and what becomes of it depends on that event and the version
	// alone. Nothing is added to dst on an error. Where rows are large, the batch is
	// cut: what it has left is what was scored.
	Score(ctx context.Context, b *Batch, dst *Rows) error
	// Encode returns the scored rows as files, one or one for each day. Their bytes
	// follow from the intent, the version and the events alone.
	Encode(in commitlog.Intent, r *Rows) ([]File, error)
	// Stored yields what an object of a kind holds.
	Stored(kind commitlog.ObjectKind, body []byte) iter.Seq2[StoredRow, error]
	// Needs returns what the engine reads of records besides their values.
	Needs() connectors.Fields
}

// Config says how an engine keeps what it scores.
type Config struct {
	Compression   dataset.Compression // of files of rows
	MaxEventBytes int                 // beyond which an event is a dead letter, of which that much is kept
	Pool          *dataset.Pool       // for writing files; nil: none is shared
	// Failed is told how many events of a batch failed a data test, by its name and
	// severity; nil: nobody asks.
	Failed func(test, severity string, events int64)
	// Tally returns what counts the arms of a rollout; nil: nobody asks.
	Tally func(m Model) *Tally
}

// DefaultMaxEventBytes is the default of Config.MaxEventBytes.
const DefaultMaxEventBytes = 1 << 20

// artifactEngine is the engine of an artifact; its files are Parquet.
type artifactEngine struct {
	cfg     Config
	model   Model
	decoder *events.Decoder
	scorer  predictor
	ends    []int             // of the batch that is decoded
	output  *artifact.Scorer  // lays out rows while scorer scores the next
	fields  connectors.Fields // that columns come from
	counter *monitor.Counter  // used as output is
	outputs int               // of the model for a row
	private bool              // columns have pii: no event is kept as it is
	tests   map[string]string // severities by name
}

// predictor is what the engine needs of an artifact's scorer.
type predictor interface {
	Score(ctx context.Context, batch arrow.Record, rep *pipeline.Report) (cleaned arrow.Record, predictions []float32, err error)
}

// New returns the engine of a version; its files are Parquet.
func New(m Model, a *artifact.Artifact, cfg Config) (Engine, error) {
	e := &artifactEngine{cfg: cfg, model: m, fields: FieldsOf(a), private: a.Spec.Spec.Schema.Private()}
	err := e.prepare(a)
	if err == nil {
		e.decoder, err = a.NewDecoder(events.Config{MaxEventBytes: cfg.MaxEventBytes})
	}
	if err != nil {
		return nil, &thalweg.Error{Op: "prepare model", Kind: thalweg.KindOf(err), Subject: m.String(), Err: err}
	}
	return e, nil
}

// prepare makes the scorers.
func (e *artifactEngine) prepare(a *artifact.Artifact) error {
	scorer, err := a.NewScorer(pipeline.InScoring)
	if err != nil {
		return err
	}
	e.scorer, e.tests = scorer, scorer.Tests().Severities()
	e.output, err = a.NewScorer(pipeline.InScoring)
	e.outputs = a.Model.Outputs()
	e.counter = monitor.NewCounter(a.Plan(), a.Transform, a.Answer(), a.Monitoring)
	return err
}

func (e *artifactEngine) Needs() connectors.Fields { return e.fields }

// maxHeld is how many bytes of rows end a batch that had to be scored in parts.
const maxHeld = 64 << 20

func (e *artifactEngine) Prepare(ctx context.Context, b *Batch, partition int) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("preparing offsets [%d, %d) panicked: %v", b.From, b.To, p)
		}
	}()
	if b.Len() == 0 {
		return nil
	}
	return e.decoder.Prepare(ctx, e.events(b, partition))
}

// Reject is an event of a batch that does not become a row: its offset, or the number of the
// row of a dataset; the step that removed it, and why.
type Reject struct {
	Offset        int64
	Stage, Reason string
	cause         string            // as events.Reject has it
	shapes        map[string]string // likewise
}

func (e *artifactEngine) Score(ctx context.Context, b *Batch, dst *Rows) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("scoring offsets [%d, %d) panicked: %v", b.From, b.To, p)
		}
	}()
	if b.Len() == 0 {
		return dst.Add(b, nil, nil, nil)
	}
	if e.fields&^b.Records.Want != 0 {
		return ErrRefetch
	}
	rec, rejects, err := e.decoder.Decode(ctx, e.events(b, dst.Partition))
	if err != nil {
		return err
	}
	defer rec.Release()
	if n := int(rec.NumRows()) + len(rejects); n != b.Len() {
		return fmt.Errorf("%d events decoded to %d rows and %d rejects", b.Len(), rec.NumRows(), len(rejects))
	}
	lost := make([]Reject, 0, len(rejects))
	for _, r := range rejects {
		c := Reject{r.Row, stageDecode, r.Reason, r.Cause, r.Shapes}
		if why, ok := b.Records.Unreadable[b.first+r.Index]; ok {
			c.Stage, c.Reason = stageFetch, why
		}
		lost = append(lost, c)
	}
	var pieces []piece
	if rec.NumRows() > 0 {
		var end int64
		if pieces, lost, end, err = e.predict(ctx, rec, lost, dst.Settled); err != nil {
			return err
		}
		if end < rec.NumRows() {
			lost = b.cut(offsetsOf(rec)[end], lost)
		}
	}
	var found pipeline.Report
	for _, p := range pieces {
		found.Merge(&p.found)
	}
	pieces, lost = dst.limitDays(b, pieces, lost)
	letters, err := e.letters(b, rec, lost, dst)
	if err != nil {
		releaseAll(pieces)
		return err
	}
	dst.Unfit, dst.Notes = e.decoder.TakeUnfit(), make(map[string]int64)
	for test, of := range found.Tests {
		dst.Notes["failed test "+test+", which warns"] = of.Failed
	}
	for step, n := range found.Unmatched {
		dst.Notes["found no row in the table of step "+step] = n
	}
	if dst.Send != nil {
		if err := e.send(b, pieces, dst); err != nil {
			releaseAll(pieces)
			return err
		}
	}
	e.observeTests(found.Tests, lost)
	return dst.Add(b, pieces, letters, lost)
}

// observeTests tells what data tests found in a batch: in the rows that they let pass and
// in those that they removed.
func (e *artifactEngine) observeTests(passed map[string]*pipeline.TestReport, lost []Reject) {
	if e.cfg.Failed == nil || len(e.tests) == 0 {
		return
	}
	for test, of := range passed {
		e.cfg.Failed(test, e.tests[test], of.Failed)
	}
	for i := range lost {
		if test, ok := quality.Removed(lost[i].Stage, lost[i].Reason, e.tests); ok {
			e.cfg.Failed(test, e.tests[test], 1)
		}
	}
}

// predict scores the rows of a batch. Rows that cleaning or the model removes
// are added to lost. If the code itself fails on a batch, it is tried in halves
// until the rows that it fails on are found; they are lost too. If it fails on
// all of several rows the fault is not theirs, and the error is returned, unless
// each is too large for itself, or settled: then it was found before that the events become
// rows or dead letters, and which ones does not depend on how they are batched now. The rows from end on are left for another batch,
// because those before have become so large.
func (e *artifactEngine) predict(ctx context.Context, rec arrow.Record, lost []Reject, settled bool) (pieces []piece, _ []Reject, end int64, _ error) {
	var whole error // of all rows at once
	failed, held := int64(0), int64(0)
	end = rec.NumRows()
	var try func(lo, hi int64)
	try = func(lo, hi int64) {
		if held > maxHeld {
			end = min(end, lo)
		}
		if whole != nil && ctx.Err() != nil || lo >= end {
			return
		}
		part := rec.NewSlice(lo, hi)
		defer func() { part.Release() }()
		if hi-lo == 1 && whole != nil {
			// The strings of other rows must not count for it.
			if alone, err := concat(part, part.NewSlice(0, 0)); err == nil {
				part.Release()
				part = alone
			}
		}
		p, removed, err := e.once(ctx, part)
		whole = cmp.Or(whole, err)
		switch mid := lo + (hi-lo)/2; {
		case err == nil:
			p.size()
			held += p.bytes
			pieces, lost = append(pieces, p), append(lost, removed...)
		case hi-lo == 1:
			if !thalweg.Is(err, thalweg.Exhausted) {
				failed++
			}
			lost = append(lost, Reject{Offset: offsetsOf(rec)[lo], Stage: stageScore, Reason: err.Error()})
		default:
			try(lo, mid)
			try(mid, hi)
		}
	}
	try(0, rec.NumRows())
	switch {
	case whole != nil && ctx.Err() != nil:
		whole = &thalweg.Error{Op: "score", Kind: thalweg.Canceled, Err: ctx.Err()}
	case whole == nil || failed < rec.NumRows() || failed == 1 || settled:
		return pieces, lost, end, nil
	}
	releaseAll(pieces)
	return nil, nil, 0, whole
}

// once scores rec in one go; a panic is an error.
func (e *artifactEngine) once(ctx context.Context, rec arrow.Record) (p piece, removed []Reject, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("scoring panicked: %v", r)
		}
	}()
	rep := pipeline.Report{KeepRemoved: true}
	cleaned, predictions, err := e.scorer.Score(ctx, rec, &rep)
	if err != nil {
		return piece{}, nil, err
	}
	if n := cleaned.NumRows(); n+int64(len(rep.Removed)) != rec.NumRows() || n > 0 && int64(len(predictions))%n != 0 || n == 0 && len(predictions) > 0 {
		cleaned.Release()
		return piece{}, nil, fmt.Errorf("%d rows became %d with %d predictions, with %d removed", rec.NumRows(), n, len(predictions), len(rep.Removed))
	}
	for _, r := range rep.Removed {
		removed = append(removed, Reject{Offset: r.Row, Stage: r.Stage, Reason: r.Reason})
	}
	return piece{cleaned: cleaned, predictions: slices.Clone(predictions), found: pipeline.Report{Tests: rep.Tests, Unmatched: rep.Unmatched}}, removed, nil
}

// letters writes the dead letters of a batch, in the order of their offsets. rec has
// the events that could be decoded.
func (e *artifactEngine) letters(b *Batch, rec arrow.Record, lost []Reject, dst *Rows) ([]byte, error) {
	if len(lost) == 0 {
		return nil, nil
	}
	slices.SortFunc(lost, func(a, b Reject) int { return cmp.Compare(a.Offset, b.Offset) })
	buf := &dst.scratch
	buf.Reset()
	for _, c := range lost {
		i, ok := slices.BinarySearch(b.Offsets(), c.Offset)
		if !ok {
			return nil, fmt.Errorf("offset %d was removed (%s: %s) but is not in the batch", c.Offset, c.Stage, c.Reason)
		}
		d := DeadLetter{Topic: dst.Topic, Partition: dst.Partition, Offset: c.Offset, TimestampUS: b.Timestamps()[i], Stage: c.Stage, Reason: c.Reason,
			Model: e.model.Name, ModelVersion: e.model.Version, SpecGeneration: dst.Generation, Replay: dst.Replay}
		null := b.Records.Null != nil && b.Records.Null[b.first+i]
		switch {
		case e.private:
			d.withhold(len(b.Value(i)), c.shapes, rec)
		case !null:
			d.setRaw(b.Value(i), e.cfg.MaxEventBytes)
		}
		if !e.private {
			d.setAround(b, i, e.cfg.MaxEventBytes)
		}
		if err := d.AppendLine(buf); err != nil {
			return nil, err
		}
	}
	return buf.Bytes(), nil
}

func offsetsOf(rec arrow.Record) []int64 {
	return rec.Column(int(rec.NumCols()) - 1).(*array.Int64).Int64Values()
}
