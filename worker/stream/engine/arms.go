package engine

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/pipeline/monitor"
	"github.com/thalweg/thalweg/pipeline/rollout"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

// Open returns the engine of a version or, in a rollout, of both.
func Open(ctx context.Context, models Models, m Model, cfg Config) (Engine, error) {
	if !m.InRollout() {
		a, err := models.Load(ctx, m)
		if err != nil {
			return nil, err
		}
		return New(m, a, cfg)
	}
	e := &armsEngine{shadow: m.Rollout.Shadow, by: m.Rollout.By}
	if cfg.Tally != nil {
		e.tally = cfg.Tally(m)
	}
	for arm, of := range m.Arms() {
		a, err := models.Load(ctx, of)
		if err != nil {
			return nil, &ArmError{arm, err}
		}
		one, err := New(of, a, cfg)
		if err != nil {
			return nil, &ArmError{arm, err}
		}
		e.arms[arm].artifactEngine = one.(*artifactEngine)
		e.arms[arm].middle = middleOf(a)
		if arm == rollout.Candidate {
			if e.choose, err = newChooser(m.Rollout, a, cfg); err != nil {
				return nil, &thalweg.Error{Op: "prepare rollout", Kind: thalweg.KindOf(err), Subject: m.String(), Err: err}
			}
		}
	}
	if err := e.layOut(); err != nil {
		return nil, &thalweg.Error{Op: "prepare rollout", Kind: thalweg.Invalid, Subject: m.String(), Err: err,
			Hint: "take the version over at once: `thalweg rollout promote`"}
	}
	return e, nil
}

// ArmError is of one of the two versions of a rollout: it cannot be loaded, or its code fails
// on all events that it was given of a batch.
type ArmError struct {
	Arm int
	Err error
}

func (e *ArmError) Error() string { return e.Err.Error() }

// Unwrap returns what went wrong.
func (e *ArmError) Unwrap() error { return e.Err }

// IsOf reports whether an error is known to be of an arm of a rollout.
func IsOf(err error, arm int) bool {
	var of *ArmError
	return errors.As(err, &of) && of.Arm == arm
}

// armsEngine is the engine of two versions: each event is scored by the one that the chooser
// says, and of a shadow by the champion too. Rows are in the order of offsets, whoever scored
// them, in files as those of one version.
type armsEngine struct {
	arms    [rollout.Arms]arm
	choose  *chooser
	shadow  bool
	by      string // column whose values the chooser goes by; "": it goes by keys
	tally   *Tally
	columns []column // of rows
}

// arm is one version, and what it was given of the batch at hand.
type arm struct {
	*artifactEngine
	middle  int // as middleOf says
	records connectors.Records
}

// Needs implements Engine. Keys decide where there is no column, or no value of it.
func (e *armsEngine) Needs() connectors.Fields {
	return e.arms[rollout.Champion].Needs() | e.arms[rollout.Candidate].Needs() | connectors.Keys
}

// Prepare implements Engine.
func (e *armsEngine) Prepare(ctx context.Context, b *Batch, partition int) error {
	if e.Needs()&^b.Records.Want != 0 {
		return nil // Score says so
	}
	for i := range e.arms {
		if err := e.arms[i].Prepare(ctx, b, partition); err != nil {
			return err
		}
	}
	if e.choose.column != nil {
		return e.choose.column.Prepare(ctx, b, partition)
	}
	return nil
}

// Stored implements Engine.
func (e *armsEngine) Stored(kind commitlog.ObjectKind, body []byte) iter.Seq2[StoredRow, error] {
	return e.arms[rollout.Champion].Stored(kind, body)
}

// scored is what an arm made of a part of a batch.
type scored struct {
	*Rows
	events int
	took   time.Duration
}

// Score implements Engine.
func (e *armsEngine) Score(ctx context.Context, b *Batch, dst *Rows) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("scoring offsets [%d, %d) panicked: %v", b.From, b.To, p)
		}
	}()
	if b.Len() == 0 {
		return dst.Add(b, nil, nil, nil)
	}
	if e.Needs()&^b.Records.Want != 0 {
		return ErrRefetch
	}
	chosen, err := e.choose.choose(ctx, b, dst.Partition)
	if err != nil {
		return err
	}
	for {
		var parts [rollout.Arms]scored
		cut := b.To
		for k := range e.arms {
			parts[k], err = e.part(ctx, b, chosen[:b.Len()], k, dst)
			if err != nil {
				break
			}
			cut = min(cut, parts[k].To)
		}
		if err == nil {
			cut = min(cut, e.dayCut(&parts, cut, dst))
		}
		if err == nil && cut == b.To {
			err = e.take(b, chosen, parts, dst)
			if err == nil {
				return nil
			}
		}
		for _, p := range parts {
			if p.Rows != nil {
				p.Release()
			}
		}
		if err != nil {
			return err
		}
		b.cut(cut, nil) // and both anew: an arm had large rows, or a day too many
	}
}

// part scores the events of a batch that an arm has, up to where it says.
func (e *armsEngine) part(ctx context.Context, b *Batch, chosen []int8, k int, dst *Rows) (scored, error) {
	a := &e.arms[k]
	all := e.shadow && k == rollout.Champion
	sub := *b
	sub.Gaps = nil
	if !all {
		a.records.Reset()
		a.records.Want, a.records.Unreadable = b.Records.Want, nil
		for lo := 0; lo < len(chosen); {
			hi := lo + 1
			for hi < len(chosen) && chosen[hi] == chosen[lo] {
				hi++
			}
			if int(chosen[lo]) == k {
				a.records.AppendRecords(b.Records, b.first+lo, b.first+hi)
			}
			lo = hi
		}
		sub.Records, sub.first, sub.n, sub.Bytes = &a.records, 0, a.records.Len(), int64(a.records.SizeBytes())
	}
	part := scored{Rows: &Rows{Topic: dst.Topic, Partition: dst.Partition, Generation: dst.Generation, Model: a.model, Replay: dst.Replay, Settled: dst.Settled, To: b.From}, events: sub.n}
	if k == rollout.Champion || !e.shadow {
		part.Watch = e.watch(dst.Watch)
	}
	if dst.Send != nil && (k == rollout.Champion || !e.shadow) {
		part.Send = &Outgoing{ScoredAt: dst.Send.ScoredAt, From: dst.Send.From}
	}
	began := time.Now()
	err := a.Score(ctx, &sub, part.Rows)
	part.took = time.Since(began)
	if kind := thalweg.KindOf(err); err != nil && kind != thalweg.Canceled && !kind.Transient() {
		err = &ArmError{k, err}
	}
	return part, err
}

// watch returns how the rows of an arm are counted: apart, if it has only those of some values
// of a column.
func (e *armsEngine) watch(cfg *monitor.Config) *monitor.Config {
	if cfg == nil || e.shadow || e.by == "" || e.choose.percent >= 100 {
		return cfg
	}
	apart := *cfg
	apart.By = e.by
	return &apart
}

// dayCut returns the offset of the first row, before an end, that would bring a day too many,
// as Rows.limitDays finds it in the rows of one version; the end where none does. Rows before
// it have their days in the span's.
func (e *armsEngine) dayCut(parts *[rollout.Arms]scored, end int64, dst *Rows) int64 {
	if dst.PartitionBy == "" || dst.PartitionBy == scoredAt {
		return end
	}
	if dst.days == nil {
		dst.days = make(map[int64]struct{})
	}
	type row struct{ offset, day int64 }
	var rows []row
	for k := range parts {
		if e.shadow && k == rollout.Candidate {
			break // what it says is in the champion's rows
		}
		for _, p := range parts[k].pieces {
			days := daysOf(p.cleaned, dst.PartitionBy)
			for i, offset := range offsetsOf(p.cleaned) {
				rows = append(rows, row{offset, days[i]})
			}
		}
	}
	slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(a.offset, b.offset) })
	for _, r := range rows {
		if _, known := dst.days[r.day]; known || r.offset >= end {
			continue
		}
		if len(dst.days) == MaxDays {
			dst.Full = true
			return r.offset
		}
		dst.days[r.day] = struct{}{}
	}
	return end
}

// take adds what both arms made of a batch.
func (e *armsEngine) take(b *Batch, chosen []int8, parts [rollout.Arms]scored, dst *Rows) error {
	own := parts[:]
	if e.shadow {
		own = parts[:1]
	}
	letters, err := mergeLetters(own)
	if err != nil {
		return err
	}
	for k, p := range parts {
		var scores []float64
		for _, piece := range p.pieces {
			of := scoresOf(piece.predictions, piece.rows(), e.arms[k].outputs, e.arms[k].middle)
			if e.shadow && k == rollout.Champion { // both are compared by the same events
				of = ofCandidate(of, offsetsOf(piece.cleaned), b.Offsets(), chosen)
			}
			scores = append(scores, of...)
		}
		e.tally.Observe(k, p.events, int(p.Rejected), p.took, scores)
	}
	watch := dst.Watch // each version counts its own
	dst.Watch = nil
	err = dst.Add(b, nil, letters, nil)
	if dst.Watch = watch; err != nil {
		return err
	}
	if dst.arms == nil {
		dst.arms = new([rollout.Arms]Rows)
	}
	dst.Unfit, dst.Notes = make(map[string]int64), make(map[string]int64)
	if !e.shadow {
		dst.OfCandidate.Events += int64(parts[rollout.Candidate].events)
		dst.OfCandidate.Dead += parts[rollout.Candidate].Rejected
	}
	for k, p := range parts {
		to := &dst.arms[k]
		to.pieces = append(to.pieces, p.pieces...)
		p.pieces = nil
		to.compact()
		to.Model, to.Engine, to.Watch = p.Model, e.arms[k].artifactEngine, p.Watch
		to.chosen = append(to.chosen, p.chosen...)
		if err := to.counts.Merge(&p.counts); err != nil {
			return err
		}
		if k == len(own) {
			break
		}
		dst.Scored += p.Scored
		if dst.Rejected += p.Rejected; p.Rejected > 0 {
			dst.LastReason = p.LastReason
		}
		for of, from := range map[*map[string]int64]map[string]int64{&dst.Unfit: p.Unfit, &dst.Notes: p.Notes} {
			for name, n := range maps.All(from) {
				(*of)[name] += n
			}
		}
	}
	if dst.Send != nil {
		mergeOutgoing(own, dst.Send)
	}
	return nil
}

// ofCandidate returns, in place, the scores of rows whose events the candidate has too. Rows and
// events are in the order of offsets.
func ofCandidate(scores []float64, rows, events []int64, chosen []int8) []float64 {
	kept, at := scores[:0], 0
	for i, offset := range rows {
		for events[at] != offset {
			at++
		}
		if chosen[at] == rollout.Candidate {
			kept = append(kept, scores[i])
		}
	}
	return kept
}

// mergeLetters returns the dead letters of arms in the order of their offsets.
func mergeLetters(parts []scored) ([]byte, error) {
	type letter struct {
		offset int64
		line   []byte
	}
	var letters []letter
	for _, p := range parts {
		for line := range bytes.Lines(p.dead.Bytes()) {
			for d, err := range DeadLetters(line) {
				if err != nil {
					return nil, err
				}
				letters = append(letters, letter{d.Offset, line})
			}
		}
	}
	slices.SortFunc(letters, func(a, b letter) int { return cmp.Compare(a.offset, b.offset) })
	var out []byte
	for _, l := range letters {
		out = append(out, l.line...)
	}
	return out, nil
}

// mergeOutgoing adds the rows of arms to those on their way in the order of their offsets.
func mergeOutgoing(parts []scored, dst *Outgoing) {
	at := make([]int, len(parts))
	for {
		next := -1
		for k, p := range parts {
			if at[k] < len(p.Send.Offsets) && (next < 0 || p.Send.Offsets[at[k]] < parts[next].Send.Offsets[at[next]]) {
				next = k
			}
		}
		if next < 0 {
			return
		}
		from, i := parts[next].Send, at[next]
		dst.Add(from.Messages[i], from.Offsets[i], from.Timestamps[i])
		at[next]++
	}
}
