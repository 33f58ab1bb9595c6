package kafka

import (
	"bytes"
	"context"
	"fmt"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/produce"
	"github.com/segmentio/kafka-go/protocol/rawproduce"

	"github.com/thalweg/thalweg"
)

// write writes a batch to a partition, in the transaction of an id unless that
// is empty: again and again, until the broker says that it has it. It drops
// copies by the batch's sequence number.
func (c *cluster) write(ctx context.Context, transaction string, partition int, batch []byte) error {
	subject := fmt.Sprintf("%s/%d", c.cfg.Topic, partition)
	return c.do(ctx, "produce", subject, 0, func(ctx context.Context) error {
		res, err := c.transport.RoundTrip(ctx, c.addr, &rawproduce.Request{
			TransactionalID: transaction, Acks: int16(kafkago.RequireAll), Timeout: int32(c.cfg.RequestTimeout.Milliseconds() / 2),
			Topics: []rawproduce.RequestTopic{{Topic: c.cfg.Topic, Partitions: []rawproduce.RequestPartition{{
				Partition: int32(partition), RecordSet: protocol.RawRecordSet{Reader: bytes.NewReader(batch)},
			}}}},
		})
		if err != nil {
			return err
		}
		r, ok := res.(*produce.Response)
		if !ok || len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 1 {
			return &thalweg.Error{Op: "read produce response", Kind: thalweg.Corrupt, Subject: subject}
		}
		answer := r.Topics[0].Partitions[0]
		code := kafkago.Error(answer.ErrorCode)
		switch {
		case code == 0 || code == kafkago.DuplicateSequenceNumber: // the copy before this one arrived
			return nil
		case answer.ErrorMessage != "":
			return fmt.Errorf("%w: %s", code, answer.ErrorMessage)
		}
		return code
	})
}

// after returns the sequence number that comes after count records from one.
func after(sequence int32, count int) int32 {
	return int32((int64(sequence) + int64(count)) & 0x7fffffff)
}
