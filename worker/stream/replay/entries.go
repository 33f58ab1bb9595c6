package replay

import (
	"context"
	"iter"

	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

// entries yields the finished slots of a log that score events of a topic, in
// order, from the one that holds an offset or follows it.
func entries(ctx context.Context, log *commitlog.Log, topicID string, offset int64) iter.Seq2[commitlog.Entry, error] {
	return func(yield func(commitlog.Entry, error) bool) {
		seq, ok, err := log.Find(ctx, topicID, offset)
		if err != nil {
			yield(commitlog.Entry{}, err)
		}
		if err != nil || !ok {
			return
		}
		for e, err := range log.Read(ctx, seq) {
			if err == nil && e.Intent.Action != commitlog.Score {
				continue
			}
			if err == nil && topicID != "" && e.Intent.TopicID != "" && e.Intent.TopicID != topicID {
				return // the topic was made anew
			}
			if !yield(e, err) {
				return
			}
		}
	}
}
