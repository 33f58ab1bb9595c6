package commitlog

import (
	"context"
	"fmt"
	"iter"

	"github.com/thalweg/thalweg"
)

// Entry is one finished slot.
type Entry struct {
	Intent Intent
	Done   Done
	SHA256 string // of the done record's bytes
}

// Read yields the finished slots from fromSeq on, in order, verifying every
// link, and ends before the first slot that is not finished: what it yields is
// a consistent prefix of the log, and a later Read goes on from there. It
// needs no Open, does not move the log's state and stops at the first error.
func (l *Log) Read(ctx context.Context, fromSeq uint64) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		state, err := l.stateBefore(ctx, fromSeq)
		if err != nil {
			yield(Entry{}, err)
			return
		}
		if state.NextSeq != fromSeq {
			return // the log is shorter
		}
		after := l.layout.LogDir()
		if fromSeq > 0 {
			after = l.layout.IntentKey(fromSeq - 1)
		}
		doneSize := int64(-1) // of slot state.NextSeq, where the listing told it
		for info, err := range l.bucket.List(ctx, l.layout.LogDir(), after) {
			if err != nil {
				yield(Entry{}, err)
				return
			}
			seq, done, ok := l.layout.parseRecordKey(info.Key)
			if !ok {
				yield(Entry{}, corrupt("read log", info.Key, fmt.Errorf("the object is no record of a log")))
				return
			}
			if seq != state.NextSeq {
				yield(Entry{}, recordMissing(l.layout.IntentKey(state.NextSeq)))
				return
			}
			if done { // sorts before its intent
				doneSize = info.SizeBytes
				continue
			}
			entry, finished, err := l.entry(ctx, &state, info.SizeBytes, doneSize)
			if err != nil {
				yield(Entry{}, err)
				return
			}
			if !finished || !yield(entry, nil) {
				return
			}
			doneSize = -1
		}
	}
}

// entry reads slot state.NextSeq and moves state past it. The slot may have
// been finished since it was listed, so its done record is asked for by name.
func (l *Log) entry(ctx context.Context, state *State, intentSize, doneSize int64) (Entry, bool, error) {
	seq := state.NextSeq
	in, sum, err := l.intent(ctx, seq, intentSize)
	if err != nil {
		return Entry{}, false, err
	}
	if err := state.checkNext(in); err != nil {
		return Entry{}, false, corrupt("read intent", l.layout.IntentKey(seq), err)
	}
	d, doneSum, err := l.readDone(ctx, in, sum, doneSize)
	if thalweg.Is(err, thalweg.NotFound) {
		return Entry{}, false, l.unfinished(ctx, seq)
	}
	if err != nil {
		return Entry{}, false, err
	}
	if *state, err = state.after(in, d, doneSum); err != nil {
		return Entry{}, false, corrupt("read done record", l.layout.DoneKey(seq), err)
	}
	return Entry{Intent: in, Done: d, SHA256: doneSum}, true, nil
}

// unfinished tells the end of the log from a done record that is gone: once
// the next slot is claimed, this one had been finished.
func (l *Log) unfinished(ctx context.Context, seq uint64) error {
	next, err := l.claimed(ctx, seq+1)
	if err != nil || !next {
		return err
	}
	if _, err := l.bucket.Head(ctx, l.layout.DoneKey(seq)); err != nil {
		return missing(err, l.layout.DoneKey(seq))
	}
	return nil // finished and followed since we looked: a later Read yields it
}

// stateBefore returns the state that slot seq-1 left; its NextSeq is less than
// seq if the log does not reach that far.
func (l *Log) stateBefore(ctx context.Context, seq uint64) (State, error) {
	if seq == 0 {
		return State{NextOffset: -1, LostFrom: -1}, nil
	}
	taken, err := l.claimed(ctx, seq-1)
	if err != nil || !taken {
		return State{}, err
	}
	return l.stateAt(ctx, seq)
}
