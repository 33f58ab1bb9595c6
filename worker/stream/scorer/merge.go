package scorer

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
)

// merger makes one file of several that have the same columns.
type merger interface {
	// add appends the rows of a file. errApart: it has other columns.
	add(name string, file []byte) error
	// file returns the merged file. Its bytes follow from the rows alone.
	file() ([]byte, error)
}

// errApart says that a file has other columns than those before it.
var errApart = errors.New("it has other columns than the files before it")

// mergeWork is a merged file, or one for each day, until it is committed.
type mergeWork struct {
	slots      [2]uint64
	offsets    [2]int64
	inputs     []uint64
	generation thalweg.Generation
	partition  string
	files      []encodedFile
	found      bool            // its claim was there already
	hint       []commitlog.Run // of a found claim
	intent     *commitlog.Intent
	done       commitlog.Done
}

// files merges the objects of runs.
type files struct {
	log       *commitlog.Log
	bucket    storage.Bucket
	newMerger func(room int64) merger // of a file of about so many bytes
}

// merge merges the objects of runs. apart is the slot of the first run
// that cannot be merged with those before it, if there is one.
func (f *files) merge(ctx context.Context, inputs []run) (w *mergeWork, apart uint64, err error) {
	if len(inputs) == 0 {
		return nil, 0, &thalweg.Error{Op: "merge files", Kind: thalweg.Corrupt, Subject: f.log.Layout().LogDir(), Err: errors.New("the slots have no rows")}
	}
	first, last := inputs[0], inputs[len(inputs)-1]
	made := &mergeWork{slots: [2]uint64{first.slots[0], last.slots[1]}, offsets: [2]int64{first.offsets[0], last.offsets[1]},
		generation: first.generation, partition: first.partition}
	room, _ := sizeOf(inputs)
	if made.partition != "" {
		room = 0 // nobody knows how much is of which day
	}
	mergers := make(map[string]merger)
	rows := make(map[string]int64)
	for _, in := range inputs {
		e, err := f.log.Entry(ctx, in.slot)
		if err != nil {
			return nil, 0, err
		}
		made.inputs = append(made.inputs, in.slot)
		for _, o := range e.Done.Objects {
			if o.Kind != commitlog.Scored {
				continue
			}
			body, err := commitlog.ReadObject(ctx, f.bucket, o)
			if err != nil {
				return nil, 0, err
			}
			day := commitlog.DayOf(e.Intent, o.Key)
			if mergers[day] == nil {
				mergers[day] = f.newMerger(room)
			}
			rows[day] += o.Rows
			if err := mergers[day].add(o.Key, body); errors.Is(err, errApart) {
				return nil, in.slots[0], nil
			} else if err != nil {
				return nil, 0, err
			}
		}
	}
	for day, m := range mergers {
		body, err := m.file()
		if err != nil {
			return nil, 0, err
		}
		made.files = append(made.files, encodedFile{day, rows[day], body})
	}
	slices.SortFunc(made.files, func(a, b encodedFile) int { return strings.Compare(a.day, b.day) })
	return made, 0, nil
}

// publish writes the merged files under the log's pending intent and makes the
// record that finishes it.
func (w *mergeWork) publish(ctx context.Context, log *commitlog.Log, hint []commitlog.Run) error {
	pending := log.State().Pending
	if pending == nil || pending.Action != commitlog.Compact || pending.Slots != w.slots && !w.found {
		return &thalweg.Error{Op: "publish merged rows", Kind: thalweg.Conflict, Err: errors.New("they are not those of the pending intent")}
	}
	var objects []commitlog.Object
	for i := range w.files {
		o, err := w.files[i].publish(ctx, log, func(existing []byte) error { return sameRows(w.files[i].body, existing) })
		if err != nil {
			return err
		}
		objects = append(objects, o)
	}
	if w.found {
		hint = w.hint
	}
	var err error
	w.done, err = log.Compacted(objects, w.inputs, w.offsets, hint)
	return err
}

// parquetMerger merges Parquet files, batch by batch: in memory are the merged
// file, its row group in the making, and one file of those that it is made of.
type parquetMerger struct {
	cfg    dataset.WriterConfig
	schema *arrow.Schema
	out    bytes.Buffer
	w      *dataset.Writer
}

func newParquetMerger(compression dataset.Compression, room int64) merger {
	m := &parquetMerger{cfg: dataset.WriterConfig{Compression: compression}}
	m.out.Grow(int(room + room/8))
	return m
}

func (m *parquetMerger) add(name string, file []byte) (err error) {
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
		return errApart
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

func (m *parquetMerger) file() ([]byte, error) {
	if m.w == nil {
		return nil, fmt.Errorf("a file of nothing")
	}
	if err := m.w.Close(); err != nil {
		return nil, err
	}
	return m.out.Bytes(), nil
}
