package compact

import (
	"context"
	"errors"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/dataset"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// Merger makes one file of several that have the same columns, or one for each day.
type Merger interface {
	// Add appends the rows of a file, which are of a day. engine.ErrOtherColumns: it
	// has other columns.
	Add(day, name string, file []byte) error
	// Close returns the merged files. Their bytes follow from the rows alone.
	Close() ([]engine.File, error)
}

// Merged is a merged file, or one for each day, until it is committed.
type Merged struct {
	Slots       [2]uint64
	Generation  thalweg.Generation
	PartitionBy string
	Files       []engine.File
	Done        commitlog.Done // but for its objects; Runs where the claim was found
	Found       bool           // its claim was there already
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
	made := &Merged{Slots: [2]uint64{first.Slots[0], last.Slots[1]}, Done: commitlog.Done{Offsets: [2]int64{first.Offsets[0], last.Offsets[1]}},
		Generation: first.Generation, PartitionBy: first.PartitionBy}
	room, _ := sizeOf(inputs)
	if made.PartitionBy != "" {
		room = 0 // nobody knows how much is of which day
	}
	merger := f.NewMerger(room)
	rows := make(map[string]int64) // as the records say
	for _, in := range inputs {
		e, err := f.Log.Entry(ctx, in.Slot)
		if err != nil {
			return nil, 0, err
		}
		made.Done.Inputs = append(made.Done.Inputs, in.Slot)
		for _, o := range e.Done.Objects {
			if o.Kind != commitlog.Scored {
				continue
			}
			body, err := commitlog.ReadObject(ctx, f.Bucket, o)
			if err != nil {
				return nil, 0, err
			}
			day := commitlog.DayOf(e.Intent, o.Key)
			rows[day] += o.Rows
			if err := merger.Add(day, o.Key, body); errors.Is(err, engine.ErrOtherColumns) {
				return nil, in.Slots[0], nil
			} else if err != nil {
				return nil, 0, err
			}
		}
	}
	if made.Files, err = merger.Close(); err != nil {
		return nil, 0, err
	}
	for i, file := range made.Files {
		made.Files[i].Rows = rows[file.Day]
	}
	return made, 0, nil
}

// Publish writes the merged files under the log's pending intent and makes the
// record that finishes it.
func (w *Merged) Publish(ctx context.Context, log *commitlog.Log, hint []commitlog.Run) (commitlog.Done, error) {
	pending := log.State().Pending
	if pending == nil || pending.Action != commitlog.Compact || pending.Slots != w.Slots && !w.Found {
		return commitlog.Done{}, &thalweg.Error{Op: "publish merged rows", Kind: thalweg.Conflict, Err: errors.New("they are not those of the pending intent")}
	}
	done := w.Done
	if !w.Found {
		done.Runs = hint
	}
	for _, f := range w.Files {
		o, err := log.Publish(ctx, commitlog.Scored, f.Day, f.Rows, f.Body, func(existing []byte) error { return engine.SameRows(f.Body, existing) })
		if err != nil {
			return commitlog.Done{}, err
		}
		done.Objects = append(done.Objects, o)
	}
	return log.Complete(done)
}

// parquetMerger merges Parquet files, batch by batch: in memory are the merged
// file, its row group in the making, and one file of those that it is made of.
type parquetMerger struct{ engine.Files }

// NewParquetMerger returns a Merger of Parquet files into one of about room bytes.
func NewParquetMerger(compression dataset.Compression, room int64) Merger {
	return &parquetMerger{engine.Files{Config: dataset.WriterConfig{Compression: compression, Pool: dataset.NewPool(0)}, RoomBytes: room}}
}

func (m *parquetMerger) Add(day, name string, file []byte) error {
	for rec, err := range engine.Records(name, file, nil, m.Config.Pool) {
		if err == nil {
			err = m.Write(day, rec)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
