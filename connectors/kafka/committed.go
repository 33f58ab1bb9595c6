package kafka

import (
	"context"
	"fmt"
	"io"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// stableOffsetFetchVersion is the first version of OffsetFetch that can wait
// for what transactions have committed (Kafka 2.5); kafka-go knows those up to
// 5.
const stableOffsetFetchVersion = 7

// committedQuestion asks a group's coordinator for one offset, and for no
// answer while a transaction that commits another is being ended. It is a
// message of kafka-go's Transport, which finds the coordinator.
type committedQuestion struct {
	ctx      context.Context //nolint:containedctx // the Transport does not hand its own down
	clientID string
	group    string
	topic    string

	partition int
	offset    int64
}

var (
	_ protocol.GroupMessage = (*committedQuestion)(nil)
	_ protocol.RawExchanger = (*committedQuestion)(nil)
)

// ApiKey names the request for versions.
func (q *committedQuestion) ApiKey() protocol.ApiKey { return protocol.OffsetFetch }

// Group names the group whose coordinator is asked.
func (q *committedQuestion) Group() string { return q.group }

// Required takes the exchange over always.
func (q *committedQuestion) Required(map[protocol.ApiKey]int16) bool { return true }

// RawExchange asks.
func (q *committedQuestion) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	return q, onConnection(q.ctx, rw, q.ask)
}

func (q *committedQuestion) ask(rw io.ReadWriter) error {
	req, res := kmsg.NewPtrOffsetFetchRequest(), kmsg.NewPtrOffsetFetchResponse()
	req.Version, res.Version = stableOffsetFetchVersion, stableOffsetFetchVersion
	req.Group, req.RequireStable = q.group, true
	req.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: q.topic, Partitions: []int32{int32(q.partition)}}}
	if err := ask(rw, req, res, q.clientID); err != nil {
		return err
	}
	switch code := kafkago.Error(res.ErrorCode); code {
	case 0:
	case kafkago.GroupIdNotFound:
		q.offset = -1
		return nil
	default:
		return code
	}
	for _, t := range res.Topics {
		for _, p := range t.Partitions {
			if t.Topic == q.topic && int(p.Partition) == q.partition {
				if p.ErrorCode != 0 {
					return kafkago.Error(p.ErrorCode)
				}
				q.offset = p.Offset
				return nil
			}
		}
	}
	return corruptResponse("no such partition")
}

// committed returns a group's offset in a partition of the topic, -1 if it has
// none.
func (c *cluster) committed(ctx context.Context, group string, partition int) (int64, error) {
	offset := int64(-1)
	subject := fmt.Sprintf("%s/%d of group %s", c.cfg.Topic, partition, group)
	err := c.do(ctx, "read committed offset", subject, 0, func(ctx context.Context) error {
		q := &committedQuestion{ctx: ctx, clientID: c.cfg.ClientID, group: group, topic: c.cfg.Topic, partition: partition}
		if _, err := c.transport.RoundTrip(ctx, c.addr, q); err != nil {
			return err
		}
		offset = q.offset
		return nil
	})
	return offset, err
}
