package commitlog

import (
	"context"
	"iter"
)

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

// Moved returns the live compaction that holds the rows of a slot, false if they
// are where the slot left them. The log is read back from its end.
func (l *Log) Moved(ctx context.Context, seq uint64) (e Entry, ok bool, err error) {
	for e, err := range Live(l.ReadBack(ctx)) {
		if err != nil {
			return Entry{}, false, err
		}
		if e.Intent.Seq <= seq {
			break
		}
		if s := e.Intent.Slots; e.Intent.Action == Compact && s[0] <= seq && seq < s[1] {
			return e, true, nil
		}
	}
	return Entry{}, false, nil
}
