package commitlog

import (
	"context"
	"errors"
	"fmt"
	"sort"

	"github.com/thalweg/thalweg"
)

// openRaces bounds how often Open begins again because another owner moved the
// log's end meanwhile: each time costs that owner a whole slot.
const openRaces = 8

// Open reads the end of the log: it finds the last claimed slot by galloping
// and binary search over Head, verifies that slot's link to the one before,
// and that nothing lies beyond it. Errors: Corrupt where records are missing
// or damaged, Invalid where the log is another pipeline's, Conflict where
// another owner keeps moving the end.
func (l *Log) Open(ctx context.Context) (State, error) {
	l.opened, l.state = false, State{NextOffset: -1, LostFrom: -1}
	claimed, err := l.end(ctx)
	if err != nil {
		return State{}, err
	}
	if l.state, err = l.stateAt(ctx, claimed); err != nil {
		return State{}, err
	}
	l.opened = true
	return l.State(), nil
}

// end returns how many slots are claimed, having made sure that nothing lies
// beyond them.
func (l *Log) end(ctx context.Context) (uint64, error) {
	for range openRaces {
		claimed, err := l.claimedSlots(ctx)
		if err != nil {
			return 0, err
		}
		moved, err := l.pastEnd(ctx, claimed)
		if err != nil {
			return 0, err
		}
		if !moved {
			return claimed, nil
		}
	}
	return 0, &thalweg.Error{Op: "open log", Kind: thalweg.Conflict, Subject: l.layout.LogDir(),
		Err: errors.New("another owner keeps appending")}
}

// claimedSlots returns how many slots are claimed, provided that they have no
// gap: it doubles a guess until a slot is free and then halves the rest.
func (l *Log) claimedSlots(ctx context.Context) (uint64, error) {
	var low, high uint64 = 0, 1 // slots below low are claimed, slot high-1 is the guess
	for {
		taken, err := l.claimed(ctx, high-1)
		if err != nil {
			return 0, err
		}
		if !taken {
			break
		}
		if low = high; low > MaxSeq {
			return low, nil
		}
		high = min(2*high, MaxSeq+1)
	}
	var failed error
	n := sort.Search(int(high-1-low), func(i int) bool {
		if failed != nil {
			return true
		}
		taken, err := l.claimed(ctx, low+uint64(i))
		failed = err
		return !taken
	})
	return low + uint64(n), failed
}

func (l *Log) claimed(ctx context.Context, seq uint64) (bool, error) {
	_, err := l.bucket.Head(ctx, l.layout.IntentKey(seq))
	if thalweg.Is(err, thalweg.NotFound) {
		return false, nil
	}
	return err == nil, err
}

// pastEnd looks for anything past the last of the claimed slots: records, scored
// rows or dead letters of later slots. If the next slot has been claimed
// meanwhile the log has moved on; otherwise records were lost, and to append
// would be to score twice.
func (l *Log) pastEnd(ctx context.Context, claimed uint64) (moved bool, err error) {
	last := l.layout.LogDir() // excludes the directory marker that some tools leave
	if claimed > 0 {
		last = l.layout.IntentKey(claimed - 1)
	}
	next := fmt.Sprintf("%0*d", seqDigits, claimed)
	for _, at := range []struct{ dir, after string }{
		{l.layout.LogDir(), last},
		{l.layout.DataDir(), l.layout.DataDir() + next},
		{l.layout.DeadDir(), l.layout.DeadDir() + next},
	} {
		for info, err := range l.bucket.List(ctx, at.dir, at.after) {
			if err != nil {
				return false, err
			}
			if taken, err := l.claimed(ctx, claimed); taken || err != nil {
				return taken, err
			}
			return false, &thalweg.Error{Op: "open log", Kind: thalweg.Corrupt, Subject: l.layout.IntentKey(claimed),
				Err:  fmt.Errorf("the record is missing, but %q exists", info.Key),
				Hint: "records of the log were deleted, or a foreign object was put beside them; restore the log, or use a new sink path"}
		}
	}
	return false, nil
}
