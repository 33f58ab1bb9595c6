package commitlog

import (
	"context"
	"errors"

	"github.com/thalweg/thalweg"
)

// Follower reads the finished slots of a log one by one, as they come. It is
// used by one goroutine.
type Follower struct {
	log    *Log
	state  State // before the next slot
	placed bool  // all of state is known, not just NextSeq
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
	if !f.placed {
		state, err := l.stateBefore(ctx, seq)
		if err != nil {
			return Entry{}, false, err
		}
		if state.NextSeq != seq {
			return Entry{}, false, &thalweg.Error{Op: "follow log", Kind: thalweg.Corrupt, Subject: l.layout.DoneKey(seq - 1),
				Err: errors.New("the slot was followed before, and is not there"), Hint: "records of the log were deleted; restore them, or use a new sink path"}
		}
		f.state, f.placed = state, true
	}
	info, err := l.bucket.Head(ctx, l.layout.DoneKey(seq))
	if thalweg.Is(err, thalweg.NotFound) {
		return Entry{}, false, nil
	}
	if err != nil {
		return Entry{}, false, err
	}
	return l.entry(ctx, &f.state, -1, info.SizeBytes)
}
