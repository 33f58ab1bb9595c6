package deadletter

import (
	"context"
	"sort"

	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

// topicIDs tells which topic the slots of a main log are of. Slots from before
// brokers told are of the first topic that is known: another would have begun
// with a skip, which names it.
type topicIDs struct {
	log   *commitlog.Log
	slots uint64 // finished
	known bool   // whether the log knows any
	first string // once it was looked for
}

func newTopicIDs(ctx context.Context, log *commitlog.Log) (*topicIDs, error) {
	state, err := log.Open(ctx)
	return &topicIDs{log: log, slots: state.NextSeq, known: state.TopicID != ""}, err
}

// of returns the ID of an intent's topic, empty if nobody knows it.
func (t *topicIDs) of(ctx context.Context, in commitlog.Intent) (string, error) {
	if in.TopicID != "" || !t.known || in.Seq >= t.slots {
		return in.TopicID, nil
	}
	if t.first != "" {
		return t.first, nil
	}
	var failed error
	id := func(seq uint64) string {
		e, err := t.log.Entry(ctx, seq)
		if err != nil {
			failed = err
		}
		return e.Intent.TopicID
	}
	n := sort.Search(int(t.slots-in.Seq), func(i int) bool { return failed != nil || id(in.Seq+uint64(i)) != "" })
	if failed == nil && uint64(n) < t.slots-in.Seq {
		t.first = id(in.Seq + uint64(n))
	}
	return t.first, failed
}
