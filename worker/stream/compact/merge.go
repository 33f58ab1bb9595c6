package compact

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/dataset"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// Merger makes one file of several that have the same columns.
type Merger interface {
	// Add appends the rows of a file. ErrOtherColumns: it has other columns.
	Add(name string, file []byte) error
	// File returns the merged file. Its bytes follow from the rows alone.
	File() ([]byte, error)
}

// ErrOtherColumns says that a file has other columns than those before it.
var ErrOtherColumns = errors.New("it has other columns than the files before it")

// Merged is a merged file, or one for each day, until it is committed.
type Merged struct {
	Slots       [2]uint64
	offsets     [2]int64
	Inputs      []uint64
	Generation  thalweg.Generation
	PartitionBy string
	Files       []engine.File
	Found       bool            // its claim was there already
	Hint        []commitlog.Run // of a found claim
}

// Files merges the objects of runs.
type Files struct {
	Log       *commitlog.Log
	Bucket    storage.Bucket
	NewMerger func(room int64) Merger // of a file of about so many bytes
}

// Merge merges the objects of runs. boundary is the slot of the first run
// that cannot be merged with those before it, if there is one.
func (f *Files) Merge(ctx context.Context, inputs []Run) (w *Merged, boundary uint64, err error) {
	if len(inputs) == 0 {
		return nil, 0, &thalweg.Error{Op: "merge files", Kind: thalweg.Corrupt, Subject: f.Log.Layout().LogDir(), Err: errors.New("the slots have no rows")}
	}
	first, last := inputs[0], inputs[len(inputs)-1]
	made := &Merged{Slots: [2]uint64{first.Slots[0], last.Slots[1]}, offsets: [2]int64{first.Offsets[0], last.Offsets[1]},
		Generation: first.Generation, PartitionBy: first.PartitionBy}
	room, _ := sizeOf(inputs)
	if made.PartitionBy != "" {
		room = 0 // nobody knows how much is of which day
	}
	mergers := make(map[string]Merger)
	rows := make(map[string]int64)
	for _, in := range inputs {
		e, err := f.Log.Entry(ctx, in.Slot)
		if err != nil {
			return nil, 0, err
		}
		made.Inputs = append(made.Inputs, in.Slot)
		for _, o := range e.Done.Objects {
			if o.Kind != commitlog.Scored {
				continue
			}
			body, err := commitlog.ReadObject(ctx, f.Bucket, o)
			if err != nil {
				return nil, 0, err
			}
			day := commitlog.DayOf(e.Intent, o.Key)
			if mergers[day] == nil {
				mergers[day] = f.NewMerger(room)
			}
			rows[day] += o.Rows
			if err := mergers[day].Add(o.Key, body); errors.Is(err, ErrOtherColumns) {
				return nil, in.Slots[0], nil
			} else if err != nil {
				return nil, 0, err
			}
		}
	}
	for day, m := range mergers {
		body, err := m.File()
		if err != nil {
			return nil, 0, err
		}
		made.Files = append(made.Files, engine.File{Day: day, Rows: rows[day], Body: body})
	}
	slices.SortFunc(made.Files, func(a, b engine.File) int { return strings.Compare(a.Day, b.Day) })
	return made, 0, nil
}

// Publish writes the merged files under the log's pending intent and makes the
// record that finishes it.
func (w *Merged) Publish(ctx context.Context, log *commitlog.Log, hint []commitlog.Run) (commitlog.Done, error) {
	pending := log.State().Pending
	if pending == nil || pending.Action != commitlog.Compact || pending.Slots != w.Slots && !w.Found {
		return commitlog.Done{}, &thalweg.Error{Op: "publish merged rows", Kind: thalweg.Conflict, Err: errors.New("they are not those of the pending intent")}
	}
	var objects []commitlog.Object
	for _, f := range w.Files {
		o, err := log.Publish(ctx, commitlog.Scored, f.Day, f.Rows, f.Body, func(existing []byte) error { return engine.SameRows(f.Body, existing) })
		if err != nil {
			return commitlog.Done{}, err
		}
		objects = append(objects, o)
	}
	if w.Found {
		hint = w.Hint
	}
	return log.Complete(commitlog.Done{Objects: objects, Inputs: w.Inputs, Offsets: w.offsets, Runs: hint})
}

// parquetMerger merges Parquet files, batch by batch: in memory are the merged
// file, its row group in the making, and one file of those that it is made of.
type parquetMerger struct {
	cfg    dataset.WriterConfig
	schema *arrow.Schema
	out    bytes.Buffer
	w      *dataset.Writer
}

// NewParquetMerger returns a Merger of Parquet files into one of about room bytes.
func NewParquetMerger(compression dataset.Compression, room int64) Merger {
	m := &parquetMerger{cfg: dataset.WriterConfig{Compression: compression}}
	m.out.Grow(int(room + room/8))
	return m
}

func (m *parquetMerger) Add(name string, file []byte) (err error) {
	if m.cfg.Pool == nil {
		m.cfg.Pool = dataset.NewPool(0) // for all files
	}
	r, err := dataset.OpenBytes(name, file, nil, dataset.ReaderConfig{Pool: m.cfg.Pool})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	switch {
	case m.w == nil:
		m.schema = r.Schema()
		if m.w, err = dataset.NewWriter(&m.out, m.schema, m.cfg); err != nil {
			return err
		}
	case !m.schema.Equal(r.Schema()):
		return ErrOtherColumns
	}
	for {
		rec, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		err = m.w.Write(rec)
		rec.Release()
		if err != nil {
			return err
		}
	}
}

func (m *parquetMerger) File() ([]byte, error) {
	if m.w == nil {
		return nil, fmt.Errorf("a file of nothing")
	}
	if err := m.w.Close(); err != nil {
		return nil, err
	}
	return m.out.Bytes(), nil
}
