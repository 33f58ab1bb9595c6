package score

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage/commitlog"
	"github.com/thalweg/thalweg/storage/dataset"
)

// publish writes the objects of the log's pending intent and returns the
// record that finishes it.
func (r *rows) publish(ctx context.Context, log *commitlog.Log, memory *Share) (commitlog.Done, error) {
	pending := log.State().Pending
	if pending != nil && pending.Action == commitlog.Skip {
		return log.Done(nil, 0)
	}
	if pending == nil || pending.To != r.to || modelOf(pending) != r.model {
		return commitlog.Done{}, &thalweg.Error{Op: "publish rows", Kind: thalweg.Conflict, Err: errors.New("they are not those of the pending intent")}
	}
	var objects []commitlog.Object
	if r.scored > 0 {
		if r.encoded == nil {
			var files []encodedFile
			err := memory.encode(ctx, func() (err error) {
				files, err = r.engine.encode(*pending, r)
				return err
			})
			if err != nil {
				return commitlog.Done{}, err
			}
			r.encoded = files
			r.release() // the file says it all
		}
		for _, f := range r.encoded {
			o, err := f.publish(ctx, log)
			if err != nil {
				return commitlog.Done{}, err
			}
			objects = append(objects, o)
		}
	}
	if r.lost > 0 {
		o, err := log.Publish(ctx, commitlog.Dead, 0, r.lost, r.dead.Bytes(), func(existing []byte) error { return sameLetters(r.dead.Bytes(), existing) })
		if err != nil {
			return commitlog.Done{}, err
		}
		objects = append(objects, o)
	}
	return log.Done(objects, 0, r.gaps...)
}

// publish writes one object of scored rows.
func (f *encodedFile) publish(ctx context.Context, log *commitlog.Log) (commitlog.Object, error) {
	accept := func(existing []byte) error { return sameRows(f.body, existing) }
	if f.day == "" {
		return log.Publish(ctx, commitlog.Scored, 0, f.rows, f.body, accept)
	}
	return log.PublishDay(ctx, f.day, f.rows, f.body, accept)
}

// sameRows reports how the rows of two Parquet files differ. Another build may
// encode the same rows to other bytes.
func sameRows(ours, theirs []byte) error {
	next, stop := iter.Pull2(textRows(theirs))
	defer stop()
	n := -1 // the first is the header
	for a, err := range textRows(ours) {
		if err != nil {
			return err
		}
		b, err, ok := next()
		switch {
		case err != nil:
			return fmt.Errorf("what exists cannot be read: %w", err)
		case !ok:
			return fmt.Errorf("what exists has only %d rows", n)
		case a != b:
			return fmt.Errorf("what exists has another row %d", n)
		}
		n++
	}
	if _, err, ok := next(); err != nil {
		return fmt.Errorf("what exists cannot be read: %w", err)
	} else if ok {
		return fmt.Errorf("what exists has more than %d rows", n)
	}
	return nil
}

// replayColumn is the column that says which replay a row is of. Builds before
// replays have none, which is the same as null.
const replayColumn = "_replay"

// textRows yields the header and the rows of a Parquet file as text. It is
// slow, and needed only when two builds meet.
func textRows(file []byte) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		r, err := dataset.OpenBytes("rows", file, nil, dataset.ReaderConfig{})
		if err != nil {
			yield("", err)
			return
		}
		defer r.Close()
		var cells []string
		for _, f := range r.Schema().Fields() {
			if f.Name != replayColumn {
				cells = append(cells, f.Name)
			}
		}
		if !yieldLine(yield, cells) {
			return
		}
		for {
			rec, err := r.Next()
			if err == io.EOF {
				return
			}
			if err != nil {
				yield("", err)
				return
			}
			more := true
			for i := 0; i < int(rec.NumRows()) && more; i++ {
				cells = cells[:0]
				for j, c := range rec.Columns() {
					if rec.ColumnName(j) != replayColumn || c.IsValid(i) {
						cells = append(cells, c.ValueStr(i))
					}
				}
				more = yieldLine(yield, cells)
			}
			rec.Release()
			if !more {
				return
			}
		}
	}
}

func yieldLine(yield func(string, error) bool, cells []string) bool {
	line, err := json.Marshal(cells)
	return yield(string(line), err) && err == nil
}

// sameLetters reports whether two dead-letter objects tell of other events.
// The words of a reason may differ between builds.
func sameLetters(ours, theirs []byte) error {
	a, err := letterOffsets(ours)
	if err != nil {
		return err
	}
	b, err := letterOffsets(theirs)
	if err != nil {
		return fmt.Errorf("what exists cannot be read: %w", err)
	}
	if len(a) != len(b) {
		return fmt.Errorf("what exists has %d dead letters, not %d", len(b), len(a))
	}
	for i := range a {
		if a[i] != b[i] {
			return fmt.Errorf("what exists has a dead letter of offset %d, not %d", b[i], a[i])
		}
	}
	return nil
}

func letterOffsets(lines []byte) ([]int64, error) {
	var offsets []int64
	for line := range bytes.Lines(lines) {
		var d DeadLetter
		if err := json.Unmarshal(line, &d); err != nil {
			return nil, err
		}
		offsets = append(offsets, d.Offset)
	}
	return offsets, nil
}
