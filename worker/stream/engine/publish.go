package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"

	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/worker/stream/budget"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

// Publish writes the objects of the log's pending intent and returns the
// record that finishes it.
func (r *Rows) Publish(ctx context.Context, log *commitlog.Log, memory *budget.Share) (commitlog.Done, error) {
	pending := log.State().Pending
	if pending != nil && pending.Action == commitlog.Skip {
		return log.Complete(commitlog.Done{})
	}
	if pending == nil || pending.To != r.To || ModelOf(pending) != r.Model || r.Engine == nil {
		return commitlog.Done{}, &thalweg.Error{Op: "publish rows", Kind: thalweg.Conflict, Err: errors.New("they are not those of the pending intent")}
	}
	if r.Scored > 0 && r.encoded == nil {
		var files []File
		err := memory.Encode(ctx, r.SizeBytes(), func() (err error) {
			if files, err = r.Engine.Encode(*pending, r); err == nil {
				r.count()
			}
			return err
		})
		if err != nil {
			return commitlog.Done{}, err
		}
		r.encoded = files
		r.Release() // the file says it all
	}
	r.count() // of dead letters alone, if it has not been done
	p := publication{rows: r, log: log, from: pending.From, done: commitlog.Done{Gaps: r.Gaps}}
	for _, f := range r.encoded {
		if _, err := p.publish(ctx, commitlog.Scored, f.Day, f.Rows, f.Body); err != nil {
			return commitlog.Done{}, err
		}
	}
	if p.partial() {
		if err := p.adoptRows(ctx); err != nil {
			return commitlog.Done{}, err
		}
		if pending.Action == commitlog.Score { // of a replay they are dead letters still
			p.done.Lost = [2]int64{pending.From, r.FirstAvailable}
		}
	}
	if err := p.deadLetters(ctx); err != nil {
		return commitlog.Done{}, err
	}
	return log.Complete(p.done)
}

// SameRows reports how the rows of two Parquet files differ. Another build may
// encode the same rows to other bytes.
func SameRows(ours, theirs []byte) error {
	_, err := compareRows(textRows(ours), textRows(theirs), 0, func(int64) bool { return false })
	return err
}

// StoredRow is a row or a dead letter of an object; the header of a Parquet file
// is a row too.
type StoredRow struct {
	Offset int64 // of the header: isHeader
	Text   string
}

const isHeader = -1

// ErrIncomplete says of an object that it lacks rows, before the first that it has.
var ErrIncomplete = errors.New("rows before the first of it are missing")

// compareRows reports how what exists, theirs, differs from ours. It may have
// more: rows of lost offsets from one on, of which ours has none, come between and are
// counted.
func compareRows(ours, theirs iter.Seq2[StoredRow, error], from int64, isLost func(offset int64) bool) (before int64, err error) {
	next, stop := iter.Pull2(theirs)
	defer stop()
	b, bad, more := next()
	lost := func() error {
		for ; bad == nil && more && (b.Offset == isHeader || isLost(b.Offset)); b, bad, more = next() {
			switch {
			case b.Offset == isHeader:
			case b.Offset < from:
				return fmt.Errorf("what exists has offset %d, which is none of the range", b.Offset)
			default:
				before++
			}
		}
		return nil
	}
	rows := 0
	for a, err := range ours {
		if err == nil && a.Offset != isHeader {
			err = lost()
		}
		switch first := rows == 0 && a.Offset != isHeader; {
		case err != nil:
			return 0, err
		case bad != nil:
			return 0, fmt.Errorf("what exists cannot be read: %w", bad)
		case first && (!more || b.Offset > a.Offset):
			return 0, fmt.Errorf("what exists does not have offset %d: %w", a.Offset, ErrIncomplete)
		case !more:
			return 0, fmt.Errorf("what exists has only %d rows", rows)
		case a != b && a.Offset == isHeader:
			return 0, errors.New("what exists has other columns")
		case a != b:
			return 0, fmt.Errorf("what exists has another row %d", rows)
		}
		if a.Offset != isHeader {
			rows++
		}
		b, bad, more = next()
	}
	if err := lost(); err != nil {
		return 0, err
	}
	switch {
	case bad != nil:
		return 0, fmt.Errorf("what exists cannot be read: %w", bad)
	case more:
		return 0, fmt.Errorf("what exists has more than %d rows", rows)
	}
	return before, nil
}

// offsetColumn is the column that says which offset a row is of.
const offsetColumn = "_offset"

// textRows yields the header and the rows of a Parquet file as text. It is
// slow, and needed only when two builds meet.
func textRows(file []byte) iter.Seq2[StoredRow, error] {
	return func(yield func(StoredRow, error) bool) {
		var cells []string
		for rec, err := range Records("rows", file, nil, nil) {
			var offsets *array.Int64
			if err == nil {
				if at := rec.Schema().FieldIndices(offsetColumn); len(at) == 1 {
					offsets, _ = rec.Column(at[0]).(*array.Int64)
				}
				if offsets == nil {
					err = errors.New("no int64 column " + offsetColumn)
				}
			}
			if err != nil {
				yield(StoredRow{}, err)
				return
			}
			if cells == nil {
				for _, f := range rec.Schema().Fields() {
					cells = append(cells, f.Name)
				}
				if !yieldLine(yield, isHeader, cells) {
					return
				}
			}
			for i := range int(rec.NumRows()) {
				cells = cells[:0]
				for _, c := range rec.Columns() {
					cells = append(cells, c.ValueStr(i))
				}
				if !yieldLine(yield, offsets.Value(i), cells) {
					return
				}
			}
		}
	}
}

func yieldLine(yield func(StoredRow, error) bool, offset int64, cells []string) bool {
	line, err := json.Marshal(cells)
	return yield(StoredRow{offset, string(line)}, err) && err == nil
}

// Stored yields dead letters by their offsets alone: the words of a reason may
// differ between builds.
func (e *artifactEngine) Stored(kind commitlog.ObjectKind, body []byte) iter.Seq2[StoredRow, error] {
	if kind != commitlog.Dead {
		return textRows(body)
	}
	return func(yield func(StoredRow, error) bool) {
		for d, err := range DeadLetters(body) {
			if !yield(StoredRow{Offset: d.Offset}, err) {
				return
			}
		}
	}
}
