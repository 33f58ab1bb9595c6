package kafka

import (
	"context"
	"fmt"
	"time"

	kafkago "github.com/segmentio/kafka-go"
)

// OffsetAt returns the offset of the first record of a partition whose
// timestamp is at or after a time, and the next offset to be produced if there
// is none. Timestamps of records have milliseconds; a time between two of them
// is taken for the later.
func (s *Source) OffsetAt(ctx context.Context, partition int, at time.Time) (int64, error) {
	c := s.cluster
	subject := fmt.Sprintf("%s/%d at %s", c.cfg.Topic, partition, at.UTC().Format(time.RFC3339Nano))
	found := int64(-1)
	err := c.do(ctx, "find offset", subject, 0, func(ctx context.Context) error {
		whole := at.Add(time.Millisecond - time.Nanosecond).Truncate(time.Millisecond)
		if whole.Before(time.UnixMilli(0)) {
			whole = time.UnixMilli(0) // negative numbers have another meaning
		}
		res, err := c.client.ListOffsets(ctx, &kafkago.ListOffsetsRequest{Topics: map[string][]kafkago.OffsetRequest{
			c.cfg.Topic: {kafkago.TimeOffsetOf(partition, whole)},
		}})
		if err != nil {
			return err
		}
		for _, p := range res.Topics[c.cfg.Topic] {
			if p.Partition != partition {
				continue
			}
			if p.Error != nil {
				return p.Error
			}
			for offset := range p.Offsets {
				found = offset
			}
			return nil
		}
		return kafkago.UnknownTopicOrPartition
	})
	if err != nil || found >= 0 {
		return found, err
	}
	_, next, err := s.Bounds(ctx, partition)
	return next, err
}
