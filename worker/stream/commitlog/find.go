package commitlog

import (
	"context"
	"sort"
)

// Find returns the number of the first slot that ends beyond an offset of a
// topic: the one that holds it, if any does. topicID tells which of the topics
// that had the name, the newest if it is empty. ok is false if no claimed slot
// of the topic reaches that far. It reads about 4·log2 n records for a log of n
// slots and verifies none of the links between them: Read from there does.
func (l *Log) Find(ctx context.Context, topicID string, offset int64) (seq uint64, ok bool, err error) {
	end, err := l.claimedSlots(ctx)
	if err != nil || end == 0 {
		return 0, false, err
	}
	read := make(map[uint64]Intent)
	at := func(seq uint64) Intent {
		in, known := read[seq]
		if !known && err == nil {
			if in, _, err = l.intent(ctx, seq, -1); err != nil {
				err = missing(err, l.layout.IntentKey(seq))
			}
			read[seq] = in
		}
		return in
	}
	// first returns the first slot of [low, end) for which is holds; it holds for
	// all after that.
	first := func(low, end uint64, is func(Intent) bool) uint64 {
		return low + uint64(sort.Search(int(end-low), func(i int) bool { in := at(low + uint64(i)); return err != nil || is(in) }))
	}
	// Slots of one topic follow each other, and so do their ends.
	for end > 0 && err == nil {
		id := at(end - 1).TopicID
		begin := first(0, end, func(in Intent) bool { return in.TopicID == id })
		if begin > 0 && begin < end && (at(begin).Action != Skip || at(begin-1).TopicID == "" && at(begin).To == at(begin).Missing[1]) {
			begin = 0 // the same topic, from when its identity was not known
		}
		if topicID == "" || id == topicID || id == "" {
			seq = first(begin, end, func(in Intent) bool { return in.To > offset })
			return seq, err == nil && seq < end, err
		}
		end = begin
	}
	return 0, false, err
}
