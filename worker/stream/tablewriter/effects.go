package tablewriter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage/dataset"
	"github.com/thalweg/thalweg/storage/table/delta"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

// atOnce is how many footers are read at once.
const atOnce = 8

// carryOut does what the machine wants and returns what came of it.
func (r *runner) carryOut(ctx context.Context, e effect) event {
	switch e := e.(type) {
	case openTable:
		s, err := r.table.Load(ctx)
		return tableOpened{s, err}
	case readSlots:
		return r.read(ctx, e)
	case inspect:
		return r.inspect(ctx, e)
	case commit:
		won, winner, err := r.table.Commit(ctx, e.commit)
		return committed{won, winner, err}
	case catchUp:
		s := e.snapshot.Clone()
		err := r.table.Follow(ctx, s, s.Version)
		return caughtUp{s, err}
	case checkpoint:
		s, err := r.table.WriteCheckpoint(ctx, e.snapshot, e.expiredMS)
		return checkpointed{s, err}
	}
	panic(fmt.Sprintf("no such effect: %T", e))
}

func (r *runner) read(ctx context.Context, e readSlots) event {
	f := r.readers[e.source]
	if f == nil || f.Seq() != e.from {
		log, err := commitlog.New(r.bucket, commitlog.Config{Prefix: r.cfg.Prefix, Pipeline: r.cfg.Pipeline, Topic: e.source.Topic,
			Partition: e.source.Partition, Replay: e.source.Replay})
		if err != nil {
			return slotsRead{source: e.source, err: err}
		}
		f = log.Follow(e.from)
		r.readers[e.source] = f
	}
	answer := slotsRead{source: e.source}
	for len(answer.slots) < e.max {
		entry, ok, err := f.Next(ctx)
		if err != nil {
			answer.err = err
			break
		}
		if !ok {
			answer.end = true
			break
		}
		answer.slots = append(answer.slots, slotOf(entry))
	}
	return answer
}

func (r *runner) inspect(ctx context.Context, e inspect) event {
	answer := inspected{objects: make(map[string]found, len(e.objects))}
	if answer.inputs, answer.err = r.locate(ctx, e); answer.err != nil {
		return answer
	}
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(atOnce)
	for _, o := range e.objects {
		g.Go(func() error {
			f, err := r.describe(ctx, o)
			mu.Lock()
			defer mu.Unlock()
			answer.objects[o.Key] = found{f, err}
			return nil
		})
	}
	answer.err = g.Wait()
	return answer
}

// reads bounds how often a footer is read until two readings agree. Nothing but
// that tells a bit that was flipped on the way: a footer has no sum, and what it
// says has readers of the table skip files.
const reads = 4

// describe reads the footer of an object; NotFound if it is not there, or another
// is back under its name, late, after it was merged and deleted.
func (w *Writer) describe(ctx context.Context, o commitlog.Object) (*file, error) {
	var last *file
	var failed error
	for range reads {
		s, err := dataset.Inspect(ctx, w.bucket, o.Key, o.SizeBytes)
		var f *file
		if err == nil {
			f, err = fileOf(s)
		}
		switch {
		case err != nil && !thalweg.Is(err, thalweg.Corrupt):
			return nil, cmp.Or(w.another(ctx, o), err)
		case err != nil:
			failed = err
		case last != nil && reflect.DeepEqual(f, last):
			return f, nil
		default:
			last = f
		}
	}
	return nil, cmp.Or(w.another(ctx, o), failed, error(&thalweg.Error{Op: "describe file", Kind: thalweg.Corrupt, Subject: o.Key, Err: errors.New("its footer reads differently each time")}))
}

// another returns an error if the object under a name is not the one of the record.
func (w *Writer) another(ctx context.Context, o commitlog.Object) error {
	if info, err := w.bucket.Head(ctx, o.Key); err == nil && info.SizeBytes != o.SizeBytes {
		return &thalweg.Error{Op: "describe file", Kind: thalweg.NotFound, Subject: o.Key, Err: fmt.Errorf("it has %d bytes, its record says %d", info.SizeBytes, o.SizeBytes)}
	}
	return nil
}

// locate finds the live files of slots by going through all of the table once.
func (r *runner) locate(ctx context.Context, e inspect) (map[Source][]*delta.Add, error) {
	at := make(map[Source][]*delta.Add, len(e.inputs))
	if len(e.inputs) == 0 {
		return at, nil
	}
	dirs := make(map[Source]string, len(e.inputs))
	for s := range e.inputs {
		dirs[s] = commitlog.Layout{Topic: s.Topic, Partition: s.Partition, Replay: s.Replay}.DataDir()
	}
	for add, err := range r.table.Files(ctx, e.snapshot) {
		if err != nil {
			return nil, err
		}
		for s, dir := range dirs {
			if strings.HasPrefix(add.Path, dir) && e.inputs[s][slotOfPath(add.Path)] {
				at[s] = append(at[s], add)
			}
		}
	}
	return at, nil
}
