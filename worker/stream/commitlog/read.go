package commitlog

import (
	"context"
	"errors"
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

// finished reports whether an entry, as read returns it, has a done record.
func (e Entry) finished() bool { return e.SHA256 != "" }

// Entry reads one finished slot by its number: its records belong together, but
// its links to the slots around it are not verified. NotFound: the slot is not
// finished.
func (l *Log) Entry(ctx context.Context, seq uint64) (Entry, error) {
	e, err := l.read(ctx, seq, -1, -1)
	if err == nil && !e.finished() {
		err = &thalweg.Error{Op: "read slot", Kind: thalweg.NotFound, Subject: l.layout.DoneKey(seq)}
	}
	return e, err
}

// read reads one slot; of one that is not finished there is only the intent. The
// sizes of its records are those that a listing told; -1 asks.
func (l *Log) read(ctx context.Context, seq uint64, intentSize, doneSize int64) (Entry, error) {
	in, sum, err := l.intent(ctx, seq, intentSize)
	if err != nil {
		return Entry{}, err
	}
	d, doneSum, err := l.readDone(ctx, in, sum, doneSize)
	if err != nil && !thalweg.Is(err, thalweg.NotFound) {
		return Entry{}, err
	}
	return Entry{Intent: in, Done: d, SHA256: doneSum}, nil
}

// follow verifies the links of a slot to the state before it, and returns the
// state after it; that of a slot that is not finished is the same.
func (l *Log) follow(s State, e Entry) (State, error) {
	if err := s.checkNext(e.Intent); err != nil {
		return s, corrupt("read intent", l.layout.IntentKey(e.Intent.Seq), err)
	}
	if !e.finished() {
		return s, nil
	}
	next, err := s.after(e.Intent, e.Done, e.SHA256)
	if err != nil {
		return s, corrupt("read done record", l.layout.DoneKey(e.Intent.Seq), err)
	}
	return next, nil
}

// step reads the slot after a state, which is claimed, verifies its links and
// moves the state past it if it is finished.
func (l *Log) step(ctx context.Context, state *State, intentSize, doneSize int64) (e Entry, err error) {
	if e, err = l.read(ctx, state.NextSeq, intentSize, doneSize); err != nil {
		return Entry{}, missing(err, l.layout.IntentKey(state.NextSeq))
	}
	*state, err = l.follow(*state, e)
	return e, err
}

// stateAt returns the state after so many claimed slots, of which it reads the
// last two.
func (l *Log) stateAt(ctx context.Context, claimed uint64) (State, error) {
	state := State{NextOffset: -1, LostFrom: -1}
	if claimed > 2 {
		e, err := l.Entry(ctx, claimed-2)
		if err != nil {
			return State{}, missing(err, l.layout.DoneKey(claimed-2))
		}
		state = left(e.Intent, e.Done, e.SHA256)
	}
	for state.NextSeq < claimed {
		e, err := l.step(ctx, &state, -1, -1)
		if err == nil && !e.finished() {
			if e.Intent.Seq == claimed-1 {
				state.Pending = &e.Intent
				return state, nil
			}
			err = recordMissing(l.layout.DoneKey(e.Intent.Seq))
		}
		if err != nil {
			return State{}, err
		}
	}
	return state, nil
}

// stateBefore returns the state that slot seq-1 left; its NextSeq is less than
// seq if the log does not reach that far.
func (l *Log) stateBefore(ctx context.Context, seq uint64) (State, error) {
	if seq > 0 {
		if taken, err := l.claimed(ctx, seq-1); err != nil || !taken {
			return State{}, err
		}
	}
	return l.stateAt(ctx, seq)
}

// next is step for those who read on until there is no more: a slot that is not
// finished is the end of the log, and more is false.
func (l *Log) next(ctx context.Context, state *State, intentSize, doneSize int64) (e Entry, more bool, err error) {
	if e, err = l.step(ctx, state, intentSize, doneSize); err != nil || e.finished() {
		return e, err == nil, err
	}
	// Once the next slot is claimed this one had been finished: its record was
	// deleted, or came since we looked, and a later call yields the slot.
	seq := e.Intent.Seq
	if followed, err := l.claimed(ctx, seq+1); err != nil || !followed {
		return Entry{}, false, err
	}
	_, err = l.bucket.Head(ctx, l.layout.DoneKey(seq))
	return Entry{}, false, missing(err, l.layout.DoneKey(seq))
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
			seq, done, ok := l.layout.parseRecordKey(info.Key)
			switch {
			case err != nil:
			case !ok:
				err = corrupt("read log", info.Key, fmt.Errorf("the object is no record of a log"))
			case seq != state.NextSeq:
				err = recordMissing(l.layout.IntentKey(state.NextSeq))
			case done: // sorts before its intent
				doneSize = info.SizeBytes
				continue
			}
			var e Entry
			more := true
			if err == nil {
				e, more, err = l.next(ctx, &state, info.SizeBytes, doneSize)
			}
			if err != nil {
				yield(Entry{}, err)
				return
			}
			if !more || !yield(e, nil) {
				return
			}
			doneSize = -1
		}
	}
}

// ReadBack yields the finished slots from the newest to the first, verifying
// every link as Read does: whoever needs only the end of a log of millions of
// slots stops where it likes. It needs no Open, does not move the log's state
// and stops at the first error.
func (l *Log) ReadBack(ctx context.Context) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		claimed, err := l.end(ctx)
		if err != nil {
			yield(Entry{}, err)
			return
		}
		var after *Entry // the slot after the one that is read
		for seq := claimed; seq > 0; seq-- {
			e, err := l.read(ctx, seq-1, -1, -1)
			switch {
			case err != nil:
				err = missing(err, l.layout.IntentKey(seq-1))
			case !e.finished() && seq < claimed:
				err = recordMissing(l.layout.DoneKey(seq - 1))
			case after != nil:
				_, err = l.follow(left(e.Intent, e.Done, e.SHA256), *after)
			}
			if err != nil {
				yield(Entry{}, err)
				return
			}
			if e.finished() && !yield(e, nil) {
				return
			}
			after = &e
		}
	}
}

// Follower reads the finished slots of a log one by one, as they come. It is
// used by one goroutine.
type Follower struct {
	log   *Log
	state State // before the next slot
	known bool  // all of state, not just NextSeq
}

// Follow returns a Follower whose first slot is from. It needs no Open and does
// not move the log's state.
func (l *Log) Follow(from uint64) *Follower { return &Follower{log: l, state: State{NextSeq: from}} }

// Seq returns the number of the slot that Next returns.
func (f *Follower) Seq() uint64 { return f.state.NextSeq }

// Next returns the next slot, its links verified, and false where it is not
// finished yet: that costs one request, a slot four. After an error the same
// slot is tried again. Corrupt where the log is shorter than the place to begin
// at.
func (f *Follower) Next(ctx context.Context) (Entry, bool, error) {
	l, seq := f.log, f.state.NextSeq
	if !f.known {
		state, err := l.stateBefore(ctx, seq)
		if err != nil {
			return Entry{}, false, err
		}
		if state.NextSeq != seq {
			return Entry{}, false, &thalweg.Error{Op: "follow log", Kind: thalweg.Corrupt, Subject: l.layout.DoneKey(seq - 1),
				Err: errors.New("the slot was followed before, and is not there"), Hint: "records of the log were deleted; restore them, or use a new sink path"}
		}
		f.state, f.known = state, true
	}
	info, err := l.bucket.Head(ctx, l.layout.DoneKey(seq))
	if thalweg.Is(err, thalweg.NotFound) {
		return Entry{}, false, nil
	}
	if err != nil {
		return Entry{}, false, err
	}
	return l.next(ctx, &f.state, -1, info.SizeBytes)
}

// missing turns the absence of a record that must exist into damage.
func missing(err error, key string) error {
	if thalweg.Is(err, thalweg.NotFound) {
		return recordMissing(key)
	}
	return err
}

func recordMissing(key string) error {
	return &thalweg.Error{Op: "read log", Kind: thalweg.Corrupt, Subject: key, Err: errors.New("the record is missing, but later ones exist"),
		Hint: "records of the log were deleted; restore them, or use a new sink path"}
}
