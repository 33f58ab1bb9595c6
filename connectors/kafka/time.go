package kafka

import (
	"context"
	"fmt"
	"time"
)

// OffsetAt returns the offset of the first record of a partition whose
// timestamp is at or after a time, and the next offset to be produced if there
// is none. Timestamps of records have milliseconds; a time between two of them
// is taken for the later.
func (s *Source) OffsetAt(ctx context.Context, partition int, at time.Time) (int64, error) {
	whole := at.Add(time.Millisecond - time.Nanosecond).Truncate(time.Millisecond)
	if whole.Before(time.UnixMilli(0)) {
		whole = time.UnixMilli(0) // negative numbers have another meaning
	}
	c := s.cluster
	subject := fmt.Sprintf("%s/%d at %s", c.cfg.Topic, partition, at.UTC().Format(time.RFC3339Nano))
	found, err := c.offset(ctx, "find offset", subject, partition, whole.UnixMilli())
	if err != nil || found >= 0 {
		return found, err
	}
	_, next, err := s.Bounds(ctx, partition)
	return next, err
}
