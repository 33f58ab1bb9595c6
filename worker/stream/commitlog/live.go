package commitlog

import (
	"context"
	"iter"

	"github.com/thalweg/thalweg"
)

// Entry reads one finished slot by its number: its records belong together, but
// its links to the slots around it are not verified. NotFound: the slot is not
// finished.
func (l *Log) Entry(ctx context.Context, seq uint64) (Entry, error) {
	in, sum, err := l.intent(ctx, seq, -1)
	if err != nil {
		return Entry{}, err
	}
	d, doneSum, err := l.readDone(ctx, in, sum, -1)
	if err != nil {
		return Entry{}, err
	}
	return Entry{Intent: in, Done: d, SHA256: doneSum}, nil
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
		var after *Intent // of the slot after the one that is read
		var afterDone *Done
		for seq := claimed; seq > 0; seq-- {
			in, sum, err := l.intent(ctx, seq-1, -1)
			if err != nil {
				yield(Entry{}, missing(err, l.layout.IntentKey(seq-1)))
				return
			}
			d, doneSum, err := l.readDone(ctx, in, sum, -1)
			if thalweg.Is(err, thalweg.NotFound) && after == nil {
				after = &in // claimed and not finished
				continue
			}
			if err != nil {
				yield(Entry{}, missing(err, l.layout.DoneKey(seq-1)))
				return
			}
			if after != nil {
				state := left(in, d, doneSum)
				err := state.checkNext(*after)
				if err == nil && afterDone != nil {
					_, err = state.after(*after, *afterDone, "")
				}
				if err != nil {
					yield(Entry{}, corrupt("read log backwards", l.layout.IntentKey(seq), err))
					return
				}
			}
			if !yield(Entry{Intent: in, Done: d, SHA256: doneSum}, nil) {
				return
			}
			after, afterDone = &in, &d
		}
	}
}

// Live yields, of entries that come newest first as ReadBack yields them, those
// whose scored objects a reader by log must read: all that hold scored rows but
// those that a later compaction replaced. Together they hold each scored row of
// the prefix once. It is newest first too, and remembers only the numbers of
// replaced slots that it has not come to.
func Live(entries iter.Seq2[Entry, error]) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		replaced := make(map[uint64]struct{})
		for e, err := range entries {
			if err != nil {
				yield(Entry{}, err)
				return
			}
			for _, slot := range e.Done.Inputs {
				replaced[slot] = struct{}{}
			}
			if _, gone := replaced[e.Intent.Seq]; gone {
				delete(replaced, e.Intent.Seq)
				continue
			}
			if e.Done.Scored > 0 && !yield(e, nil) {
				return
			}
		}
	}
}

// Offsets returns the range that the offsets of the entry's rows lie in; those
// of a compaction are older than its place in the log.
func (e Entry) Offsets() (from, to int64) {
	if e.Intent.Action == Compact {
		return e.Done.Offsets[0], e.Done.Offsets[1]
	}
	return e.Intent.From, e.Intent.To
}
